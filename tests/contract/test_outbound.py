"""Calls out against real sockets on loopback: servers, resolvers and surroundings that do what hostile ones do."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import gzip
import ipaddress
import json
import os
import re
import socket
import ssl
import struct
import subprocess
import sys
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from vestibule.errors import (
    Upstream,
    UpstreamFailed,
    UpstreamForbidden,
    UpstreamRedirect,
    UpstreamTimeout,
    UpstreamTooLarge,
)
from vestibule.outbound.address_guard import Address
from vestibule.outbound.circuit import FAILURES, PROBE_SECONDS, Circuits
from vestibule.outbound.client import AT_ONCE, Answer, ClientCertificate, Outbound
from vestibule.outbound.exchange import KEEP_SECONDS
from vestibule.outbound.lookup import Lookup
from vestibule.outbound.tls import TlsContexts

VECTORS = json.loads((Path(__file__).parents[1] / "vectors/ssrf/urls.json").read_text(encoding="utf-8"))
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
CANARY = "CANARY-3f1b0a"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
NAME = "good.example"


class Server:
    """A listener on loopback that counts who came and what was said."""

    def __init__(self) -> None:
        self.port = 0
        self.connections = 0
        self.heads: list[bytes] = []
        self.sent = 0

    @property
    def requests(self) -> int:
        return len(self.heads)

    def url(self, host: str = "127.0.0.1", scheme: str = "http", path: str = "/") -> str:
        return f"{scheme}://{host}:{self.port}{path}"


class Peer:
    """One connection, seen from the server."""

    def __init__(self, server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._server = server
        self._reader = reader
        self._writer = writer

    async def request(self) -> bytes:
        """Reads one, and returns its body: closing with any of it unread would reset the connection."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        self._server.heads.append(head)
        length = re.search(rb"content-length: (\d+)", head)
        return await self._reader.readexactly(int(length[1])) if length else b""

    async def wait_for_end(self) -> None:
        await self._reader.read()

    async def send(self, data: bytes) -> None:
        self._server.sent += len(data)
        self._writer.write(data)
        await self._writer.drain()

    def reset(self) -> None:
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


Handler = Callable[[Peer], Awaitable[None]]
Ask = Callable[..., Coroutine[Any, Any, Answer]]


@contextlib.asynccontextmanager
async def serving(
    handle: Handler, *, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Server]:
    server = Server()
    open_connections: dict[asyncio.Task[Any], asyncio.StreamWriter] = {}

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        task = asyncio.current_task()
        assert task is not None
        open_connections[task] = writer
        # What a client that has gone makes of a handler is not the test's matter; nor is the end of the test.
        with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
            await handle(Peer(server, reader, writer))
            writer.close()
            await writer.wait_closed()
        writer.transport.abort()
        del open_connections[task]

    listener = await asyncio.start_server(connected, host, port, ssl=tls, limit=1_000_000)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        tasks = list(open_connections)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)
        await asyncio.sleep(0)


def saying(*pieces: bytes, delay: float = 0.0, keep: bool = False) -> Handler:
    """Answers every request with the pieces, and closes unless told to keep the connection."""

    async def handle(peer: Peer) -> None:
        while True:
            await peer.request()
            for number, piece in enumerate(pieces):
                if number and delay:
                    await asyncio.sleep(delay)
                await peer.send(piece)
            if not keep:
                return

    return handle


def endless(start: bytes, piece: bytes) -> Handler:
    async def handle(peer: Peer) -> None:
        await peer.request()
        await peer.send(start)
        while True:
            await peer.send(piece)
            await asyncio.sleep(0)

    return handle


def resetting(after: bytes) -> Handler:
    async def handle(peer: Peer) -> None:
        await peer.request()
        await peer.send(after)
        await asyncio.sleep(0.02)
        peer.reset()

    return handle


async def silence(peer: Peer) -> None:
    await peer.wait_for_end()


def resolving(*answers: str | Sequence[str]) -> Callable[[str], Awaitable[tuple[Address, ...]]]:
    """A resolver that gives these answers in turn, and the last one from then on."""
    turns = [(answer,) if isinstance(answer, str) else tuple(answer) for answer in answers]

    async def resolve(_host: str) -> tuple[Address, ...]:
        answer = turns.pop(0) if len(turns) > 1 else turns[0]
        return tuple(ipaddress.ip_address(text) for text in answer)

    return resolve


