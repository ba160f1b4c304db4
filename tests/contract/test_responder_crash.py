"""A message that was stored is answered exactly once, whatever happens to the process that had begun to answer it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.fixtures.fake_bot import FakeBot
from tests.fixtures.fake_model import FakeModel, call, say
from tests.fixtures.fake_shop import FakeShop
from tests.fixtures.front_door import Installation, Workspace
from tests.fixtures.responding import RESPONDING_SETTINGS, answered_by_bot, answered_by_model
from tests.fixtures.server import RunningServer
from tests.fixtures.widget import Device, anonymous, new_uuid
from vestibule.administration import actions
from vestibule.administration.action_file import read_action_file
from vestibule.responder.runner import LEASE_MS, NOTICE

pytestmark = pytest.mark.slow
# A lease runs out, and the next look for abandoned work comes within two seconds.
TAKEN_OVER_WITHIN = LEASE_MS / 1000 + 6.0


@pytest.fixture
def own_server(session_settings: dict[str, str], database_url: str, tmp_path: Path) -> Iterator[RunningServer]:
    """A server that the test may kill."""
    settings = {**session_settings, **RESPONDING_SETTINGS, "VESTIBULE_DATABASE_URL": database_url}
    with RunningServer(settings, tmp_path) as server:
        yield server


@pytest.fixture
def own_front(own_server: RunningServer) -> Iterator[Workspace]:
    with Installation(own_server) as installation:
        installation.http.timeout = httpx.Timeout(60)
        yield installation.workspace()


def ai_rows(device: Device, session_id: str) -> list[str]:
    return [text for kind, text in device.texts(session_id) if kind == "ai"]


def expect_one_answer(device: Device, session_id: str, text: str, *, within: float = TAKEN_OVER_WITHIN) -> None:
    deadline = time.monotonic() + within
    while not (found := ai_rows(device, session_id)):
        assert time.monotonic() < deadline, "no answer came"
        time.sleep(0.2)
    assert found == [text]
    time.sleep(3)  # nobody else has a second one
    assert ai_rows(device, session_id) == [text]
    assert device.workspace.installation.rows("SELECT seq FROM responder_jobs") == []


def test_a_crash_between_storing_and_answering_loses_nothing_and_answers_once(
    own_server: RunningServer, own_front: Workspace, bot: FakeBot
) -> None:
    answered_by_bot(own_front, bot, timeout_ms=30_000)
    device = anonymous(own_front)
    session_id = device.start()
    given = new_uuid()
    with ThreadPoolExecutor(1) as pool, bot.held():
        sent = pool.submit(device.send, session_id, "hi", uuid=given)
        bot.wait_for(1)
        own_server.kill()
        with pytest.raises(httpx.TransportError):
            sent.result()
    own_server.start()
    assert device.texts(session_id) == [("user", "hi")]
    expect_one_answer(device, session_id, "You said: hi")
    # Asked twice, about one message, so that the bot could tell.
    assert len(bot.received) == 2
    assert len({request.headers["webhook-id"] for request in bot.received}) == 1
    assert bot.refused == []
    # A client that repeats itself after the crash is told the same answer.
    again = device.send(session_id, "hi", uuid=given).json()
    assert again["autopilotResponse"]["value"]["content"] == "You said: hi"


def test_a_process_told_to_stop_hands_over_at_once_what_it_cannot_finish(
    own_server: RunningServer, own_front: Workspace, bot: FakeBot
) -> None:
    answered_by_bot(own_front, bot, timeout_ms=60_000)
    device = anonymous(own_front)
    session_id = device.start()
    with ThreadPoolExecutor(1) as pool, bot.held():
        sent = pool.submit(device.send, session_id, "hi")
        bot.wait_for(1)
        own_server.stop()
        answer = sent.result()
        # Of any other status the widget makes an error, and its visitor writes it once more (contracts/opencx.md 0.8).
        assert (answer.status_code, answer.json()["success"]) == (201, True), answer.text
        assert "autopilotResponse" not in answer.json()
    own_server.start()
    expect_one_answer(device, session_id, "You said: hi", within=4.0)


def test_a_frozen_process_that_wakes_up_adds_no_second_answer(
    own_server: RunningServer, own_front: Workspace, bot: FakeBot, tmp_path_factory: pytest.TempPathFactory
) -> None:
    answered_by_bot(own_front, bot, timeout_ms=60_000)
    device = anonymous(own_front)
    session_id = device.start()
    beside = {name: value for name, value in own_server.settings.items() if name != "VESTIBULE_INSTANCE"}
    with (
        RunningServer(beside, tmp_path_factory.mktemp("beside")) as other,
        ThreadPoolExecutor(1) as pool,
        bot.held(),
    ):
        there = Device(own_front, device.token, device.scope, base_url=other.base_url)
        sent = pool.submit(device.send, session_id, "hi")
        bot.wait_for(1)
        os.killpg(own_server.pid, signal.SIGSTOP)
        try:
            bot.wait_for(2, within=TAKEN_OVER_WITHIN)
            bot.gate.set()
            expect_one_answer(there, session_id, "You said: hi")
        finally:
            os.killpg(own_server.pid, signal.SIGCONT)
        # The sleeper's own caller is told the answer that was stored.
        assert sent.result().json()["autopilotResponse"]["value"]["content"] == "You said: hi"
        time.sleep(2)
        assert ai_rows(there, session_id) == ["You said: hi"]


def test_a_message_that_kills_every_process_is_handed_over_in_the_end(
    own_server: RunningServer, own_front: Workspace, bot: FakeBot
) -> None:
    answered_by_bot(own_front, bot, timeout_ms=60_000)
    device = anonymous(own_front)
    session_id = device.start()
    own_front.installation.rows("SELECT 1")
    with ThreadPoolExecutor(1) as pool, bot.held():
        pool.submit(device.send, session_id, "poison")
        bot.wait_for(1)
        own_server.kill()
        # As if it had happened three times by now.
        own_front.installation.rows("UPDATE responder_jobs SET attempts = 3, leased_until = 0")
        own_server.start()
        expect_one_answer(device, session_id, NOTICE)
    assert device.session(session_id)["isHandedOff"] is True
    assert len(bot.received) == 1


def test_a_call_that_a_crash_leaves_in_doubt_is_made_again_under_its_key(
    own_server: RunningServer, own_front: Workspace, model: FakeModel, shop: FakeShop, tmp_path: Path
) -> None:
    answered_by_model(own_front, model)
    path = tmp_path / "actions.toml"
    path.write_text(
        f"""
        [[actions]]
        name = "refund"
        method = "POST"
        url_template = "{shop.url}/refunds"
        required_trust = "unverified"
        """,
        encoding="utf-8",
    )
    installation = own_front.installation
    declared = read_action_file(path, {}, allow_http=True)
    installation.run(actions.apply(installation.desk, own_front.id, declared, prune=False))
    device = anonymous(own_front)
    session_id = device.start()
    model.script = [call("refund", {})]
    with ThreadPoolExecutor(1) as pool, shop.held():
        sent = pool.submit(device.send, session_id, "my money, please")
        shop.wait_for(1)
        own_server.kill()
        with pytest.raises(httpx.TransportError):
            sent.result()
    model.script = [call("refund", {}), say("Done.")]
    own_server.start()
    expect_one_answer(device, session_id, "Done.")
    keys = [request.headers["idempotency-key"] for request in shop.received]
    assert len(keys) == 2
    assert len(set(keys)) == 1
