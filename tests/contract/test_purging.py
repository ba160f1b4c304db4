"""What is deleted by age goes a batch at a time, however much has gathered, and one table's trouble is its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import asyncpg
import pytest

from tests.fixtures.auditing import entry, proof, tail
from tests.fixtures.front_door import Installation, Workspace, beside
from tests.fixtures.responding import eventually
from tests.fixtures.uploads import link_of, parts_of
from tests.fixtures.widget import anonymous
from vestibule.administration import audit, retention
from vestibule.clock import DAY_MS, now_ms
from vestibule.errors import StorageUnavailable
from vestibule.limits import RateLimiter
from vestibule.storage import spent_tokens, token_endings
from vestibule.storage.file_store import FileStore
from vestibule.storage.opening import migrate, open_store
from vestibule.storage.purging import BATCH
from vestibule.storage.rate_totals import DatabaseTotals
from vestibule.storage.statement import REGISTRY, Statement, statement
from vestibule.storage.store import Row, Store, Value
from vestibule.storage.token_endings import Ending

MANY = 2 * BATCH + 5
_NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)"
SPEND_MANY = statement("test.spend", f"{_NUMBERS} INSERT INTO spent_tokens SELECT 'w', 't' || i, i FROM n")  # noqa: S608
COUNT_MANY = statement("test.totals", f"{_NUMBERS} INSERT INTO rate_totals SELECT 'w', 'b' || i, 1, 1 FROM n")  # noqa: S608
TOTALS_LEFT = statement("test.totals_left", "SELECT COUNT(*) FROM rate_totals WHERE minute = 1")
for made in (SPEND_MANY, COUNT_MANY, TOTALS_LEFT):
    del REGISTRY[made.name]  # they are this test's, not the product's


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    migrate(database_url)
    opened = await open_store(database_url, connections=2)
    yield opened
    await opened.close()


class Watched:
    """A store, and how many rows each write of it came back with."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.written: list[int] = []

    async def write(self, statement: Statement, *values: Value) -> list[Row]:
        rows = await self._store.write(statement, *values)
        self.written.append(len(rows))
        return rows


class Failing:
    """A store of files that cannot delete one of them."""

    def __init__(self, files: FileStore, file_id: str) -> None:
        self._files = files
        self._file_id = file_id

    async def delete(self, workspace_id: str, file_id: str) -> None:
        if file_id == self._file_id:
            raise StorageUnavailable(step="file_delete")
        await self._files.delete(workspace_id, file_id)


async def test_a_backlog_goes_a_batch_at_a_time_and_what_is_young_stays(store: Store) -> None:
    """One statement that takes longer than `database_timeout` would be rolled back, and meet more the next time."""
    await store.write(SPEND_MANY, MANY)
    assert await spent_tokens.spend(store, "w", "young", now_ms() + DAY_MS)
    watched = Watched(store)
    assert await spent_tokens.purge(cast("Store", watched), now_ms()) == MANY
    assert watched.written == [BATCH, BATCH, 5]
    assert not await spent_tokens.spend(store, "w", "young", now_ms() + DAY_MS)


async def test_old_totals_go_beside_the_counting(store: Store) -> None:
    await store.write(COUNT_MANY, MANY)
    limiter = RateLimiter(DatabaseTotals(store))
    left = []
    for _ in range(4):
        await limiter.flush()
        left.append((await store.read(TOTALS_LEFT))[0][0])
    assert left == [MANY - BATCH, 5, 0, 0]


async def test_what_is_renewed_at_that_moment_stays(store: Store, engine: str, database_url: str) -> None:
    if engine != "postgresql":
        pytest.skip("on SQLite there is one writer")
    now = now_ms()
    await token_endings.insert(store, Ending("w", "c", "t", now), 1)
    other = await asyncpg.connect(database_url)
    async with other.transaction():
        await other.execute("UPDATE token_endings SET created_at = $1", now)
        purging = asyncio.create_task(token_endings.purge(store, now - DAY_MS))
        await asyncio.sleep(0.3)
        assert not purging.done()
    assert await purging == 0
    assert await token_endings.of_contact(store, "w", "c") == [Ending("w", "c", "t", now)]
    await other.close()


def test_one_table_that_cannot_be_purged_does_not_keep_the_others(installation: Installation, tmp_path: Path) -> None:
    name = f"{time.time_ns()}"
    installation.rows("INSERT INTO spent_tokens (workspace_id, fingerprint, expires_at) VALUES ($1, 'old', 1)", name)
    installation.rows("ALTER TABLE pending_identities RENAME TO pending_identities_away")
    try:
        with beside(installation, tmp_path, purge_interval="1s"):
            sql = "SELECT fingerprint FROM spent_tokens WHERE workspace_id = $1"
            eventually(lambda: not installation.rows(sql, name) or None)
    finally:
        installation.rows("ALTER TABLE pending_identities_away RENAME TO pending_identities")


def test_a_file_that_cannot_be_deleted_keeps_its_contact_and_no_other(workspace: Workspace) -> None:
    installation = workspace.installation
    stuck, other = anonymous(workspace), anonymous(workspace)
    file_id = parts_of(link_of(stuck))[1]
    for device, expires_at in ((stuck, 1), (other, 2)):
        device.say(device.start(), "hello")
        over = "UPDATE contacts SET expires_at = $3 WHERE workspace_id = $1 AND id = $2"
        installation.rows(over, workspace.id, device.contact_id, expires_at)
    installation.rows("UPDATE conversations SET updated_at = 1 WHERE workspace_id = $1", workspace.id)
    files = cast("FileStore", Failing(installation.desk.files, file_id))
    assert installation.run(retention.purge(replace(installation.desk, files=files))).contacts == 1
    sql = "SELECT id FROM contacts WHERE workspace_id = $1"
    assert installation.rows(sql, workspace.id) == [(stuck.contact_id,)]
    assert installation.run(retention.purge(installation.desk)).contacts == 1
    assert installation.rows(sql, workspace.id) == []


def test_an_old_audit_goes_piece_by_piece_and_the_chain_holds(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "_PIECE", 4)
    monkeypatch.setattr(audit, "_DELETED_TOGETHER", 10)
    workspace = installation.workspace()
    before = proof(workspace)["entries"]
    long_ago = now_ms() - 4_000 * DAY_MS
    installation.rows("UPDATE audit_entries SET at = $2 WHERE workspace_id = $1", workspace.id, long_ago)
    for number in range(25 - before):
        installation.run(installation.desk.audit.record(entry(workspace.id, number, at=long_ago)))
    installation.run(audit.purge(installation.desk))
    told = [found["target"] for found in tail(workspace) if found["action"] == "audit.purged"]
    assert told == ["10", "20", "25"]
    after = proof(workspace)
    assert (after["whole"], after["first_seq"], after["entries"]) == (True, 26, 3)