@contextlib.asynccontextmanager
async def calling(allowed: Any = LOOPBACK, **options: Any) -> AsyncIterator[Ask]:
    outbound = Outbound(allowed, **options)

    async def ask(url: str, method: str = "GET", **given: Any) -> Answer:
        return await outbound.request(method, url, **{"tenant": "t1", "purpose": "test", **given})

    try:
        yield ask
    finally:
        await outbound.close()


# Answers


async def test_answers_with_status_headers_body_and_time() -> None:
    head = b"HTTP/1.1 404 Gone Fishing\r\nX-Twice: 1\r\nx-twice: 2\r\nX-Once: \xe9\r\nContent-Length: 4\r\n\r\n"
    async with serving(saying(head, b"gone")) as server, calling() as ask:
        answer = await ask(server.url(path="/a?b=c"))
    assert (answer.status, answer.body) == (404, b"gone")
    assert answer.headers == [("x-twice", "1"), ("x-twice", "2"), ("x-once", "\xe9"), ("content-length", "4")]
    assert (answer.header("X-Once"), answer.header("x-twice"), answer.header("x-none")) == ("\xe9", None, None)
    assert 0 < answer.milliseconds < 2000
    assert "gone" not in repr(answer)


async def test_sends_what_was_asked_and_nothing_of_its_own_choosing() -> None:
    async def handle(peer: Peer) -> None:
        body = await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n" + body)

    async with serving(handle) as server, calling(resolve=resolving("127.0.0.1")) as ask:
        url = server.url(NAME, path="/a/../b?c=%20")
        answer = await ask(url, "POST", headers={"Authorization": "Bearer é", "User-Agent": "mine"}, body=b'{"a":1}')
        assert answer.body == b'{"a":1}'
        lines = server.heads[0].decode().split("\r\n")
    assert lines[0] == "POST /a/../b?c=%20 HTTP/1.1"
    assert sorted(line for line in lines[1:] if line) == sorted(
        [
            f"host: {NAME}:{server.port}",
            "accept: */*",
            "accept-encoding: identity",
            "user-agent: mine",
            "content-length: 7",
            "authorization: Bearer é",
        ]
    )


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "other.example"},
        {"transfer-encoding": "chunked"},
        {"Content-Length": "0"},
        {"Connection": "close"},
        {"Proxy-Authorization": "x"},
        {"Accept-Encoding": "gzip"},
        {"X-A": "1\r\nX-B: 2"},
        {"X-A": "1\nX-B: 2"},
        {"X-A": "\x00"},
        {"X-A": " 1"},
        {"X-A": "\ud800"},
        {"X A": "1"},
        {"X-A:": "1"},
        {"": "1"},
        {"X-É": "1"},
        {"X-A": "1", "x-a": "2"},
        {"X-A": "1" * 20_000},
    ],
)
async def test_refuses_headers_that_would_change_the_message(headers: dict[str, str]) -> None:
    async with serving(saying(OK)) as server, calling() as ask:
        with pytest.raises(UpstreamFailed) as failed:
            await ask(server.url(), headers=headers)
        assert (failed.value.step, server.connections) == ("request", 0)


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "get", "GET / HTTP/1.1\r\nX:", ""])
async def test_refuses_other_methods(method: str) -> None:
    async with serving(saying(OK)) as server, calling() as ask:
        with pytest.raises(UpstreamFailed):
            await ask(server.url(), method)
        assert server.connections == 0


async def test_works_on_uvloop_with_tls_and_kept_connections(authority: Authority) -> None:
    async def story() -> tuple[int, int]:
        async with (
            serving(saying(OK, keep=True), tls=authority.server(NAME)) as server,
            calling(ca_file=authority.file, resolve=resolving("127.0.0.1")) as ask,
        ):
            url = server.url(NAME, "https")
            statuses = {(await ask(url)).status for _ in range(3)}
            assert statuses == {200}
            with pytest.raises(UpstreamFailed):
                await ask(server.url("other.example", "https"))
            async with serving(saying(*(bytes([byte]) for byte in OK), delay=0.02)) as slow:
                with pytest.raises(UpstreamTimeout):
                    await ask(slow.url(), timeout=0.2)
            return server.connections, server.requests

    def run() -> tuple[int, int]:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(story())

    # A connection whose handshake failed never becomes one for the server.
    assert await asyncio.to_thread(run) == (1, 3)


# Redirects

REDIRECTS = {
    "BEH-01": b"301 Moved Permanently\r\nLocation: http://127.0.0.1:{port}/",
    "BEH-03": b"303 See Other\r\nLocation: file:///etc/passwd",
    "BEH-05": b"308 Permanent Redirect\r\nLocation: http://good.example:{port}/",
    "BEH-07": b"302 Found\r\nLocation: /",
    "BEH-09": b"307 Temporary Redirect\r\nLocation: //127.0.0.1:{port}/",
    "BEH-11": b"200 OK\r\nRefresh: 0; url=http://127.0.0.1:{port}/",
    "300": b"300 Multiple Choices\r\nLocation: http://127.0.0.1:{port}/",
    "201 with Refresh": b"201 Created\r\nrefresh: 0",
}


