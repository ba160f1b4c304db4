"""What every storage engine promises, asked of each: the same suite over SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import sqlite3
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from vestibule.errors import StorageUnavailable
from vestibule.storage import installation
from vestibule.storage.opening import migrate, open_store
from vestibule.storage.rate_totals import DatabaseTotals
from vestibule.storage.statement import PAIRS, REGISTRY, Statement, pair, statement
from vestibule.storage.store import Store, UniqueViolation, Work, query

INSERT = statement("test.insert", "INSERT INTO installation (name, value) VALUES ($1, $2) RETURNING $slot, name")
LOOK = statement("test.look", "SELECT $slot, value FROM installation WHERE name = $1")
INSERT_NEW = statement(
    "test.insert_new",
    "INSERT INTO installation (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING $slot, name",
)
BOTH = pair(INSERT_NEW, INSERT)
COUNT = statement("test.count", "SELECT COUNT(*) FROM installation WHERE name LIKE $1")
for name in ("test.insert", "test.insert_new", "test.look", "test.count"):
    del REGISTRY[name]  # they are this test's, not the product's
del PAIRS[BOTH.together.name]


@pytest.fixture(scope="module")
def url(module_database_url: str) -> str:
    """One database for the module: migrating takes a second, and each test has keys of its own."""
    migrate(module_database_url)
    return module_database_url


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    opened = await open_store(url, connections=4, timeout=5)
    yield opened
    await opened.close()


async def test_a_write_is_read_by_everybody_who_asks_after_it(store: Store, url: str) -> None:
    await store.write(INSERT, "a", "1")
    assert [tuple(row) for row in await store.read(LOOK, "a")] == [("1",)]
    other = await open_store(url, connections=1)
    assert await installation.find(other, "a") == "1"
    await other.close()


async def test_callers_who_share_a_round_trip_get_their_own_rows(store: Store) -> None:
    await asyncio.gather(*(store.write(INSERT, f"k{n}", f"v{n}") for n in range(100)))
    found = await asyncio.gather(*(store.read(LOOK, f"k{n}") for n in range(150)))
    assert [[tuple(row) for row in rows] for rows in found] == [[(f"v{n}",)] if n < 100 else [] for n in range(150)]


async def test_one_caller_s_violation_is_not_the_others_business(store: Store) -> None:
    await store.write(INSERT, "dup7", "taken")
    results = await asyncio.gather(*(store.write(INSERT, f"dup{n}", "v") for n in range(20)), return_exceptions=True)
    assert [isinstance(result, UniqueViolation) for result in results] == [n == 7 for n in range(20)]
    assert (await store.read(COUNT, "dup%"))[0][0] == 20


async def test_nor_is_a_value_that_no_database_takes(store: Store) -> None:
    """Every surface refuses those; one that is forgotten must not fail for everybody who asks at the same moment."""
    await asyncio.gather(*(store.write(INSERT, f"n{n}", f"v{n}") for n in range(10)))
    for odd in ("a\0b", "\ud800", 2**80):
        found = await asyncio.gather(
            *(store.read(LOOK, odd if n == 5 else f"n{n}") for n in range(10)),
            *(store.write(INSERT_NEW, odd if n == 5 else f"n{n}", "x") for n in range(10)),
            return_exceptions=True,
        )
        told = [isinstance(each, BaseException) for number, each in enumerate(found) if number % 10 != 5]
        assert told == [False] * 18, f"{odd!r}: {found}"


async def test_fifty_first_writers_of_one_row_add_up(store: Store) -> None:
    await asyncio.gather(*(DatabaseTotals(store).add("w", "b", 1, 2, 0) for _ in range(50)))
    assert await DatabaseTotals(store).read("w", "b", 1) == 100


async def test_a_unit_of_work_is_all_or_nothing(store: Store) -> None:
    def good() -> Work[int]:
        yield query(INSERT, "u1", "x")
        rows = yield query(COUNT, "u%")
        return int(rows[0][0])

    def bad() -> Work[int]:
        yield query(INSERT, "u2", "x")
        yield query(INSERT, "u1", "again")
        return 0

    def changes_its_mind() -> Work[int]:
        yield query(INSERT, "u3", "x")
        raise KeyError("not today")

    assert await store.transact(good) == 1
    with pytest.raises(UniqueViolation):
        await store.transact(bad)
    with pytest.raises(KeyError):
        await store.transact(changes_its_mind)
    assert (await store.read(COUNT, "u%"))[0][0] == 1


async def test_a_violation_is_let_go_without_the_garbage_collector(store: Store) -> None:
    """A message that comes twice is one, and what it keeps until the collector comes are frames with all they hold."""

    def twice() -> Work[None]:
        yield query(INSERT, "twice", "x")
        yield query(INSERT, "twice", "again")

    async def violations() -> list[weakref.ref[UniqueViolation]]:
        found = []
        for call in (lambda: store.transact(twice), lambda: store.write(INSERT, "once", "again")):
            try:
                await call()
            except UniqueViolation as error:
                found.append(weakref.ref(error))
        return found

    await store.write(INSERT, "once", "x")
    gc.collect()
    gc.disable()
    try:
        found = await violations()
        await asyncio.sleep(0.05)
        assert [each() for each in found] == [None, None]
    finally:
        gc.enable()


async def test_of_a_pair_both_are_written_or_neither(store: Store) -> None:
    assert await store.write_pair(BOTH, ("both.a", "1"), ("both.b", "2"))
    assert not await store.write_pair(BOTH, ("both.a", "again"), ("both.c", "3"))
    with pytest.raises(UniqueViolation):
        await store.write_pair(BOTH, ("both.d", "4"), ("both.b", "again"))
    assert (await store.read(COUNT, "both.%"))[0][0] == 2


async def test_pairs_that_share_a_round_trip_do_not_spoil_each_other(store: Store) -> None:
    await store.write(INSERT, "first7", "taken")
    await store.write(INSERT, "second9", "taken")
    pairs = (store.write_pair(BOTH, (f"first{n}", "1"), (f"second{n}", "2")) for n in range(20))
    results = await asyncio.gather(*pairs, return_exceptions=True)
    assert [result is True for result in results] == [n not in {7, 9} for n in range(20)]
    assert results[7] is False
    assert isinstance(results[9], UniqueViolation)
    assert (await store.read(COUNT, "first%"))[0][0] == 19
    assert (await store.read(COUNT, "second%"))[0][0] == 19


async def test_units_of_work_side_by_side_do_not_mix(store: Store) -> None:
    def pair(n: int) -> Work[None]:
        yield query(INSERT, f"p{n}", "1")
        if n % 3 == 0:
            raise KeyError(n)
        yield query(INSERT, f"q{n}", "2")

    await asyncio.gather(*(store.transact(functools.partial(pair, n)) for n in range(30)), return_exceptions=True)
    assert (await store.read(COUNT, "p%"))[0][0] == 20
    assert (await store.read(COUNT, "q%"))[0][0] == 20


async def test_a_caller_that_gives_up_leaves_the_others_alone(store: Store) -> None:
    tasks = [asyncio.ensure_future(store.write(INSERT, f"c{n}", "v")) for n in range(20)]
    await asyncio.sleep(0)
    tasks[3].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(result, BaseException) for result in results) == 1
    assert (await store.read(COUNT, "c%"))[0][0] >= 19


@contextlib.asynccontextmanager
async def full_of_writes(store: Store, url: str, engine: str) -> AsyncIterator[None]:
    """Two writes are under way, and wait for what somebody else holds; who comes meanwhile waits behind them."""
    names = ("held1", "held2")
    busy: list[asyncio.Future[Any]] = []
    await asyncio.gather(*(store.read(COUNT, name) for name in names))  # two connections that the writes find
    async with contextlib.AsyncExitStack() as stack:
        if engine == "postgresql":
            other = await asyncpg.connect(url)
            stack.push_async_callback(other.close)  # which rolls back
            await other.execute("BEGIN")
            for name in names:
                await other.execute("INSERT INTO installation (name, value) VALUES ($1, 'v')", name)
        else:
            holder = stack.enter_context(contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"))))
            holder.execute("BEGIN IMMEDIATE")
        for name in names:
            busy.append(asyncio.ensure_future(store.write(INSERT, name, "v")))
            await asyncio.sleep(0.1)
        yield
    await asyncio.gather(*busy)


async def test_what_nobody_waits_for_any_more_is_not_begun(store: Store, url: str, engine: str) -> None:
    """Whoever was told 503, or has gone, must not keep those who still wait."""
    async with full_of_writes(store, url, engine):
        gone = [asyncio.ensure_future(store.write(INSERT, f"g{n}", "v")) for n in range(200)]
        await asyncio.sleep(0.1)
        for task in gone:
            task.cancel()
    await asyncio.gather(*gone, return_exceptions=True)
    await store.write(INSERT, "behind", "v")
    assert (await store.read(COUNT, "g%"))[0][0] == 0


async def test_nor_is_it_begun_anew_where_another_s_violation_undid_it(store: Store, url: str, engine: str) -> None:
    if engine != "postgresql":
        pytest.skip("on SQLite each has a step of their own")
    other = await asyncpg.connect(url)
    async with other.transaction():
        await other.execute("INSERT INTO installation (name, value) VALUES ('taken', 'v')")
        waiting = [asyncio.ensure_future(store.write(INSERT, name, "v")) for name in ("taken", "undone", "stays")]
        await asyncio.sleep(0.3)
        waiting[1].cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await other.close()
    assert isinstance(waiting[0].exception(), UniqueViolation)
    assert [bool(await store.read(LOOK, name)) for name in ("undone", "stays")] == [False, True]


async def test_reads_are_well_again_once_the_file_is(tmp_path: Path) -> None:
    """As the class promises, and although nobody writes meanwhile."""
    path = tmp_path / "v.db"
    migrate(f"sqlite:///{path}")
    store = await open_store(f"sqlite:///{path}")
    await store.write(INSERT, "a", "1")
    assert [tuple(row) for row in await store.read(LOOK, "a")] == [("1",)]
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    whole = path.read_bytes()
    with path.open("r+b") as file:
        file.write(b"\xff" * 4096)
    with pytest.raises(StorageUnavailable):
        await store.read(LOOK, "a")
    with path.open("r+b") as file:
        file.write(whole)
    assert [tuple(row) for row in await store.read(LOOK, "a")] == [("1",)]
    await store.close()


async def test_a_closed_store_says_so(store: Store) -> None:
    await store.close()
    calls: list[Callable[[], Awaitable[Any]]] = [
        lambda: store.read(LOOK, "a"),
        lambda: store.write(INSERT, "a", "b"),
    ]
    for call in calls:
        with pytest.raises(StorageUnavailable):
            await call()


async def test_a_statement_that_cannot_run_is_unavailable_and_the_next_runs(store: Store) -> None:
    broken = Statement(
        "test.broken", "SELECT nothing FROM nowhere", "SELECT nothing FROM nowhere", 0, shared=False, reads=True
    )
    for call in (store.read(broken), store.write(broken)):
        with pytest.raises(StorageUnavailable):
            await call
    await store.write(INSERT, "after", "fine")


async def test_texts_come_back_as_they_went_in(store: Store) -> None:
    for index, text in enumerate(
        ["", "'; DROP TABLE installation; --", "\u202e\U0001f600", "a\nb\tc", "%_\\", "x" * 100_000]
    ):
        await store.write(INSERT, f"t{index}", text)
        assert (await store.read(LOOK, f"t{index}"))[0][0] == text
