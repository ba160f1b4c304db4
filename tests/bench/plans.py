"""Shows that the hot statements are answered from an index, and as fast among many rows as among few; it must not run
through the product's engines, whose own cost is measured elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sqlite3
import time
from dataclasses import dataclass
from typing import Any

import asyncpg

from vestibule.storage import contacts
from vestibule.storage.opening import ensure_schema, sqlite_path
from vestibule.storage.statement import Statement

# Each where there are to be as many rows.
SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
_LOOK_UPS = 2_000
_PORTION = 1_000_000
_WORKSPACE = "01900000-0000-7000-8000-000000000000"
_KEY_COLUMNS = 2  # of every key of contacts: the workspace, and what is looked for in it
HOT = (contacts.FIND_BY_ID, contacts.FIND_BY_EMAIL, contacts.FIND_BY_PHONE, contacts.UPDATE)
_COLUMNS = "workspace_id, id, version, verified, created_at, updated_at, email_key, phone_key, name, email, provenance"
_INSERT = f"INSERT INTO contacts ({_COLUMNS})"
_ROW = (
    f"SELECT '{_WORKSPACE}', '01900000-0000-7000-8000-' || n, 1, true, 0, 0,"
    " 'person.' || n || '@example.com', '+1201' || (2000000 + n), 'John Doe', 'person.' || n || '@example.com', '{}'"
)
_SERIES = "WITH RECURSIVE series(n) AS (SELECT ?1 UNION ALL SELECT n + 1 FROM series WHERE n + 1 < ?2)"


@dataclass(frozen=True, slots=True)
class Plan:
    """How a statement is answered; `indexed` says that an index leads to the one row by the whole of its key."""

    statement: str
    text: str
    indexed: bool


@dataclass(frozen=True, slots=True)
class Growth:
    """The plans of an engine for a new table and among `rows` contacts, and how many microseconds a look-up by e-mail
    took at each size on the way there. What is planned for a new table is kept by prepared statements as it grows."""

    engine: str
    rows: int
    new_plans: tuple[Plan, ...]
    plans: tuple[Plan, ...]
    times: tuple[tuple[int, float], ...]


def measure(engine: str, database_url: str, rows: int) -> Growth:
    """On an empty database of its own."""
    ensure_schema(database_url, may_migrate=True)
    path = sqlite_path(database_url)
    if path is None:
        return asyncio.run(_on_postgresql(engine, database_url, rows))
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return _on_sqlite(engine, connection, rows)


def _sizes(rows: int) -> list[int]:
    return [*(size for size in SIZES if size < rows), rows]


def _on_sqlite(engine: str, connection: sqlite3.Connection, rows: int) -> Growth:
    def fill(first: int, end: int) -> None:
        connection.execute("BEGIN")
        connection.execute(f"{_INSERT} {_SERIES} {_ROW} FROM series", (first, end))
        connection.execute("COMMIT")

    def look_up_time(rows: int) -> float:
        times = []
        for email in _emails(rows):
            began = time.perf_counter_ns()
            found = connection.execute(contacts.FIND_BY_EMAIL.sqlite, (_WORKSPACE, email, 0)).fetchall()
            times.append(time.perf_counter_ns() - began)
            _require_one(found)
        return _typical(times)

    connection.execute("PRAGMA journal_mode=WAL")
    new_plans = _explain_on_sqlite(connection)
    times, before = [], 0
    for size in _sizes(rows):
        fill(before, size)
        times.append((size, look_up_time(size)))
        before = size
    connection.execute("ANALYZE")
    return Growth(engine, rows, new_plans, _explain_on_sqlite(connection), tuple(times))


def _explain_on_sqlite(connection: sqlite3.Connection) -> tuple[Plan, ...]:
    plans = []
    for statement in HOT:
        nothing = (None,) * _parameters(statement)
        steps = [str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {statement.sqlite}", nothing)]
        indexed = all(step.startswith("SEARCH") and step.count("=?") == _KEY_COLUMNS for step in steps)
        plans.append(Plan(statement.name, "; ".join(steps), indexed))
    return tuple(plans)


async def _on_postgresql(engine: str, database_url: str, rows: int) -> Growth:
    connection = await asyncpg.connect(database_url, command_timeout=600)
    try:
        new_plans = await _explain_on_postgresql(connection)
        times, before = [], 0
        for size in _sizes(rows):
            await _fill_postgresql(connection, before, size)
            times.append((size, await _look_up_time(connection, size)))
            before = size
        return Growth(engine, rows, new_plans, await _explain_on_postgresql(connection), tuple(times))
    finally:
        await connection.close()


async def _fill_postgresql(connection: Any, first: int, end: int) -> None:
    for start in range(first, end, _PORTION):
        last = min(start + _PORTION, end) - 1
        await connection.execute(f"{_INSERT} {_ROW} FROM generate_series({start}, {last}) AS n")
    await connection.execute("VACUUM ANALYZE contacts")


async def _look_up_time(connection: Any, rows: int) -> float:
    prepared = await connection.prepare(contacts.FIND_BY_EMAIL.postgresql)
    times = []
    for email in _emails(rows):
        began = time.perf_counter_ns()
        found = await prepared.fetch(_WORKSPACE, email, 0)
        times.append(time.perf_counter_ns() - began)
        _require_one(found)
    return _typical(times)


async def _explain_on_postgresql(connection: Any) -> tuple[Plan, ...]:
    # The generic plan, which is what a prepared statement ends up with whatever its values are.
    await connection.execute("SET plan_cache_mode = force_generic_plan")
    plans = []
    for statement in HOT:
        await connection.execute(f"PREPARE hot AS {statement.postgresql}")
        nothing = ", ".join(["NULL"] * _parameters(statement))
        lines = [str(row[0]).strip() for row in await connection.fetch(f"EXPLAIN (COSTS OFF) EXECUTE hot({nothing})")]
        await connection.execute("DEALLOCATE hot")
        conditions = [line for line in lines if line.startswith("Index Cond")]
        indexed = [line.count(" = ") for line in conditions] == [_KEY_COLUMNS]
        plans.append(Plan(statement.name, "; ".join(lines), indexed))
    return tuple(plans)


def _parameters(statement: Statement) -> int:
    return statement.parameters + statement.shared


def _emails(rows: int) -> list[str]:
    chosen = random.Random(rows)
    return [f"person.{chosen.randrange(rows)}@example.com" for _ in range(_LOOK_UPS)]


def _typical(times: list[int]) -> float:
    """Microseconds that a fifth of them stayed below: what disturbs a look-up only ever adds to it."""
    return sorted(times)[len(times) // 5] / 1000


def _require_one(found: list[Any]) -> None:
    if len(found) != 1:
        raise AssertionError(f"a look-up found {len(found)} rows")
