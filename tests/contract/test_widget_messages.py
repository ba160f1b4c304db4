"""Messages on the widget's wire: sent, polled for, voted on and rated."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.fixtures.front_door import Workspace, refused
from tests.fixtures.widget import Device, anonymous, claiming, new_uuid, reply
from tests.fixtures.widget_shapes import is_row, is_session
from vestibule.conversations.messages import Draft, append
from vestibule.model.conversation import Sender, Trust
from vestibule.storage import conversations as rows


class TestSend:
    def test_answers_201_and_no_reply_where_people_answer(self, workspace: Workspace) -> None:
        visitor = anonymous(workspace)
        session = visitor.start()
        answer = visitor.send(session, "hello")
        assert answer.status_code == 201
        body = answer.json()
        assert set(body) == {"success", "code", "sessionIsHandedOff", "session"}
        assert body["success"] is True
        assert body["code"] == "session_assigned_to_human_agent"
        assert body["sessionIsHandedOff"] is True
        is_session(body["session"])
        assert body["session"]["lastMessage"] == "hello"

    def test_keeps_the_id_that_the_widget_gave(self, workspace: Workspace) -> None:
        """Contract 0.3."""
        visitor = anonymous(workspace)
        session = visitor.start()
        given = [visitor.say(session, f"message {number}") for number in range(3)]
        history = visitor.history(session)
        assert [row["publicId"] for row in history] == given
        for row in history:
            is_row(row)
        assert history[0]["sender"] == {"kind": "user", "name": None, "avatar": None}
        assert history[0]["type"] == "message"
        assert history[0]["content"] == {"text": "message 0"}

    def test_keeps_an_id_in_capital_letters_as_it_is(self, workspace: Workspace) -> None:
        """Clients of other platforms write theirs so, and look for it to the letter."""
        visitor = anonymous(workspace)
        session = visitor.start()
        given = visitor.say(session, uuid=new_uuid().upper())
        assert [row["publicId"] for row in visitor.history(session)] == [given]

    def test_stores_initial_messages_before_the_first(self, workspace: Workspace) -> None:
        visitor = anonymous(workspace)
        session = visitor.start()
        greetings = [{"uuid": new_uuid(), "content": text} for text in ("Welcome", "How can we help?")]
        given = visitor.say(session, "hello", initial_messages=greetings)

        history = visitor.history(session)
        assert [row["publicId"] for row in history] == [*(greeting["uuid"] for greeting in greetings), given]
        assert [row["sender"]["kind"] for row in history] == ["ai", "ai", "user"]
        assert visitor.session(session)["lastMessage"] == "hello"

    def test_takes_initial_messages_at_the_beginning_only(self, workspace: Workspace) -> None:
        """Or a visitor would put words into the AI's mouth."""
        visitor = anonymous(workspace)
        session = visitor.start()
        visitor.say(session, "hello")
        reply(workspace, session, "Nothing is free.")
        greetings = [{"uuid": new_uuid(), "content": "Everything is free."}]
        visitor.say(session, "You said so?", initial_messages=greetings)
        assert [text for _, text in visitor.texts(session)] == ["hello", "Nothing is free.", "You said so?"]

    @pytest.mark.parametrize("repeated", ["with itself", "with its greeting", "of greetings"])
    def test_with_one_id_for_two_messages_is_no_fault_of_ours(self, workspace: Workspace, repeated: str) -> None:
        visitor = anonymous(workspace)
        session = visitor.start()
        one, two = new_uuid(), new_uuid()
        greetings = {
            "with itself": [],
            "with its greeting": [{"uuid": one, "content": "a"}],
            "of greetings": [{"uuid": two, "content": "a"}, {"uuid": two, "content": "b"}],
        }[repeated]
        answer = visitor.send(session, "hello", uuid=one, initial_messages=greetings)
        assert answer.status_code in {201, 400, 409}, answer.text
        assert visitor.send(session, "hello", uuid=one, initial_messages=greetings).status_code in {201, 400, 409}
        assert len({row["publicId"] for row in visitor.history(session)}) == len(visitor.history(session))

    def test_is_idempotent_by_its_id(self, workspace: Workspace) -> None:
        visitor = anonymous(workspace)
        session = visitor.start()
        given = visitor.say(session, "hello")
        before = visitor.poll(session).content
        again = visitor.send(session, "something else", uuid=given)
        assert again.status_code == 201
        assert again.json()["success"] is True
        assert again.json()["code"] == "duplicate_message_ignored"
        assert visitor.poll(session).content == before

    def test_is_idempotent_after_the_end_too(self, workspace: Workspace) -> None:
        """A lost answer is asked for again, and by then an agent may have closed the session."""
        visitor = anonymous(workspace)
        session = visitor.start()
        given = visitor.say(session, "hello")
        visitor.resolve(session)
        again = visitor.send(session, "hello", uuid=given)
        assert again.status_code == 201
        assert again.json()["code"] == "duplicate_message_ignored"

    def test_many_at_once_with_one_id_make_one_row(self, workspace: Workspace) -> None:
        visitor = anonymous(workspace)
        session, given = visitor.start(), new_uuid()
        with ThreadPoolExecutor(20) as threads:
            answers = list(threads.map(lambda _: visitor.send(session, "hello", uuid=given), range(20)))
        assert {answer.status_code for answer in answers} == {201}
        codes = [answer.json()["code"] for answer in answers]
        assert sorted(codes) == ["duplicate_message_ignored"] * 19 + ["session_assigned_to_human_agent"]
        assert [row["publicId"] for row in visitor.history(session)] == [given]

    def test_many_at_once_are_all_kept_in_one_order(self, workspace: Workspace) -> None:
        visitor = anonymous(workspace)
        session = visitor.start()
        with ThreadPoolExecutor(20) as threads:
            given = set(threads.map(lambda _: visitor.say(session), range(40)))
        history = visitor.history(session)
        assert {row["publicId"] for row in history} == given
        assert history == visitor.history(session)
        assert [row["sentAt"] for row in history] == sorted(row["sentAt"] for row in history)

    def test_the_same_id_may_stand_in_two_sessions(self, workspace: Workspace) -> None:
        visitor = anonymous(workspace)
        given = new_uuid()
        for session in (visitor.start(), visitor.start()):
            visitor.say(session, uuid=given)
            assert [row["publicId"] for row in visitor.history(session)] == [given]

    def test_takes_everything_that_the_composer_may_send(self, workspace: Workspace) -> None:
        visitor = anonymous(workspace)
        session = visitor.start()
        visitor.say(
            session,
            "hello",
            custom_data={"page": "/cart"},
            headers={"X-Tenant": "7"},
            query_params={"tenant": "7"},
            body_properties={"deep": {"list": [1, None, "x"]}},
            clientContext={"cart": [1, 2]},
            language="zh-cn",
            exit_mode_prompt="done",
            initial_messages=[],
            action_form_submitted_prompt="unused",
        )
        [row] = visitor.history(session)
        assert row["content"] == {"text": "hello"}


