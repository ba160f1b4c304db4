"""Whom the outbound client reaches: no address but those that are allowed, whatever a name says."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from typing import Any

import pytest

from tests.fixtures.outbound_peers import NAME, OK, calling, resolving, saying, serving
from vestibule.errors import UpstreamFailed, UpstreamForbidden, UpstreamTimeout
from vestibule.outbound.address_guard import Address
from vestibule.outbound.lookup import Lookup

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
    async def resolve(_tenant: str, _host: str) -> tuple[Address, ...]:
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
    async def resolve(_tenant: str, _host: str) -> tuple[Address, ...]:
        if failure is not None:
            raise failure
        return ()

    async with calling((), resolve=resolve) as ask:
        with pytest.raises(UpstreamFailed) as failed:
            await ask("https://good.example/")
        assert failed.value.step == "resolve"


async def test_asks_the_system_for_names_and_shares_the_answer() -> None:
    lookup = Lookup()
    answers = await asyncio.gather(*(lookup(f"t{number}", "localhost") for number in range(50)))
    assert len(set(answers)) == 1
    assert ipaddress.ip_address("127.0.0.1") in answers[0]
    async with serving(saying(OK)) as server, calling() as ask:
        assert (await ask(server.url("localhost"))).status == 200


async def test_one_tenants_names_that_are_not_answered_keep_no_other_from_asking(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended, asked = threading.Event(), Counter[str]()

    def look_up(host: bytes, *_: object, **_more: object) -> list[Any]:
        if not host.startswith(b"silent"):
            return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 0))]
        asked["now"] += 1
        ended.wait(20)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    async with serving(saying(OK)) as server, calling() as ask:
        silent = [ask(server.url(f"silent-{number}.example"), connect_timeout=0.3) for number in range(50)]
        outcomes = await asyncio.gather(*silent, return_exceptions=True)
        assert {(type(one), getattr(one, "step", "")) for one in outcomes} == {(UpstreamTimeout, "resolve")}
        assert asked["now"] == 4, "they go on after their callers have given up, and no other is begun"
        began = time.monotonic()
        assert (await ask(server.url("good.example"), tenant="t2")).status == 200
        assert time.monotonic() - began < 1
        with pytest.raises(UpstreamTimeout):
            await ask(server.url("good.example"), connect_timeout=0.1)
        ended.set()
        assert (await ask(server.url("good.example"))).status == 200
        assert asked["now"] == 4


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
