"""The call of an action: what the customer's API receives, and what the model is told of its answer."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from tests.fixtures.acting import NOW, action, circumstances, read
from tests.fixtures.outbound_peers import OK, Peer, Server, serving
from vestibule.model.action import (
    Action,
    ActionPolicy,
    HttpMethod,
    Locks,
    MessageOverrides,
    Variables,
)
from vestibule.model.claims import HttpOverrides
from vestibule.outbound.client import Outbound
from vestibule.responder import actions
from vestibule.responder.actions import (
    ActionResult,
    execute,
    prepare,
)
from vestibule.responder.assertion import Assertions
from vestibule.responder.effective_request import EffectiveRequest, Refusal
from vestibule.tokens.signing_keys import SigningKeys

LOOPBACK = ipaddress.ip_network("127.0.0.0/8")


def prepared(result: EffectiveRequest | Refusal) -> EffectiveRequest:
    assert isinstance(result, EffectiveRequest), result
    return result


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


def ping(api: Api | Server, method: HttpMethod = "GET", **members: Any) -> tuple[Action, EffectiveRequest]:
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
        "user-agent": "OpenCX",
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


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_what_changes_something_is_sent_once_also_where_a_connection_was_kept(
    outbound: Outbound, method: HttpMethod
) -> None:
    """PUT and DELETE as well, which HTTP would let be sent again: each call has an assertion of its own."""

    async def handle(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        await peer.request()  # and closes without a word

    methods: tuple[HttpMethod, ...] = ("GET", method)
    async with serving(handle) as server:
        for each in methods:
            target, request = ping(server, each)
            assert (await execute(target, request, outbound)).status == 200
        assert [head.split()[0].decode() for head in server.heads] == ["GET", method]


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
