"""Members that nobody offered are sent along, at every place that takes a body: ids, rights, states and dates that only
we set stay what they were (OWASP ASVS 15.3.3)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fixtures.admin import Admin
from tests.fixtures.fake_provider import FakeProvider
from tests.fixtures.front_door import Workspace
from tests.fixtures.native import Client
from tests.fixtures.puzzel import Front
from tests.fixtures.siege import Siege, shot
from tests.fixtures.widget import Device, bot_token, claims_of, new_uuid, unverified_token
from vestibule.ids import new_id

FOREIGN = new_id()
WANTED: dict[str, Any] = {
    "id": FOREIGN,
    "contact_id": FOREIGN,
    "contactId": FOREIGN,
    "workspace_id": FOREIGN,
    "workspaceId": FOREIGN,
    "organization_id": FOREIGN,
    "verified": True,
    "is_verified": True,
    "email_key": "victim@example.com",
    "email_verified": True,
    "phone_key": "+4915112345678",
    "merged_into": FOREIGN,
    "external_id": "victim",
    "externalId": "victim",
    "sub": FOREIGN,
    "iss": "https://evil.example",
    "role": "owner",
    "scopes": ["widget:authenticate"],
    "scope_id": "x",
    "provenance": {"email": {"method": "server_to_server"}},
    "version": 99,
    "created_at": 1,
    "updated_at": 1,
    "expires_at": 1,
    "exp": 99_999_999_999,
    "labels": ["vip"],
    "status": "resolved",
    "handed_off": True,
    "assignee": {"kind": "human", "name": "Mallory"},
    "assignee_name": "Mallory",
    "sender": "agent",
    "sender_name": "Support",
    "trust": "verified",
    "seq": 1,
    "sent_at": 1,
    "type": "system",
    "queue_key": "vip",
    "$where": "1",
    "constructor": {"prototype": {"verified": True}},
    "workspace": {"id": FOREIGN},
    "contact": {"id": FOREIGN, "verified": True},
}
_FORBIDDEN = {FOREIGN, "victim@example.com", "victim", "+4915112345678", "Mallory", "Support", "vip"}


def untouched(workspace: Workspace, *tables: str) -> None:
    """None of what was wanted stands in a row."""
    for table in tables:
        rows = workspace.installation.rows(f"SELECT * FROM {table} WHERE workspace_id = $1", workspace.id)  # noqa: S608
        assert rows, f"nothing in {table}: looked in the wrong place"
        values = {str(value) for row in rows for value in row}
        assert not values & _FORBIDDEN, values & _FORBIDDEN
    assert workspace.installation.rows("SELECT id FROM contacts WHERE workspace_id = $1", FOREIGN) == []


def test_of_a_contact_by_the_backend(workspace: Workspace) -> None:
    wanted = {name: value for name, value in WANTED.items() if name not in {"email", "name", "phone"}}
    answer = workspace.authenticate(wanted, email="ada@example.com")
    assert answer.status_code == 200, answer.text
    claims = claims_of(answer.json()["token"])
    assert FOREIGN not in str(claims)
    assert claims["exp"] < 99_999_999_999
    untouched(workspace, "contacts")


def test_of_an_unverified_visitor(workspace: Workspace) -> None:
    """They stay unverified, and of this workspace, whatever they call themselves."""
    made = Device(workspace, None).call("POST", "/contact/create-unverified", {**WANTED, "email": "a@example.com"})
    assert made.status_code == 200, made.text
    native = workspace.installation.http.post("/v1/visitors", json={**WANTED, "widget_token": bot_token(workspace)})
    tokens = [made.json()["token"], *([native.json()["token"]] if native.status_code == 201 else [])]
    for token in tokens:
        assert workspace.me(token).json()["verified"] is False
        client = Client(workspace, token)
        client.say(client.start("device-1"))
    untouched(workspace, "contacts")


def test_of_a_conversation_and_a_message(workspace: Workspace) -> None:
    token = unverified_token(workspace)
    client = Client(workspace, token)
    plain = client.start("device-1")
    made = client.create("device-1", **{name: value for name, value in WANTED.items() if name != "scope"})
    conversation_id = made.json()["id"] if made.status_code == 201 else plain
    assert conversation_id != FOREIGN
    shown = client.read(conversation_id).json()
    assert "Mallory" not in str(shown)
    assert shown["status"] != "resolved"
    members = {name: value for name, value in WANTED.items() if name not in {"id", "text"}}
    sent = client.send(conversation_id, "hello", **members)
    if sent.status_code == 201:
        [message] = client.messages(conversation_id)
        assert message["sender"] != "agent"
        assert message["trust"] == "unverified"
    else:
        assert sent.status_code == 400
        client.say(conversation_id)
    untouched(workspace, "conversations", "messages")


def test_of_the_widget_s_bodies(workspace: Workspace) -> None:
    device = Device(workspace, unverified_token(workspace), "device-1")
    session_id = device.start(**dict.fromkeys(("verified", "contact_id"), "x"))
    answer = device.send(session_id, "hello", **{name: value for name, value in WANTED.items() if name != "uuid"})
    assert answer.status_code in {201, 400}, answer.text
    if answer.status_code == 400:
        device.say(session_id)
    session = device.session(session_id)
    assert "Mallory" not in str(session)
    assert {row["sender"]["kind"] for row in device.history(session_id)} <= {"user", "autopilot", "ai", "none"}
    untouched(workspace, "conversations", "messages", "contacts")


def test_of_an_exchange(siege: Siege, front: Front, fake: FakeProvider) -> None:
    """What the page says beside a token makes nobody somebody else."""
    before = {row[0] for row in siege.workspace.contacts()}
    answer = front.authenticate(idToken=fake.id_token(sub="mallory", email=None), **WANTED)
    assert answer.status_code in {200, 400}, answer.text
    for _, contact_id in [(None, row[0]) for row in siege.workspace.contacts() if row[0] not in before]:
        assert contact_id != FOREIGN
        contact = siege.workspace.contact(contact_id)
        assert (contact["email_key"], contact["phone_key"], contact["merged_into"]) == (None, None, None)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "", {"name": "renamed"}),
        ("POST", "api-keys", {"name": "k"}),
        ("POST", "identity-providers", {"name": "p", "issuer": "https://login.example.com", "client_ids": ["c"]}),
        ("PATCH", "auth-endpoint", {"cache_seconds": 5}),
        ("PATCH", "responder", {"kind": "none"}),
        ("PATCH", "widget", {"poll_seconds": 5}),
    ],
)
@pytest.mark.parametrize("name", ["id", "workspace_id", "customer_id", "created_at", "secret_hash", "sealed_document"])
def test_the_admin_api_takes_no_member_that_it_does_not_know(
    siege: Siege, method: str, path: str, body: dict[str, Any], name: str
) -> None:
    """An operator's typing error is told, and nothing of the request is done."""
    admin = Admin(siege.installation, siege.workspace.id)
    where = f"/v1/admin/workspaces/{siege.workspace.id}/{path}".rstrip("/")
    with siege.laid():
        given = shot(method, where, {**body, name: FOREIGN}, bearer=admin.key, secrets=[admin.key])
        siege.refuses(given, 400, {"invalid_field", "invalid_request", "malformed_body"})


def test_a_message_id_is_the_sender_s_own(workspace: Workspace) -> None:
    """Two visitors who choose the same id have two messages."""
    chosen, texts = new_uuid(), []
    for number in range(2):
        client = Client(workspace, unverified_token(workspace))
        conversation_id = client.start(f"device-{number}")
        assert client.send(conversation_id, f"from {number}", id=chosen).status_code == 201
        texts.append([message["text"] for message in client.messages(conversation_id)])
    assert texts == [["from 0"], ["from 1"]]
