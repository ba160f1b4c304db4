"""An identity provider and an auth endpoint that are down, slow, talk rubbish or send a byte a second, and a provider
that changes its keys under load: who needs them is told so in time, and everybody else notices nothing."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.fixtures.fake_auth_endpoint import PATH as ASK
from tests.fixtures.fake_auth_endpoint import configure
from tests.fixtures.fake_provider import INTROSPECTION, JWKS, Asked, FakeProvider, Reply
from tests.fixtures.fake_provider import Answer as Provided
from tests.fixtures.faults import exposed
from tests.fixtures.loopback import Answer, closed_port
from tests.fixtures.mixed_ground import Ground
from tests.fixtures.mixed_load import Load
from tests.fixtures.puzzel import new_pair

# Of a call to an auth endpoint, the longest of all (auth_endpoint/calls.py).
OPERATION_WITHIN = 8.0
DEADLINE = 3.0
# Fewer than open a circuit: how soon it closes again is of test_outbound.py.
ASKED = 3


@pytest.fixture(scope="module")
def ground(session_settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    directory = tmp_path_factory.mktemp("upstream")
    with exposed(session_settings, f"sqlite:///{directory}/v.db", directory) as (_, made):
        yield made


def bytewise() -> Iterator[bytes]:
    """Within every time-out between two of them."""
    for byte in b'{"status": true, "message": "", "data": {"id": "' + b"a" * 60:
        yield bytes([byte])
        time.sleep(0.5)


def ask(ground: Ground, user_token: str) -> httpx.Response:
    body = {"customer_id": ground.front.customer_id, "user_token": user_token}
    return httpx.post(f"{ground.base_url}{ASK}", json=body, timeout=OPERATION_WITHIN + 2, trust_env=False)


ENDPOINT_FAULTS = {
    "fails": Answer(500, b"oops"),
    "is slow": Answer(wait=OPERATION_WITHIN + 2),
    "talks rubbish": Answer(200, b"\x00\xff<html>", {"content-type": "application/json"}),
    "sends a byte at a time": Answer(200, headers={"content-type": "application/json"}, pieces=bytewise()),
}


@pytest.mark.parametrize("fault", ENDPOINT_FAULTS)
def test_an_auth_endpoint_that(ground: Ground, fault: str) -> None:
    ground.endpoint.people["u-1"] = {"id": "u-1"}
    assert ask(ground, "u-1").status_code == 200
    with Load(ground, 4, deadline=DEADLINE, without=frozenset({"ask"})) as load:
        ground.endpoint.reply = lambda _: ENDPOINT_FAULTS[fault]
        began = time.monotonic()
        assert ask(ground, "u-1").status_code in {502, 503, 504}
        assert time.monotonic() - began < OPERATION_WITHIN + 1
        load.wait_for_answers(30)
        ground.endpoint.reply = None
        assert ask(ground, "u-1").status_code == 200
        assert not load.ledger.unavailable
    load.verify()


def test_an_auth_endpoint_that_is_down(ground: Ground) -> None:
    workspace, ground.endpoint.people["u-2"] = ground.workspace, {"id": "u-2"}
    configure(workspace, url=f"{closed_port()}/whoami")
    time.sleep(2.5)  # until the server has seen it
    with Load(ground, 4, deadline=DEADLINE, without=frozenset({"ask"})) as load:
        for _ in range(ASKED):
            assert ask(ground, "u-2").status_code == 503
        load.wait_for_answers(30)
        assert not load.ledger.unavailable
    load.verify()
    configure(workspace, ground.endpoint)
    time.sleep(2.5)
    assert ask(ground, "u-2").status_code == 200


async def slowly(_: Asked) -> Reply:
    await asyncio.sleep(10)
    return Reply({})


def exchange(ground: Ground, members: dict[str, str]) -> httpx.Response:
    path = f"/api/authenticate/{ground.front.customer_id}"
    body = {"codeChallenge": new_pair()[1], **members}
    # By its place: an opaque token does not tell whose it is.
    return httpx.post(f"{ground.base_url}{path}", params={"providerId": "1"}, json=body, timeout=12, trust_env=False)


PROVIDER_FAULTS: dict[str, Provided] = {
    "fails": lambda _: Reply(b"oops", status=500),
    "is slow": slowly,
    "talks rubbish": lambda _: Reply(b"\x00\xff<html>"),
}


@pytest.mark.parametrize("fault", PROVIDER_FAULTS)
def test_a_provider_that(ground: Ground, fault: str) -> None:
    """Whose keys are known by now: only what it has to be asked about each time has to wait for it."""
    provider = ground.provider
    opaque = provider.opaque_token(f"opaque-{secrets.token_hex(4)}")
    with Load(ground, 4, deadline=DEADLINE) as load:
        load.wait_for_answers(40)
        for path in (JWKS, INTROSPECTION):
            provider.answers[path] = PROVIDER_FAULTS[fault]
        began = time.monotonic()
        answer = exchange(ground, {"accessToken": opaque})
        assert answer.status_code in {502, 504}, answer.text
        assert time.monotonic() - began < 10
        load.wait_for_answers(40)
        provider.answers.clear()
        assert exchange(ground, {"accessToken": opaque}).status_code == 200
        assert not load.ledger.unavailable
    load.verify()


def test_a_provider_that_is_down(ground: Ground) -> None:
    run, provider = ground.workspace.installation.run, ground.provider
    with Load(ground, 4, deadline=DEADLINE) as load:
        load.wait_for_answers(40)
        run(provider.stop())
        load.wait_for_answers(40)
        run(provider.start())
        load.wait_for_answers(40)
        assert not load.ledger.unavailable
    load.verify()


@pytest.mark.parametrize("keep_old", [True, False], ids=["kept", "dropped"])
def test_a_provider_changes_its_keys(session_settings: dict[str, str], tmp_path: Path, keep_old: bool) -> None:  # noqa: FBT001
    """Nobody is refused who shows a token of the new key; of an old one that was dropped, only those."""
    with exposed(session_settings, f"sqlite:///{tmp_path}/v.db", tmp_path) as (_, ground):
        fake: FakeProvider = ground.provider
        stopping, lock = threading.Event(), threading.Lock()
        statuses: Counter[tuple[str | None, int]] = Counter()

        def visit() -> None:
            with httpx.Client(base_url=ground.base_url, timeout=10, trust_env=False) as http:
                while not stopping.is_set():
                    kid, token = fake.key.kid, fake.id_token(key=fake.key)
                    body = {"idToken": token, "codeChallenge": new_pair()[1]}
                    answer = http.post(f"/api/authenticate/{ground.front.customer_id}", json=body)
                    with lock:
                        statuses[kid, answer.status_code] += 1
                    stopping.wait(0.01)

        visitors = [threading.Thread(target=visit, daemon=True) for _ in range(4)]
        for visitor in visitors:
            visitor.start()
        time.sleep(0.5)
        before = fake.key.kid
        fake.rotate(f"load-{keep_old}", keep_old=keep_old)
        time.sleep(1.5)
        stopping.set()
        for visitor in visitors:
            visitor.join()
        assert {status for kid, status in statuses if kid == fake.key.kid} == {200}, statuses
        old = {status for kid, status in statuses if kid == before}
        assert old == {200} if keep_old else old <= {200, 401}, statuses
        assert fake.asked[JWKS] <= 3, "a storm of fetches"
