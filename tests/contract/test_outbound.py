"""Calls out against real sockets on loopback: servers, resolvers and surroundings that do what hostile ones do."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.outbound_peers import (
    CANARY,
    NAME,
    OK,
    Ask,
    Handler,
    Peer,
    calling,
    resolving,
    saying,
    serving,
    silence,
)
from vestibule.errors import Upstream, UpstreamFailed, UpstreamRedirect, UpstreamTimeout
from vestibule.outbound.circuit import FAILURES, PROBE_SECONDS, Circuits
from vestibule.outbound.client import AT_ONCE

VECTORS = json.loads((Path(__file__).parents[1] / "vectors/ssrf/urls.json").read_text(encoding="utf-8"))


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
        with pytest.raises(UpstreamFailed) as refused:
            circuits.admit("a")
        assert refused.value.retry_after == PROBE_SECONDS


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
    here = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_outbound*.py"))
    assert [item["id"] for item in VECTORS["behaviours"] if item["id"] not in here] == []
