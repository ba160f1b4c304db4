"""An answer takes as long as a model and the customer's API take: what changes meanwhile counts, and what was done by
then is in the history once."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.fixtures.admin import Admin
from tests.fixtures.fake_bot import FakeBot
from tests.fixtures.fake_model import call, say
from tests.fixtures.fake_provider import FakeProvider
from tests.fixtures.front_door import Installation, Workspace
from tests.fixtures.puzzel import Front
from tests.fixtures.responding import answered_by_bot, answered_by_model, eventually, text_of
from tests.fixtures.trading import EXTRACTED, UPDATE, Trade, action_calls
from tests.fixtures.widget import Device, anonymous, claims_of, verified
from vestibule.administration import contacts, workspaces
from vestibule.app import make_runtime
from vestibule.clock import now_ms
from vestibule.responder.language_model import ask
from vestibule.responder.question import JobInput, Made, Question
from vestibule.responder.runner import NOTICE
from vestibule.runtime import Runtime
from vestibule.storage import conversations as rows
from vestibule.storage import token_endings
from vestibule.storage.token_endings import EVERYWHERE, NO_SESSION, Ending

# An answer is held back until the server knows of a sign-out: at most two seconds by itself, more beside other tests.
PATIENT_MS = 30_000
# Of writing at once after an ending: the server, which looks every two seconds, may look just in between.
TRIES = 5


def sign_out(device: Device) -> None:
    """Returns once the server knows."""
    workspace = device.workspace
    workspace.installation.run(contacts.sign_out(workspace.installation.desk, workspace.id, device.contact_id))
    eventually(lambda: device.sessions().status_code == 401, within=5)


def disable(device: Device) -> None:
    """The workspace; returns once the server knows."""
    workspace = device.workspace
    workspace.installation.run(workspaces.change(workspace.installation.desk, workspace.id, disabled=True))
    eventually(lambda: device.sessions().status_code == 403, within=5)


def end_unseen(workspace: Workspace, contact_id: str, kind: str = "") -> None:
    """Ends a contact's tokens as another process does: the server will know with its next look."""
    now, store = now_ms(), workspace.installation.desk.store
    ending = Ending(workspace.id, contact_id, kind, now)
    workspace.installation.run(token_endings.insert(store, ending, now))


def rows_of(workspace: Workspace, session_id: str) -> list[dict[str, object]]:
    """The history as staff have it."""
    found: list[dict[str, object]] = Admin(workspace.installation, workspace.id).get(
        f"conversations/{session_id}/messages"
    )["items"]
    return found


