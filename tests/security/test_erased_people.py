"""Somebody who was erased is looked for in every row of the database: two contacts that were merged, with all that each
surface keeps of a person. What is left is a receipt, and everybody else."""

from __future__ import annotations

import json
import secrets

import pytest

from tests.fixtures.admin import Admin
from tests.fixtures.fake_provider import FakeProvider
from tests.fixtures.front_door import Workspace
from tests.fixtures.native import Client
from tests.fixtures.puzzel import Front
from tests.fixtures.responding import eventually
from tests.fixtures.siege import Siege
from tests.fixtures.stored import everything
from tests.fixtures.widget import new_uuid, verified

# By id alone: what an operator did to whom, which proves the erasure; that the tokens of this id are ended, until the
# last of them would have run out; and how many messages it sent this minute.
_RECEIPTS = {"audit_entries", "token_endings", "rate_totals"}


def tables(workspace: Workspace) -> list[str]:
    installation = workspace.installation
    if installation.engine == "sqlite":
        sql = "SELECT m.name FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE c.name = 'workspace_id'"
    else:
        sql = "SELECT table_name FROM information_schema.columns WHERE column_name = 'workspace_id'"
    return sorted({str(name) for (name,) in installation.rows(sql)})


def holding(workspace: Workspace, *texts: str) -> set[str]:
    """The tables with a row of the workspace that holds one of the texts."""
    found = set()
    for table in tables(workspace):
        sql = f"SELECT * FROM {table} WHERE workspace_id = $1"  # noqa: S608 - a name from the schema
        rows = str(workspace.installation.rows(sql, workspace.id))
        if any(text in rows for text in texts):
            found.add(table)
    return found


@pytest.fixture
def canary_word() -> str:
    return f"canary{secrets.token_hex(8)}"


def test_are_nowhere(front: Front, fake: FakeProvider, siege: Siege, canary_word: str) -> None:
    workspace, installation = front.workspace, front.workspace.installation
    ids = person(front, fake, canary_word)
    merged, kept = ids
    admin = Admin(installation, workspace.id)
    admin.do("POST", f"contacts/{merged}/merge", {"into": kept})
    assert {"contacts", "messages", "provider_identities", "files"} <= holding(workspace, canary_word, *ids)
    exported = json.dumps(admin.get(f"contacts/{kept}/export"))
    for part in (f"{canary_word} one", f"{canary_word} two", f"{canary_word}-plan", merged, kept):
        assert part in exported, f"the export leaves out {part}"
    bystanders = everything(installation, siege.neighbour.id)

    receipt = admin.do("DELETE", f"contacts/{kept}")
    assert sorted(next(iter(receipt.values()))) == sorted(ids)
    eventually(lambda: not holding(workspace, canary_word), within=5)
    assert holding(workspace, *ids) <= _RECEIPTS
    told = [entry for entry in _tail(workspace) if entry["action"] == "contact.erase"]
    assert len(told) == len(ids)
    proof = installation.cli("audit", "verify", "-w", workspace.id)
    assert proof["whole"] is True
    # The neighbour has lost nothing.
    assert everything(installation, siege.neighbour.id) == bystanders


def person(front: Front, fake: FakeProvider, word: str) -> tuple[str, str]:
    """The ids of two contacts of one person, with something in every place."""
    front.queue()
    members = {"name": f"{word} Ada", "phone": "+4915112345678", "chat_context": f"{word}-context"}
    overrides = {"headers": {"Authorization": f"Bearer {word}"}}
    custom = {"plan": f"{word}-plan"}
    device = verified(
        front.workspace, f"{word}@example.com", customData=custom, http_action_overrides=overrides, **members
    )
    client = Client(front.workspace, device.token)
    conversation_id = client.start(title=f"{word} title")
    client.say(conversation_id, f"{word} one", context={"page": f"{word}-page"})
    assert client.upload(f"{word} file".encode(), f"{word}.txt").status_code == 201
    proof, bearer = (
        front.proof(fake.id_token(sub=word, name=f"{word} Eve", email=f"{word}2@example.com")),
        front.visitor(),
    )
    chat = new_uuid()
    assert front.route(chat, proof=proof, bearer=bearer).status_code == 200
    assert front.say(chat, f"{word} two", bearer=bearer).status_code in {200, 201}
    sql = "SELECT contact_id FROM provider_identities WHERE workspace_id = $1 AND subject = $2"
    [(of_provider,)] = front.workspace.installation.rows(sql, front.workspace.id, word)
    return str(of_provider), device.contact_id


def _tail(workspace: Workspace) -> list[dict[str, str]]:
    found: list[dict[str, str]] = workspace.installation.cli("audit", "tail", "-w", workspace.id, "--limit", "100")[
        "items"
    ]
    return found
