"""Actions from the model's words to the customer's API: what it receives, what the model is told, whatever happens."""

from __future__ import annotations

import json
from typing import Any

import jwt
import pytest

from tests.fixtures.acting import CONTACT, ISSUER, NOW, action, circumstances, read
from vestibule.clock import MINUTE_MS, now_ms
from vestibule.errors import InvalidContactToken, NoSigningKey
from vestibule.model.action import (
    ActionPolicy,
    Location,
    Locks,
    MessageOverrides,
    OnBehalfOf,
    Parameter,
    Trust,
    Variables,
)
from vestibule.model.claims import HttpOverrides, Method
from vestibule.responder.actions import (
    argument_names,
    as_tools,
    check_arguments,
    may_run,
    prepare,
    refused,
)
from vestibule.responder.assertion import Assertions
from vestibule.responder.effective_request import Refusal
from vestibule.responder.overrides import Value
from vestibule.tokens.contact_token import ContactTokens
from vestibule.tokens.signing_keys import SigningKeys

VISITOR = OnBehalfOf("contact-2", verified=False, method=Method.UNVERIFIED, auth_time=NOW)


# What the model is offered


def test_actions_are_offered_as_tools() -> None:
    tools = as_tools([action(), action(name="off", enabled=False)], circumstances())
    assert tools == [
        {
            "type": "function",
            "function": {
                "name": "change_order",
                "description": "Changes an order. Only for a verified contact.",
                "parameters": {
                    "type": "object",
                    "properties": {
                        "order_id": {"type": "string", "description": "Its number"},
                        "dry_run": {"type": "boolean"},
                        "note": {"type": "string", "maxLength": 20},
                        "body_order_id": {"type": ["integer", "null"]},
                        "X-Account-Id": {"type": "string"},
                    },
                    "required": ["order_id", "note"],
                    "additionalProperties": False,
                },
            },
        }
    ]
    json.dumps(tools)


@pytest.mark.parametrize(
    ("members", "gone"),
    [
        ({"policy": ActionPolicy(locked=Locks(model=("x_account_id",)))}, {"X-Account-Id"}),
        ({"policy": ActionPolicy(locked=Locks(message=("x_account_id",)))}, set()),
        ({"variables": Variables(headers={"x-account-id": "7"})}, {"X-Account-Id"}),
        ({"contact_overrides": HttpOverrides(path_params={"order_id": "7"})}, {"order_id"}),
        ({"message_overrides": MessageOverrides(body_properties={"note": "7"})}, {"note"}),
    ],
)
def test_what_the_model_may_not_or_need_not_say_is_not_offered(members: dict[str, Any], gone: set[str]) -> None:
    offered = as_tools([action()], circumstances(**members))[0]["function"]["parameters"]["properties"]
    assert set(argument_names(action())) - offered.keys() == gone


def test_argument_names_are_unique_and_plain() -> None:
    parameters = tuple(
        Parameter(location, name)
        for location in (Location.QUERY, Location.BODY)
        for name in ("id", "filter[id]", "filter.id", "ü", "x" * 128, "body_id")
    )
    names = argument_names(action(url_template="https://h.example/", parameters=parameters))
    assert len(names) == len(parameters)
    assert [names[name] for name in names] == list(parameters)
    assert all(name.isascii() and 0 < len(name) <= 64 for name in names)


def test_an_action_that_rules_forbid_by_now_harms_no_other(assertions: Assertions) -> None:
    broken = action(name="broken", url_template="https://{host}/orders")
    assert [tool["function"]["name"] for tool in as_tools([broken, action()], circumstances())] == ["change_order"]
    refusal = prepare(broken, "{}", circumstances(), now=NOW, assertions=assertions)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "invalid_action"


_DOUBLING = {str(n): {"allOf": [{"$ref": f"#/$defs/{n + 1}"}] * 2} for n in range(12)} | {"12": {"type": "string"}}