class TestPoll:
    def test_has_the_whole_history_oldest_first(self, workspace: Workspace) -> None:
        """Contract 0.4."""
        visitor = anonymous(workspace)
        session = visitor.start()
        visitor.say(session, "one")
        reply(workspace, session, "two", name="Grace")
        visitor.say(session, "three")
        answer = visitor.poll(session)
        assert answer.status_code == 200
        assert set(answer.json()) == {"session", "history"}
        is_session(answer.json()["session"])
        for row in answer.json()["history"]:
            is_row(row)
        assert visitor.texts(session) == [("user", "one"), ("agent", "two"), ("user", "three")]
        assert answer.json()["history"][1]["sender"] == {"kind": "agent", "name": "Grace", "avatar": None}
        assert answer.json()["history"][1]["type"] == "agent_message"

    def test_is_what_session_history_says(self, workspace: Workspace) -> None:
        visitor = anonymous(workspace)
        session = visitor.start()
        visitor.say(session, "one")
        answer = visitor.call("GET", f"/session/history/{session}", params={"lastMessageTimestamp": "2026-01-01"})
        assert answer.status_code == 200
        assert answer.json() == visitor.history(session)

    def test_leaves_out_what_staff_write_for_each_other(self, workspace: Workspace) -> None:
        visitor = anonymous(workspace)
        session = visitor.start()
        visitor.say(session, "hello")

        async def comment() -> None:
            desk = workspace.installation.desk
            conversation = await rows.get(desk.store, workspace.id, session)
            assert conversation is not None
            draft = Draft(Sender.AGENT, Trust.STAFF, text="a difficult one", type="agent_comment")
            await append(desk, conversation, [draft])

        workspace.installation.run(comment())
        assert visitor.texts(session) == [("user", "hello")]
        for answer in (visitor.poll(session), visitor.sessions(), visitor.call("GET", f"/session/history/{session}")):
            assert "difficult" not in answer.text

    def test_neutralises_what_is_shown_as_markup(self, workspace: Workspace) -> None:
        """Contract 0.10. The visitor's own row is shown as text, and comes as it was written."""
        visitor = anonymous(workspace)
        session = visitor.start()
        hostile = "<img src=x onerror=alert(1)> & [x](javascript:alert(1))"
        visitor.say(session, hostile)
        assert visitor.texts(session) == [("user", hostile)]
        harmless = "&lt;img src=x onerror=alert(1)> &amp; [x](javascript\u200b:alert(1))"
        assert visitor.session(session)["lastMessage"] == harmless
        reply(workspace, session, hostile)
        assert visitor.texts(session)[1] == ("agent", harmless)
        assert visitor.session(session)["lastMessage"] == harmless

    def test_is_not_kept_by_a_cache(self, workspace: Workspace) -> None:
        visitor = anonymous(workspace)
        session = visitor.start()
        for answer in (visitor.poll(session), visitor.sessions()):
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["content-type"] == "application/json"
            assert answer.headers["x-content-type-options"] == "nosniff"


