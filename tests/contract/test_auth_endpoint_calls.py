"""Asking an auth endpoint in one process: clocks that are ours, TLS on both sides, and the end of all patience."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from tests.fixtures.certificates import key_pem, made, pem
from tests.fixtures.fake_auth_endpoint import FakeAuthEndpoint
from tests.fixtures.loopback import Answer, closed_port, json_answer
from tests.fixtures.outbound_peers import Peer, serving
from vestibule.auth_endpoint.answers import Answers
from vestibule.auth_endpoint.calls import AuthCalls
from vestibule.auth_endpoint.question import Question
from vestibule.errors import AuthRejected, AuthTimeout, AuthUnavailable
from vestibule.model.auth_endpoint import AuthEndpointSettings
from vestibule.outbound.circuit import FAILURES, Circuits
from vestibule.outbound.client import Outbound
from vestibule.outbound.standard_webhooks import new_secret

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
SECRET = new_secret()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def fake() -> Iterator[FakeAuthEndpoint]:
    with FakeAuthEndpoint({"t": {"id": 1}}) as running:
        yield running


@pytest.fixture
async def outbound() -> AsyncIterator[Outbound]:
    made = Outbound(LOOPBACK)
    yield made
    await made.close()


def asking(url: str, token: str = "t", *, workspace: str = "w", **settings: Any) -> Question:
    return Question(workspace, AuthEndpointSettings(url=url, secrets=(SECRET,), **settings), token)


class TestPatience:
    async def test_ends_after_eight_seconds(self, outbound: Outbound, fake: FakeAuthEndpoint) -> None:
        """The longest way: a gateway that answers late, and nothing after it."""
        waits = iter([4.5, 30.0])
        fake.reply = lambda _request: Answer(503, wait=next(waits))
        began = time.monotonic()
        with pytest.raises(AuthTimeout):
            await AuthCalls(outbound).ask(asking(fake.url))
        assert 7.5 < time.monotonic() - began < 8.5
        assert len(fake.received) == 2

    async def test_a_refused_connection_is_tried_once_more(self, outbound: Outbound) -> None:
        tried: list[int] = []
        began = time.monotonic()
        with pytest.raises(AuthUnavailable) as failed:
            await AuthCalls(outbound).ask(asking(closed_port()), lambda _headers, status, _ms: tried.append(status))
        assert (tried, failed.value.step) == ([0, 0], "connect")
        assert 0.1 <= time.monotonic() - began < 1

    @pytest.mark.parametrize("status", [500, 429, 408])
    async def test_an_answer_of_the_server_s_own_is_not_asked_for_again(
        self, outbound: Outbound, fake: FakeAuthEndpoint, status: int
    ) -> None:
        fake.always(b"", status)
        with pytest.raises(AuthUnavailable):
            await AuthCalls(outbound).ask(asking(fake.url))
        assert len(fake.received) == 1

    async def test_a_failing_server_is_asked_again_after_half_a_minute(
        self, outbound: Outbound, fake: FakeAuthEndpoint
    ) -> None:
        clock = Clock()
        calls = AuthCalls(outbound, circuits=Circuits(probe_seconds=30, clock=clock))
        fake.always(b"", 500)
        for _ in range(6):
            with pytest.raises(AuthUnavailable):
                await calls.ask(asking(fake.url))
        assert len(fake.received) == 5
        fake.reply = None
        clock.now += 29
        with pytest.raises(AuthUnavailable) as failed:
            await calls.ask(asking(fake.url))
        assert (failed.value.step, failed.value.retry_after) == ("circuit", 1)
        clock.now -= 28.5
        with pytest.raises(AuthUnavailable) as failed:
            await Answers(calls).get(asking(fake.url))
        assert (failed.value.step, failed.value.retry_after) == ("circuit", 30), "in whole seconds, and not too early"
        clock.now += 28.5
        await calls.ask(asking(fake.url, workspace="another"))  # by workspace: nobody shuts another's door
        clock.now += 2
        assert (await calls.ask(asking(fake.url))).data == {"id": 1}
        await calls.ask(asking(fake.url))

    async def test_a_no_does_not_count_as_a_failure(self, outbound: Outbound, fake: FakeAuthEndpoint) -> None:
        calls = AuthCalls(outbound)
        for _ in range(7):
            with pytest.raises(AuthRejected):
                await calls.ask(asking(fake.url, "nobody"))
        assert len(fake.received) == 7

    @pytest.mark.slow
    async def test_whose_turn_comes_too_late_is_no_failure_of_the_server_s(self, outbound: Outbound) -> None:
        """A lesson begins, and 150 pages ask at once: twenty at a time, of whom each is answered within a second."""
        yes = b'{"status":true,"data":{"id":1}}'

        async def handle(peer: Peer) -> None:
            await peer.request()
            await asyncio.sleep(1)
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(yes), yes))

        calls = AuthCalls(outbound)
        async with serving(handle) as server:
            asking_at_once = [calls.ask(asking(server.url(), f"t{number}")) for number in range(150)]
            outcomes = await asyncio.gather(*asking_at_once, return_exceptions=True)
            late = [error for error in outcomes if isinstance(error, BaseException)]
            assert FAILURES < len(late) < 150
            assert {(type(error), getattr(error, "step", "")) for error in late} == {(AuthTimeout, "queue")}
            assert (await calls.ask(asking(server.url(), "one more"))).data == {"id": 1}


class TestMemory:
    async def ask(self, answers: Answers, question: Question) -> str:
        try:
            return str((await answers.get(question)).data["id"])
        except AuthRejected:
            return "no"

    async def test_of_a_yes_and_of_a_no(self, outbound: Outbound, fake: FakeAuthEndpoint) -> None:
        clock = Clock()
        answers = Answers(AuthCalls(outbound), clock=clock)

        async def count(question: Question) -> int:
            before = len(fake.received)
            await self.ask(answers, question)
            return len(fake.received) - before

        yes, no = asking(fake.url), asking(fake.url, "nobody")
        assert [await count(yes), await count(yes), await count(no), await count(no)] == [1, 0, 1, 0]
        clock.now += 4.9
        assert [await count(yes), await count(no)] == [0, 0]
        clock.now += 0.2
        assert [await count(yes), await count(no)] == [0, 1]
        clock.now += 55
        assert await count(yes) == 1
        # Everything that the question is made of is part of it.
        for other in (
            asking(fake.url, workspace="x"),
            asking(fake.url, header_token="new"),
            asking(fake.url, identity_method="email"),
            Question("w", yes.settings, "t", {"user_id": "7"}),
        ):
            assert await count(other) == 1
        assert "'t'" not in repr(vars(answers)["_kept"].keys())

    async def test_of_nothing_that_is_over(self, outbound: Outbound, fake: FakeAuthEndpoint) -> None:
        """Of a thousand people who came once nothing is left when the next one comes."""
        clock = Clock()
        answers = Answers(AuthCalls(outbound), clock=clock)
        for number in range(20):
            fake.people[f"t{number}"] = {"id": number + 1}
            await answers.get(asking(fake.url, f"t{number}"))
        kept = vars(answers)["_kept"]
        assert len(kept) == 20
        clock.now += 61
        await answers.get(asking(fake.url))
        assert len(kept) == 1

    async def test_of_nothing_large(self, outbound: Outbound, fake: FakeAuthEndpoint) -> None:
        fake.people["t"] = {"id": 1, "name": "x" * 5000}
        answers = Answers(AuthCalls(outbound))
        for _ in range(2):
            assert (await answers.get(asking(fake.url))).data["id"] == 1
        assert len(fake.received) == 2

    async def test_waits_together_and_tells_each(self, outbound: Outbound, fake: FakeAuthEndpoint) -> None:
        answers = Answers(AuthCalls(outbound))
        with fake.held():
            waiting = [asyncio.create_task(answers.get(asking(fake.url, "nobody"))) for _ in range(5)]
            await asyncio.to_thread(fake.wait_for, 1)
            waiting[0].cancel()  # one who goes away does not end it for the others
        done = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(done[0], asyncio.CancelledError)
        assert all(isinstance(error, AuthRejected) for error in done[1:])
        assert len({id(error) for error in done}) == 5
        assert len(fake.received) == 1


class SecureEndpoint(FakeAuthEndpoint):
    """Over TLS, and only to whoever shows a certificate of `ca`."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__({"t": {"id": 1}})
        self._context = context

    def __enter__(self) -> Self:
        super().__enter__()
        self._server.socket = self._context.wrap_socket(self._server.socket, server_side=True)
        return self

    @property
    def url(self) -> str:
        return super().url.replace("http:", "https:")