@pytest.mark.parametrize("head", REDIRECTS.values(), ids=REDIRECTS)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_never_follows_a_redirect(head: bytes, method: str) -> None:
    async with (
        serving(saying(OK)) as private,
        serving(
            saying(
                b"HTTP/1.1 " + head.replace(b"{port}", str(private.port).encode()) + b"\r\nContent-Length: 0\r\n\r\n"
            )
        ) as server,
        calling(resolve=resolving("127.0.0.1")) as ask,
    ):
        with pytest.raises(UpstreamRedirect) as redirected:
            await ask(server.url(NAME, path=f"/{CANARY}"), method, headers={"Authorization": CANARY}, body=b"{}")
        assert redirected.value.step == "redirect"
        assert CANARY not in redirected.value.detail
        assert (server.connections, private.connections) == (1, 0)


async def test_a_status_of_300_without_another_address_is_an_answer() -> None:
    async with serving(saying(b"HTTP/1.1 304 Not Modified\r\n\r\n")) as server, calling() as ask:
        assert (await ask(server.url())).status == 304


# Names and addresses

DNS = {
    "BEH-13": ["8.8.8.8", "127.0.0.1"],  # a public and a private address
    "BEH-15": ["127.0.0.1"],  # CNAME to localhost: what remains of it
    "BEH-17": ["0.0.0.0"],  # noqa: S104
    "IPv6": ["2606:4700::1111", "::1"],
    "mapped": ["::ffff:127.0.0.1"],
    "NAT64": ["64:ff9b::127.0.0.1"],
    "metadata": ["169.254.169.254"],
}


@pytest.mark.parametrize("answers", DNS.values(), ids=DNS)
@pytest.mark.parametrize("scheme", ["https", "http"])
async def test_refuses_a_name_with_any_address_that_is_not_public(answers: list[str], scheme: str) -> None:
    elsewhere = (ipaddress.ip_network("10.99.0.0/16"),)
    async with serving(saying(OK)) as server, calling(elsewhere, resolve=resolving(answers)) as ask:
        with pytest.raises(UpstreamForbidden) as refused:
            await ask(server.url(NAME, scheme))
        assert (refused.value.step, server.connections) == ("address", 0)
        assert not any(answer in refused.value.detail for answer in answers)


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}/", "https://127.0.0.1:{port}/", "https://[::1]:{port}/"])
async def test_no_private_address_without_an_allow_list(url: str) -> None:
    async with serving(saying(OK)) as server, calling(()) as ask:
        with pytest.raises(UpstreamForbidden):
            await ask(url.replace("{port}", str(server.port)))
        assert server.connections == 0


async def test_http_reaches_only_allowed_networks() -> None:
    async with calling(resolve=resolving("8.8.8.8")) as ask:
        with pytest.raises(UpstreamForbidden):
            await ask("http://good.example/")


async def test_a_kept_connection_does_not_outlive_what_its_name_means() -> None:
    only = (ipaddress.ip_network("127.0.0.2/32"),)
    resolve = resolving("127.0.0.2", "127.0.0.2", "127.0.0.1", ["127.0.0.2", "127.0.0.1"])
    async with (
        serving(saying(OK, keep=True), host="127.0.0.2") as server,
        serving(saying(OK), port=server.port) as private,
        calling(only, resolve=resolve) as ask,
    ):
        for _ in range(2):
            await ask(server.url(NAME))
        assert (server.connections, server.requests) == (1, 2)
        for _ in range(2):
            with pytest.raises(UpstreamForbidden):
                await ask(server.url(NAME))
        assert (server.requests, private.connections) == (2, 0)


async def test_a_name_that_moves_is_followed_to_its_new_address() -> None:
    resolve = resolving("127.0.0.2", "127.0.0.3", "127.0.0.2")
    async with (
        serving(saying(OK, keep=True), host="127.0.0.2") as old,
        serving(saying(OK, keep=True), host="127.0.0.3", port=old.port) as new,
        calling(resolve=resolve) as ask,
    ):
        for _ in range(3):
            await ask(old.url(NAME))
        assert (old.requests, new.requests, old.connections, new.connections) == (2, 1, 1, 1)


