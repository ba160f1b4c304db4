"""Shows that the hot statements are answered from an index, and as fast among many rows as among few; it must not run
through the product's engines, whose own cost is measured elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import sqlite3
import time
from dataclasses import dataclass
from typing import Any

import asyncpg

from tests.bench.hot import FILLED, HOT, STEP, TIMED, Hot, Key
from vestibule.storage import connections
from vestibule.storage.opening import ensure_schema, sqlite_path
from vestibule.storage.statement import Statement

# Each where there are to be as many contacts.
SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
_LOOK_UPS = 1_000
_PORTION = 1_000_000
_SERIES = "WITH RECURSIVE series(n) AS (SELECT ?1 UNION ALL SELECT n + 1 FROM series WHERE n + 1 < ?2)"
# A step that reads a table or an index of one; EXPLAIN says below it what of the index's key is compared.
_STEP = re.compile(r"(?:Seq|Heap|Index|Index Only) Scan ")
# SQLite's scans of what it has just computed itself are none.
_OWN_SCANS = ("SCAN CONSTANT ROW", "SCAN person")
Times = dict[str, tuple[tuple[int, float], ...]]


@dataclass(frozen=True, slots=True)
class Plan:
    """How a statement is answered; `indexed` says that each of its steps goes by the whole of a key that leads to the
    rows in question. Of a join that is an index for each table, and the rows themselves are read beside it."""

    statement: str
    text: str
    indexed: bool
    joins: bool


@dataclass(frozen=True, slots=True)
class Growth:
    """The plans of an engine for new tables and among `rows` contacts, and how many microseconds the look-up of each
    statement took at each size on the way there. What is planned for a new table is kept by prepared statements as it
    grows, until it is analysed; SQLite's are never analysed, unless by an operator."""

    engine: str
    rows: int
    new_plans: tuple[Plan, ...]
    plans: tuple[Plan, ...]
    times: Times


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
        for filled in FILLED:
            connection.execute(filled.insert("series", _SERIES), (first, end))
        connection.execute("COMMIT")

    def look_up_time(hot: Hot, rows: int) -> float:
        times = []
        for number in _numbers(rows):
            began = time.perf_counter_ns()
            found = connection.execute(hot.statement.sqlite, hot.parameters(number)).fetchall()
            times.append(time.perf_counter_ns() - began)
            _require(hot, found)
        return _typical(times)

    connection.execute("PRAGMA journal_mode=WAL")
    new_plans = _explain_on_sqlite(connection)
    times: dict[str, list[tuple[int, float]]] = {hot.statement.name: [] for hot in TIMED}
    before = 0
    for size in _sizes(rows):
        fill(before, size)
        for hot in TIMED:
            times[hot.statement.name].append((size, look_up_time(hot, size)))
        before = size
    connection.execute("ANALYZE")
    return Growth(engine, rows, new_plans, _explain_on_sqlite(connection), _as_told(times))


def _explain_on_sqlite(connection: sqlite3.Connection) -> tuple[Plan, ...]:
    plans = []
    for hot in HOT:
        nothing = (None,) * _parameters(hot.statement)
        asked = connection.execute(f"EXPLAIN QUERY PLAN {hot.statement.sqlite}", nothing)
        steps = [str(row[3]) for row in asked]
        keys = [
            tuple(re.findall(r"(\w+)=\?", step))
            for step in steps
            if step.startswith(("SEARCH", "SCAN")) and not step.startswith(_OWN_SCANS)
        ]
        plans.append(_plan(hot, steps, keys))
    return tuple(plans)


async def _on_postgresql(engine: str, database_url: str, rows: int) -> Growth:
    # As the product's connections are, which would rather take an index than think about it.
    settings = connections._SETTINGS
    connection = await asyncpg.connect(database_url, command_timeout=600, server_settings=settings)
    try:
        new_plans = await _explain_on_postgresql(connection)
        times: dict[str, list[tuple[int, float]]] = {hot.statement.name: [] for hot in TIMED}
        before = 0
        for size in _sizes(rows):
            await _fill_postgresql(connection, before, size)
            for hot in TIMED:
                times[hot.statement.name].append((size, await _look_up_time(connection, hot, size)))
            before = size
        return Growth(engine, rows, new_plans, await _explain_on_postgresql(connection), _as_told(times))
    finally:
        await connection.close()


async def _fill_postgresql(connection: Any, first: int, end: int) -> None:
    for start in range(first, end, _PORTION):
        last = min(start + _PORTION, end) - 1
        for filled in FILLED:
            await connection.execute(filled.insert(f"generate_series({start}, {last}) AS n"))
    for filled in FILLED:
        await connection.execute(f"VACUUM ANALYZE {filled.table}")


async def _look_up_time(connection: Any, hot: Hot, rows: int) -> float:
    prepared = await connection.prepare(hot.statement.postgresql)
    times = []
    for number in _numbers(rows):
        began = time.perf_counter_ns()
        found = await prepared.fetch(*hot.parameters(number))
        times.append(time.perf_counter_ns() - began)
        _require(hot, found)
    return _typical(times)


async def _explain_on_postgresql(connection: Any) -> tuple[Plan, ...]:
    # The generic plan, which is what a prepared statement ends up with whatever its values are.
    await connection.execute("SET plan_cache_mode = force_generic_plan")
    plans = []
    for hot in HOT:
        await connection.execute(f"PREPARE hot AS {hot.statement.postgresql}")
        nothing = ", ".join(["NULL"] * _parameters(hot.statement))
        lines = [str(row[0]).strip() for row in await connection.fetch(f"EXPLAIN (COSTS OFF) EXECUTE hot({nothing})")]
        await connection.execute("DEALLOCATE hot")
        keys = [
            # A condition names the index's own columns without their table, and on the left; some twice, where a join
            # says of one what the statement says of it as well.
            tuple(dict.fromkeys(re.findall(r"\((\w+) = ", below))) if below.startswith("Index Cond") else ()
            for line, below in zip(lines, [*lines[1:], ""], strict=True)
            if _STEP.search(line)
        ]
        plans.append(_plan(hot, lines, keys))
    return tuple(plans)


def _plan(hot: Hot, steps: list[str], keys: list[Key]) -> Plan:
    indexed = bool(keys) and hot.keys.issuperset(keys)
    return Plan(hot.statement.name, "; ".join(steps), indexed, hot.joins)


def _parameters(statement: Statement) -> int:
    return statement.parameters + statement.shared


def _numbers(rows: int) -> list[int]:
    """Of contacts that have a chat."""
    chosen = random.Random(rows)
    return [chosen.randrange(max(rows // STEP, 1)) * STEP for _ in range(_LOOK_UPS)]


def _as_told(times: dict[str, list[tuple[int, float]]]) -> Times:
    return {name: tuple(taken) for name, taken in times.items()}


def _typical(times: list[int]) -> float:
    """Microseconds that a fifth of them stayed below: what disturbs a look-up only ever adds to it."""
    return sorted(times)[len(times) // 5] / 1000


def _require(hot: Hot, found: list[Any]) -> None:
    if len(found) != hot.found:
        raise AssertionError(f"{hot.statement.name} found {len(found)} rows")
