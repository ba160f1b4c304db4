"""What a connection is held open for, and who is told of its end: uvicorn's protocol as ours bounds it, on a loop of
the test's own, since a server keeps an idle connection for longer than a test can wait."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest
import uvicorn
import uvloop
from uvicorn.server import ServerState

from tests.fixtures.raw_socket import handshake
from vestibule.server.protocol import BoundedHttp
from vestibule.server.upgrade import make_websocket

KEPT = 0.5  # seconds for which an idle connection is
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def posted(body: bytes, more: bytes = b"") -> bytes:
    """A request; `more` are whole lines of its head."""
    return b"POST / HTTP/1.1\r\nHost: x\r\n%bContent-Length: %d\r\n\r\n%b" % (more, len(body), body)


H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
INNER = posted(b"smuggled", H2C)
OFFERED = posted(INNER, H2C)
HEAD = OFFERED[: -len(INNER)]
PLAIN = posted(b"plain")


class Bounded(BoundedHttp):
    socket_path = b"/socket"


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers at once, and holds a socket for as long as its client does."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass
        return
    scope.pop("vestibule.write", None)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@contextlib.asynccontextmanager
async def connected(asked: Any = app) -> AsyncIterator[Connection]:
    config = uvicorn.Config(
        asked,
        log_config=None,
        proxy_headers=False,
        ws=make_websocket,  # type: ignore[arg-type]  # called as the class would be
        timeout_keep_alive=KEPT,  # type: ignore[arg-type]
    )
    config.load()
    loop, state = asyncio.get_running_loop(), ServerState()
    server = await loop.create_server(lambda: Bounded(config, state, {}), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        server.close()
        await asyncio.gather(*state.tasks)


async def answered(connection: Connection) -> None:
    reader, writer = connection
    writer.write(REQUEST)
    assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 ")


def run(test: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(test, 10))


class TestAnIdleConnection:
    @pytest.mark.parametrize("sent", [b"", b"\r\n", b"\r\n\r\n"], ids=["nothing", "an empty line", "two"])
    def test_is_closed_without_a_word(self, sent: bytes) -> None:
        """RFC 9112 section 2.2: a client may send an empty line too many behind a request."""

        async def test() -> None:
            async with connected() as connection:
                await answered(connection)
                connection[1].write(sent)
                began = asyncio.get_running_loop().time()
                assert await connection[0].read() == b""
                assert asyncio.get_running_loop().time() - began > KEPT / 2

        run(test())

    def test_takes_the_next_request_behind_an_empty_line(self) -> None:
        async def test() -> None:
            async with connected() as connection:
                for _ in range(3):
                    await answered(connection)
                    connection[1].write(b"\r\n")
                    await asyncio.sleep(0.01)

        run(test())

    def test_is_none_once_it_is_a_socket(self) -> None:
        async def test() -> None:
            async with connected() as connection:
                await answered(connection)
                connection[1].write(handshake("x", path="/socket"))
                assert (await connection[0].readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(connection[0].read(1), 2 * KEPT)

        run(test())


class TestWhoHangsUp:
    @pytest.mark.parametrize("behind", [0, 1, 3])
    def test_has_who_waits_for_it_told(self, behind: int) -> None:
        """Also where other requests wait behind the one that is being answered."""

        async def test() -> None:
            begun, told = asyncio.Event(), asyncio.Event()

            async def stream(_: Any, receive: Any, send: Any) -> None:
                await send({"type": "http.response.start", "status": 200, "headers": []})
                begun.set()
                while (await receive())["type"] != "http.disconnect":
                    pass
                told.set()

            async with connected(stream) as (_, writer):
                writer.write(REQUEST * (1 + behind))
                await begun.wait()
                writer.transport.abort()
                await asyncio.wait_for(told.wait(), 1)

        run(test())

    @pytest.mark.parametrize("whole", [True, False], ids=["whole", "in messages"])
    @pytest.mark.parametrize("behind", [0, 1, 3])
    def test_is_answered_without_an_error(self, whole: bool, behind: int, caplog: pytest.LogCaptureFixture) -> None:  # noqa: FBT001
        async def test() -> None:
            begun, go = asyncio.Event(), asyncio.Event()

            async def late(scope: Any, receive: Any, send: Any) -> None:
                await receive()
                begun.set()
                await go.wait()
                if whole:
                    assert scope["vestibule.write"](200, (), b"late", False)  # noqa: FBT003 - as it is called
                else:
                    await send({"type": "http.response.start", "status": 200, "headers": []})
                    await send({"type": "http.response.body", "body": b"late"})

            async with connected(late) as (_, writer):
                writer.write(REQUEST * (1 + behind))
                await begun.wait()
                writer.transport.abort()
                await asyncio.sleep(0.1)
                go.set()

        with caplog.at_level(logging.WARNING):
            run(test())
        assert not caplog.records, caplog.text


class TestAnOfferOfHttp2:
    """RFC 9110 section 7.8: who does not take it reads the request as if it were not there."""

    @staticmethod
    def taken(*pieces: bytes) -> tuple[list[bytes], bytes]:
        """The bodies that the application was given of what was sent piece by piece, and all that was answered."""
        bodies: list[bytes] = []
        answers: list[bytes] = []

        async def reading(scope: Any, receive: Any, send: Any) -> None:
            body, more = b"", True
            while more:
                message = await receive()
                body, more = body + message.get("body", b""), message.get("more_body", False)
            bodies.append(body)
            await app(scope, receive, send)

        async def test() -> None:
            async with connected(reading) as (reader, writer):
                for piece in pieces:
                    writer.write(piece)
                    await asyncio.sleep(0.05)
                answers.append(await reader.read())  # until it is closed, idle or refused

        run(test())
        return bodies, b"".join(answers)

    @pytest.mark.parametrize(
        ("pieces", "bodies"),
        [
            ([OFFERED], [INNER]),
            ([HEAD, INNER], [INNER]),
            ([OFFERED[:-1], OFFERED[-1:]], [INNER]),
            ([OFFERED.replace(b"Upgrade: h2c", b"UPGRADE:h2c ", 1)], [INNER]),
            ([OFFERED + PLAIN, OFFERED], [INNER, b"plain", INNER]),
            ([PLAIN, OFFERED + PLAIN], [b"plain", INNER, b"plain"]),
        ],
        ids=["whole", "head and body", "all but the end", "spelt otherwise", "before another", "between others"],
    )
    def test_is_passed_over_and_nothing_else(self, pieces: list[bytes], bodies: list[bytes]) -> None:
        """What is in a body stays as it is, an offer of the same words as well."""
        taken, answers = self.taken(*pieces)
        assert taken == bodies
        assert answers.count(b"HTTP/1.1 200 ") == len(bodies)

    @pytest.mark.parametrize(
        "pieces",
        [
            [HEAD[:30], HEAD[30:] + INNER],
            [PLAIN + OFFERED],
            [OFFERED.replace(b"h2c", b"h2c, websocket", 1)],
            [OFFERED.replace(b"h2c\r\n", b"h2c\r\n , websocket\r\n", 1)],
            [OFFERED.replace(b"h2c\r\n", b"h2c\r\nUpgrade: websocket\r\n", 1)],
        ],
        ids=["a head in pieces", "behind another", "a list", "a folded list", "two lines"],
    )
    def test_in_another_form_is_refused_with_its_body(self, pieces: list[bytes]) -> None:
        taken, answers = self.taken(*pieces)
        assert not {INNER, b"smuggled"} & set(taken)
        assert b"HTTP/1.1 400 " in answers
