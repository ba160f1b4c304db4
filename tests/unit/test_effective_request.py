"""No value leads an action's request out of the declared operation, and nobody sees a credential in passing."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import httpx
import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.fixtures.declared import ACTION
from vestibule.model.action import (
    ActionDeclaration,
    ActionPolicy,
    HttpMethod,
    Location,
    Locks,
    MessageOverrides,
    OnBehalfOf,
    Parameter,
    Source,
    Variables,
)
from vestibule.model.claims import HttpOverrides, Method
from vestibule.outbound.address_guard import LONGEST_URL, parse_url
from vestibule.responder.effective_request import (
    HIDDEN,
    LARGEST_BODY,
    EffectiveRequest,
    Refusal,
    build,
    context_headers,
    redacted,
)
from vestibule.responder.overrides import Effective, Layers, Value, merge

VERIFIED = OnBehalfOf("c1", verified=True, method=Method.SERVER_TO_SERVER, auth_time=0, external_user_id="ext-1")
VISITOR = OnBehalfOf("c2", verified=False, method=Method.UNVERIFIED, auth_time=0, external_user_id="ext-1")


def said(location: Location, name: str, value: Any) -> Value:
    return Value(location, name, value, Source.MODEL)


def with_path(order_id: Any, *more: Value, item: Any = "1") -> EffectiveRequest | Refusal:
    path = (said(Location.PATH, "order_id", order_id), said(Location.PATH, "item", item))
    return build(ACTION, Effective((*path, *more)))


def built(result: EffectiveRequest | Refusal) -> EffectiveRequest:
    assert isinstance(result, EffectiveRequest), result
    return result


def code(result: EffectiveRequest | Refusal) -> str:
    assert isinstance(result, Refusal), result
    return result.code


@pytest.mark.parametrize(
    ("value", "segment"),
    [
        ("A-1_b.c~d", "A-1_b.c~d"),
        ("a/b", "a%2Fb"),
        ("a%2fb", "a%252fb"),
        ("a?b=c", "a%3Fb%3Dc"),
        ("a#b", "a%23b"),
        ("a;b", "a%3Bb"),
        ("a b", "a%20b"),
        ("a+b", "a%2Bb"),
        ("a\\b", "a%5Cb"),
        ("@evil.example", "%40evil.example"),
        ("//evil.example/", "%2F%2Fevil.example%2F"),
        ("https://evil.example", "https%3A%2F%2Fevil.example"),
        ("{item}", "%7Bitem%7D"),
        ("ä€😀", "%C3%A4%E2%82%AC%F0%9F%98%80"),
        ("...", "..."),
        (".hidden", ".hidden"),
        (7, "7"),
        (1.5, "1.5"),
        (True, "true"),
    ],
)
def test_a_path_value_stays_one_segment(value: Any, segment: str) -> None:
    request = built(with_path(value))
    assert request.url == f"https://api.example.com:8443/v1/orders/{segment}/items/1.json"


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "\u3000",
        ".",
        "..",
        " .. ",
        "../admin",
        "a/../../admin",
        "a/./b",
        "..\\admin",
        "..;/admin",
        "%2e%2e",
        "%2e%2e%2fadmin",
        "%252e%252e%252fadmin",
        "%25252e%25252e",
        "\uff0e\uff0e\uff0fadmin",
        "\u2024\u2024/admin",
        "a\0b",
        "a\r\nHost: evil",
        "a%00b",
        "a%0d%0ab",
        "a%250ab",
        "a\x7fb",
        "a\x85b",
        "\ud800",
        None,
        [],
        {},
        ["a"],
    ],
)
def test_a_path_value_that_could_lead_elsewhere_is_refused(value: Any) -> None:
    assert code(with_path(value)) == "unusable_value"


@given(st.text(max_size=40), st.text(max_size=10))
@example("..", "x")
@example("a/..", "..")
@example("%2e", ".")
@example("\\..\\", "/")
def test_the_result_never_leaves_the_declared_url(order_id: str, item: str) -> None:
    result = with_path(order_id, item=item)
    if isinstance(result, Refusal):
        assert result.code == "unusable_value"
        return
    # Three parsers that could be asked further on agree on where it goes.
    for host, port, path in (
        (urlsplit(result.url).hostname, urlsplit(result.url).port, urlsplit(result.url).path),
        (httpx.URL(result.url).host, httpx.URL(result.url).port, httpx.URL(result.url).raw_path.decode()),
        (parse_url(result.url).host, parse_url(result.url).port, parse_url(result.url).path),
    ):
        assert (host, port) == ("api.example.com", 8443)
        segments = path.split("/")
        assert segments[:3] == ["", "v1", "orders"]
        assert segments[4] == "items"
        assert len(segments) == 6
        assert unquote(segments[3], errors="strict") == order_id
        assert unquote(segments[5], errors="strict") == f"{item}.json"
        assert not {".", ".."} & set(segments)


@given(st.lists(st.tuples(st.text(min_size=1, max_size=6), st.text(max_size=10)), max_size=4, unique_by=lambda p: p[0]))
def test_a_query_is_read_back_as_it_was_given(pairs: list[tuple[str, str]]) -> None:
    request = built(with_path("1", *(said(Location.QUERY, name, text) for name, text in pairs)))
    parts = urlsplit(request.url)
    assert parse_qsl(parts.query, keep_blank_values=True, max_num_fields=10) == pairs
    assert (parts.path, parts.fragment) == ("/v1/orders/1/items/1.json", "")
    parse_url(request.url)


def test_query_values_by_their_kind() -> None:
    values = {"t": True, "n": 1.5, "l": ["a", 2], "o": {"k": "&"}, "e": [], "z": None}
    request = built(with_path("1", *(said(Location.QUERY, name, value) for name, value in values.items())))
    assert urlsplit(request.url).query == "t=true&n=1.5&l=a&l=2&o=%7B%22k%22%3A%22%26%22%7D&z=null"


@pytest.mark.parametrize("value", ["\ud800", object()])
@pytest.mark.parametrize("location", [Location.QUERY, Location.BODY, Location.HEADER])
def test_what_is_not_json_is_refused(location: Location, value: Any) -> None:
    assert code(with_path("1", said(location, "q", value))) in {"unusable_value", "forbidden_header"}


@pytest.mark.parametrize(
    ("method", "values", "body"),
    [
        ("POST", {"note": "x", "n": [1, None]}, {"note": "x", "n": [1, None]}),
        ("POST", {}, {}),
        ("GET", {"note": "x"}, None),
        ("DELETE", {"note": "x"}, None),
        ("PUT", {"note": None}, {"note": None}),
        ("PATCH", {"é": "ü"}, {"é": "ü"}),
    ],
)
def test_the_body_is_one_json_object(method: HttpMethod, values: dict[str, Any], body: dict[str, Any] | None) -> None:
    parameters = (Parameter(Location.BODY, "note"),) if method in {"POST", "PUT", "PATCH"} else ()
    action = ActionDeclaration(name="a", method=method, url_template="https://h.example/", parameters=parameters)
    request = built(build(action, Effective(tuple(said(Location.BODY, name, value) for name, value in values.items()))))
    assert (json.loads(request.body) if request.body is not None else None) == body
    assert dict(request.headers).get("content-type") == ("application/json" if body is not None else None)


def test_a_post_without_body_parameters_has_no_body() -> None:
    action = ActionDeclaration(name="a", method="POST", url_template="https://h.example/cancel")
    assert built(build(action, Effective(()))).body is None


@pytest.mark.parametrize(
    "name",
    [
        "Host",
        "host",
        "Content-Length",
        "Transfer-Encoding",
        "transfer_encoding",
        "Connection",
        "TE",
        "Upgrade",
        "Expect",
        "X-OpenCX-Org-Id",
        "x_opencx_org_id",
        "X.OpenCX.External.User.Id",
        "Vestibule-Assertion",
        "vestibule_assertion",
        "X-Vestibule-Anything",
        "X-Forwarded-For",
        "x_forwarded_host",
        "Sec-Fetch-Site",
        ":authority",
        "a b",
        "a\r\nb",
        "",
        "é",
    ],
)
@pytest.mark.parametrize("source", [Source.MODEL, Source.WORKSPACE, Source.CONTACT, Source.MESSAGE])
def test_a_header_that_may_not_be_set_is_refused(name: str, source: Source) -> None:
    assert code(with_path("1", Value(Location.HEADER, name, "x", source))) == "forbidden_header"


@pytest.mark.parametrize("text", ["a\r\nb", "a\nb", "a\0b", "a\x7fb", "x" * 8193])
def test_a_header_value_that_would_break_the_frame_is_refused(text: str) -> None:
    assert code(with_path("1", said(Location.HEADER, "X-Trace", text))) == "forbidden_header"


def test_headers_are_sent_with_ours_last() -> None:
    own = {"x-opencx-org-id": "w", "Vestibule-Assertion": "jwt"}
    values = (
        said(Location.PATH, "order_id", "1"),
        said(Location.PATH, "item", "1"),
        said(Location.HEADER, "X-Trace", 5),
        Value(Location.HEADER, "Accept", " text/plain\t", Source.MESSAGE),
        Value(Location.HEADER, "Authorization", "Bearer s", Source.CONTACT),
    )
    request = built(build(ACTION, Effective(values), ours=own))
    assert request.headers == (
        ("Accept", "text/plain"),
        ("X-Trace", "5"),
        ("Authorization", "Bearer s"),
        ("user-agent", "vestibule"),
        ("content-type", "application/json"),
        ("x-opencx-org-id", "w"),
        ("Vestibule-Assertion", "jwt"),
    )


@given(
    st.dictionaries(
        st.sampled_from(["User-Agent", "user_agent", "Content-Type", "X-A", "x_a", "ACCEPT", "Accept"]),
        st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=8),
    )
)
def test_no_header_is_sent_twice_and_ours_stand(headers: dict[str, str]) -> None:
    layers = Layers(
        (said(Location.PATH, "order_id", "1"), said(Location.PATH, "item", "1")),
        contact=HttpOverrides(headers=headers),
        message=MessageOverrides(headers=headers),
    )
    request = built(build(ACTION, merge(ACTION, layers, ActionPolicy())))
    names = [name.lower().replace("_", "-") for name, _ in request.headers]
    assert len(names) == len(set(names))
    sent = dict(request.headers)
    assert (sent["user-agent"], sent["content-type"]) == ("vestibule", "application/json")


@pytest.mark.parametrize("location", [Location.PATH, Location.QUERY, Location.HEADER, Location.BODY])
def test_a_required_value_that_nobody_gave_is_missed(location: Location) -> None:
    url = "https://h.example/{x}" if location is Location.PATH else "https://h.example/"
    parameter = Parameter(location, "x", required=location is not Location.PATH)
    action = ActionDeclaration(name="a", method="POST", url_template=url, parameters=(parameter,))
    refusal = build(action, Effective(()))
    assert refusal == Refusal("missing_parameter", f"A value for {location}.x is needed.")
    built(build(action, Effective((Value(location, "x", "1", Source.CONTACT),))))


@pytest.mark.parametrize(
    "value",
    [
        said(Location.QUERY, "q", "x" * LONGEST_URL),
        said(Location.BODY, "note", "x" * LARGEST_BODY),
    ],
)
def test_a_request_that_is_too_large_is_refused(value: Value) -> None:
    assert code(with_path("1", value)) == "request_too_large"


def test_headers_that_are_too_large_together_are_refused() -> None:
    headers = [Value(Location.HEADER, f"x-{n}", "x" * 8000, Source.CONTACT) for n in range(2)]
    assert code(with_path("1", *headers)) == "request_too_large"


# Context headers


def test_context_headers_name_a_person_only_with_proof() -> None:
    everything = {
        "user-agent": "OpenCX",
        "x-opencx-org-id": "w",
        "x-opencx-session-id": "s",
        "x-opencx-ticket-number": "12",
    }
    assert context_headers("w", "s", 12, VERIFIED) == everything | {"x-opencx-external-user-id": "ext-1"}
    assert context_headers("w", "s", 12, VISITOR) == everything
    assert context_headers("w", "s", None, VISITOR).keys() == everything.keys() - {"x-opencx-ticket-number"}
    # Without an id of the customer's own, the one that it was answered when it vouched.
    nameless = msgspec.structs.replace(VERIFIED, external_user_id=None)
    assert context_headers("w", "s", 12, nameless) == everything | {"x-opencx-external-user-id": "c1"}


@pytest.mark.parametrize("external", ["a\r\nb", " a", "a ", "", "ä", "a\tb"])
def test_an_external_id_that_a_header_cannot_hold_is_not_sent(external: str) -> None:
    contact = msgspec.structs.replace(VERIFIED, external_user_id=external)
    assert "x-opencx-external-user-id" not in context_headers("w", "s", 1, contact)


# The view for people


def everything() -> EffectiveRequest:
    layers = Layers(
        (
            said(Location.PATH, "order_id", "A/1"),
            said(Location.QUERY, "q", "shown"),
            said(Location.BODY, "note", "hello"),
        ),
        variables=Variables(headers={"Authorization": "SECRET-w"}, query_params={"key": "SECRET-w"}),
        contact=HttpOverrides(path_params={"item": "SECRET-c"}, body_params={"account": "SECRET-c"}),
        message=MessageOverrides(
            headers={"X-Page": "SECRET-m", "X-Locked": "SECRET-m"}, body_properties={"p": ["SECRET-m"]}
        ),
    )
    effective = merge(ACTION, layers, ActionPolicy(locked=Locks(message=("x-locked",))))
    own = {"x-opencx-org-id": "w", "Vestibule-Assertion": "SECRET-jwt"}
    return built(build(ACTION, effective, ours=own))


def test_the_effective_request_is_shown_without_credentials() -> None:
    request = everything()
    assert "SECRET-w" in request.url
    shown = redacted(request)
    text = msgspec.json.encode(shown).decode() + repr(shown) + repr(request)
    assert "SECRET" not in text
    assert shown.url == (f"https://api.example.com:8443/v1/orders/A%2F1/items/{HIDDEN}.json?q=shown&key={HIDDEN}")
    by_name = {value.name: (value.value, value.source) for value in shown.values}
    assert by_name["Authorization"] == (HIDDEN, Source.WORKSPACE)
    assert by_name["account"] == (HIDDEN, Source.CONTACT)
    assert by_name["X-Page"] == (HIDDEN, Source.MESSAGE)
    assert by_name["p"] == (HIDDEN, Source.MESSAGE)
    assert by_name["note"] == ("hello", Source.MODEL)
    assert by_name["x-opencx-org-id"] == ("w", Source.OURS)
    assert by_name["Vestibule-Assertion"] == (HIDDEN, Source.OURS)
    assert [(ignored.name, ignored.reason) for ignored in shown.ignored] == [("X-Locked", "locked")]


def test_the_shown_url_is_the_one_sent_but_for_what_is_hidden() -> None:
    values = (said(Location.QUERY, "l[]", ["a&b", "\x1b[2J"]), said(Location.QUERY, "o", {"k": 1}))
    request = built(with_path("ä", *values))
    assert redacted(request).url == request.url


def test_a_refusal_holds_no_override() -> None:
    for location in (Location.PATH, Location.HEADER):
        name = "order_id" if location is Location.PATH else "X-A"
        values = [Value(Location.PATH, "item", "1", Source.MODEL), Value(location, name, "SECRET\0", Source.CONTACT)]
        if location is Location.HEADER:
            values.append(Value(Location.PATH, "order_id", "1", Source.MODEL))
        refusal = build(ACTION, Effective(tuple(values)))
        assert isinstance(refusal, Refusal)
        assert "SECRET" not in repr(refusal)
