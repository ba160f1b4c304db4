"""What the outbound client takes for an answer, and which connections it keeps for another."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import tracemalloc

import pytest

from tests.fixtures.outbound_peers import CANARY, NAME, OK, Handler, Peer, calling, resolving, saying, serving, silence
from vestibule.errors import UpstreamFailed, UpstreamTooLarge
from vestibule.outbound.exchange import KEEP_SECONDS


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
