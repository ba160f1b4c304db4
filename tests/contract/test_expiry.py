"""What has run out is deleted by itself, and nothing that has not."""

from __future__ import annotations

import time
from pathlib import Path

from tests.fixtures.cxgenie import App
from tests.fixtures.fake_provider import FakeProvider
from tests.fixtures.front_door import Installation, beside
from tests.fixtures.puzzel import Front
from tests.fixtures.widget import claims_of, new_uuid

TABLES = {
    "pending_identities": "expires_at",
    "refresh_tokens": "expires_at",
    "attached_identities": "expires_at",
    "socket_rooms": "expires_at",
    "token_endings": "created_at",
}


def test_what_has_run_out_goes_and_the_rest_stays(responding: Installation, fake: FakeProvider, tmp_path: Path) -> None:
    old, new = Front(responding.workspace()), Front(responding.workspace())
    for front in (old, new):
        front.add_provider(fake)
        front.queue()
        bearer, conversation_id = front.visitor(), new_uuid()
        routed = front.route(conversation_id, proof=front.proof(fake.id_token()), bearer=bearer)
        assert claims_of(routed.json()["contactToken"])["sub"] == routed.json()["contactId"]
        front.clear_identity(conversation_id, bearer=bearer)
        front.proof(fake.id_token())
        App(front.workspace).start_as_guest()
    for table, column in TABLES.items():
        sql = f"UPDATE {table} SET {column} = 1 WHERE workspace_id = $1 RETURNING workspace_id"  # noqa: S608
        assert responding.rows(sql, old.workspace.id), table
    with beside(responding, tmp_path, purge_interval="1s"):
        gone_by = time.monotonic() + 10
        while any(_count(old, table) for table in TABLES):
            assert time.monotonic() < gone_by, {table: _count(old, table) for table in TABLES}
            time.sleep(0.1)
    assert all(_count(new, table) for table in TABLES)


def _count(front: Front, table: str) -> int:
    sql = f"SELECT workspace_id FROM {table} WHERE workspace_id = $1"  # noqa: S608
    return len(front.workspace.installation.rows(sql, front.workspace.id))