@pytest.mark.parametrize(
    ("schema", "offered"),
    [
        ({"$ref": "#/$defs/id", "$defs": {"id": {"type": "string"}}}, {"type": "string"}),
        (
            {"type": "object", "properties": {"next": {"$ref": "#"}}},
            {"type": "object", "properties": {"next": {"type": "object", "properties": {"next": {}}}}},
        ),
        ({"$ref": "#/$defs/none"}, None),
        ({"$ref": "#/$defs/0", "$defs": _DOUBLING}, None),
    ],
    ids=["a definition", "itself", "nothing", "a page that would be a book"],
)
def test_a_schemas_references_are_filled_in_or_harm_no_other_action(
    schema: dict[str, Any], offered: dict[str, Any] | None
) -> None:
    """Within a tool they would point to nothing, and endpoints refuse all tools for it."""
    parameters = (Parameter(Location.QUERY, "q", schema),)
    referring = action(name="referring", url_template="https://api.example.com/", parameters=parameters)
    tools = {tool["function"]["name"]: tool["function"] for tool in as_tools([referring, action()], circumstances())}
    shown = tools.pop("referring", None)
    assert (shown and shown["parameters"]["properties"]) == (offered and {"q": offered})
    assert tools.keys() == {"change_order"}


# What the model says


