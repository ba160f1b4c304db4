"""CX Genie's Socket.IO, by the real client from npm, as the public Flutter client speaks it (contracts 2.5): what is
sent, what is heard, over several processes, and when it ends."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.admin import Admin
from tests.fixtures.cxgenie import App, Sockets
from tests.fixtures.fake_auth_endpoint import FakeAuthEndpoint, configure
from tests.fixtures.fake_bot import Asked, FakeBot
from tests.fixtures.front_door import Installation, Workspace, beside
from tests.fixtures.loopback import Answer, json_answer
from tests.fixtures.native import Client
from tests.fixtures.raw_socket import RawSocket
from tests.fixtures.responding import answered_by_bot, eventually
from tests.fixtures.widget import new_uuid, reply
from vestibule.administration import responders
from vestibule.administration.responders import Change
from vestibule.conversations.messages import Draft, append
from vestibule.model.conversation import Sender, Trust
from vestibule.model.responder import ResponderKind
from vestibule.storage import conversations as rows

ADA = {"id": "u-1", "name": "Ada", "email": "ada@example.com"}
ENDED = "io server disconnect"  # of which the client's documentation says that it does not connect again
TRY_AGAIN = 1013


@pytest.fixture
def workspace(responding: Installation) -> Workspace:
    return responding.workspace()


@pytest.fixture
def app(workspace: Workspace) -> App:
    return App(workspace)


@pytest.fixture(scope="module")
def sockets(responding: Installation) -> Iterator[Sockets]:
    with Sockets(responding.base_url) as running:
        yield running


@pytest.fixture
def fake() -> Iterator[FakeAuthEndpoint]:
    with FakeAuthEndpoint({"ada-session": ADA, "bob-session": {"id": "u-2"}}) as running:
        yield running


def slow_answer(_: Asked) -> Answer:
    time.sleep(0.5)
    return json_answer({"text": "Good day."})


def slow_silence(_: Asked) -> Answer:
    time.sleep(0.5)
    return Answer(204)


def chat_of(app: App) -> str:
    [(found,)] = app.workspace.installation.rows(
        "SELECT id FROM conversations WHERE workspace_id = $1 AND contact_id = $2 ORDER BY created_at DESC LIMIT 1",
        app.workspace.id,
        app.customer["contact_id"],
    )
    return str(found)


def comment(app: App, text: str) -> None:
    """Staff write to each other."""
    desk, chat_id = app.workspace.installation.desk, chat_of(app)

    async def work() -> None:
        chat = await rows.get(desk.store, app.workspace.id, chat_id)
        assert chat is not None
        await append(desk, chat, [Draft(Sender.AGENT, Trust.STAFF, text=text, type="agent_comment")])

    app.workspace.installation.run(work())


class TestTheUnchangedClient:
    def test_sends_and_hears_of_what_it_sent(self, app: App, sockets: Sockets, fake: FakeAuthEndpoint) -> None:
        configure(app.workspace, fake)
        app.start(customer_auth_token="ada-session")
        wire, local_id = sockets.joined(app), new_uuid()
        wire.say(app, "hello <b>there</b>", local_id=local_id)
        told = wire.wait("message.send_success")
        assert told == {"local_id": local_id, "message_id": local_id, "customer_id": app.customer["id"],
                        "sending_status": "sent", "meta_tags": []}  # fmt: skip
        message = wire.wait("message.created")
        # What the client compares: its customer, and what it has shown already.
        assert (message["sender_id"], message["local_id"]) == (app.customer["id"], local_id)
        assert (message["trust"], message["media"], message["type"]) == ("verified", [], "TEXT")
        assert "<b>" not in message["content"]
        assert app.messages() == [message]

    def test_hears_a_person_s_reply(self, app: App, sockets: Sockets) -> None:
        app.start_as_guest()
        wire = sockets.joined(app)
        wire.say(app, "is anybody there?")
        wire.message("is anybody there?")
        reply(app.workspace, chat_of(app), "Good day.", name="Grace")
        message = wire.message("Good day.")
        assert message["receiver_id"] == app.customer["id"]
        assert (message["sender"]["name"], message["bot"]) == ("Grace", None)

    def test_is_counted_at_each_event_where_enforcing_login_would_refuse_it(self, app: App, sockets: Sockets) -> None:
        app.start_as_guest()
        wire = sockets.joined(app)
        for text in ("one", "two"):
            wire.say(app, text)
            wire.message(text)

        admin = Admin(app.workspace.installation, app.workspace.id)

        def written() -> int:
            shown = admin.get("enforcement/preview")["items"]
            return sum(each["count"] for each in shown if (each["surface"], each["reason"]) == ("cxgenie", "write"))

        # The first may be counted a moment before the second.
        assert eventually(lambda: (count := written()) >= 2 and count) == 2

    def test_sees_the_bot_type_and_answer(self, app: App, sockets: Sockets) -> None:
        with FakeBot() as bot:
            desk = app.workspace.installation.desk
            change = Change(kind=ResponderKind.WEBHOOK, url=bot.url)
            bot.reply = slow_answer
            app.workspace.installation.run(responders.change(desk, app.workspace.id, change))
            app.start_as_guest()
            wire = sockets.joined(app)
            wire.say(app, "hello")
            assert wire.wait("is_typing") == {"customer_id": app.customer["id"], "is_typing": True}
            assert wire.wait("is_typing") == {"customer_id": app.customer["id"], "is_typing": False}
            answer = wire.wait("message.created")
            assert (answer["bot"]["id"], answer["receiver_id"]) == (app.workspace.id, app.customer["id"])
            # Each message that the app shows has a socket of its own, which joins no room.
            other = sockets.open()
            other.wait("connect")
            reaction = {"message_id": answer["id"], "customer_id": app.customer["id"], "value": "like"}
            other.emit("message.reaction.create", reaction)
            told = other.wait("message.reaction.created")["message"]
            assert told["id"] == answer["id"]
            assert [each["customer_id"] for each in told["reactions"]["like"]] == [app.customer["id"]]
            assert app.messages()[0]["reactions"] == told["reactions"]
            assert wire.events().count("message.reaction.created") == 0
            other.emit("message.reaction.create", {**reaction, "value": "dislike"}, ack=True)
            assert set(other.wait("ack")["message"]["reactions"]) == {"dislike"}
            for wrong in ({**reaction, "message_id": new_uuid()}, {**reaction, "value": "love"}, "like", None):
                assert other.ask("message.reaction.create", wrong)["error"]["code"] in {
                    "not_found",
                    "invalid_field",
                    "malformed_body",
                }

    def test_sees_it_stop_typing_where_the_bot_says_nothing(self, app: App, sockets: Sockets) -> None:
        with FakeBot() as bot:
            answered_by_bot(app.workspace, bot)
            bot.reply = slow_silence
            app.start_as_guest()
            wire = sockets.joined(app)
            for _ in range(2):  # the first time it changes something of the chat, from then on nothing
                wire.say(app)
                assert wire.wait("is_typing")["is_typing"] is True
                assert wire.wait("is_typing", within=5)["is_typing"] is False

    def test_sees_it_stop_typing_where_people_step_in(self, app: App, sockets: Sockets) -> None:
        with FakeBot() as bot:
            answered_by_bot(app.workspace, bot)
            app.start_as_guest()
            wire = sockets.joined(app)
            with bot.held():
                for command in ("resolve", "take"):
                    wire.say(app)
                    assert wire.wait("is_typing")["is_typing"] is True
                    app.workspace.installation.cli("conversation", command, chat_of(app), "-w", app.workspace.id)
                    assert wire.wait("is_typing", within=5)["is_typing"] is False

    def test_sends_by_a_socket_that_has_joined_nothing(self, app: App, sockets: Sockets) -> None:
        app.start_as_guest()
        wire, other = sockets.joined(app), sockets.open()
        other.wait("connect")
        other.say(app, "a button was pressed")
        assert other.wait("message.send_success")["customer_id"] == app.customer["id"]
        assert wire.wait("message.created")["content"] == "a button was pressed"
        assert "message.created" not in other.events()

    def test_comes_back_after_a_day_by_reading_as_it_does(self, app: App, sockets: Sockets) -> None:
        app.start_as_guest()
        over = "UPDATE socket_rooms SET expires_at = 1 WHERE workspace_id = $1 RETURNING room_hash"
        assert app.workspace.installation.rows(over, app.workspace.id)
        wire = sockets.open()
        wire.wait("connect")
        wire.emit("room.conversation.join", app.customer["id"])
        assert wire.wait("disconnect") == ENDED
        assert app.messages() == []
        sockets.joined(app)

    def test_is_stored_once_however_often_it_sends(self, app: App, sockets: Sockets) -> None:
        app.start_as_guest()
        wire, local_id = sockets.joined(app), new_uuid()
        for _ in range(3):
            wire.say(app, "once", local_id=local_id)
            wire.wait("message.send_success")
        assert [message["content"] for message in app.messages()] == ["once"]

    def test_finds_its_own_message_by_an_id_in_capital_letters(self, app: App, sockets: Sockets) -> None:
        """It looks for it to the letter, and would show the message a second time."""
        app.start_as_guest()
        wire, local_id = sockets.joined(app), new_uuid().upper()
        wire.say(app, "once", local_id=local_id)
        assert wire.wait("message.send_success")["message_id"] == local_id
        assert wire.wait("message.created")["local_id"] == local_id
        wire.say(app, "once", local_id=local_id)
        assert wire.wait("message.send_success")["message_id"] == local_id
        assert [message["local_id"] for message in app.messages()] == [local_id]

    def test_is_told_what_was_wrong(self, app: App, sockets: Sockets) -> None:
        app.start_as_guest()
        wire = sockets.joined(app)
        wire.say(app, " ", local_id="mine")
        told = wire.wait("message.send_error")
        assert (told["local_id"], told["error"]["code"]) == ("mine", "invalid_field")
        wire.emit("message.bot.create", {"customer_id": app.customer["id"], "content": 7}, ack=True)
        assert wire.wait("ack")["error"]["code"] == "invalid_field"
        wire.say(app, "the socket goes on")
        assert wire.wait("message.created")["content"] == "the socket goes on"

    def test_is_told_when_it_may_not_send_just_now(self, app: App, tmp_path: Path) -> None:
        """Nor when the database is away, which is told at the same place."""
        app.start_as_guest()
        settings = {"rate_limit_requests": "1"}
        with beside(app.workspace.installation, tmp_path, **settings) as server, Sockets(server.base_url) as sockets:
            wire = sockets.joined(app)
            wire.say(app, "too soon", local_id="mine")
            told = wire.wait("message.send_error")
            assert (told["local_id"], told["error"]["code"]) == ("mine", "rate_limited")

    def test_comes_back_where_it_may_not_join_just_now(self, app: App, tmp_path: Path) -> None:
        """As where the database is away (test_database_away.py)."""
        app.start_as_guest()
        with beside(app.workspace.installation, tmp_path, rate_limit_requests="1") as server:
            with RawSocket.connected(server.base_url) as wire:
                for _ in range(2):
                    wire.emit("room.conversation.join", app.customer["id"])
                assert wire.texts() == ([], TRY_AGAIN)
            with RawSocket(server.base_url) as wire:
                wire.text()
                wire.send("40" + json.dumps({"token": app.token}))
                assert wire.texts() == ([], TRY_AGAIN)

    def test_leaves_its_room(self, app: App, sockets: Sockets) -> None:
        app.start_as_guest()
        wire, other = sockets.joined(app), sockets.joined(app)
        assert wire.ask("room.conversation.leave", app.customer["id"]) == {"success": True}
        app.say("by HTTP")
        other.message("by HTTP")
        assert "message.created" not in wire.events()


class TestARoom:
    def test_is_heard_in_every_process(self, app: App, sockets: Sockets, second_server: str) -> None:
        app.start_as_guest()
        here, there = sockets.joined(app), sockets.joined(app, url=second_server)
        here.say(app, "from the first")
        assert there.wait("message.created")["content"] == "from the first"
        there.say(app, "from the second")
        assert here.message("from the second")["sender_id"] == app.customer["id"]

    def test_is_a_person_s_on_every_device(self, app: App, sockets: Sockets, fake: FakeAuthEndpoint) -> None:
        configure(app.workspace, fake)
        app.start(customer_auth_token="ada-session")
        second = App(app.workspace)
        second.start(customer_auth_token="ada-session")
        assert second.customer["contact_id"] == app.customer["contact_id"]
        assert second.customer["id"] != app.customer["id"]
        wire, other = sockets.joined(app), sockets.joined(second)
        wire.say(app, "hello")
        assert other.wait("message.created")["sender_id"] == second.customer["id"]

    def test_of_a_guest_is_this_device_s(self, app: App, sockets: Sockets) -> None:
        stranger = App(app.workspace)
        app.start_as_guest()
        stranger.start_as_guest()
        wire, other = sockets.joined(app), sockets.joined(stranger)
        wire.say(app, "a secret")
        wire.wait("message.created")
        other.say(stranger, "mine")
        assert other.wait("message.created")["content"] == "mine"
        assert other.events().count("message.created") == 1

    def test_of_a_new_chat_behind_a_closed_one_is_the_same(self, app: App, sockets: Sockets) -> None:
        app.start_as_guest()
        wire = sockets.joined(app)
        wire.say(app, "first")
        wire.message("first")
        native = Client(app.workspace, app.token)
        native.resolve(chat_of(app))
        wire.say(app, "second")
        wire.message("second")
        reply(app.workspace, chat_of(app), "Again?")
        wire.message("Again?")

    def test_shows_nothing_internal(self, app: App, sockets: Sockets) -> None:
        app.start_as_guest()
        wire = sockets.joined(app)
        wire.say(app, "hello")
        wire.message("hello")
        comment(app, "a difficult one")
        reply(app.workspace, chat_of(app), "Good day.")
        assert wire.wait("message.created")["content"] == "Good day."


class TestItEnds:
    def test_when_the_visitor_signs_out(self, app: App, sockets: Sockets, fake: FakeAuthEndpoint) -> None:
        configure(app.workspace, fake)
        app.start(customer_auth_token="ada-session")
        wire = sockets.joined(app)
        native = Client(app.workspace, app.token)
        assert native.call("POST", "/v1/me/sign-out").status_code in {200, 204}
        assert wire.wait("refused", within=5)["code"] == "invalid_token"
        assert wire.wait("disconnect", within=5) == ENDED
        again = sockets.open()
        again.wait("connect")
        again.emit("room.conversation.join", app.customer["id"])
        assert again.wait("disconnect") == ENDED

    def test_when_an_operator_signs_the_contact_out(
        self, app: App, sockets: Sockets, fake: FakeAuthEndpoint, second_server: str
    ) -> None:
        configure(app.workspace, fake)
        app.start(customer_auth_token="ada-session")
        here, there = sockets.joined(app), sockets.joined(app, url=second_server)
        app.workspace.installation.cli("contact", "sign-out", app.customer["contact_id"], "-w", app.workspace.id)
        for wire in (here, there):
            assert wire.wait("disconnect", within=5) == ENDED

    def test_when_the_contact_is_erased(self, app: App, sockets: Sockets, fake: FakeAuthEndpoint) -> None:
        configure(app.workspace, fake)
        app.start(customer_auth_token="ada-session")
        wire = sockets.joined(app)
        installation = app.workspace.installation
        count = "SELECT COUNT(*) FROM socket_rooms WHERE workspace_id = $1"
        assert installation.rows(count, app.workspace.id) == [(1,)]
        installation.cli("contact", "erase", app.customer["contact_id"], "-w", app.workspace.id, "--yes")
        assert wire.wait("disconnect", within=5) == ENDED
        assert installation.rows(count, app.workspace.id) == [(0,)]

    def test_when_login_becomes_required(self, app: App, sockets: Sockets, fake: FakeAuthEndpoint) -> None:
        app.start_as_guest()
        wire = sockets.joined(app)
        configure(app.workspace, fake, required_login=True)
        assert wire.wait("refused", within=6)["code"] == "login_required"
        assert wire.wait("disconnect", within=5) == ENDED
        again = sockets.open()
        again.wait("connect")
        again.say(app, "hello")
        assert again.wait("refused")["code"] == "login_required"
        assert again.wait("disconnect") == ENDED

    def test_not_when_the_network_does(self, app: App, sockets: Sockets) -> None:
        app.start_as_guest()
        wire = sockets.joined(app)
        wire.say(app, "before")
        wire.message("before")
        wire.drop()
        wire.wait("disconnect")
        reply(app.workspace, chat_of(app), "meanwhile")
        # The client comes back by itself, and joins as it does whenever it connects.
        wire.wait("connect")
        wire.emit("room.conversation.join", app.customer["id"])
        wire.message("meanwhile")

    def test_nor_when_the_server_crashes(self, app: App, tmp_path: Path) -> None:
        app.start_as_guest()
        with beside(app.workspace.installation, tmp_path) as server, Sockets(server.base_url) as sockets:
            wire = sockets.joined(app)
            wire.say(app, "before")
            wire.message("before")
            server.kill()
            wire.wait("disconnect")
            server.start()
            wire.wait("connect")
            wire.emit("room.conversation.join", app.customer["id"])
            wire.say(app, "after")
            wire.message("after")
            # And a server that is told to stop does not wait for them.
            server.stop()
            wire.wait("disconnect")
            assert "unexpected error" not in server.log()
