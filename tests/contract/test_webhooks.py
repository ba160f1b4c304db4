"""What a workspace's own servers are told, by a real server process to a real listener that checks every signature."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.fake_bot import FakeBot, why_forged
from tests.fixtures.fake_provider import FakeProvider
from tests.fixtures.front_door import Installation, Workspace
from tests.fixtures.loopback import Answer, Loopback, Received
from tests.fixtures.native import CONVERSATIONS, Client
from tests.fixtures.puzzel import Front
from tests.fixtures.responding import RESPONDING_SETTINGS, answered_by_bot
from tests.fixtures.server import RunningServer
from tests.fixtures.widget import Device, anonymous, new_uuid, reply, unverified_token, verified

# Three tries, a moment apart.
SETTINGS = {**RESPONDING_SETTINGS, "VESTIBULE_WEBHOOK_RETRIES": "300ms,400ms", "VESTIBULE_WEBHOOK_TIMEOUT": "1s"}


class Listener(Loopback):
    """A customer's server that is told of events. `say` gives its answer to the request of this number, from 1 on."""

    def __init__(self) -> None:
        super().__init__()
        self.say: Callable[[int], Answer] = lambda _: Answer(204)

    def answer(self, _request: Received) -> Answer:
        return self.say(len(self.received))

    def told(self, count: int, *, within: float = 10.0) -> list[dict[str, Any]]:
        """The bodies of exactly so many requests, in the order of what they tell."""
        bodies = [request.json for request in self.wait_for(count, within=within)]
        assert len(bodies) == count
        return sorted(bodies, key=lambda body: body.get("timestamp") or body["data"]["timestamp"])


class Subscribed:
    """A workspace with an endpoint at the listener."""

    def __init__(self, workspace: Workspace, listener: Listener, *options: str) -> None:
        self.workspace, self.listener = workspace, listener
        self.made = self.command("set", "--url", listener.url + "/events?token=hush", *options)
        self.id, self.secret = self.made["id"], self.made["secret"]

    def command(self, verb: str, *arguments: str) -> dict[str, Any]:
        return self.workspace.installation.cli("webhook", verb, *arguments, "--workspace", self.workspace.id)

    @property
    def listed(self) -> dict[str, Any]:
        found: dict[str, Any] = self.command("list")["items"][0]
        return found

    def until(self, *, waiting: int, dead: int) -> None:
        deadline = time.monotonic() + 10
        while (self.listed["waiting"], self.listed["dead"]) != (waiting, dead):
            assert time.monotonic() < deadline, self.listed
            time.sleep(0.1)

    def queued(self) -> list[tuple[Any, ...]]:
        sql = "SELECT kind, contact_id, data FROM webhook_deliveries WHERE workspace_id = $1"
        return self.workspace.installation.rows(sql, self.workspace.id)


