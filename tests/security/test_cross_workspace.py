"""Two customers of one installation, with the same person and the same words in both: whatever one of them holds opens
nothing of the other, and nothing tells that the other has it (DESIGN rule on tenants; ASVS 8.4.1).

The admin API's paths are walked through by tests/contract/test_admin_api.py, the dashboard's by
test_dashboard_pages.py.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from tests.fixtures.native import Client
from tests.fixtures.puzzel import Front
from tests.fixtures.siege import Shot, Siege, shot
from tests.fixtures.widget import OF_A_SESSION, OPERATIONS, PREFIX, Device, bot_token, claiming, new_uuid, verified


@dataclass(frozen=True)
class Victim:
    """A workspace with somebody's chats in it."""

    front: Front
    conversation_id: str
    visitors_session: str
    file_link: str
    message_id: str


@pytest.fixture
def victim(siege: Siege) -> Victim:
    front = Front(siege.neighbour)
    ada = verified(siege.neighbour, "ada@example.com", name="Ada")
    client = Client(siege.neighbour, ada.token)
    conversation_id = client.start(title="hidden-title")
    message = client.say(conversation_id, "hidden words")
    link = client.upload(b"hidden text", "notes.txt").json()["url"]
    device = claiming(siege.neighbour, "ada@example.com", scope="device-1")
    return Victim(front, conversation_id, device.start(), link, str(message["id"]))


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