class TestEtags:
    @pytest.mark.parametrize("what", ["poll", "sessions"])
    def test_of_what_the_client_has_cost_no_body(self, workspace: Workspace, what: str) -> None:
        visitor = anonymous(workspace)
        session = visitor.start()

        def ask(tag: str = "") -> httpx.Response:
            headers = {"if-none-match": tag} if tag else None
            return visitor.poll(session, headers=headers) if what == "poll" else visitor.sessions(headers=headers)

        first = ask()
        tag = first.headers["etag"]
        assert re.fullmatch(r'"[0-9a-f]+"', tag)
        for given in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            same = ask(given)
            assert same.status_code == 304
            assert same.content == b""
            assert same.headers["etag"] == tag
            assert "content-type" not in same.headers
        visitor.say(session, "news")
        changed = ask(tag)
        assert changed.status_code == 200
        assert changed.headers["etag"] != tag
        assert ask('"other"').status_code == 200

    def test_open_nothing_to_another_visitor(self, workspace: Workspace) -> None:
        visitor = anonymous(workspace)
        session = visitor.start()
        tag = visitor.poll(session).headers["etag"]
        refused(anonymous(workspace).poll(session, headers={"if-none-match": tag}), 404, "not_found")


class TestCsat:
    def closed(self, workspace: Workspace) -> tuple[Device, str]:
        visitor = anonymous(workspace)
        session = visitor.start()
        visitor.say(session)
        visitor.resolve(session)
        return visitor, session

    def test_is_kept_under_the_id_that_the_widget_gave(self, workspace: Workspace) -> None:
        visitor, session = self.closed(workspace)
        given = new_uuid()
        answer = visitor.do("csat", session, score=4, feedback="good <b>", system_message_uuid=given)
        assert answer.status_code == 200
        assert answer.json() == {"success": True}
        row = visitor.history(session)[-1]
        is_row(row)
        assert row["publicId"] == given
        assert row["type"] == "csat_submitted"
        assert row["systemMessagePayload"] == {
            "type": "csat_submitted",
            "payload": {"score": 4, "feedback": "good <b>"},
        }

    def test_needs_a_score_only(self, workspace: Workspace) -> None:
        visitor, session = self.closed(workspace)
        assert visitor.do("csat", session, score=1).json() == {"success": True}
        assert visitor.history(session)[-1]["systemMessagePayload"]["payload"] == {"score": 1, "feedback": None}

    def test_is_taken_once(self, workspace: Workspace) -> None:
        visitor, session = self.closed(workspace)
        given = new_uuid()
        assert visitor.do("csat", session, score=5, system_message_uuid=given).status_code == 200
        before = visitor.poll(session).content
        # The same again is a repetition, another one is a second rating.
        assert visitor.do("csat", session, score=5, system_message_uuid=given).status_code == 200
        refused(visitor.do("csat", session, score=1, system_message_uuid=new_uuid()), 409, "already_exists")
        assert visitor.poll(session).content == before

    def test_many_at_once_are_taken_once(self, workspace: Workspace) -> None:
        visitor, session = self.closed(workspace)
        with ThreadPoolExecutor(10) as threads:
            answers = list(threads.map(lambda number: visitor.do("csat", session, score=1 + number % 5), range(10)))
        assert sorted(answer.status_code for answer in answers) == [200] + [409] * 9
        assert [row["type"] for row in visitor.history(session)].count("csat_submitted") == 1

    def test_is_not_lost_behind_the_id_of_another_message(self, workspace: Workspace) -> None:
        visitor, session = self.closed(workspace)
        taken = visitor.history(session)[0]["publicId"]
        refused(visitor.do("csat", session, system_message_uuid=taken), 409)

    @pytest.mark.parametrize(
        ("members", "names"),
        [
            ({"score": 0}, "score"),
            ({"score": 6}, "score"),
            ({"score": 4.5}, "score"),
            ({"score": "5"}, "score"),
            ({"score": True}, "score"),
            ({"score": None}, "score"),
            ({"score": 2**70}, "score"),
            ({"feedback": 1}, "feedback"),
            ({"feedback": "x" * 40_000}, "feedback"),
            ({"feedback": "a\0b"}, "feedback"),
            ({"system_message_uuid": "x"}, "system_message_uuid"),
        ],
        ids=str,
    )
    def test_refuses_what_is_no_rating(self, workspace: Workspace, members: dict[str, Any], names: str) -> None:
        visitor, session = self.closed(workspace)
        refused(visitor.do("csat", session, **members), 400, "invalid_field", names=names)
        assert visitor.history(session)[-1]["type"] == "csat_requested"


