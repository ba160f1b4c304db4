"""A visitor's messages are answered once each and in order, whatever comes in between."""

from __future__ import annotations

import contextlib
import json
import time
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.fixtures.fake_bot import FakeBot
from tests.fixtures.filled import fill, spoil
from tests.fixtures.front_door import Workspace, refused
from tests.fixtures.responding import ai_texts, answered_by_bot, eventually, text_of
from tests.fixtures.widget import PREFIX, Device, anonymous, new_uuid


class TestOnceAndInOrder:
    def test_two_messages_quickly_are_answered_in_order(self, shop_front: Workspace, bot: FakeBot) -> None:
        answered_by_bot(shop_front, bot)
        device = anonymous(shop_front)
        session_id = device.start()
        with ThreadPoolExecutor(2) as pool, bot.held():
            first = pool.submit(device.send, session_id, "one")
            bot.wait_for(1)
            second = pool.submit(device.send, session_id, "two")
            eventually(lambda: len(device.history(session_id)) == 2)
            assert len(bot.received) == 1  # the second question waits for its turn
            bot.gate.set()
            assert text_of(first.result()) == "You said: one"
            assert text_of(second.result()) == "You said: two"
        assert ai_texts(device, session_id) == ["You said: one", "You said: two"]
        assert [line["text"] for line in bot.asked[1]["history"]] == ["one", "You said: one", "two"]

    def test_a_client_that_hangs_up_finds_the_answer_by_polling(self, shop_front: Workspace, bot: FakeBot) -> None:
        answered_by_bot(shop_front, bot)
        device = anonymous(shop_front)
        session_id = device.start()
        with bot.held():
            with contextlib.suppress(httpx.TimeoutException):
                hasty_send(device, session_id, "hi")
            bot.wait_for(1)
        eventually(lambda: ai_texts(device, session_id) == ["You said: hi"])
        assert len(bot.received) == 1

    def test_a_repeated_uuid_waits_for_the_one_answer(self, shop_front: Workspace, bot: FakeBot) -> None:
        answered_by_bot(shop_front, bot)
        device = anonymous(shop_front)
        session_id = device.start()
        given = new_uuid()
        with ThreadPoolExecutor(3) as pool, bot.held():
            sent = [pool.submit(device.send, session_id, "hi", uuid=given) for _ in range(3)]
            bot.wait_for(1)
            time.sleep(0.3)
            bot.gate.set()
            answers_ = [answer.result() for answer in sent]
        assert [text_of(answer) for answer in answers_] == ["You said: hi"] * 3
        assert len({answer.json()["autopilotResponse"]["id"] for answer in answers_}) == 1
        assert [answer.json().get("code") for answer in answers_].count("duplicate_message_ignored") == 2
        assert len(bot.received) == 1
        assert len(device.history(session_id)) == 2
        late = device.send(session_id, "hi", uuid=given)
        assert (text_of(late), late.json()["code"]) == ("You said: hi", "duplicate_message_ignored")
        assert len(bot.received) == 1

    def test_a_repeated_uuid_is_answered_by_whichever_worker_it_meets(
        self, shop_front: Workspace, bot: FakeBot, second_server: str
    ) -> None:
        answered_by_bot(shop_front, bot)
        device = anonymous(shop_front)
        session_id = device.start()
        given = new_uuid()
        elsewhere = Device(shop_front, device.token, device.scope, base_url=second_server)
        with ThreadPoolExecutor(2) as pool, bot.held():
            here = pool.submit(device.send, session_id, "hi", uuid=given)
            bot.wait_for(1)
            there = pool.submit(elsewhere.send, session_id, "hi", uuid=given)
            time.sleep(0.5)
            bot.gate.set()
            assert text_of(here.result()) == "You said: hi"
            assert text_of(there.result()) == "You said: hi"
        assert len(bot.received) == 1
        # Questions keep their order across workers, too.
        with ThreadPoolExecutor(2) as pool, bot.held():
            first = pool.submit(device.send, session_id, "one")
            bot.wait_for(2)
            second = pool.submit(elsewhere.send, session_id, "two")
            eventually(lambda: len(device.history(session_id)) == 4)
            time.sleep(0.5)
            assert len(bot.received) == 2
            bot.gate.set()
            assert [text_of(first.result()), text_of(second.result())] == ["You said: one", "You said: two"]

    def test_greetings_of_a_first_send_that_was_lost_do_no_harm(self, shop_front: Workspace, bot: FakeBot) -> None:
        answered_by_bot(shop_front, bot)
        device = anonymous(shop_front)
        session_id = device.start()
        greeting = {"uuid": new_uuid(), "content": "Welcome!"}
        device.say(session_id, "hi", initial_messages=[greeting])
        device.say(session_id, "hi again", initial_messages=[greeting])
        same = new_uuid()
        refused(
            device.send(device.start(), uuid=same, initial_messages=[{"uuid": same, "content": "Welcome!"}]),
            409,
            "already_exists",
        )
        assert [kind for kind, _ in device.texts(session_id)] == ["ai", "user", "ai", "user", "ai"]

    def test_only_the_end_of_a_long_chat_is_looked_at(self, shop_front: Workspace, bot: FakeBot) -> None:
        answered_by_bot(shop_front, bot)
        device = anonymous(shop_front)
        session_id = device.start()
        fill(shop_front, session_id, upto=300)
        spoil(shop_front, session_id, 1)
        assert text_of(device.send(session_id, "hi")) == "You said: hi"

    def test_a_question_is_found_however_much_has_come_since(self, shop_front: Workspace, bot: FakeBot) -> None:
        answered_by_bot(shop_front, bot)
        device = anonymous(shop_front)
        session_id = device.start()
        with ThreadPoolExecutor(2) as pool, bot.held():
            first = pool.submit(device.send, session_id, "one")
            bot.wait_for(1)
            second = pool.submit(device.send, session_id, "two")
            eventually(lambda: len(device.history(session_id)) == 2)
            fill(shop_front, session_id, upto=300)
            bot.gate.set()
            assert text_of(first.result()) == "You said: one"
            assert text_of(second.result()) == "You said: two"
        assert [line["text"] for line in bot.asked[1]["history"]] == ["one", "You said: one", "two"]

    def test_what_came_with_a_message_is_gone_once_it_is_answered(self, shop_front: Workspace, bot: FakeBot) -> None:
        answered_by_bot(shop_front, bot)
        device = anonymous(shop_front)
        rows = shop_front.installation.rows
        sql = "SELECT sealed_input FROM responder_jobs WHERE workspace_id = $1"
        session_id = device.start()
        with ThreadPoolExecutor(1) as pool, bot.held():
            sent = pool.submit(device.send, session_id, headers={"Authorization": "Bearer swordfish"})
            bot.wait_for(1)
            [(sealed,)] = rows(sql, shop_front.id)
            assert "swordfish" not in sealed
            bot.gate.set()
            sent.result()
        assert rows(sql, shop_front.id) == []
        assert "swordfish" not in json.dumps(device.history(session_id))


def hasty_send(device: Device, session_id: str, content: str) -> None:
    """Hangs up before the answer."""
    payload = {"uuid": new_uuid(), "session_id": session_id, "content": content}
    with httpx.Client(timeout=httpx.Timeout(5.0, read=0.3), trust_env=False) as client:
        client.post(
            f"{device.workspace.installation.base_url}{PREFIX}/chat/send", json=payload, headers=device.headers()
        )