class TestTls:
    async def test_with_a_private_authority_and_a_client_certificate(self, outbound: Outbound, tmp_path: Path) -> None:
        ca, ca_key = made("Our own")
        server, server_key = made("127.0.0.1", ca, ca_key)
        client, client_key = made("vestibule", ca, ca_key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        files = {"server.pem": pem(server) + key_pem(server_key), "ca.pem": pem(ca)}
        for name, text in files.items():
            (tmp_path / name).write_text(text)
        context.load_cert_chain(tmp_path / "server.pem")
        context.load_verify_locations(tmp_path / "ca.pem")
        context.verify_mode = ssl.CERT_REQUIRED
        calls = AuthCalls(outbound)
        with SecureEndpoint(context) as secure:
            shown = {"client_certificate": pem(client), "client_key": key_pem(client_key)}
            assert (await calls.ask(asking(secure.url, ca=pem(ca), **shown))).data == {"id": 1}
            for settings in ({"ca": pem(ca)}, shown, {}):
                with pytest.raises(AuthUnavailable):
                    await calls.ask(asking(secure.url, workspace=str(settings.keys()), **settings))
            assert len(secure.received) == 1

    async def test_a_header_that_says_bearer_twice_is_sent_as_it_was_set(
        self, outbound: Outbound, fake: FakeAuthEndpoint
    ) -> None:
        fake.reply = lambda _request: json_answer({"status": True, "data": {}})
        await AuthCalls(outbound).ask(asking(fake.url, header_token="Bearer abc"))
        assert fake.received[0].headers["authorization"] == "Bearer abc Bearer"
