"""An answer takes as long as a model and the customer's API take: what changes meanwhile counts, and what was done by
then is in the history once."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.fixtures.admin import Admin
from tests.fixtures.fake_bot import FakeBot
from tests.fixtures.fake_model import call, say
from tests.fixtures.fake_provider import FakeProvider
from tests.fixtures.front_door import Installation, Workspace
from tests.fixtures.puzzel import Front
from tests.fixtures.responding import answered_by_bot, eventually, text_of
from tests.fixtures.trading import EXTRACTED, UPDATE, Trade, action_calls
from tests.fixtures.widget import Device, anonymous, verified
from vestibule.administration import contacts
from vestibule.app import make_runtime
from vestibule.responder.language_model import ask
from vestibule.responder.question import JobInput, Made, Question
from vestibule.responder.runner import NOTICE
from vestibule.runtime import Runtime
from vestibule.storage import conversations as rows

# An answer is held back until the server knows of a sign-out: at most two seconds by itself, more beside other tests.
PATIENT_MS = 30_000


def sign_out(device: Device) -> None:
    """Returns once the server knows."""
    workspace = device.workspace
    workspace.installation.run(contacts.sign_out(workspace.installation.desk, workspace.id, device.contact_id))
    eventually(lambda: device.sessions().status_code == 401, within=5)


def rows_of(workspace: Workspace, session_id: str) -> list[dict[str, object]]:
    """The history as staff have it."""
    found: list[dict[str, object]] = Admin(workspace.installation, workspace.id).get(
        f"conversations/{session_id}/messages"
    )["items"]
    return found


class TestSignedOut:
    def test_nobody_is_acted_for_and_people_take_over(self, trade: Trade) -> None:
        trade.declare(UPDATE.format(shop=trade.shop.url, more=""))
        trade.model.script = [call("update_order", EXTRACTED)]
        device = verified(trade.workspace)
        session_id = device.start()
        with ThreadPoolExecutor(1) as pool, trade.model.held():
            sent = pool.submit(device.send, session_id)
            trade.model.wait_for(1)
            sign_out(device)
            trade.model.gate.set()
            assert sent.result().status_code == 201
        assert trade.shop.received == []
        texts = [row["text"] for row in rows_of(trade.workspace, session_id)]
        assert NOTICE in texts
        chat = Admin(trade.workspace.installation, trade.workspace.id).get(f"conversations/{session_id}")
        assert chat["handed_off"] is True

    def test_a_message_that_waits_behind_another_is_not_shown_to_the_responder(
        self, shop_front: Workspace, bot: FakeBot
    ) -> None:
        answered_by_bot(shop_front, bot, timeout_ms=PATIENT_MS)
        device = verified(shop_front)
        session_id = device.start()
        with ThreadPoolExecutor(2) as pool, bot.held():
            first = pool.submit(device.send, session_id, "one")
            bot.wait_for(1)
            second = pool.submit(device.send, session_id, "two")
            eventually(lambda: [row["text"] for row in rows_of(shop_front, session_id)] == ["one", "two"])
            sign_out(device)
            bot.gate.set()
            assert [each.result().status_code for each in (first, second)] == [201, 201]
        eventually(lambda: NOTICE in [row["text"] for row in rows_of(shop_front, session_id)])
        assert len(bot.received) == 1

    def test_whoever_waits_for_an_answer_with_an_ended_token_is_told_nothing(
        self, shop_front: Workspace, bot: FakeBot
    ) -> None:
        answered_by_bot(shop_front, bot, timeout_ms=PATIENT_MS)
        device = verified(shop_front)
        session_id = device.start()
        with ThreadPoolExecutor(1) as pool, bot.held():
            sent = pool.submit(device.send, session_id, "my balance?")
            bot.wait_for(1)
            sign_out(device)
            bot.gate.set()
            answer = sent.result()
        # Not a refusal: the widget would have its visitor write once more what is stored.
        assert (answer.status_code, answer.json()) == (201, {"success": True})
        again = verified(shop_front)
        assert ("ai", "You said: my balance?") in again.texts(session_id)

    @pytest.mark.parametrize("session", ["s-1", "s-2"])
    def test_from_a_session_at_their_provider_only_who_has_come_by_that_one(
        self, front: Front, fake: FakeProvider, bot: FakeBot, session: str
    ) -> None:
        """Here a guest, who is u-1 in this one chat by their session s-1."""
        sub, answer, asked = (None, NOTICE, 1) if session == "s-1" else ("u-1", "You said: two", 2)
        answered_by_bot(front.workspace, bot, timeout_ms=PATIENT_MS)
        front.queue()
        guest, other = front.visitor(), front.visitor()
        chat = front.route("chat-1", bearer=guest, proof=front.proof(fake.id_token(sid="s-1")))
        ended = front.route("chat-2", bearer=other, proof=front.proof(fake.id_token(sid=session)))
        assert (chat.status_code, ended.status_code) == (200, 200)
        with bot.held():
            assert front.say("chat-1", "one", bearer=guest).status_code == 201
            bot.wait_for(1)
            assert front.say("chat-1", "two", bearer=guest).status_code == 201
            body = urlencode({"logout_token": fake.logout_token(sid=session, sub=sub)}).encode()
            form = {"content-type": "application/x-www-form-urlencoded"}
            signed_out = front.call("POST", f"/v1/backchannel-logout/{front.customer_id}", body, headers=form)
            assert signed_out.status_code == 200, signed_out.text
            token = ended.json()["contactToken"]
            eventually(lambda: front.workspace.me(token).status_code == 401, within=5)
        texts = "SELECT text FROM messages WHERE workspace_id = $1"
        eventually(lambda: (answer,) in front.workspace.installation.rows(texts, front.workspace.id))
        assert len(bot.received) == asked


class TestWhatWasDone:
    def test_is_not_done_again_because_the_database_was_away_for_a_moment(self, trade: Trade) -> None:
        trade.declare(UPDATE.format(shop=trade.shop.url, more=""))
        again = {**EXTRACTED, "note": "again"}
        trade.model.script = [call("update_order", EXTRACTED), call("update_order", again), say("Both are done.")]
        device = anonymous(trade.workspace)
        session_id = device.start()
        with ThreadPoolExecutor(1) as pool, trade.shop.held():
            sent = pool.submit(device.send, session_id)
            trade.shop.wait_for(1)
            trade.model.gate.clear()
            trade.shop.gate.set()
            trade.model.wait_for(2)
            trade.shop.gate.clear()
            # What is asked before the second call fails, and what stores the answer does not.
            trade.workspace.installation.rows("ALTER TABLE conversations RENAME TO conversations_away")
            try:
                trade.model.gate.set()
                trade.shop.wait_for(2)
            finally:
                trade.model.gate.set()
                trade.workspace.installation.rows("ALTER TABLE conversations_away RENAME TO conversations")
            trade.shop.gate.set()
            assert text_of(sent.result()) == "Both are done."
        assert [request.json["note"] for request in trade.shop.received] == ["model", "again"]
        assert [shown["args"]["note"] for shown in action_calls(device, session_id)] == ["model", "again"]

    def test_and_nobody_waited_for_is_noted_as_such(self, trade: Trade, runtime: Runtime) -> None:
        """As where an answer's time is over in the middle of a call: the API has very likely carried it out."""
        device = anonymous(trade.workspace)
        session_id = device.start()
        device.send(session_id, "please")
        trade.declare(UPDATE.format(shop=trade.shop.url, more=""))
        trade.model.script = [call("update_order", EXTRACTED)]
        made = Made()

        async def work() -> None:
            question = await _question(runtime, trade.workspace.id, session_id)
            settings = await runtime.tenancy.responder(trade.workspace.id)
            asking = asyncio.create_task(ask(runtime, settings, question, made))
            # Not by a clock: to load the model's library takes seconds beside other tests.
            await asyncio.to_thread(trade.shop.wait_for, 1, within=20)
            asking.cancel()
            await asyncio.wait([asking])
            assert asking.cancelled()

        with trade.shop.held():
            trade.workspace.installation.run(work())
        assert len(trade.shop.received) == 1
        assert [each["result"]["error"] for each in made.calls] == ["upstream_timeout"]
        assert [(each["action"], each["error"]) for each in made.requests] == [("update_order", "upstream_timeout")]


@pytest.fixture
def runtime(responding: Installation, tmp_path: Path) -> Iterator[Runtime]:
    """What the installation's server has, in this process, but for its files."""
    settings = dataclasses.replace(responding.desk.settings, files_directory=str(tmp_path / "files"))

    async def make() -> Runtime:
        made = await make_runtime(settings, responding.desk.sealer)
        await made.signing_keys.refresh()
        await made.token_endings.refresh()
        return made

    async def close(made: Runtime) -> None:
        await made.outbound.close()
        await made.store.close()

    made = responding.run(make())
    yield made
    responding.run(close(made))


async def _question(runtime: Runtime, workspace_id: str, session_id: str) -> Question:
    conversation = await rows.get(runtime.store, workspace_id, session_id)
    assert conversation is not None
    contact = await runtime.contacts.find_leading(workspace_id, conversation.contact_id)
    assert contact is not None
    history = await rows.history(runtime.store, workspace_id, session_id)
    return Question(conversation, contact, history, history[0], JobInput())
