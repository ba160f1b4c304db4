"""The connections to PostgreSQL: lent to one borrower at a time, never more than allowed, and none that was left in
doubt is lent again."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator

import pytest
import uvloop

from tests.fixtures.postgres import PostgresServer
from vestibule.clock import elapsed
from vestibule.errors import StorageUnavailable
from vestibule.storage.connections import Connections
from vestibule.storage.postgres import PostgresStore
from vestibule.storage.primary import Primary, urls_of
from vestibule.storage.statement import Statement
from vestibule.storage.store import Work, query

pytestmark = pytest.mark.slow
MOST = 3
TIMEOUT = 1.0


def of_this_test(sql: str, parameters: int = 0) -> Statement:
    """Not registered: none of the product's."""
    return Statement(sql, sql, sql, parameters, shared=False, reads=True)


NAP = of_this_test("SELECT 1 FROM pg_sleep(0.02)")
LONG_NAP = of_this_test("SELECT 1 FROM pg_sleep(30)")
LOOK = of_this_test("SELECT 1")
WHO = of_this_test("SELECT pg_backend_pid()")
COUNT = of_this_test(
    "SELECT COUNT(*) FROM pg_stat_activity WHERE application_name = 'vestibule' AND datname = current_database()"
)
OPEN = of_this_test("SELECT txid_current()")
END_OTHERS = of_this_test(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE application_name = 'vestibule' AND pid <> pg_backend_pid() AND datname = current_database()"
)


@pytest.fixture
async def store(postgres_server: PostgresServer) -> AsyncIterator[PostgresStore]:
    opened = PostgresStore(postgres_server.new_database(), connections=MOST, timeout=TIMEOUT)
    await opened.open()
    yield opened
    await opened.close()


async def test_never_more_than_allowed_and_everybody_has_their_turn(store: PostgresStore) -> None:
    done = await asyncio.gather(*(store.read(NAP) for _ in range(40)))
    assert [tuple(rows[0]) for rows in done] == [(1,)] * 40
    assert (await store.read(COUNT))[0][0] == MOST


async def test_one_after_another_uses_one(store: PostgresStore) -> None:
    seen = {(await store.read(WHO))[0][0] for _ in range(10)}
    assert len(seen) == 1


async def test_a_borrower_that_gives_up_leaves_no_running_statement_to_the_next(store: PostgresStore) -> None:
    for _ in range(MOST * 2):
        task = asyncio.ensure_future(store.read(LONG_NAP))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert tuple((await store.read(LOOK))[0]) == (1,)


async def test_what_is_shared_stays_prepared_and_is_prepared_anew_where_a_migration_changed_it(
    store: PostgresStore,
) -> None:
    await store.write(of_this_test("CREATE TABLE things (at INTEGER)"))
    await store.write(of_this_test("INSERT INTO things VALUES (7)"))
    sql = "SELECT CAST($1 AS INTEGER), at FROM things"
    shared = Statement(sql, sql, sql, 0, shared=True, reads=True)
    for _ in range(3):
        assert [tuple(row) for row in await store.read(shared)] == [(7,)]
    prepared = "SELECT COUNT(*) FROM pg_prepared_statements WHERE statement = $1"
    assert (await store.read(of_this_test(prepared, 1), sql))[0][0] == 1
    await store.write(of_this_test("ALTER TABLE things ALTER COLUMN at TYPE TEXT"))
    assert [tuple(row) for row in await store.read(shared)] == [("7",)]
    both = await asyncio.gather(store.read(shared), store.read(shared))
    assert [[tuple(row) for row in rows] for rows in both] == [[("7",)]] * 2


async def test_one_that_waits_and_gives_up_loses_no_place(store: PostgresStore) -> None:
    busy = [asyncio.ensure_future(store.read(of_this_test("SELECT 1 FROM pg_sleep(0.3)"))) for _ in range(MOST)]
    await asyncio.sleep(0.1)
    waiting = [asyncio.ensure_future(store.read(LOOK)) for _ in range(5)]
    await asyncio.sleep(0.02)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*busy)
    await asyncio.gather(*waiting, return_exceptions=True)
    assert len(await asyncio.gather(*(store.read(NAP) for _ in range(10)))) == 10


