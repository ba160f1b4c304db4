"""Every registered statement is understood by both engines after the migrations, and the migrations are known."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

import vestibule.storage
from tests.bench import plans
from vestibule.storage.opening import SCHEMA_VERSION, WrongSchema, ensure_schema, migrate, schema_version
from vestibule.storage.statement import PAIRS, REGISTRY, statement

STORAGE = Path(vestibule.storage.__file__).parent
for module in STORAGE.glob("*.py"):
    importlib.import_module(f"vestibule.storage.{module.stem}")


@pytest.fixture
def migrated(database_url: str) -> str:
    migrate(database_url)
    return database_url


def test_each_statement_is_prepared(migrated: str, engine: str) -> None:
    assert len(REGISTRY) > 20
    failures = asyncio.run(_prepare(migrated)) if engine == "postgresql" else _explain(migrated)
    assert not failures


async def _prepare(url: str) -> dict[str, str]:
    connection = await asyncpg.connect(url)
    failures = {}
    for entry in (*REGISTRY.values(), *(pair.together for pair in PAIRS.values())):
        try:
            prepared = await connection.prepare(entry.postgresql)
            assert len(prepared.get_parameters()) == entry.parameters + entry.shared
        except asyncpg.PostgresError as error:
            failures[entry.name] = str(error)
    await connection.close()
    return failures


def _explain(url: str) -> dict[str, str]:
    connection = sqlite3.connect(url.removeprefix("sqlite:///"))
    failures = {}
    for entry in REGISTRY.values():
        try:
            connection.execute("EXPLAIN " + entry.sqlite, (None,) * (entry.parameters + entry.shared))
        except sqlite3.Error as error:
            failures[entry.name] = str(error)
    connection.close()
    return failures


def test_what_deletes_by_age_deletes_a_batch() -> None:
    """Else a backlog takes longer than a statement may, for ever."""
    # The audit's goes by its own numbers, piece by piece (administration/audit.py).
    purges = {name: made for name, made in REGISTRY.items() if made.sqlite.startswith("DELETE") and "purge" in name}
    assert len(purges) > 10
    unbounded = {name for name, made in purges.items() if " LIMIT " not in made.sqlite}
    assert unbounded == {"audit_entries.purge"}


def test_the_hot_statements_go_by_whole_keys(database_url: str, engine: str) -> None:
    """Contacts' before anything was analysed as well; SQLite's always, as nothing ever analyses it."""
    # So many that going by a key is cheaper by far: a tenth of them have a chat.
    found = plans.measure(engine, database_url, rows=5_000)
    assert [plan for plan in found.plans if not plan.indexed] == []
    # PostgreSQL joins tables of which it knows nothing in any way, until autovacuum has looked at them, once.
    kept = [plan for plan in found.new_plans if engine == "sqlite" or not plan.joins]
    assert [plan for plan in kept if not plan.indexed] == []
    assert len(kept) >= 5, "looked in the wrong place"


# What reads all that a workspace has in a table, on purpose: a few rows that people make, what lives for minutes, what
# operators count, and what goes through everything piece by piece.
WHOLE = frozenset(
    {
        *("actions.list", "admin_keys.list", "api_keys.list", "identity_providers.list", "queues.list"),
        *("signing_keys.list", "workspaces.list", "webhooks.list", "webhooks.note", "webhooks.wanted"),
        *("audit_chains.advance", "audit_chains.head", "schema.version", "signing_keys.insert_first"),
        *("staff.list", "staff_emails.anybody", "staff_links.end_all", "staff_sessions.count"),
        *("staff_sessions.end_others", "erasure.pending_identities", "sign_outs.unclaimed_without_session"),
        *("depths.responder", "depths.webhooks", "responder_jobs.abandoned", "webhooks.waiting"),
        *("contacts.count", "contacts.without_email", "contacts.without_phone", "contacts.without_external_id"),
        *("contacts.sample_with_overrides", "workspaces.move_expiry", "rate_totals.purge"),
    }
)
# What a statement has made itself, and what it was given.
_OWN = re.compile(r"SCAN (?:person|waiting|newest|(?:\d+ )?CONSTANT ROWS?)$")


def test_what_reads_a_whole_workspace_on_sqlite_is_known(tmp_path: Path) -> None:
    """It has no statistics, reads a workspace to be spared sorting three rows, and everybody waits meanwhile."""
    path = tmp_path / "v.db"
    migrate(f"sqlite:///{path}")
    found = set()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for entry in REGISTRY.values():
            nothing = (None,) * (entry.parameters + entry.shared)
            for *_, step in connection.execute(f"EXPLAIN QUERY PLAN {entry.sqlite}", nothing):
                if step.endswith("(workspace_id=?)") or (step.startswith("SCAN ") and not _OWN.match(step)):
                    found.add(entry.name)
    assert found == WHOLE


def test_the_newest_migration_is_the_version_that_serving_expects() -> None:
    found = [path.name[:4] for path in (STORAGE / "migrations" / "versions").glob("[0-9]*.py")]
    assert max(found) == SCHEMA_VERSION
    chain = [
        re.search(r'down_revision = (?:"(\d+)"|None)', path.read_text(encoding="utf-8"))
        for path in sorted((STORAGE / "migrations" / "versions").glob("[0-9]*.py"))
    ]
    assert [match and match[1] for match in chain] == [None, *sorted(found)[:-1]]


# Small, and the same for all: a copy on every node (docs/decisions/0027-sharding.md).
OF_THE_INSTALLATION = {"alembic_version", "installation", "signing_keys", "workspaces"}


async def _keys(url: str) -> list[tuple[str, str, str]]:
    """Table, index and first column of every primary key and unique index; and foreign keys, of which the column is
    their table."""
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(
            """
            SELECT found.relname, index.relname, first.attname
            FROM pg_index JOIN pg_class found ON found.oid = indrelid JOIN pg_class index ON index.oid = indexrelid
            JOIN pg_attribute first ON first.attrelid = indrelid AND first.attnum = indkey[0]
            WHERE found.relnamespace = 'public'::regnamespace AND indisunique
            UNION ALL SELECT conrelid::regclass::text, conname, 'foreign key' FROM pg_constraint WHERE contype = 'f'
            """
        )
    finally:
        await connection.close()
    return [tuple(row) for row in rows]


def test_a_workspace_s_rows_are_found_and_kept_unique_within_it(migrated: str, engine: str) -> None:
    """So that tables may be distributed by workspace: nothing is decided across two."""
    if engine != "postgresql":
        pytest.skip("it is asked of PostgreSQL's catalogue; the schema is one")
    found = asyncio.run(_keys(migrated))
    assert len(found) > 20
    assert not [each for each in found if each[0] not in OF_THE_INSTALLATION and each[2] != "workspace_id"]


def test_migrating_twice_changes_nothing(migrated: str) -> None:
    migrate(migrated)
    assert asyncio.run(schema_version(migrated)) == SCHEMA_VERSION


def test_two_nodes_that_start_at_once_take_turns(database_url: str) -> None:
    command = [sys.executable, "-m", "vestibule.storage.migrations"]
    running = [subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    errors = [process.communicate(database_url, timeout=60)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], errors
    assert asyncio.run(schema_version(database_url)) == SCHEMA_VERSION


def test_an_empty_database_is_not_migrated_unasked(database_url: str) -> None:
    with pytest.raises(WrongSchema, match="vestibule migrate"):
        ensure_schema(database_url, may_migrate=False)
    assert asyncio.run(schema_version(database_url)) is None


def test_a_statement_s_parameters_are_numbered_without_gaps() -> None:
    with pytest.raises(ValueError, match="parameter"):
        statement("test.gap", "SELECT $1, $3")
    assert "test.gap" not in REGISTRY
