"""What has run out is deleted by itself, and nothing that has not."""

from __future__ import annotations

import time
from pathlib import Path

import httpx

from tests.fixtures.cxgenie import App
from tests.fixtures.fake_provider import FakeProvider
from tests.fixtures.front_door import Installation, beside
from tests.fixtures.puzzel import Front, answer_of, problem
from tests.fixtures.widget import claims_of, new_uuid
from vestibule.administration import expiry
from vestibule.app import make_runtime
from vestibule.clock import DAY_MS, HOUR_MS, now_ms

TABLES = {
    "pending_identities": "expires_at",
    "refresh_tokens": "expires_at",
    "attached_identities": "expires_at",
    "socket_rooms": "expires_at",
    "token_endings": "created_at",
}


def sweep(installation: Installation, now: int) -> None:
    runtime = installation.run(make_runtime(installation.desk.settings, installation.desk.sealer))
    installation.run(expiry.sweep(runtime, now))
    installation.run(runtime.store.close())


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


def test_who_identified_a_chat_is_known_for_as_long_as_the_session_may_last(front: Front, fake: FakeProvider) -> None:
    """It may have been refreshed ever since, and only by this has it a right to the chat."""
    front.queue()
    session, chat = front.visitor(), new_uuid()
    answer_of(front.route(chat, proof=front.proof(fake.id_token()), bearer=session))
    sql = "UPDATE attached_identities SET expires_at = $2 WHERE workspace_id = $1 RETURNING holder"

    def days_later(days: int) -> httpx.Response:
        now = now_ms()
        assert front.workspace.installation.rows(sql, front.workspace.id, now - days * DAY_MS)
        sweep(front.workspace.installation, now)
        return front.set_identity(chat, front.proof(fake.id_token()), bearer=session)

    assert answer_of(days_later(89))["identified"]
    problem(days_later(91), 404, "not_found")


def test_dead_letters_are_kept_for_thirty_days(installation: Installation) -> None:
    workspace, now = installation.workspace(), now_ms()
    for name, died_at in (("old", now - 31 * DAY_MS), ("new", now - 29 * DAY_MS)):
        columns = "workspace_id, endpoint_id, id, kind, at, contact_id, data, owner, attempts, died_at, problem"
        sql = f"INSERT INTO webhook_deliveries ({columns}) VALUES ($1, 'e', $2, 'k', 1, '', '', '', 1, $3, '')"  # noqa: S608
        installation.rows(sql, workspace.id, name, died_at)
    sweep(installation, now)
    left = installation.rows("SELECT id FROM webhook_deliveries WHERE workspace_id = $1", workspace.id)
    assert left == [("new",)]


def _count(front: Front, table: str) -> int:
    sql = f"SELECT workspace_id FROM {table} WHERE workspace_id = $1"  # noqa: S608
    return len(front.workspace.installation.rows(sql, front.workspace.id))


def test_kept_answers_go_after_a_day_also_where_nobody_asks_again(installation: Installation) -> None:
    """They hold what was answered, keys and people among it."""
    workspace, now = installation.workspace(), now_ms()
    for name, created_at in (("old", now - 25 * HOUR_MS), ("new", now - 23 * HOUR_MS)):
        columns = "workspace_id, admin_key_id, name_hash, request_hash, created_at"
        sql = f"INSERT INTO idempotency_keys ({columns}) VALUES ($1, 'k', $2, '', $3)"  # noqa: S608
        installation.rows(sql, workspace.id, name, created_at)
    sweep(installation, now)
    left = installation.rows("SELECT name_hash FROM idempotency_keys WHERE workspace_id = $1", workspace.id)
    assert left == [("new",)]