@pytest.mark.parametrize("place", range(4))
async def test_tries_the_next_address_when_one_does_not_answer(place: int) -> None:
    answers = ["::1", "127.0.0.3", "127.0.0.4"]
    answers.insert(place, "127.0.0.2")
    async with serving(saying(OK), host="127.0.0.2") as server, calling(resolve=resolving(answers)) as ask:
        assert (await ask(server.url(NAME))).status == 200


async def test_reaches_ipv6_loopback() -> None:
    async with serving(saying(OK), host="::1") as server, calling() as ask:
        assert (await ask(server.url("[::1]"))).status == 200
        assert f"host: [::1]:{server.port}\r\n".encode() in server.heads[0]


async def test_a_resolver_that_does_not_answer_is_not_waited_for() -> None:  # BEH-19
    async def resolve(_host: str) -> tuple[Address, ...]:
        await asyncio.sleep(60)
        return ()

    async with calling((), resolve=resolve) as ask:
        began = time.monotonic()
        with pytest.raises(UpstreamTimeout) as late:
            await ask("https://good.example/", connect_timeout=0.2)
        assert time.monotonic() - began < 1
        assert late.value.step == "resolve"


@pytest.mark.parametrize("failure", [socket.gaierror(socket.EAI_NONAME, "no"), OSError("no"), None])
async def test_a_name_without_address_is_a_failure(failure: OSError | None) -> None:
    async def resolve(_host: str) -> tuple[Address, ...]:
        if failure is not None:
            raise failure
        return ()

    async with calling((), resolve=resolve) as ask:
        with pytest.raises(UpstreamFailed) as failed:
            await ask("https://good.example/")
        assert failed.value.step == "resolve"


async def test_asks_the_system_for_names_and_shares_the_answer() -> None:
    lookup = Lookup()
    answers = await asyncio.gather(*(lookup("localhost") for _ in range(50)))
    assert len(set(answers)) == 1
    assert ipaddress.ip_address("127.0.0.1") in answers[0]
    async with serving(saying(OK)) as server, calling() as ask:
        assert (await ask(server.url("localhost"))).status == 200


# Surroundings


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:  # BEH-21
    async with serving(saying(OK)) as canary, serving(saying(OK)) as server:
        for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(variable, canary.url())
            monkeypatch.setenv(variable.lower(), canary.url())
        async with calling(resolve=resolving("127.0.0.1")) as ask:
            assert (await ask(server.url(NAME))).status == 200
            with pytest.raises(UpstreamTimeout):
                await ask(server.url(NAME, "https"), connect_timeout=0.1)
        assert (canary.connections, server.requests) == (0, 1)


def test_a_process_that_never_calls_out_does_not_load_the_http_client() -> None:
    code = """
import sys
from vestibule.outbound.client import Outbound
Outbound()
assert not sys.modules.keys() & {"httpcore", "httpx", "anyio", "h11", "certifi", "idna"}
"""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30, env={**os.environ, "PYTHONPATH": path})


# Time

LATE = {
    "headers byte by byte": saying(*(bytes([byte]) for byte in OK), delay=0.02),
    "body byte by byte": saying(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", *([b"a"] * 500), delay=0.02),
    "chunks byte by byte": saying(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", *([b"1\r\na\r\n"] * 500), delay=0.02
    ),
    "interim answers": saying(*([b"HTTP/1.1 103 Early Hints\r\n\r\n"] * 500), delay=0.02),
    "nothing": silence,
}


@pytest.mark.parametrize("handle", LATE.values(), ids=LATE)
async def test_the_deadline_covers_everything(handle: Handler) -> None:
    async with serving(handle) as server, calling() as ask:
        began = time.monotonic()
        with pytest.raises(UpstreamTimeout) as late:
            await ask(server.url(), timeout=0.4)
        assert 0.35 < time.monotonic() - began < 1.2
        assert late.value.step in {"headers", "body"}


async def test_a_handshake_that_stops_ends_with_the_connect_timeout() -> None:
    async with serving(silence) as server, calling() as ask:
        began = time.monotonic()
        with pytest.raises(UpstreamTimeout) as late:
            await ask(server.url(scheme="https"), connect_timeout=0.3)
        assert time.monotonic() - began < 1
        assert late.value.step == "tls"


async def test_a_server_that_does_not_read_ends_with_the_deadline() -> None:
    async def handle(_peer: Peer) -> None:
        await asyncio.sleep(60)

    async with serving(handle) as server, calling() as ask:
        with pytest.raises(UpstreamTimeout):
            await ask(server.url(), "POST", body=b"a" * 20_000_000, timeout=0.4)


async def test_a_caller_that_gives_up_leaves_nothing_behind() -> None:
    async with serving(silence) as server, calling() as ask:
        task = asyncio.create_task(ask(server.url()))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert server.connections == 1


# Size

_MEBI = b"a" * 1_048_576
LARGE = {
    "announced": saying(b"HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n", *([_MEBI] * 100)),
    "chunked": saying(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", *([b"100000\r\n" + _MEBI + b"\r\n"] * 100)
    ),
    "until close": saying(b"HTTP/1.1 200 OK\r\n\r\n", *([_MEBI] * 100)),
    "tiny chunks": endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n" * 10_000),
    "headers": endless(b"HTTP/1.1 200 OK\r\n", b"X-A: " + b"a" * 1000 + b"\r\n"),
    "interim answers": endless(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100),
    "one header": endless(b"HTTP/1.1 200 OK\r\nX-A: ", b"a" * 1000),
    "status line": endless(b"HTTP/1.1 200 ", b"a" * 1000),
    "chunk extension": endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"a" * 1000),
    "trailers": endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X-A: a\r\n" * 100),
    "many headers": saying(b"HTTP/1.1 200 OK\r\n" + b"X-A: a\r\n" * 201 + b"Content-Length: 0\r\n\r\n"),
}


