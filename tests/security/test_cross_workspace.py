"""Two customers of one installation, with the same person and the same words in both: whatever one of them holds opens
nothing of the other, and nothing tells that the other has it (DESIGN rule on tenants; ASVS 8.4.1).

The admin API's paths are walked through by tests/contract/test_admin_api.py, the dashboard's by
test_dashboard_pages.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.fixtures.cxgenie import BASE, App
from tests.fixtures.fake_auth_endpoint import PATH, FakeAuthEndpoint, configure, customer_id, signed_in
from tests.fixtures.native import CONVERSATIONS, Client
from tests.fixtures.puzzel import Front
from tests.fixtures.siege import Shot, Siege, shot
from tests.fixtures.uploads import parts_of
from tests.fixtures.widget import OF_A_SESSION, OPERATIONS, PREFIX, Device, bot_token, claiming, new_uuid, verified


@dataclass(frozen=True)
class Victim:
    """A workspace with somebody's chats in it."""

    front: Front
    conversation_id: str
    visitors_session: str
    file_link: str
    message_id: str
    app: App


@pytest.fixture
def victim(siege: Siege) -> Victim:
    front = Front(siege.neighbour)
    ada = verified(siege.neighbour, "ada@example.com", name="Ada")
    client = Client(siege.neighbour, ada.token)
    conversation_id = client.start(title="hidden-title")
    message = client.say(conversation_id, "hidden words")
    link = client.upload(b"hidden text", "notes.txt").json()["url"]
    device = claiming(siege.neighbour, "ada@example.com", scope="device-1")
    app = App(siege.neighbour)
    app.start_as_guest()
    app.say("hidden words")
    return Victim(front, conversation_id, device.start(), link, str(message["id"]), app)


def test_the_native_api(siege: Siege, victim: Victim) -> None:
    token, _ = siege.workspace.sign_in("ada@example.com")
    path = f"/v1/conversations/{victim.conversation_id}"
    with siege.laid():
        for method, below, body in (
            ("GET", "", None),
            ("GET", "/messages", None),
            ("GET", "/events", None),
            ("POST", "/messages", {"id": new_uuid(), "text": "planted"}),
            ("POST", "/messages", {"id": victim.message_id, "text": "planted"}),
            ("POST", "/resolve", {}),
            ("POST", "/identity", {"contact_token": token}),
        ):
            given = shot(method, path + below, body, bearer=token, secrets=["hidden"])
            siege.refuses(given, (400, 404), ("not_found", "invalid_field", "invalid_request"))
    assert victim.conversation_id not in Client(siege.workspace, token).listed()


def test_the_widget_api(siege: Siege, victim: Victim) -> None:
    """With the contact token and the bot token of one's own workspace, or of one each."""
    own = verified(siege.workspace, "ada@example.com")
    foreign_bot = bot_token(siege.neighbour)
    for session_id in (victim.conversation_id, victim.visitors_session):
        with siege.laid():
            for name in OF_A_SESSION:
                siege.refuses(operation(own, name, session_id), (400, 403, 404), ("not_found", "insufficient_scope"))
        with siege.laid(audited=["invalid_token"]):
            for name in OF_A_SESSION:
                given = operation(own, name, session_id, bot=foreign_bot)
                siege.refuses(given, (401, 403), ("invalid_token", "invalid_widget_token"))


def operation(device: Device, name: str, session_id: str, *, bot: str = "") -> Shot:
    method, path, body = OPERATIONS[name]
    given = json.loads(json.dumps(body).replace("{id}", session_id))
    headers = {**device.headers(), **({"x-bot-token": bot} if bot else {})}
    return shot(method, PREFIX + path.replace("{id}", session_id), given, headers=headers, secrets=["hidden"])


def test_puzzel_s_wire(siege: Siege, victim: Victim, front: Front) -> None:
    front.queue()
    bearer = front.visitor()
    path = f"/api/conversation/{victim.conversation_id}"
    with siege.laid():
        for method, target, body in (
            ("GET", f"{path}/messages", None),
            ("POST", f"{path}/message", {"text": "planted"}),
            ("POST", f"{path}/end", None),
            ("POST", f"/api/visitor/clearIdentity/{victim.conversation_id}", None),
        ):
            given = shot(method, target, body, bearer=bearer, secrets=["hidden"])
            siege.refuses(given, (400, 404), ("not_found", "invalid_request"))


def test_cx_genie_s_wire(siege: Siege, victim: Victim) -> None:
    """The app names its customer in every call; beside a token that is no key, and in a token's place none either."""
    mine, theirs = App(siege.workspace), victim.app.customer
    mine.start_as_guest()
    below = f"{BASE}/messages/guest-auth"
    for named in (theirs["id"], theirs["contact_id"]):
        with siege.laid():
            for method, path, body in (
                ("GET", f"{below}/customer?customer_id={named}&limit=500&offset=0&order=desc", None),
                ("POST", f"{below}/bot", {"content": "planted", "customer_id": named}),
                ("POST", f"{below}/flows/feedbacks", {"rating": "5", "customer_id": named}),
            ):
                given = shot(method, path, body, bearer=mine.token, secrets=["hidden"])
                siege.refuses(given, 404, "not_found")
        with siege.laid(audited=["invalid_token"]):
            upload = f"{BASE}/files/guest-auth/multiple-upload"
            for method, path in (("GET", f"{below}/customer"), ("POST", f"{below}/bot"), ("POST", upload)):
                given = shot(method, path, {} if method == "POST" else None, bearer=named, secrets=["hidden"])
                siege.refuses(given, 401, "invalid_token")