async def test_too_late_is_unavailable_and_the_next_call_is_answered(store: PostgresStore) -> None:
    for _ in range(MOST + 1):
        with pytest.raises(StorageUnavailable):
            await store.read(LONG_NAP)
    assert tuple((await store.read(LOOK))[0]) == (1,)


async def test_nobody_waits_longer_than_allowed_for_a_connection(store: PostgresStore) -> None:
    calls = await asyncio.gather(*(store.read(LONG_NAP) for _ in range(MOST + 2)), return_exceptions=True)
    assert [type(call) for call in calls] == [StorageUnavailable] * (MOST + 2)


async def test_connections_that_the_database_ended_are_not_lent_again(store: PostgresStore) -> None:
    await asyncio.gather(*(store.read(NAP) for _ in range(MOST)))
    await store.read(END_OTHERS)
    await asyncio.sleep(0.1)  # until their ends have arrived
    assert len(await asyncio.gather(*(store.read(NAP) for _ in range(MOST * 3)))) == MOST * 3


async def test_a_unit_of_work_that_fails_leaves_no_open_transaction(store: PostgresStore) -> None:
    def gives_up() -> Work[None]:
        yield query(OPEN)
        raise KeyError("not today")

    def is_stuck() -> Work[None]:
        yield query(OPEN)
        yield query(LONG_NAP)

    with pytest.raises(KeyError):
        await store.transact(gives_up)
    with pytest.raises(StorageUnavailable):
        await store.transact(is_stuck)
    open_ = of_this_test(
        "SELECT COUNT(*) FROM pg_stat_activity WHERE application_name = 'vestibule'"
        " AND datname = current_database() AND state LIKE 'idle in transaction%'"
    )
    assert (await store.read(open_))[0][0] == 0


async def test_a_database_that_is_not_there_is_unavailable_each_time() -> None:
    store = PostgresStore("postgresql://nobody@127.0.0.1:9/none", connections=MOST, timeout=TIMEOUT)
    await store.open()
    for _ in range(MOST * 2):  # a place that a failed attempt kept would be missed by now
        with pytest.raises(StorageUnavailable):
            await store.read(LOOK)
    await store.close()


@pytest.mark.parametrize(
    ("url", "urls"),
    [
        ("postgresql://u:p@a/d", ["postgresql://u:p@a/d"]),
        ("postgresql://u:p@a:1,b:2/d?x=1,2", ["postgresql://u:p@a:1/d?x=1,2", "postgresql://u:p@b:2/d?x=1,2"]),
        ("postgresql://u:p%2C@[::1]:1,b/d", ["postgresql://u:p%2C@[::1]:1/d", "postgresql://u:p%2C@b/d"]),
        ("postgresql://a,b", ["postgresql://a", "postgresql://b"]),
        ("postgresql:///d?host=a,b", ["postgresql:///d?host=a,b"]),
    ],
)
def test_a_url_may_name_several_hosts(url: str, urls: list[str]) -> None:
    assert urls_of(url) == urls


async def test_a_host_that_hangs_does_not_keep_from_the_next(postgres_server: PostgresServer) -> None:
    """A machine without power answers nothing, and whoever waited for it as long as for all would never get further."""
    url = postgres_server.new_database()
    silent = socket.socket()
    silent.bind(("127.0.0.1", 0))
    silent.listen()
    primary = Primary(url.replace("@127.0.0.1:", f"@127.0.0.1:{silent.getsockname()[1]},127.0.0.1:"))
    began = time.monotonic()
    connection = await primary.connect(timeout=0.5)
    assert 0.4 < time.monotonic() - began < 3
    await connection.close()
    began = time.monotonic()
    await (await primary.connect(timeout=5)).close()
    assert time.monotonic() - began < 3  # it is remembered
    hurried = Primary(url.replace("@127.0.0.1:", f"@127.0.0.1:{silent.getsockname()[1]},127.0.0.1:"))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await hurried.connect(timeout=5)
    began = time.monotonic()
    await (await hurried.connect(timeout=5)).close()
    assert time.monotonic() - began < 3  # also where its caller had given up before
    crowd = Primary(url.replace("@127.0.0.1:", f"@127.0.0.1:{silent.getsockname()[1]},127.0.0.1:"))
    for each in await asyncio.gather(*(crowd.connect(timeout=1) for _ in range(4))):
        await each.close()  # nobody turns away from what the one before has found
    silent.close()
    postgres_server.drop_database(url)