@pytest.mark.parametrize("handle", LARGE.values(), ids=LARGE)
async def test_an_answer_that_is_too_large_is_not_read_to_its_end(handle: Handler) -> None:
    async with serving(handle) as server, calling() as ask:
        tracemalloc.start()
        try:
            with pytest.raises(UpstreamTooLarge):
                await ask(server.url(), timeout=10)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        # What is above the limit is the server's own send buffer and the sockets'.
        assert server.sent < 12_000_000
        assert peak < 12_000_000


async def test_chunks_may_be_small_but_not_all_of_them() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with (
        serving(saying(head + b"1\r\na\r\n" * 1000 + b"0\r\n\r\n")) as some,
        serving(saying(head + b"14\r\n" + b"a" * 20 + b"\r\n" + b"1\r\na\r\n" * 2000 + b"0\r\n\r\n")) as all_of_them,
        serving(saying(head + (b"14\r\n" + b"a" * 20 + b"\r\n") * 13_000 + b"0\r\n\r\n")) as words,
        calling() as ask,
    ):
        assert len((await ask(some.url())).body) == 1000
        assert len((await ask(words.url())).body) == 260_000
        with pytest.raises(UpstreamTooLarge):
            await ask(all_of_them.url())


async def test_the_limit_is_exact() -> None:
    body = b"HTTP/1.1 200 OK\r\n\r\n" + b"a" * 1000
    async with serving(saying(body)) as server, calling() as ask:
        assert len((await ask(server.url(), most_bytes=1000)).body) == 1000
        with pytest.raises(UpstreamTooLarge):
            await ask(server.url(), most_bytes=999)


@pytest.mark.parametrize(
    "encoding", [b"gzip", b"GZIP", b"br", b"identity, gzip", b"identity\r\nContent-Encoding: gzip"]
)
async def test_a_compressed_answer_is_refused_and_never_decoded(encoding: bytes) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: %b\r\nContent-Length: %d\r\n\r\n" % (encoding, len(bomb))
    async with serving(saying(head + bomb)) as server, calling() as ask:
        with pytest.raises(UpstreamFailed) as failed:
            await ask(server.url())
        assert failed.value.step == "encoding"


async def test_compressed_bytes_that_are_not_called_so_stay_bytes() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: identity\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    async with serving(saying(head + bomb)) as server, calling() as ask:
        assert (await ask(server.url())).body == bomb


# Broken servers