def test_a_file_of_the_one_is_no_attachment_in_the_other(siege: Siege, victim: Victim) -> None:
    """A link opens its file for whoever has it, and makes it nobody's to attach; nor does it with one's own workspace
    written into it."""
    own = verified(siege.workspace, "ada@example.com")
    client, app = Client(siege.workspace, own.token), App(siege.workspace)
    conversation_id, session_id = client.start(), own.start()
    app.start_as_guest()
    app.say("mine")
    workspace_id, _, secret, _ = parts_of(victim.file_link)
    native = f"{CONVERSATIONS}/{conversation_id}/messages"
    for link in (victim.file_link, victim.file_link.replace(workspace_id, siege.workspace.id)):
        sent = {"uuid": new_uuid(), "session_id": session_id, "content": "x", "attachments": [{"id": "1", "url": link}]}
        with siege.laid():
            for path, body, headers in (
                (native, {"id": new_uuid(), "attachments": [{"url": link}]}, client.headers()),
                (f"{PREFIX}/chat/send", sent, own.headers()),
                (
                    f"{BASE}/messages/guest-auth/bot",
                    {"media": [{"url": link}]},
                    {"authorization": f"Bearer {app.token}"},
                ),
            ):
                siege.refuses(shot("POST", path, body, headers=headers, secrets=[secret]), 400, "invalid_field")


@pytest.fixture
def endpoints(siege: Siege) -> Iterator[tuple[FakeAuthEndpoint, FakeAuthEndpoint]]:
    """The workspace's own server and the neighbour's, each of which knows one visitor."""
    with FakeAuthEndpoint({"own": {"id": "u-1"}}) as own, FakeAuthEndpoint({"theirs": {"id": "u-1"}}) as other:
        configure(siege.workspace, own)
        configure(siege.neighbour, other)
        yield own, other


def test_a_user_token_of_the_other_s_visitor(
    siege: Siege, endpoints: tuple[FakeAuthEndpoint, FakeAuthEndpoint]
) -> None:
    """Whose endpoint is asked, the one name in the request says: nothing that is shown there reaches the other's."""
    here, there = siege.workspace, siege.neighbour
    known = [signed_in(here, "own")["contact"]["id"], signed_in(there, "theirs")["contact"]["id"]]
    assert len(set(known)) == 2, "the same id at two customers"
    asked = len(endpoints[1].received)
    with siege.laid(audited=["auth_rejected", "invalid_widget_token"]):
        for named, status, code in (
            ({"customer_id": customer_id(here)}, 401, "auth_rejected"),
            ({"widget_token": bot_token(here)}, 401, "auth_rejected"),
            ({"customer_id": there.id}, 404, "not_found"),
            ({"widget_token": customer_id(there)}, 401, "invalid_widget_token"),
            ({"customer_id": customer_id(here), "widget_token": bot_token(there)}, 400, "invalid_field"),
        ):
            given = shot("POST", PATH, {**named, "user_token": "theirs", "fields": {"user_id": known[1]}})
            siege.refuses(given, status, code)
        started = {"bot_id": here.id, "customer_auth_token": "theirs", "user_id": known[1]}
        siege.refuses(shot("POST", f"{BASE}/bot-sessions/guest-auth/start-bot-session", started), 401, "auth_rejected")
    assert len(endpoints[1].received) == asked, "another customer's server was asked"


def test_the_same_id_in_both_is_two_things(siege: Siege, victim: Victim) -> None:
    """Ids that clients choose (messages', Puzzel's conversations') are the workspace's own."""
    client = Client(siege.workspace, siege.workspace.sign_in("ada@example.com")[0])
    conversation_id = client.start()
    sent = client.send(conversation_id, "mine", id=victim.message_id)
    assert sent.status_code == 201, sent.text
    assert [message["text"] for message in client.messages(conversation_id)] == ["mine"]
    theirs = siege.installation.rows("SELECT text FROM messages WHERE workspace_id = $1", siege.neighbour.id)
    assert ("hidden words",) in theirs
    assert ("mine",) not in theirs


def test_the_same_person_is_two_contacts(siege: Siege, victim: Victim) -> None:  # noqa: ARG001
    token, contact_id = siege.workspace.sign_in("ada@example.com")
    me = siege.workspace.me(token).json()
    assert me["id"] == contact_id
    assert me["name"] is None, "the other workspace's Ada has a name"
    ids = {str(row[0]) for row in siege.neighbour.contacts()}
    assert contact_id not in ids