class TestSignedOut:
    @pytest.mark.parametrize("end", [sign_out, disable])
    def test_nobody_is_acted_for_and_people_take_over(self, trade: Trade, end: Callable[[Device], None]) -> None:
        trade.declare(UPDATE.format(shop=trade.shop.url, more=""))
        trade.model.script = [call("update_order", EXTRACTED)]
        device = verified(trade.workspace)
        session_id = device.start()
        with ThreadPoolExecutor(1) as pool, trade.model.held():
            sent = pool.submit(device.send, session_id)
            trade.model.wait_for(1)
            end(device)
            trade.model.gate.set()
            assert sent.result().status_code == 201
        assert trade.shop.received == []
        texts = [row["text"] for row in rows_of(trade.workspace, session_id)]
        assert NOTICE in texts
        chat = Admin(trade.workspace.installation, trade.workspace.id).get(f"conversations/{session_id}")
        assert chat["handed_off"] is True

    @pytest.mark.parametrize("kind", ["", EVERYWHERE])
    def test_nobody_is_acted_for_who_wrote_before_the_server_knew(self, trade: Trade, kind: str) -> None:
        """What is written in these two seconds is later than the sign-out, and by a token that is not."""
        answered_by_model(trade.workspace, trade.model, timeout_ms=PATIENT_MS)
        trade.declare(UPDATE.format(shop=trade.shop.url, more=""))
        tries = (_written_unseen(trade, f"ada{number}@example.com", kind) for number in range(TRIES))
        session_id = next(filter(None, tries), None)
        assert session_id is not None, "the server always knew"
        assert trade.shop.received == []
        assert NOTICE in [row["text"] for row in rows_of(trade.workspace, session_id)]
        chat = Admin(trade.workspace.installation, trade.workspace.id).get(f"conversations/{session_id}")
        assert chat["handed_off"] is True

    @pytest.mark.parametrize("whose", ["the person's", "the guest's"])
    def test_nor_who_is_somebody_in_one_chat_by_a_guest_s_token(
        self, front: Front, fake: FakeProvider, bot: FakeBot, whose: str
    ) -> None:
        """Which stands on both: what ended the person's tokens, and what ended the guest's."""
        answered_by_bot(front.workspace, bot, timeout_ms=PATIENT_MS)
        front.queue()

        def is_accepted(chat: str) -> bool:
            guest, known = _identified(front, fake, chat)
            asked = len(bot.received)
            with bot.held():
                assert front.say(chat, "one", bearer=guest).status_code == 201
                bot.wait_for(asked + 1)
                if whose == "the person's":
                    end_unseen(front.workspace, known["contactId"], NO_SESSION)
                else:
                    end_unseen(front.workspace, claims_of(guest)["sub"])
                sent = front.say(chat, "two", bearer=guest)
                look = f"/api/conversation/{chat}/messages"
                refused = 404 if whose == "the person's" else 401
                eventually(lambda: front.call("GET", look, bearer=guest).status_code == refused, within=5)
            assert sent.status_code in {201, refused}, sent.text
            return sent.status_code == 201

        assert any(is_accepted(f"chat-{number}") for number in range(TRIES)), "the server always knew"
        _people_take_over(front)
        assert "two" not in [asked["message"]["text"] for asked in bot.asked]

    def test_nor_where_the_proof_of_this_one_chat_has_ended(
        self, front: Front, fake: FakeProvider, bot: FakeBot
    ) -> None:
        """By the token that was given for it, which is not the guest's own, and ends alone."""
        answered_by_bot(front.workspace, bot, timeout_ms=PATIENT_MS)
        front.queue()
        guest, known = _identified(front, fake, "chat-1")
        with bot.held():
            assert front.say("chat-1", "one", bearer=guest).status_code == 201
            bot.wait_for(1)
            assert front.say("chat-1", "two", bearer=guest).status_code == 201
            assert front.clear_identity("chat-1", bearer=guest).status_code == 200
            eventually(lambda: front.workspace.me(known["contactToken"]).status_code == 401, within=5)
        _people_take_over(front)
        assert [asked["message"]["text"] for asked in bot.asked] == ["one"]

    @pytest.mark.parametrize("end", [sign_out, disable])
    def test_a_message_that_waits_behind_another_is_not_shown_to_the_responder(
        self, shop_front: Workspace, bot: FakeBot, end: Callable[[Device], None]
    ) -> None:
        answered_by_bot(shop_front, bot, timeout_ms=PATIENT_MS)
        device = verified(shop_front)
        session_id = device.start()
        with ThreadPoolExecutor(2) as pool, bot.held():
            first = pool.submit(device.send, session_id, "one")
            bot.wait_for(1)
            second = pool.submit(device.send, session_id, "two")
            eventually(lambda: [row["text"] for row in rows_of(shop_front, session_id)] == ["one", "two"])
            end(device)
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
        eventually(lambda: (answer,) in _texts(front))
        assert len(bot.received) == asked


def _written_unseen(trade: Trade, email: str, kind: str) -> str | None:
    """The chat in which somebody, signed out already, has written what the model wants an action for by the time that
    the server knows; None where it knew at once."""
    trade.model.script = [call("update_order", EXTRACTED)]
    device = verified(trade.workspace, email)
    session_id, asked = device.start(), len(trade.model.received)
    with ThreadPoolExecutor(1) as pool, trade.model.held():
        end_unseen(trade.workspace, device.contact_id, kind)
        sent = pool.submit(device.send, session_id)
        eventually(lambda: sent.done() or len(trade.model.received) > asked)
        wanted = len(trade.model.received) > asked
        eventually(lambda: device.sessions().status_code == 401, within=5)
        trade.model.gate.set()
        assert sent.result().status_code == 201 or not wanted
    return session_id if wanted else None


def _identified(front: Front, fake: FakeProvider, chat: str) -> tuple[str, dict[str, Any]]:
    """The bearer of a guest who is somebody known in this one chat, and what they were told."""
    guest, token = front.visitor(), fake.id_token(sub=chat, email=f"{chat}@example.com")
    known = front.route(chat, bearer=guest, proof=front.proof(token))
    assert known.status_code == 200, known.text
    told: dict[str, Any] = known.json()
    return guest, told


def _people_take_over(front: Front) -> None:
    eventually(lambda: (NOTICE,) in _texts(front))


def _texts(front: Front) -> list[tuple[Any, ...]]:
    texts = "SELECT text FROM messages WHERE workspace_id = $1"
    return front.workspace.installation.rows(texts, front.workspace.id)


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
