"""Actions from the model's words to the customer's API: what it receives, what the model is told, whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
from collections.abc import AsyncIterator
from typing import Any

import jwt
import msgspec
import pytest

from vestibule.clock import MINUTE_MS, now_ms
from vestibule.errors import InvalidContactToken, NoSigningKey
from vestibule.model.action import (
    Action,
    ActionPolicy,
    HttpMethod,
    Location,
    Locks,
    MessageOverrides,
    OnBehalfOf,
    Parameter,
    Trust,
    Variables,
)
from vestibule.model.claims import HttpOverrides, Method
from vestibule.outbound.client import Outbound
from vestibule.responder import actions
from vestibule.responder.actions import (
    ActionResult,
    Circumstances,
    argument_names,
    as_tools,
    check_arguments,
    execute,
    may_run,
    prepare,
    refused,
)
from vestibule.responder.assertion import Assertions
from vestibule.responder.effective_request import EffectiveRequest, Refusal
from vestibule.responder.overrides import Value
from vestibule.sealing import KEY_BYTES, Sealer
from vestibule.storage.opening import migrate, open_store
from vestibule.tokens.contact_token import ContactTokens
from vestibule.tokens.signing_keys import SigningKeys, ensure_first

ISSUER = "https://vestibule.example"
NOW = 1_800_000_000_000
CONTACT = OnBehalfOf("contact-1", verified=True, method=Method.SERVER_TO_SERVER, auth_time=NOW, external_user_id="u-1")
VISITOR = OnBehalfOf("contact-2", verified=False, method=Method.UNVERIFIED, auth_time=NOW)
LOOPBACK = ipaddress.ip_network("127.0.0.0/8")


def action(**members: Any) -> Action:
    return Action(
        **{
            "workspace_id": "w-1",
            "id": "a-1",
            "name": "change_order",
            "method": "POST",
            "url_template": "https://api.example.com/orders/{order_id}",
            "description": "Changes an order.",
            "parameters": (
                Parameter(Location.PATH, "order_id", {"type": "string"}, description="Its number"),
                Parameter(Location.QUERY, "dry run", {"type": "boolean"}),
                Parameter(Location.BODY, "note", {"type": "string", "maxLength": 20}, required=True),
                Parameter(Location.BODY, "order_id", {"type": ["integer", "null"]}),
                Parameter(Location.HEADER, "X-Account-Id", {"type": "string"}),
            ),
        }
        | members
    )


def circumstances(**members: Any) -> Circumstances:
    given: dict[str, Any] = {"conversation_id": "conv-1", "on_behalf_of": CONTACT}
    return Circumstances(**given | members)


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


@pytest.fixture(scope="module")
def keys_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    url = f"sqlite:///{tmp_path_factory.mktemp('keys')}/keys.db"
    migrate(url)
    return url


@pytest.fixture
async def signing_keys(keys_url: str) -> AsyncIterator[SigningKeys]:
    store = await open_store(keys_url)
    sealer = Sealer((b"k" * KEY_BYTES,))
    await ensure_first(store, sealer, lifetime_ms=MINUTE_MS)
    keys = SigningKeys(store, sealer, token_lifetime_ms=MINUTE_MS)
    await keys.refresh()
    yield keys
    await store.close()


@pytest.fixture
def assertions(signing_keys: SigningKeys) -> Assertions:
    return Assertions(signing_keys, issuer=ISSUER)


def prepared(result: EffectiveRequest | Refusal) -> EffectiveRequest:
    assert isinstance(result, EffectiveRequest), result
    return result


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


def read(keys: SigningKeys, token: str, audience: str) -> dict[str, Any]:
    """As the called API would: with the published keys and a library of its own."""
    published = jwt.PyJWKSet.from_json(keys.jwks.decode())
    kid = jwt.get_unverified_header(token)["kid"]
    claims: dict[str, Any] = jwt.decode(
        token, published[kid].key, algorithms=["ES256"], audience=audience, issuer=ISSUER
    )
    return claims


# The call


class Api:
    """A customer's API: keeps the last request as it came and answers with the bytes it is told to."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.answer: bytes = b""
        self.delay = 0.0
        self.head: list[str] = []
        self.body = b""
        self.count = 0

    def says(self, status: str, body: bytes = b"", *headers: str) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
        self.answer = "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    def sent(self) -> dict[str, str]:
        pairs = [line.split(": ", 1) for line in self.head[1:]]
        names = [name.lower() for name, _ in pairs]
        assert len(names) == len(set(names)), "a header came twice"
        return {name.lower(): value for name, value in pairs}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.count += 1
        self.head = (await reader.readuntil(b"\r\n\r\n")).decode().rstrip("\r\n").split("\r\n")
        self.body = await reader.readexactly(int(self.sent().get("content-length", "0")))
        await asyncio.sleep(self.delay)
        writer.write(self.answer)
        writer.close()
        with contextlib.suppress(OSError):  # the caller may have gone
            await writer.wait_closed()


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    api = Api(0)
    calls: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        calls.add(asyncio.create_task(api.serve(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1")
    api.port = server.sockets[0].getsockname()[1]
    api.says("200 OK", b'{"ok":true}', "Content-Type: application/json")
    async with server:
        yield api
        await asyncio.gather(*calls)


@pytest.fixture
async def outbound() -> AsyncIterator[Outbound]:
    outbound = Outbound((LOOPBACK,))
    yield outbound
    await outbound.close()


def ping(api: Api, method: HttpMethod = "GET", **members: Any) -> tuple[Action, EffectiveRequest]:
    target = action(method=method, url_template=f"http://127.0.0.1:{api.port}/ping", parameters=(), **members)
    nobody: Any = None  # no assertion is asked for
    return target, prepared(prepare(target, "", circumstances(), now=NOW, assertions=nobody))


async def test_a_call_arrives_as_declared(
    api: Api, outbound: Outbound, signing_keys: SigningKeys, assertions: Assertions
) -> None:
    target = action(url_template=f"http://127.0.0.1:{api.port}/v1/orders/{{order_id}}")
    given = circumstances(
        policy=ActionPolicy(locked=Locks(message=("account",)), context_headers=True, send_assertion=True),
        variables=Variables(headers={"Authorization": "workspace", "X-Shop": "1"}),
        contact_overrides=HttpOverrides(
            query_params={"account": "7"}, body_params={"tenant": "t"}, headers={"authorization": "contact ü"}
        ),
        message_overrides=MessageOverrides(
            query_params={"account": "evil", "ref": "a&b"}, body_properties={"note": {"deep": [None]}}
        ),
        ticket_number=5,
    )
    arguments = '{"order_id": "A/1?x#y", "dry_run": true, "note": "model", "body_order_id": 9}'
    request = prepared(prepare(target, arguments, given, now=NOW, assertions=assertions))
    result = await execute(target, request, outbound)
    assert result == ActionResult(200, '{"ok":true}', milliseconds=result.milliseconds)
    assert api.head[0] == "POST /v1/orders/A%2F1%3Fx%23y?dry%20run=true&account=7&ref=a%26b HTTP/1.1"
    assert json.loads(api.body) == {"note": {"deep": [None]}, "order_id": 9, "tenant": "t"}
    sent = api.sent()
    assert read(signing_keys, sent.pop("vestibule-assertion"), f"http://127.0.0.1:{api.port}")["sub"] == "contact-1"
    assert sent.pop("accept").startswith("application/json")
    assert sent == {
        "host": f"127.0.0.1:{api.port}",
        "content-length": str(len(api.body)),
        "content-type": "application/json",
        "accept-encoding": "identity",
        "user-agent": "vestibule",
        "authorization": "contact ü",
        "x-shop": "1",
        "x-opencx-org-id": "w-1",
        "x-opencx-session-id": "conv-1",
        "x-opencx-ticket-number": "5",
        "x-opencx-external-user-id": "u-1",
    }


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
async def test_each_method_is_sent_as_itself(api: Api, outbound: Outbound, method: HttpMethod) -> None:
    target, request = ping(api, method)
    assert (await execute(target, request, outbound)).status == 200
    assert api.head[0] == f"{method} /ping HTTP/1.1"
    assert api.body == b""


@pytest.mark.parametrize("status", ["400 Bad Request", "404 Not Found", "409 Conflict", "500 Oops", "503 Busy"])
async def test_an_error_answer_is_told_to_the_letter(api: Api, outbound: Outbound, status: str) -> None:
    api.says(status, b"<b>No</b>")
    target, request = ping(api)
    result = await execute(target, request, outbound)
    assert (result.status, result.text, result.error) == (int(status[:3]), "<b>No</b>", None)


async def test_a_timeout_is_a_408_that_names_it(api: Api, outbound: Outbound) -> None:
    api.delay = 0.5
    target, request = ping(api, timeout_ms=150)
    result = await execute(target, request, outbound)
    assert (result.status, result.error) == (408, "upstream_timeout")
    assert "150 ms" in result.text


async def test_a_failed_call_is_not_repeated(api: Api, outbound: Outbound) -> None:
    api.answer = b""
    target, request = ping(api, "POST")
    result = await execute(target, request, outbound)
    assert (result.status, result.error, api.count) == (None, "upstream_failed", 1)
    assert result.text.startswith("Network error")


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n", "upstream_redirect"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\nx", "upstream_too_large"),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"x" * 2_000_000, "upstream_too_large"),
        (b"SSH-2.0-OpenSSH\r\n", "upstream_failed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx", "upstream_failed"),
    ],
)
async def test_an_answer_that_cannot_be_used_has_a_stable_code(
    api: Api, outbound: Outbound, answer: bytes, code: str
) -> None:
    api.answer = answer
    target, request = ping(api)
    result = await execute(target, request, outbound)
    assert (result.status, result.error) == (None, code)
    assert "169.254" not in result.text