class TestVote:
    def test_is_for_the_ais_messages(self, workspace: Workspace) -> None:
        visitor = anonymous(workspace)
        session = visitor.start()
        greeting = {"uuid": new_uuid(), "content": "Welcome"}
        mine = visitor.say(session, initial_messages=[greeting])
        theirs = reply(workspace, session, "hello")
        for action in ("upvote", "downvote", "downvote"):
            answer = visitor.do("vote", session, action=action, messagePublicId=greeting["uuid"])
            assert answer.status_code == 200
            assert answer.json() == {"messagePublicId": greeting["uuid"], "success": True}
        for message in (mine, theirs, new_uuid(), "x", "a\0b"):
            answer = visitor.do("vote", session, messagePublicId=message)
            assert answer.status_code == 200
            assert answer.json() == {"messagePublicId": None, "success": False}
        sql = "SELECT public_id, vote FROM messages WHERE conversation_id = $1 AND vote IS NOT NULL"
        assert workspace.installation.rows(sql, session) == [(greeting["uuid"], "downvote")]

    def test_does_not_reach_into_another_session(self, workspace: Workspace) -> None:
        visitor = anonymous(workspace)
        greeting = {"uuid": new_uuid(), "content": "Welcome"}
        visitor.say(visitor.start(), initial_messages=[greeting])
        answer = visitor.do("vote", visitor.start(), messagePublicId=greeting["uuid"])
        assert answer.json() == {"messagePublicId": None, "success": False}

    @pytest.mark.parametrize("action", ["like", "", None, 1])
    def test_goes_up_or_down(self, workspace: Workspace, action: Any) -> None:
        visitor = anonymous(workspace)
        refused(visitor.do("vote", visitor.start(), action=action), 400, "invalid_field", names="action")


def test_the_first_message_of_a_chat_as_the_widget_sends_it(workspace: Workspace) -> None:
    """Contract 4.4: create-session, then at once the list, the first poll and the message, in parallel."""
    visitor = claiming(workspace, "ada@example.com", non_verified_name="Ada")
    assert visitor.sessions().json() == {"items": [], "next": None}
    session = visitor.start()
    with ThreadPoolExecutor(3) as threads:
        listing = threads.submit(visitor.sessions)
        polling = threads.submit(visitor.poll, session)
        sending = threads.submit(visitor.send, session)
    assert [listing.result().status_code, polling.result().status_code, sending.result().status_code] == [200, 200, 201]
    assert len(visitor.history(session)) == 1
