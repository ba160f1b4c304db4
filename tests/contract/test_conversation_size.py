"""A conversation takes so much from its visitor and no more, on every wire; who answers in it may go on."""

from __future__ import annotations

from tests.fixtures.cxgenie import App
from tests.fixtures.fake_bot import FakeBot
from tests.fixtures.fake_model import call, say
from tests.fixtures.filled import fill
from tests.fixtures.front_door import Workspace, refused
from tests.fixtures.native_clients import known, problem
from tests.fixtures.puzzel import Front
from tests.fixtures.responding import answered_by_bot, eventually
from tests.fixtures.trading import Trade, action_calls, get
from tests.fixtures.widget import anonymous, new_uuid, reply
from vestibule.conversations.messages import MOST_CHARACTERS, MOST_MESSAGES


class TestTheEnd:
    def test_is_reached_by_number(self, workspace: Workspace) -> None:
        client = known(workspace)
        conversation, last = client.start(), new_uuid()
        fill(workspace, conversation, upto=MOST_MESSAGES - 1)
        kept = client.say(conversation, "the last one", id=last)
        assert kept["seq"] == MOST_MESSAGES
        problem(client.send(conversation, "one more"), 409, "conversation_full")
        assert client.read(conversation).json()["last_message"] == "the last one"
        assert [message["id"] for message in client.messages(conversation, after=MOST_MESSAGES - 1)] == [last]
        again = client.send(conversation, "the last one", id=last)
        assert (again.status_code, again.json()) == (200, kept), "it is told what it was told before"
        client.say(client.start(), "and here it goes on")

    def test_is_reached_by_what_was_written(self, workspace: Workspace) -> None:
        client = known(workspace)
        conversation = client.start()
        each = MOST_CHARACTERS // 128
        fill(workspace, conversation, upto=127, text="€" * each)
        client.say(conversation, "z" * each)
        problem(client.send(conversation, "x"), 409, "conversation_full")

    def test_is_reached_by_what_a_page_sends_along(self, workspace: Workspace) -> None:
        client = known(workspace)
        conversation = client.start()
        fill(workspace, conversation, upto=127, text="x" * (MOST_CHARACTERS // 128))
        problem(client.send(conversation, "x", custom_data={"a": "y" * 40_000}), 409, "conversation_full")
        client.say(conversation, "x", custom_data={"a": "y" * 30_000})

    def test_is_reached_by_what_actions_answered(self, trade: Trade) -> None:
        trade.declare(get(trade.shop, "/orders/1"))
        trade.model.script = [call("look"), say("It is shipped.")]
        visitor = anonymous(trade.workspace)
        session = visitor.start()
        fill(trade.workspace, session, upto=1, text="x" * (MOST_CHARACTERS - 40))
        assert visitor.send(session, "look").status_code == 201
        [shown] = action_calls(visitor, session)
        assert len(shown["result"]["responseBodyText"]) > 20
        refused(visitor.send(session, "x"), 409, "conversation_full")

    def test_is_the_visitor_s_alone(self, shop_front: Workspace, bot: FakeBot) -> None:
        answered_by_bot(shop_front, bot)
        client = known(shop_front)
        conversation = client.start()
        fill(shop_front, conversation, upto=MOST_MESSAGES - 1)
        client.say(conversation, "hi")
        told = eventually(lambda: client.messages(conversation, after=MOST_MESSAGES))
        assert [message["text"] for message in told] == ["You said: hi"]
        assert len(bot.asked[0]["history"]) == 50
        reply(shop_front, conversation, "from people")
        assert client.messages(conversation, after=MOST_MESSAGES + 1)[0]["text"] == "from people"
        assert client.resolve(conversation).status_code == 200


class TestOnOtherWires:
    def test_opencx_counts_checkpoints_as_well(self, workspace: Workspace) -> None:
        visitor = anonymous(workspace)
        session = visitor.start()
        fill(workspace, session, upto=MOST_MESSAGES)
        refused(visitor.send(session), 409, "conversation_full")
        refused(visitor.do("checkpoint", session), 409, "conversation_full")

    def test_opencx_counts_them_before_there_are_many(self, workspace: Workspace) -> None:
        visitor = anonymous(workspace)
        session = visitor.start()
        payload = {"x": "y" * 64_000}
        answers = [visitor.do("checkpoint", session, payload=payload) for _ in range(70)]
        fit = MOST_CHARACTERS // 64_100
        assert [answer.status_code for answer in answers] == [200] * fit + [409] * (70 - fit)
        refused(answers[-1], 409, "conversation_full")

    def test_puzzel(self, front: Front) -> None:
        front.queue()
        bearer, conversation_id = front.visitor(), new_uuid()
        front.route(conversation_id, bearer=bearer)
        fill(front.workspace, conversation_id, upto=MOST_MESSAGES)
        problem(front.say(conversation_id, "x", bearer=bearer), 409, "conversation_full")
        other = new_uuid()
        front.route(other, bearer=bearer)
        assert front.say(other, "x", bearer=bearer).status_code == 201

    def test_cx_genie_s_app_whose_thread_goes_on_in_another(self, workspace: Workspace) -> None:
        app = App(workspace)
        app.start_as_guest()
        app.say("first")
        [(full,)] = workspace.installation.rows("SELECT id FROM conversations WHERE workspace_id = $1", workspace.id)
        fill(workspace, full, upto=MOST_MESSAGES)
        app.say("second")
        counted = workspace.installation.rows("SELECT id FROM conversations WHERE workspace_id = $1", workspace.id)
        assert len(counted) == 2
        assert app.messages(limit=1)[0]["content"] == "second"