async def test_a_private_address_is_not_called(api: Api) -> None:
    outbound = Outbound()
    target, request = ping(api)
    for url in (request.url, request.url.replace("http:", "https:"), "https://169.254.169.254/", "https://localhost/"):
        result = await execute(target, msgspec.structs.replace(request, url=url), outbound)
        assert (result.status, result.error) == (None, "upstream_forbidden")
        assert "127.0.0.1" not in result.text
    assert api.count == 0
    await outbound.close()


async def test_a_closed_port_is_a_network_error(outbound: Outbound) -> None:
    api = Api(1)
    target, request = ping(api)
    result = await execute(target, request, outbound)
    assert (result.status, result.error) == (None, "upstream_failed")


async def test_nothing_that_goes_wrong_inside_gets_out(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Outbound):
        async def request(self, *_: Any, **__: Any) -> Any:
            raise RuntimeError("a fault of ours")

    target, request = ping(api)
    result = await execute(target, request, Broken())
    assert (result.status, result.error) == (None, "upstream_failed")
    assert "a fault of ours" in caplog.text


async def test_a_long_answer_is_cut(api: Api, outbound: Outbound) -> None:
    body = "ä".encode() * 50_000
    api.says("200 OK", body)
    target, request = ping(api)
    result = await execute(target, request, outbound)
    assert result.truncated
    assert result.text == "ä" * (actions.LARGEST_RESULT // 2)
    api.says("200 OK", b"a" + body)
    target, request = ping(api)
    assert set((await execute(target, request, outbound)).text) == {"a", "ä"}


async def test_an_answer_is_data_without_hidden_characters(api: Api, outbound: Outbound) -> None:
    hidden = "\0\x1b[31m\x7f\x85\u202e\u2066\U000e0041"
    api.says("200 OK", f'a{hidden}b\n\t👨\u200d👩 "}}]'.encode() + b"\xff")
    target, request = ping(api)
    result = await execute(target, request, outbound)
    assert result.text == 'a[31mb\n\t👨\u200d👩 "}]\ufffd'
    assert json.loads(result.for_model())["text"] == result.text
