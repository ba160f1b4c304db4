"""The server's clock jumps: a year ahead and back, two hours back, and one node's is ahead of the others'. What is over
is refused, what is good once stays spent, nothing is deleted that could not be brought back, a sign-out is seen, and a
message is answered by one node.

By libfaketime; without it these tests are skipped.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fixtures.fake_bot import FakeBot
from tests.fixtures.faults import await_ready, exposed
from tests.fixtures.front_door import PATH
from tests.fixtures.mixed_ground import Ground
from tests.fixtures.puzzel import new_pair
from tests.fixtures.responding import ai_texts, answered_by_bot, eventually
from tests.fixtures.server import RunningServer
from tests.fixtures.widget import Device, anonymous, new_uuid
from vestibule.responder.runner import LEASE_MS

PLACES = ("lib/*", "lib", "lib64")  # Debian's, and others'
LIBRARY = next((path for at in PLACES for path in Path("/usr").glob(f"{at}/faketime/libfaketimeMT.so.1")), None)
pytestmark = pytest.mark.skipif(LIBRARY is None, reason="no libfaketime: run scripts/system-packages faketime")
DAY = 86_400
SEEN_WITHIN = 6.0


class Clock:
    """How far a server's clock is from the right one."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / f"clock-{secrets.token_hex(4)}"
        self.wrapper = (
            "env",
            f"LD_PRELOAD={LIBRARY}",
            f"FAKETIME_TIMESTAMP_FILE={self._file}",
            "FAKETIME_NO_CACHE=1",
            # A clock that never jumps does not jump: what waits for it would wait for a year.
            "FAKETIME_DONT_FAKE_MONOTONIC=1",
        )
        self.set(0)

    def set(self, seconds: float) -> None:
        self._file.write_text(f"{seconds:+g}s\n", encoding="ascii")


def post(ground: Ground, path: str, body: Any = None, bearer: str = "", **more: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer {bearer}"} if bearer else {}
    return httpx.post(f"{ground.base_url}{path}", json=body, headers=headers, timeout=10, trust_env=False, **more)


def vouch(ground: Ground, email: str = "ada@example.com") -> str:
    answer = post(ground, PATH, {"email": email}, ground.workspace.api_key)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["token"])


def me(ground: Ground, token: str, base_url: str = "") -> int:
    headers = {"authorization": f"Bearer {token}"}
    return httpx.get(f"{base_url or ground.base_url}/v1/me", headers=headers, trust_env=False).status_code


def once(ground: Ground, token: str) -> int:
    body = {"idToken": token, "codeChallenge": new_pair()[1]}
    return post(ground, f"/api/authenticate/{ground.front.customer_id}", body).status_code


def await_(true: Callable[[], bool], within: float = SEEN_WITHIN) -> None:
    deadline = time.monotonic() + within
    while not true():
        assert time.monotonic() < deadline, f"not so within {within:g} s"
        time.sleep(0.1)


def test_jumps(session_settings: dict[str, str], database_url: str, tmp_path: Path) -> None:
    clock = Clock(tmp_path)
    settings = {**session_settings, "VESTIBULE_PURGE_INTERVAL": "1s"}
    with exposed(settings, database_url, tmp_path, wrapper=clock.wrapper) as (server, ground):
        rows = ground.workspace.installation.rows
        token, ended = vouch(ground), vouch(ground)
        assert post(ground, "/v1/me/sign-out", bearer=ended).status_code == 204
        spent = ground.once.id_token(jti=secrets.token_hex(8), exp=int(time.time()) + 3_000)
        assert (once(ground, spent), once(ground, spent)) == (200, 401)
        chat = an_unverified_chat(ground)
        time.sleep(1.0)  # the audit is written
        [(entries,)] = rows("SELECT COUNT(*) FROM audit_entries")

        clock.set(400 * DAY)
        await_ready(server.base_url)
        assert me(ground, token) == 401, "it is over"
        assert me(ground, vouch(ground)) == 200
        time.sleep(3.0)  # whatever sweeps has come by

        clock.set(-2 * 3_600)
        await_ready(server.base_url)
        assert me(ground, vouch(ground, "bob@example.com")) == 200
        late = vouch(ground)
        assert post(ground, "/v1/me/sign-out", bearer=late).status_code == 204
        time.sleep(2.0)

        clock.set(0)
        await_ready(server.base_url)
        assert me(ground, token) == 200
        assert (me(ground, ended), me(ground, late)) == (401, 401)
        assert once(ground, spent) == 401, "a token that is good once was used again"
        assert rows("SELECT COUNT(*) FROM audit_entries")[0][0] >= entries
        assert rows("SELECT id FROM conversations WHERE id = $1", chat)
        assert "the clock has jumped" in server.log()