@pytest.fixture(scope="module")
def telling(
    session_settings: dict[str, str], module_database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    settings = {**session_settings, **SETTINGS, "VESTIBULE_DATABASE_URL": module_database_url}
    with RunningServer(settings, tmp_path_factory.mktemp("telling")) as server, Installation(server) as installation:
        yield installation


@pytest.fixture
def front(telling: Installation) -> Workspace:
    return telling.workspace()


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener() as running:
        yield running


def kinds(bodies: list[dict[str, Any]]) -> list[str]:
    return [body["type"] for body in bodies]


def test_a_chat_is_told_from_the_proof_to_the_end(front: Workspace, listener: Listener, bot: FakeBot) -> None:
    answered_by_bot(front, bot)
    subscribed = Subscribed(front, listener)
    ada = verified(front)
    session_id = ada.start()
    ada.say(session_id, "hello")
    reply(front, session_id, "A human now.")
    assert ada.resolve(session_id).status_code == 200
    told = listener.told(7)
    assert sorted(kinds(told)) == [
        "contact.verified",
        "conversation.closed",
        "conversation.handed_off",
        *["conversation.message"] * 3,
        "conversation.started",
    ]
    assert [why_forged(request, subscribed.secret) for request in listener.received] == [None] * 7
    assert len({request.headers["webhook-id"] for request in listener.received}) == 7
    assert {body["workspace_id"] for body in told} == {front.id}
    assert {body["data"]["contact_id"] for body in told} == {ada.contact_id}
    assert {body["data"]["verified"] for body in told} == {True}
    messages = [body["data"]["message"] for body in told if body["type"] == "conversation.message"]
    assert [(each["sender"], each["trust"]) for each in messages] == [
        ("user", "verified"),
        ("ai", "system"),
        ("agent", "staff"),
    ]
    [closed] = [body for body in told if body["type"] == "conversation.closed"]
    assert closed["data"]["closed_by"] == "contact"
    assert closed["data"]["status"] == "closed_resolved"
    # Ids, trust and what changed: nobody's words, name or e-mail.
    everything = b"".join(request.body for request in listener.received)
    assert not any(text in everything for text in (b"hello", b"human now", b"ada@example.com", b"Grace"))
    subscribed.until(waiting=0, dead=0)


def test_what_operators_do_to_contacts_is_told(front: Workspace, listener: Listener) -> None:
    subscribed = Subscribed(front, listener)
    ada, bob = verified(front), verified(front, "bob@example.com")
    run, into = front.installation.cli, ("--workspace", front.id)
    run("contact", "merge", bob.contact_id, ada.contact_id, *into)
    run("contact", "unmerge", bob.contact_id, *into)
    listener.wait_for(4)
    run("contact", "erase", bob.contact_id, "--yes", *into)
    told = listener.told(5)
    changes = {body["type"]: body["data"] for body in told if body["type"] != "contact.verified"}
    assert changes == {
        "contact.merged": {"contact_id": bob.contact_id, "merged_into": ada.contact_id},
        "contact.unmerged": {"contact_id": bob.contact_id, "unmerged_from": ada.contact_id},
        "contact.erased": {"contact_id": bob.contact_id},
    }
    assert all(why_forged(request, subscribed.secret) is None for request in listener.received)


def test_who_was_known_before_is_no_news(front: Workspace, listener: Listener) -> None:
    Subscribed(front, listener, "--event", "contact.verified")
    verified(front)
    listener.wait_for(1)
    verified(front, name="Ada, renamed")
    anonymous(front).start()
    verified(front, "bob@example.com")
    told = listener.told(2)
    assert [body["data"]["conversation_id"] for body in told] == [None, None]
    assert len({body["data"]["contact_id"] for body in told}) == 2


def test_a_guest_s_conversation_that_becomes_a_person_s_is_told(front: Workspace, listener: Listener) -> None:
    token, contact_id = front.sign_in("ada@example.com")
    guest = Client(front, unverified_token(front, email="ada@example.com"))
    conversation_id = guest.start(new_uuid())
    Subscribed(front, listener, "--event", "contact.verified")
    for _ in range(2):
        answer = guest.call("POST", f"{CONVERSATIONS}/{conversation_id}/identity", {"contact_token": token})
        assert answer.status_code == 200, answer.text
    [told] = listener.told(1)
    assert told["data"] == {"contact_id": contact_id, "verified": True, "conversation_id": conversation_id}


def test_only_what_was_asked_for_and_a_message_sent_twice_once(front: Workspace, listener: Listener) -> None:
    Subscribed(front, listener, "--event", "conversation.message")
    guest = anonymous(front)
    session_id, given = guest.start(), new_uuid()
    guest.send(session_id, "hi", uuid=given)
    guest.send(session_id, "hi", uuid=given)
    guest.send(session_id, "there")
    told = listener.told(2)
    assert kinds(told) == ["conversation.message"] * 2
    assert [body["data"]["message"]["trust"] for body in told] == ["unverified"] * 2
    assert told[0]["data"]["message"]["id"] == given
    time.sleep(1.5)
    assert len(listener.received) == 2


def test_the_names_of_opencx(front: Workspace, listener: Listener, bot: FakeBot) -> None:
    answered_by_bot(front, bot)
    subscribed = Subscribed(front, listener, "--names", "opencx")
    guest = anonymous(front)
    session_id = guest.start()
    guest.say(session_id)
    reply(front, session_id, "A human now.")
    guest.resolve(session_id)
    told = listener.told(6)
    assert sorted(body["event"] for body in told) == [
        "conversation.agent_response",
        "conversation.ai_response",
        "conversation.closed",
        "conversation.contact_response",
        "conversation.handoff_to_human",
        "conversation.started",
    ]
    for body in told:
        assert body.keys() == {"event", "organization_id", "data"}
        assert body["organization_id"] == front.id
        assert body["data"]["conversation_id"] == session_id
        assert body["data"]["contact"] == {"id": guest.contact_id}
    data = {body["event"]: body["data"] for body in told}
    assert data["conversation.started"]["assignee"] == {"type": "AI"}
    assert data["conversation.handoff_to_human"]["assignee"] == {"type": "human"}
    assert data["conversation.closed"]["closed_by"] == "contact"
    assert all(why_forged(request, subscribed.secret) is None for request in listener.received)


def test_what_a_page_says_that_it_has_shown_is_nobody_s_message(front: Workspace, listener: Listener) -> None:
    """Whoever has the public token of the widget can send one; told, it would be an answer of the AI's."""
    subscribed = Subscribed(front, listener, "--names", "opencx", "--event", "conversation.message")
    guest = anonymous(front)
    guest.say(guest.start(), initial_messages=[{"uuid": new_uuid(), "content": "Your refund is approved."}])
    listener.wait_for(1)
    subscribed.until(waiting=0, dead=0)
    assert [request.json["event"] for request in listener.received] == ["conversation.contact_response"]


def test_a_failure_and_a_time_out_are_tried_again_with_the_same_id_and_body(
    front: Workspace, listener: Listener
) -> None:
    listener.say = lambda number: {1: Answer(500), 2: Answer(204, wait=1.5)}.get(number, Answer(204))
    subscribed = Subscribed(front, listener, "--event", "conversation.started")
    anonymous(front).start()
    first, second, third = listener.wait_for(3)
    assert first.body == second.body == third.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == third.headers["webhook-id"]
    assert all(why_forged(request, subscribed.secret) is None for request in listener.received)
    assert second.at - first.at >= 0.3
    assert third.at - second.at >= 1.4
    subscribed.until(waiting=0, dead=0)
    time.sleep(1.5)
    assert len(listener.received) == 3


def test_a_dead_letter_is_kept_and_replayed(front: Workspace, listener: Listener) -> None:
    listener.say = lambda _: Answer(302, headers={"location": listener.url})
    subscribed = Subscribed(front, listener, "--event", "conversation.started")
    guest = anonymous(front)
    session_ids = {guest.start(), guest.start()}
    subscribed.until(waiting=0, dead=2)
    letters = subscribed.command("dead", subscribed.id)["items"]
    assert [(letter["kind"], letter["attempts"]) for letter in letters] == [("conversation.started", 3)] * 2
    assert all(letter["problem"].startswith("upstream_redirect") for letter in letters)
    assert "hush" not in json.dumps(letters)
    assert len(listener.received) == 6
    listener.say = lambda _: Answer(204)
    assert subscribed.command("replay", subscribed.id, "--event", letters[0]["id"]) == {"replayed": 1}
    listener.wait_for(7)
    assert listener.received[6].headers["webhook-id"] == f"msg_{letters[0]['id']}"
    subscribed.until(waiting=0, dead=1)
    assert subscribed.command("replay", subscribed.id) == {"replayed": 1}
    listener.wait_for(8)
    assert {request.json["data"]["conversation_id"] for request in listener.received[6:]} == session_ids
    subscribed.until(waiting=0, dead=0)
    command = ("webhook", "replay", subscribed.id, "--event", letters[0]["id"], "-w", front.id, "--json")
    front.installation.command(*command).refused("not_found")


def test_two_secrets_sign_while_the_receiver_changes(front: Workspace, listener: Listener) -> None:
    subscribed = Subscribed(front, listener, "--event", "conversation.started")
    changed = subscribed.command("set", "--id", subscribed.id, "--rotate-secret")
    assert changed["secrets"] == 2
    guest = anonymous(front)
    guest.start()
    [request] = listener.wait_for(1)
    assert why_forged(request, subscribed.secret) is None
    assert why_forged(request, changed["secret"]) is None
    forgotten = subscribed.command("set", "--id", subscribed.id, "--forget-old-secret")
    assert "secret" not in forgotten
    guest.start()
    request = listener.wait_for(2)[1]
    assert why_forged(request, subscribed.secret) is not None
    assert why_forged(request, changed["secret"]) is None


def test_secrets_and_queries_are_sealed_and_not_shown(front: Workspace, listener: Listener) -> None:
    subscribed = Subscribed(front, listener)
    assert subscribed.secret.startswith("whsec_")
    assert "secret" not in subscribed.listed
    assert "hush" not in json.dumps([subscribed.made, subscribed.listed])
    kept = str(front.installation.rows("SELECT * FROM webhook_endpoints WHERE workspace_id = $1", front.id))
    assert not any(text in kept for text in (subscribed.secret, "hush", listener.url))


@pytest.mark.parametrize(
    "url", ["https://10.0.0.1/", "https://169.254.169.254/latest", "http://example.com/", "file:///"]
)
def test_an_address_that_may_not_be_called_is_refused(front: Workspace, url: str) -> None:
    command = ("webhook", "set", "--url", url, "--workspace", front.id, "--json")
    as_shipped = {"VESTIBULE_PRIVATE_HOSTS": ""}
    front.installation.command(*command, settings=as_shipped).refused("invalid_field", names="url")


def test_an_address_is_checked_again_when_it_is_called(front: Workspace) -> None:
    allowed = {"VESTIBULE_PRIVATE_HOSTS": "10.0.0.0/8"}
    options = ("--url", "http://10.255.255.1/", "--workspace", front.id, "--json")
    made = front.installation.command("webhook", "set", *options, settings=allowed).json
    anonymous(front).start()
    deadline = time.monotonic() + 10
    letters: list[dict[str, Any]] = []
    while not letters and time.monotonic() < deadline:
        time.sleep(0.2)
        letters = front.installation.cli("webhook", "dead", made["id"], "--workspace", front.id)["items"]
    assert letters[0]["problem"].startswith("upstream_forbidden")


def test_erasing_somebody_forgets_what_was_still_to_be_told_of_them(front: Workspace, listener: Listener) -> None:
    listener.say = lambda _: Answer(500)
    subscribed = Subscribed(front, listener)
    ada, bob = verified(front), verified(front, "bob@example.com")
    ada.say(ada.start())
    bob.start()
    subscribed.until(waiting=0, dead=5)
    front.installation.cli("contact", "erase", ada.contact_id, "--yes", "--workspace", front.id)
    left = subscribed.queued()
    assert [kind for kind, _, data in left if ada.contact_id in data] == ["contact.erased"]
    assert len([1 for _, contact_id, _ in left if contact_id == bob.contact_id]) == 2


def test_a_removed_endpoint_is_told_nothing_more(front: Workspace, listener: Listener) -> None:
    listener.say = lambda _: Answer(500)
    subscribed = Subscribed(front, listener)
    guest = anonymous(front)
    guest.start()
    listener.wait_for(1)
    assert subscribed.command("remove", subscribed.id) == {"removed": subscribed.id}
    guest.start()
    assert subscribed.queued() == []
    for verb in ("remove", "dead", "replay"):
        front.installation.command("webhook", verb, subscribed.id, "-w", front.id, "--json").refused("not_found")


def test_another_workspace_hears_nothing(front: Workspace, listener: Listener) -> None:
    Subscribed(front, listener)
    other = front.installation.workspace()
    verified(other).start()
    anonymous(front).start()
    assert {body["workspace_id"] for body in listener.told(1)} == {front.id}


def test_an_endpoint_that_hangs_delays_no_other(front: Workspace, listener: Listener) -> None:
    with Listener() as hanging:
        hanging.say = lambda _: Answer(204, wait=30)
        Subscribed(front, hanging)
        guest = anonymous(front)
        for _ in range(8):
            guest.start()
        hanging.wait_for(4)
        other = front.installation.workspace()
        Subscribed(other, listener)
        anonymous(other).start()
        listener.wait_for(1, within=4)


def test_many_that_hang_delay_no_other_and_no_sign_in(
    session_settings: dict[str, str], database_url: str, tmp_path: Path, listener: Listener
) -> None:
    """In one workspace: each endpoint has turns of its own, and so have identity providers."""
    settings = {**session_settings, **SETTINGS, "VESTIBULE_DATABASE_URL": database_url}
    settings["VESTIBULE_WEBHOOK_TIMEOUT"] = "15s"
    provider = FakeProvider()
    with (
        RunningServer(settings, tmp_path) as server,
        Installation(server) as installation,
        Listener() as hanging,
    ):
        installation.run(provider.start())
        front = installation.workspace()
        pages = Front(front)
        pages.add_provider(provider)
        hanging.say = lambda _: Answer(204, wait=30)
        for _ in range(10):
            Subscribed(front, hanging)
        guest = anonymous(front)
        for _ in range(6):
            guest.start()
        hanging.wait_for(21)  # up to four at each: more than a workspace has turns for anything else
        Subscribed(front, listener)
        guest.start()
        listener.wait_for(1, within=8)
        answer = pages.authenticate(accessToken=provider.access_token())
        assert answer.status_code == 200, answer.text
        installation.run(provider.stop())


def test_two_processes_send_each_event_once(front: Workspace, listener: Listener, tmp_path: Path) -> None:
    settings = {**front.installation.server.settings}
    del settings["VESTIBULE_INSTANCE"]
    with RunningServer(settings, tmp_path):
        subscribed = Subscribed(front, listener, "--event", "conversation.started")
        guest = anonymous(front)
        started = {guest.start() for _ in range(20)}
        told = listener.told(20)
        assert {body["data"]["conversation_id"] for body in told} == started
        subscribed.until(waiting=0, dead=0)
        time.sleep(1.5)
        assert len(listener.received) == 20


def test_a_crash_between_change_and_delivery_loses_nothing(
    session_settings: dict[str, str], database_url: str, tmp_path: Path, listener: Listener
) -> None:
    settings = {**session_settings, **SETTINGS, "VESTIBULE_DATABASE_URL": database_url}
    with RunningServer(settings, tmp_path) as server, Installation(server) as installation:
        workspace = installation.workspace()
        subscribed = Subscribed(workspace, listener, "--event", "conversation.message")
        guest: Device = anonymous(workspace)
        session_id = guest.start()
        with listener.held():
            guest.send(session_id, "one")
            listener.wait_for(1)  # it is under way, and has not been accepted
            guest.send(session_id, "two")
            server.kill()
        assert len(subscribed.queued()) == 2
        before = listener.received[0]
        server.start()
        # The one under way is taken over when its lease has run out.
        received = listener.wait_for(3, within=25)
        assert {request.json["data"]["message"]["seq"] for request in received} == {1, 2}
        again = [request for request in received[1:] if request.body == before.body]
        assert [request.headers["webhook-id"] for request in again] == [before.headers["webhook-id"]]
        assert all(why_forged(request, subscribed.secret) is None for request in received)
        subscribed.until(waiting=0, dead=0)