async def test_those_who_wait_behind_others_are_not_kept_waiting_again(store: PostgresStore) -> None:
    """They share round trips, and those that a database leaves unanswered fail together with whoever waits for them:
    each batch in its turn would be answered after as many time-outs as stand before it."""
    text = "SELECT CAST($1 AS INTEGER), 1 FROM pg_sleep(30)"
    shared = Statement("nap", text, text, 0, shared=True, reads=True)
    began = elapsed()
    calls = await asyncio.gather(*(store.read(shared) for _ in range(400)), return_exceptions=True)
    assert {type(call) for call in calls} == {StorageUnavailable}
    assert elapsed() - began < 2 * TIMEOUT


async def test_those_who_share_round_trips_wait_no_longer_than_others(store: PostgresStore) -> None:
    """Each round trip is in time by itself, and there are more before theirs than fit into it."""
    text = "SELECT CAST($1 AS INTEGER), 1 FROM pg_sleep(0.01)"
    shared = Statement("doze", text, text, 0, shared=True, reads=True)
    waits: list[float] = []

    async def ask() -> None:
        began = elapsed()
        try:
            await store.read(shared)
        finally:
            waits.append(elapsed() - began)

    calls = await asyncio.gather(*(ask() for _ in range(800)), return_exceptions=True)
    assert {type(call) for call in calls} == {type(None), StorageUnavailable}, "some were in time"
    assert max(waits) < 1.5 * TIMEOUT
    assert len(await store.read(shared)) == 1


def test_a_process_that_stood_still_asks_again(postgres_server: PostgresServer) -> None:
    """As the product runs: on uvloop a timer that has fallen due goes before a task's first step."""
    url = postgres_server.new_database()
    text = "SELECT CAST($1 AS INTEGER), 1"
    shared = Statement("one", text, text, 0, shared=True, reads=True)

    async def test() -> None:
        store = PostgresStore(url, connections=MOST, timeout=TIMEOUT)
        await store.open()
        for _ in range(3):  # as many as may be under way, and one more
            call = asyncio.ensure_future(store.read(shared))
            time.sleep(1.2 * TIMEOUT)  # noqa: ASYNC251  # the process is stopped, or its machine
            with contextlib.suppress(StorageUnavailable):
                await call
        assert [tuple(row) for row in await store.read(shared)] == [(1,)]
        await store.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(test(), 30))


async def test_what_was_given_up_is_given_up_in_the_database_as_well(
    store: PostgresStore, postgres_server: PostgresServer
) -> None:
    """Else statements that wait for a lock would add up there until no connection is left."""
    calls = await asyncio.gather(*(store.read(LONG_NAP) for _ in range(MOST)), return_exceptions=True)
    assert {type(call) for call in calls} == {StorageUnavailable}
    await asyncio.sleep(1.0)
    napping = "SELECT query FROM pg_stat_activity WHERE state = 'active' AND application_name = 'vestibule'"
    assert LONG_NAP.postgresql not in {query for (query,) in postgres_server.execute(napping)}


async def test_a_process_that_freezes_in_a_transaction_keeps_no_lock(postgres_server: PostgresServer) -> None:
    url = postgres_server.new_database()
    frozen, other = (Connections(url, most=1, timeout=1.0) for _ in range(2))
    try:
        asleep = await frozen.take()
        await asleep.execute("CREATE TABLE held (id INTEGER); INSERT INTO held VALUES (1)")
        await asleep.execute("BEGIN; UPDATE held SET id = 2")
        await asyncio.sleep(2.5)  # it is ended after twice the time
        awake = await other.take()
        assert await awake.fetchval("UPDATE held SET id = 3 RETURNING id") == 3
    finally:
        for connections in (frozen, other):
            await connections.close()


async def test_a_connection_that_only_reads_is_not_lent_again(
    store: PostgresStore, postgres_server: PostgresServer
) -> None:
    """It may lead to a primary that was demoted, or it was made while the database was read-only: it stays so."""
    [(name,)] = await store.read(of_this_test("SELECT current_database()"))
    await store.read(END_OTHERS)
    postgres_server.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    postgres_server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
    await asyncio.sleep(0.1)
    write = of_this_test("CREATE TABLE written (id INTEGER)")
    with pytest.raises(StorageUnavailable):
        await store.write(write)
    postgres_server.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    assert await store.write(write) == []
