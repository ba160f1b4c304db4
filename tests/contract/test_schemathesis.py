"""Requests that schemathesis generates from the seed's own OpenAPI text: what the schema allows is 200 unless a
documented stricter rule is named, what it forbids is 400, and nothing is ever a 5xx."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import pytest
import requests
import schemathesis
import yaml  # type: ignore[import-untyped]  # no annotations are shipped
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

from tests.fixtures.conformance import LONG
from tests.fixtures.front_door import PATH, Installation, Workspace, refused

SEED = Path(__file__).parent / "vendors" / "opencx" / "authenticate-user.openapi.yaml"
OPERATION = schemathesis.openapi.from_path(SEED)[PATH]["POST"]
SCHEMAS = yaml.safe_load(SEED.read_text(encoding="utf-8"))["components"]["schemas"]
KEY = "@KEY@"  # stands for the key, which exists when the test runs
FIXED = {"Authorization": KEY}

# docs/methods/server-to-server.md: where we are stricter than the schema, and what the refusal says then.
STRICTER = re.compile(
    r"at most \d+|NUL character|is a header that may not be set|is not the name of a header|a header can carry"
    r"|name a header twice|named __proto__|deeper than 32 levels|says something else|must be an e-mail address"
)


def resolved(schema: Any) -> Any:
    """The schema in one piece, so that it can be asked without its document."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            return resolved(SCHEMAS[schema["$ref"].rpartition("/")[2]])
        return {name: resolved(member) for name, member in schema.items() if name not in {"$id", "$schema"}}
    return [resolved(member) for member in schema] if isinstance(schema, list) else schema


ALLOWED = jsonschema_rs.Draft202012Validator(resolved(SCHEMAS["AuthenticateUserPayloadDto"]), validate_formats=False)
OPTIONAL = set(SCHEMAS["AuthenticateUserPayloadDto"]["properties"]) - {"email"}


def allowed(body: Any) -> bool:
    """By the seed, except that null clears every optional field, and not the picture's address alone (DESIGN 2.7)."""
    if isinstance(body, Mapping):
        body = {name: value for name, value in body.items() if value is not None or name not in OPTIONAL}
        body.pop("custom_data", None)  # the guide's name for customData, which the reference does not know
    return not isinstance(body, bytes) and ALLOWED.is_valid(body)


@pytest.fixture(scope="module")
def tested(installation: Installation) -> Workspace:
    return installation.workspace(standard=1_000_000_000)


@pytest.fixture(scope="module")
def session() -> Any:
    with requests.Session() as opened:
        opened.trust_env = False
        yield opened


def check(case: Case[Any], tested: Workspace, session: requests.Session) -> httpx.Response:
    """Sends the case, and holds what holds for every answer."""
    headers = {name: value.replace(KEY, f"Bearer {tested.api_key}") for name, value in dict(case.headers).items()}
    got = case.call(base_url=tested.installation.base_url, session=session, headers=headers)
    checks: list[Any] = [not_a_server_error]
    if got.status_code == 200:
        checks += [response_schema_conformance, content_type_conformance]
    case.validate_response(got, checks=checks)
    answer = httpx.Response(got.status_code, content=got.content, headers={k: v[0] for k, v in got.headers.items()})
    if got.status_code == 200:
        assert answer.json().keys() == {"token", "contact"}
    else:
        refused(answer, got.status_code)
    return answer


def check_body(case: Case[Any], tested: Workspace, session: requests.Session) -> None:
    answer = check(case, tested, session)
    if not allowed(case.body):
        assert answer.status_code == 400, f"{answer.status_code} for {case.body!r}"
    elif answer.status_code != 200:
        assert answer.status_code in {400, 413}
        said = answer.json()["message"]
        assert STRICTER.search(said), f"{said} for {case.body!r}"
        text = json.dumps(case.body, ensure_ascii=False)
        assert "a NUL character" not in said or "\\u0000" in text  # a member may be called NUL
        assert "__proto__" not in said or "__proto__" in text


QUICK = settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
THOROUGH = settings(
    QUICK, max_examples=3_000 if LONG else 300, derandomize=False, phases=[Phase.generate, Phase.shrink]
)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["allowed", "forbidden"])
def test_bodies_are_answered_as_the_schema_says(
    tested: Workspace, session: requests.Session, mode: GenerationMode
) -> None:
    @QUICK
    @given(case=OPERATION.as_strategy(generation_mode=mode, headers=FIXED))
    def every(case: Case[Any]) -> None:
        check_body(case, tested, session)

    every()


@pytest.mark.slow
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["allowed", "forbidden"])
def test_many_bodies_are_answered_as_the_schema_says(
    tested: Workspace, session: requests.Session, mode: GenerationMode
) -> None:
    @THOROUGH
    @given(case=OPERATION.as_strategy(generation_mode=mode, headers=FIXED))
    def every(case: Case[Any]) -> None:
        check_body(case, tested, session)

    every()


def test_generated_credentials_open_nothing(tested: Workspace, session: requests.Session) -> None:
    @QUICK
    @given(case=OPERATION.as_strategy(generation_mode=GenerationMode.NEGATIVE))
    def every(case: Case[Any]) -> None:
        assert check(case, tested, session).status_code == 401

    before = tested.contacts()
    every()
    assert tested.contacts() == before


def test_the_oracle_knows_the_seeds_own_example() -> None:
    text = (SEED.parent / "authenticate-user.request.sh").read_text(encoding="utf-8")
    example = json.loads(text[text.index("{") : text.rindex("}") + 1])
    good = {**example, "email": "john@doe.com"}
    assert allowed(good)
    assert allowed({**good, "name": None})
    assert not allowed(example), "its address was cut out by the page"
    assert not allowed({**good, "language": "xx"})
    assert not allowed({**good, "customData": {"a": None}})