def an_unverified_chat(ground: Ground) -> str:
    made = post(ground, "/v1/visitors", {"widget_token": ground.widget_token}).json()["token"]
    chat = str(post(ground, "/v1/conversations", {"scope": "s"}, made).json()["id"])
    assert (
        post(ground, f"/v1/conversations/{chat}/messages", {"id": new_uuid(), "text": "hello"}, made).status_code == 201
    )
    return chat


def test_a_node_whose_clock_is_ahead_sees_what_others_end(
    session_settings: dict[str, str], database_url: str, tmp_path: Path
) -> None:
    clock = Clock(tmp_path)
    with exposed(session_settings, database_url, tmp_path) as (server, ground):
        beside = {name: value for name, value in server.settings.items() if name != "VESTIBULE_INSTANCE"}
        directory = tmp_path / "ahead"
        directory.mkdir()
        clock.set(600)
        with RunningServer(beside, directory, wrapper=clock.wrapper) as ahead:
            first, token = vouch(ground), vouch(ground)
            assert post(ground, "/v1/me/sign-out", bearer=first).status_code == 204
            await_(lambda: me(ground, first, ahead.base_url) == 401)
            assert me(ground, token, ahead.base_url) == 200
            assert post(ground, "/v1/me/sign-out", bearer=token).status_code == 204
            await_(lambda: me(ground, token, ahead.base_url) == 401)


# Processes that share a file share a machine, and its clock.
@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_a_node_whose_clock_is_ahead_and_the_others_leave_each_other_their_answers(
    session_settings: dict[str, str], database_url: str, tmp_path: Path
) -> None:
    """A lease is of its owner's clock. Whoever believed their own would ask the bot again, and call actions again."""
    clock = Clock(tmp_path)
    with exposed(session_settings, database_url, tmp_path) as (server, ground), FakeBot() as bot:
        answered_by_bot(ground.workspace, bot, timeout_ms=30_000)
        bot.secret = None  # it would believe none but its own clock
        ground.workspace.installation.http.timeout = httpx.Timeout(60)
        beside = {name: value for name, value in server.settings.items() if name != "VESTIBULE_INSTANCE"}
        directory = tmp_path / "ahead"
        directory.mkdir()
        clock.set(12)
        with RunningServer(beside, directory, wrapper=clock.wrapper) as ahead, ThreadPoolExecutor(2) as pool:
            for seconds in (12, 3_600):
                clock.set(seconds)
                bot.received.clear()
                here, guest = anonymous(ground.workspace), anonymous(ground.workspace)
                there = Device(ground.workspace, guest.token, guest.scope, base_url=ahead.base_url)
                chats = [(at, at.start()) for at in (here, there)]
                with bot.held():
                    sent = [pool.submit(at.send, chat, "hi") for at, chat in chats]
                    bot.wait_for(2)
                    time.sleep(LEASE_MS / 1000 + 2.0)  # each has renewed its lease, and been looked at, some times
                assert [answer.result().status_code for answer in sent] == [201, 201]
                for at, chat in chats:
                    eventually(partial(ai_texts, at, chat))
                    assert ai_texts(at, chat) == ["You said: hi"]
                assert len(bot.received) == 2, f"asked again, {seconds} s ahead"
