"""What an operator may declare as an action: a plain URL, parameters that fit it, names that are not ours."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.fixtures.declared import ACTION, URL
from vestibule.errors import InvalidField
from vestibule.model.action import (
    ActionDeclaration,
    ActionPolicy,
    HttpMethod,
    Location,
    Locks,
    Parameter,
    Trust,
    Variables,
)
from vestibule.responder.action_rules import check_declaration, check_policy, check_variables
from vestibule.responder.url_template import parse_template


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.com",
        "https://API.example.com/",
        "https://api.example.com:443/a/{b}",
        "https://[2001:db8::1]:8443/a",
        "https://api.example.com/a/{b}-{c}.json",
        "https://api.example.com/a%20b/(c);d=e/@x",
        "http://localhost:8080/x",
    ],
)
def test_a_template_is_read(url: str) -> None:
    assert parse_template(url).origin == {
        "https://API.example.com/": "https://api.example.com",
        "https://api.example.com:443/a/{b}": "https://api.example.com",
    }.get(url, "/".join(url.split("/")[:3]))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/orders",
        "ftp://api.example.com/",
        "https:///x",
        "https://u:p@api.example.com/",
        "https://u@api.example.com/",
        "https://{host}/x",
        "https://api.{x}.com/",
        "https://api.example.com:0/",
        "https://api.example.com:65536/",
        "https://api.example.com:x/",
        "https://api..example.com/",
        "https://.example.com/",
        "https://api.example.com/a?b=c",
        "https://api.example.com/a#b",
        "https://api.example.com/../b",
        "https://api.example.com/a/%2e%2E/b",
        "https://api.example.com/./b",
        "https://api.example.com/{a}/{a}",
        "https://api.example.com/{a",
        "https://api.example.com/{}",
        "https://api.example.com/{a/b}",
        "https://api.example.com/a b",
        "https://api.example.com/a\\b",
        "https://api.example.com\\@evil.example/",
        "https://api.example.com/a\n",
        "https://api.example.com/%zz",
        "https://bücher.example/",
        "https://api.example.com/" + "a" * 2048,
    ],
)
def test_a_template_that_is_no_plain_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidField) as refused:
        parse_template(url)
    assert refused.value.field == "url_template"


def changed(**members: Any) -> ActionDeclaration:
    return msgspec.structs.replace(ACTION, **members)


def with_parameter(*parameters: Parameter, method: HttpMethod = "POST") -> ActionDeclaration:
    return changed(url_template="https://h.example/", method=method, parameters=parameters)


@pytest.mark.parametrize(
    ("declaration", "field"),
    [
        (changed(name=""), "name"),
        (changed(name="Über"), "name"),
        (changed(name="Enter_mode"), "name"),
        (changed(name="a" * 65), "name"),
        (changed(name="a\n"), "name"),
        (changed(url_template="http://api.example.com/{order_id}/{item}"), "url_template"),
        (changed(url_template="https://api.example.com/{order_id}"), "parameters"),
        (changed(url_template=URL + "/{more}"), "parameters"),
        (changed(timeout_ms=0), "timeout_ms"),
        (changed(timeout_ms=60_001), "timeout_ms"),
        (changed(description="x" * 4097), "description"),
        (changed(audience=""), "audience"),
        (changed(audience="a\nb"), "audience"),
        (changed(verified_within_minutes=0), "verified_within_minutes"),
        (changed(verified_within_minutes=5, required_trust=Trust.UNVERIFIED), "verified_within_minutes"),
        (changed(locked=Locks(message=("",))), "locked.message"),
        (changed(locked=Locks(model=tuple(map(str, range(101))))), "locked.model"),
        (with_parameter(*[Parameter(Location.QUERY, str(n)) for n in range(101)]), "parameters"),
        (with_parameter(Parameter(Location.QUERY, "")), "parameters[0].name"),
        (with_parameter(Parameter(Location.QUERY, "a\n")), "parameters[0].name"),
        (with_parameter(Parameter(Location.QUERY, "_method")), "parameters[0].name"),
        (with_parameter(Parameter(Location.QUERY, "a"), Parameter(Location.QUERY, "a")), "parameters[1].name"),
        (with_parameter(Parameter(Location.HEADER, "X-A"), Parameter(Location.HEADER, "x_a")), "parameters[1].name"),
        (with_parameter(Parameter(Location.HEADER, "Host")), "parameters[0].name"),
        (with_parameter(Parameter(Location.HEADER, "x-opencx-org-id")), "parameters[0].name"),
        (with_parameter(Parameter(Location.HEADER, "Content-Type")), "parameters[0].name"),
        (with_parameter(Parameter(Location.BODY, "a"), method="GET"), "parameters[0].location"),
        (with_parameter(Parameter(Location.BODY, "a"), method="DELETE"), "parameters[0].location"),
        (with_parameter(Parameter(Location.QUERY, "a", {"type": "nonsense"})), "parameters[0].schema"),
        (with_parameter(Parameter(Location.QUERY, "a", {"pattern": "("})), "parameters[0].schema"),
        (with_parameter(Parameter(Location.QUERY, "a", {"pattern": "(?=x)"})), "parameters[0].schema"),
        (with_parameter(Parameter(Location.QUERY, "a", {"$ref": "http://127.0.0.1:1/"})), "parameters[0].schema"),
        (with_parameter(Parameter(Location.QUERY, "a", {"$ref": "file:///etc/passwd"})), "parameters[0].schema"),
        (with_parameter(Parameter(Location.QUERY, "a", {"enum": ["x" * 16_384]})), "parameters[0].schema"),
        (with_parameter(Parameter(Location.QUERY, "a", {"const": object()})), "parameters[0].schema"),
    ],
)
def test_a_declaration_that_cannot_work_is_refused(declaration: ActionDeclaration, field: str) -> None:
    with pytest.raises(InvalidField) as refused:
        check_declaration(declaration)
    assert refused.value.field == field


def test_a_declaration_that_works_passes() -> None:
    assert check_declaration(ACTION) is ACTION
    check_declaration(changed(url_template=URL.replace("https", "http")), allow_http=True)
    check_declaration(changed(verified_within_minutes=10, audience="urn:api", timeout_ms=60_000))
    check_policy(ActionPolicy(locked=Locks(message=("authorization",))))
    check_variables(Variables(headers={"Authorization": "x"}))


@pytest.mark.parametrize("name", ["Host", "x_opencx_org_id", "Vestibule-Assertion"])
def test_variables_that_speak_for_us_are_refused(name: str) -> None:
    with pytest.raises(InvalidField):
        check_variables(Variables(headers={name: "x"}))


@pytest.mark.parametrize(
    ("kind", "document"),
    [
        (ActionDeclaration, {"name": "a", "method": "GET", "url_template": "https://h.example/", "trust": "verified"}),
        (ActionPolicy, {"lock": {}}),
        (ActionPolicy, {"locked": {"messages": ["a"]}}),
        (Parameter, {"location": "query", "name": "a", "require": True}),
        (Variables, {"header": {"a": "b"}}),
    ],
)
def test_a_misspelt_member_does_not_pass_for_none(kind: Any, document: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.convert(document, kind)