@pytest.mark.parametrize(
    "arguments",
    [
        "[]",
        "null",
        "{",
        '{"note": "x"} trailing',
        '{"order_id": 7}',
        '{"note": "' + "x" * 21 + '"}',
        '{"body_order_id": "7"}',
        '{"dry_run": "yes"}',
        '{"unknown": 1}',
        '{"Note": "x"}',
        '{"note": "' + "x" * 65_536 + '"}',
        '{"note": "\ud800"}',
        '{"note":' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"note":' + '{"a":' * 40 + "1" + "}" * 41,
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments: str) -> None:
    refusal = check_arguments(action(), arguments)
    assert isinstance(refusal, Refusal), refusal
    assert refusal.code == "invalid_arguments"
    assert len(refusal.sentence) < 400


@pytest.mark.parametrize("arguments", ["", "{}", '{"note": null}'])
def test_no_arguments_are_said_in_several_ways(arguments: str) -> None:
    assert check_arguments(action(), arguments) == ()


def test_null_is_a_value_where_the_schema_has_one() -> None:
    (value,) = check_values(check_arguments(action(), '{"body_order_id": null}'))
    assert (value.location, value.name, value.value) == (Location.BODY, "order_id", None)


def test_a_pattern_cannot_be_made_to_run_long() -> None:
    slow = action(parameters=(Parameter(Location.QUERY, "q", {"type": "string", "pattern": "^(a+)+$"}),))
    refusal = check_arguments(slow, json.dumps({"q": "a" * 60_000 + "!"}))
    assert isinstance(refusal, Refusal)


def check_values(result: tuple[Value, ...] | Refusal) -> tuple[Value, ...]:
    assert not isinstance(result, Refusal), result
    return result


# Whom it is done for


@pytest.mark.parametrize(
    ("trust", "minutes", "contact", "age", "code"),
    [
        (Trust.UNVERIFIED, None, VISITOR, 0, None),
        (Trust.UNVERIFIED, None, CONTACT, 0, None),
        (Trust.VERIFIED, None, VISITOR, 0, "trust_required"),
        (Trust.VERIFIED, None, CONTACT, 10**12, None),
        (Trust.VERIFIED, 10, VISITOR, 0, "trust_required"),
        (Trust.VERIFIED, 10, CONTACT, 0, None),
        (Trust.VERIFIED, 10, CONTACT, 10 * MINUTE_MS, None),
        (Trust.VERIFIED, 10, CONTACT, 10 * MINUTE_MS + 1, "reauthentication_required"),
        # A clock ahead of ours by a little, and a time that nobody can have signed in at.
        (Trust.VERIFIED, 10, CONTACT, -MINUTE_MS, None),
        (Trust.VERIFIED, 10, CONTACT, -MINUTE_MS - 1, "reauthentication_required"),
    ],
)
def test_an_action_asks_for_trust(
    trust: Trust, minutes: int | None, contact: OnBehalfOf, age: int, code: str | None
) -> None:
    refusal = may_run(action(required_trust=trust, verified_within_minutes=minutes), contact, NOW + age)
    assert (refusal.code if refusal else None) == code


@pytest.mark.parametrize(
    ("members", "arguments", "given", "code"),
    [
        ({"enabled": False}, "{}", {}, "action_disabled"),
        ({}, "{}", {"on_behalf_of": VISITOR}, "trust_required"),
        ({"verified_within_minutes": 1}, "{}", {}, "reauthentication_required"),
        ({}, "no", {}, "invalid_arguments"),
        ({}, '{"order_id": "1"}', {}, "missing_parameter"),
        ({}, '{"note": "x"}', {}, "missing_parameter"),
        ({}, '{"note": "x", "order_id": ".."}', {}, "unusable_value"),
        (
            {},
            '{"note": "x", "order_id": "1"}',
            {"message_overrides": MessageOverrides(headers={"Host": "evil"})},
            "forbidden_header",
        ),
        # Said by the model, but locked for it: as if nobody had.
        (
            {},
            '{"note": "x", "order_id": "1"}',
            {"policy": ActionPolicy(locked=Locks(model=("note",)))},
            "missing_parameter",
        ),
    ],
)
def test_a_call_that_may_not_be_made_has_a_stable_code(
    assertions: Assertions, members: dict[str, Any], arguments: str, given: dict[str, Any], code: str
) -> None:
    refusal = prepare(
        action(**members), arguments, circumstances(**given), now=NOW + 2 * MINUTE_MS, assertions=assertions
    )
    assert isinstance(refusal, Refusal)
    assert refusal.code == code
    assert json.loads(refused(refusal).for_model()) == {
        "status": None,
        "text": refusal.sentence,
        "truncated": False,
        "milliseconds": 0,
        "error": code,
    }


async def test_an_assertion_says_for_whom_and_who_acts(signing_keys: SigningKeys, assertions: Assertions) -> None:
    token = assertions.issue(action(), CONTACT, "conv-1")
    assert jwt.get_unverified_header(token) == {
        "alg": "ES256",
        "kid": signing_keys.current().id,
        "typ": "action+jwt",
    }
    claims = read(signing_keys, token, "https://api.example.com")
    issued = claims.pop("iat")
    assert abs(issued - now_ms() / 1000) < 10
    assert claims.pop("exp") == issued + 60
    assert claims.pop("jti") != read(
        signing_keys, assertions.issue(action(), CONTACT, "conv-1"), "https://api.example.com"
    ).pop("jti")
    assert claims == {
        "iss": ISSUER,
        "aud": "https://api.example.com",
        "sub": "contact-1",
        "org_id": "w-1",
        "contact": {"id": "contact-1", "verified": True},
        "method": "server_to_server",
        "auth_time": NOW // 1000,
        "conversation": "conv-1",
        "action": "change_order",
        "act": {"sub": "responder:w-1"},
    }


@pytest.mark.parametrize(
    ("members", "audience"),
    [
        ({"audience": "urn:orders"}, "urn:orders"),
        ({"url_template": "https://API.example.com:443/x/{order_id}"}, "https://api.example.com"),
        ({"url_template": "https://api.example.com:8443/{order_id}"}, "https://api.example.com:8443"),
    ],
)
async def test_an_assertion_is_for_one_audience(
    signing_keys: SigningKeys, assertions: Assertions, members: dict[str, Any], audience: str
) -> None:
    token = assertions.issue(action(**members), VISITOR, "c")
    assert read(signing_keys, token, audience)["contact"] == {"id": "contact-2", "verified": False}
    with pytest.raises(jwt.InvalidAudienceError):
        read(signing_keys, token, "https://other.example.com")


async def test_an_assertion_is_no_contact_token(signing_keys: SigningKeys, assertions: Assertions) -> None:
    contact_tokens = ContactTokens(signing_keys, issuer=ISSUER, lifetime_ms=MINUTE_MS)
    as_if = action(audience="urn:vestibule:workspace:w-1")
    with pytest.raises(InvalidContactToken) as refusal:
        await contact_tokens.check(assertions.issue(as_if, CONTACT, "conv-1"))
    assert refusal.value.step == "header"
    token = contact_tokens.issue("w-1", "contact-1", method=Method.SERVER_TO_SERVER, auth_time_ms=NOW)
    assert jwt.get_unverified_header(token)["typ"] != "action+jwt"


async def test_no_call_goes_without_the_assertion_it_should_carry() -> None:
    class NoKeys:
        def current(self) -> None:
            raise NoSigningKey

    keys: Any = NoKeys()
    with_assertion = circumstances(policy=ActionPolicy(send_assertion=True))
    arguments = '{"note": "x", "order_id": "1"}'
    refusal = prepare(action(), arguments, with_assertion, now=NOW, assertions=Assertions(keys, issuer=ISSUER))
    assert isinstance(refusal, Refusal)
    assert refusal.code == "no_signing_key"