BROKEN = {
    "reset before the answer": resetting(b""),
    "reset in the headers": resetting(b"HTTP/1.1 200 OK\r\nContent-"),
    "reset in the body": resetting(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"),
    "closed before the answer": saying(b""),
    "closed in the body": saying(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"),
    "closed in a chunk": saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc"),
    "no HTTP": saying(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "HTTP/0.9": saying(b"{}"),
    "HTTP/2 preface": saying(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00"),
    "two lengths": saying(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{} "),
    "negative length": saying(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"),
    "length of 5000 digits": saying(b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n"),
    "unknown transfer coding": saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    "chunk size of 5000 digits": saying(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"f" * 5000 + b"\r\n"
    ),
    "NUL in a header": saying(b"HTTP/1.1 200 OK\r\nX-A: \x00\r\nContent-Length: 2\r\n\r\n{}"),
    "status of two digits": saying(b"HTTP/1.1 20 OK\r\n\r\n"),
    "switching protocols": saying(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
}


@pytest.mark.parametrize("handle", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_broken_answer_is_a_failure(handle: Handler, method: str) -> None:
    async with serving(handle) as server, calling() as ask:
        with pytest.raises(UpstreamFailed) as failed:
            await ask(server.url(path=f"/{CANARY}?{CANARY}"), method, headers={"X": CANARY}, body=CANARY.encode())
        assert failed.value.step in {"headers", "body"}
        assert CANARY not in f"{failed.value!r} {failed.value.detail}"
        assert failed.value.detail.startswith(f"test: http://127.0.0.1:{server.port}: ")


async def test_a_port_nobody_listens_on_is_a_failure() -> None:
    async with serving(silence) as gone:
        pass
    async with calling() as ask:
        with pytest.raises(UpstreamFailed) as failed:
            await ask(gone.url())
        assert failed.value.step == "connect"


# Kept connections


async def test_connections_are_kept_for_one_tenant_and_name() -> None:
    async with serving(saying(OK, keep=True)) as server, calling(resolve=resolving("127.0.0.1")) as ask:
        for tenant, host in (("t1", NAME), ("t1", NAME), ("t2", NAME), ("t1", "other.example"), ("t1", NAME)):
            await ask(server.url(host), tenant=tenant)
        assert (server.connections, server.requests) == (3, 5)


async def test_a_connection_whose_answer_was_not_read_is_not_kept() -> None:
    large = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n" + b"a" * 10
    async with serving(saying(large, keep=True)) as server, calling() as ask:
        for _ in range(2):
            with pytest.raises(UpstreamTooLarge):
                await ask(server.url(), most_bytes=5)
        assert server.connections == 2


async def test_a_connection_on_which_more_came_than_was_asked_for_is_not_kept() -> None:
    async with serving(saying(OK, OK, keep=True, delay=0.05)) as server, calling() as ask:
        for _ in range(2):
            await ask(server.url())
            await asyncio.sleep(0.15)
        assert server.connections == 2


@pytest.mark.parametrize(
    ("method", "options", "requests"), [("GET", {}, 3), ("POST", {"repeatable": True}, 3), ("POST", {}, 2)]
)
async def test_a_kept_connection_is_for_what_may_be_sent_again(
    method: str, options: dict[str, bool], requests: int
) -> None:
    """RFC 9110 section 9.2.2, RFC 9112 section 9.3.1."""

    async def handle(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        await peer.request()  # and closes without a word

    async with serving(handle) as server, calling() as ask:
        await ask(server.url())
        assert (await ask(server.url(), method, **options)).status == 200
        assert (server.connections, server.requests) == (2, requests)


@pytest.mark.slow
async def test_a_kept_connection_is_closed_after_a_while() -> None:
    closed = asyncio.Event()

    async def handle(peer: Peer) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            await saying(OK, keep=True)(peer)
        closed.set()

    async with serving(handle) as server, calling() as ask:
        await ask(server.url())
        await asyncio.wait_for(closed.wait(), KEEP_SECONDS + 2)


# TLS


@dataclass
class Authority:
    """A certificate authority in a folder."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    file: str

    def server(self, *names: str, expired: bool = False, self_signed: bool = False) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made = self.make(*names, expired=expired, self_signed=self_signed)
        path = self.folder / "server.pem"
        path.write_text(made.certificate + made.key)
        context.load_cert_chain(path)
        return context

    def make(self, *names: str, expired: bool = False, self_signed: bool = False) -> ClientCertificate:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(names[0])
        certificate = (
            _builder(subject, subject if self_signed else self.certificate.subject, key, expired=expired)
            .add_extension(x509.SubjectAlternativeName([_alternative(name) for name in names]), critical=False)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .sign(key if self_signed else self.key, hashes.SHA256())
        )
        return ClientCertificate(_pem(certificate), _key_pem(key, serialization.NoEncryption()))


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, *, expired: bool = False
) -> x509.CertificateBuilder:
    day = dt.timedelta(days=1)
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 2 * day)
        .not_valid_after(now - day if expired else now + day)
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey, encryption: serialization.KeySerializationEncryption) -> str:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption).decode()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder = tmp_path_factory.mktemp("authority")
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder(_name("test authority"), _name("test authority"), key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "authority.pem"
    file.write_text(_pem(certificate))
    return Authority(folder, key, certificate, str(file))


@pytest.mark.parametrize("host", [NAME, "127.0.0.1", "[::1]", "bücher.example"])
async def test_verifies_the_certificate_for_name_or_address(authority: Authority, host: str) -> None:
    context = authority.server(NAME, "127.0.0.1", "::1", "xn--bcher-kva.example")
    shown: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: shown.append(name)
    address = "::1" if host == "[::1]" else "127.0.0.1"
    async with (
        serving(saying(OK), host=address, tls=context) as server,
        calling(ca_file=authority.file, resolve=resolving(address)) as ask,
    ):
        assert (await ask(server.url(host, "https"))).status == 200
    assert shown == [{NAME: NAME, "bücher.example": "xn--bcher-kva.example"}.get(host)]


@pytest.mark.parametrize(
    ("names", "how"),
    [
        (["other.example"], {}),  # BEH-23
        (["127.0.0.1"], {}),
        ([NAME], {"self_signed": True}),  # BEH-25
        ([NAME], {"expired": True}),
    ],
    ids=["another name", "its address only", "self-signed", "expired"],
)
async def test_refuses_a_certificate(authority: Authority, names: list[str], how: dict[str, bool]) -> None:
    async with (
        serving(saying(OK), tls=authority.server(*names, **how)) as server,
        calling(ca_file=authority.file, resolve=resolving("127.0.0.1")) as ask,
    ):
        with pytest.raises(UpstreamFailed) as failed:
            await ask(server.url(NAME, "https"), headers={"Authorization": CANARY})
        assert (failed.value.step, server.requests) == ("tls", 0)
        assert "certificate" in failed.value.detail


async def test_an_authority_nobody_named_is_not_trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", authority.file)
    log = authority.folder / "keys.log"
    monkeypatch.setenv("SSLKEYLOGFILE", str(log))
    async with (
        serving(saying(OK), tls=authority.server(NAME)) as server,
        calling(resolve=resolving("127.0.0.1")) as ask,
    ):
        with pytest.raises(UpstreamFailed):
            await ask(server.url(NAME, "https"))
        assert (await ask(server.url(NAME, "https"), ca_file=authority.file)).status == 200
        assert (server.requests, log.exists()) == (1, False)


async def test_an_authority_for_one_call_replaces_the_others(authority: Authority, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    other.write_text(authority.make(NAME, self_signed=True).certificate)
    async with (
        serving(saying(OK, keep=True), tls=authority.server(NAME)) as server,
        calling(ca_file=authority.file, resolve=resolving("127.0.0.1")) as ask,
    ):
        url = server.url(NAME, "https")
        assert (await ask(url)).status == 200
        # Not over the connection that is kept, either: it was made under other terms.
        with pytest.raises(UpstreamFailed) as failed:
            await ask(url, ca_file=str(other))
        assert failed.value.step == "tls"
        other.write_text(_pem(authority.certificate))
        os.utime(other, ns=(1, 1))
        assert (await ask(url, ca_file=str(other))).status == 200


async def test_an_authority_may_be_given_as_text(authority: Authority) -> None:
    async with (
        serving(saying(OK), tls=authority.server(NAME)) as server,
        calling(resolve=resolving("127.0.0.1")) as ask,
    ):
        url = server.url(NAME, "https")
        assert (await ask(url, ca=_pem(authority.certificate))).status == 200
        with pytest.raises(UpstreamFailed) as failed:
            await ask(url, ca=authority.make(NAME, self_signed=True).certificate)
        assert failed.value.step == "tls"
        with pytest.raises(UpstreamFailed) as failed:
            await ask(url, ca="-----BEGIN CERTIFICATE-----\nnone")
        assert failed.value.step == "certificate"


async def test_shows_a_client_certificate_where_one_is_given(authority: Authority) -> None:
    context = authority.server(NAME)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.file)
    certificate = authority.make("client.example")
    assert "PRIVATE" not in repr(certificate)
    async with (
        serving(saying(OK, keep=True), tls=context) as server,
        calling(ca_file=authority.file, resolve=resolving("127.0.0.1")) as ask,
    ):
        url = server.url(NAME, "https")
        assert (await ask(url, client_certificate=certificate)).status == 200
        with pytest.raises(UpstreamFailed):
            await ask(url)
        assert server.requests == 1


async def test_a_client_certificate_that_cannot_be_used_is_a_failure(authority: Authority) -> None:
    good = authority.make("client.example")
    key = ec.generate_private_key(ec.SECP256R1())
    locked = _key_pem(key, serialization.BestAvailableEncryption(b"secret"))
    async with calling() as ask:
        for certificate in (
            ClientCertificate("", ""),
            ClientCertificate(good.certificate, locked),
            ClientCertificate(good.certificate, _key_pem(key, serialization.NoEncryption())),
            ClientCertificate(good.certificate, "é"),
        ):
            with pytest.raises(UpstreamFailed) as failed:
                await ask("https://127.0.0.1:1/", client_certificate=certificate)
            assert failed.value.step == "certificate"
        with pytest.raises(UpstreamFailed):
            await ask("https://127.0.0.1:1/", ca_file="/nowhere.pem")


async def test_tls_is_1_2_at_least_and_always_verified() -> None:
    context = await TlsContexts().get(None, None)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


# Tenants and circuits


async def test_so_many_calls_of_a_tenant_run_at_once() -> None:
    running = most = 0

    async def handle(peer: Peer) -> None:
        nonlocal running, most
        await peer.request()
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.3)
        running -= 1
        await peer.send(OK)

    async with serving(handle) as slow, serving(saying(OK)) as quick, calling() as ask:
        calls = [asyncio.create_task(ask(slow.url())) for _ in range(AT_ONCE + 10)]
        await asyncio.sleep(0.1)
        assert (await ask(quick.url(), tenant="t2")).milliseconds < 200
        with pytest.raises(UpstreamTimeout) as late:
            await ask(quick.url(), timeout=0.05)
        assert (late.value.step, quick.connections) == ("queue", 1)
        await asyncio.gather(*calls)
    assert most == AT_ONCE


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 503 Down\r\nContent-Length: 0\r\n\r\n"], ids=["closes", "503"])
async def test_a_server_that_fails_is_left_alone_but_for_a_probe(answer: bytes) -> None:
    clock = [0.0]
    state = [answer]

    async def handle(peer: Peer) -> None:
        await peer.request()
        await peer.send(state[0])

    async def try_(ask: Ask, url: str, **options: Any) -> str:
        try:
            return str((await ask(url, **options)).status)
        except Upstream as error:
            return error.step

    async with serving(handle) as server, calling(circuits=Circuits(clock=lambda: clock[0])) as ask:
        fails = "503" if answer else "headers"
        assert [await try_(ask, server.url(path=f"/{path}")) for path in range(FAILURES)] == [fails] * FAILURES
        assert await try_(ask, server.url()) == "circuit"
        assert server.connections == FAILURES
        assert await try_(ask, server.url(), tenant="t2") == fails
        assert await try_(ask, server.url(), circuit=False) == fails
        clock[0] += PROBE_SECONDS
        assert [await try_(ask, server.url()) for _ in range(3)] == [fails, "circuit", "circuit"]
        state[0] = OK
        clock[0] += PROBE_SECONDS
        assert [await try_(ask, server.url()) for _ in range(3)] == ["200"] * 3


async def test_only_failures_in_a_row_open_a_circuit() -> None:
    circuits = Circuits()
    for _ in range(3):
        for _ in range(FAILURES - 1):
            circuits.failed("a")
        circuits.admit("a")
        circuits.succeeded("a")


async def test_a_probe_without_an_outcome_is_followed_by_another_only_after_the_interval() -> None:
    clock = [0.0]
    circuits = Circuits(clock=lambda: clock[0])
    for _ in range(FAILURES):
        circuits.failed("a")
    for _ in range(3):
        clock[0] += PROBE_SECONDS
        circuits.admit("a")
        with pytest.raises(UpstreamFailed):
            circuits.admit("a")


async def test_what_a_server_did_answer_or_was_never_asked_does_not_open_its_circuit() -> None:
    redirect = b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"
    async with serving(saying(redirect)) as server, calling() as ask:
        for options, error in (
            ({"headers": {"Host": "a"}}, UpstreamFailed),
            ({}, UpstreamRedirect),
        ):
            for _ in range(2 * FAILURES):
                with pytest.raises(error) as raised:
                    await ask(server.url(), **options)
                assert raised.value.step in {"redirect", "request"}


async def test_an_answer_that_is_refused_ends_a_row_of_failures() -> None:
    answers = [b""] * (FAILURES - 1) + [b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n"] + [b""] * FAILURES

    async def handle(peer: Peer) -> None:
        await peer.request()
        await peer.send(answers.pop(0))

    async with serving(handle) as server, calling() as ask:
        for _ in range(2 * FAILURES):
            with pytest.raises(UpstreamFailed) as failed:
                await ask(server.url())
            assert failed.value.step in {"headers", "encoding"}


def test_every_behaviour_of_the_vectors_has_its_test() -> None:
    here = Path(__file__).read_text(encoding="utf-8")
    assert [item["id"] for item in VECTORS["behaviours"] if item["id"] not in here] == []
