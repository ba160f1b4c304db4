"""PostgreSQL that is stopped, frozen, cut off, read-only, full and crowded: right or 503 in time, nothing acknowledged
is lost, and well again by itself."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import secrets
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import psutil
import pytest

from tests.fixtures.faults import DATABASE_TIMEOUT, await_ready, exposed, filled, small_disk
from tests.fixtures.mixed_ground import Ground, strain
from tests.fixtures.mixed_load import Load
from tests.fixtures.postgres import PostgresServer

# A request may need the database for more than one thing; the first that is not answered ends it.
DEADLINE = 2 * DATABASE_TIMEOUT + 1.0
CONNECTIONS = 8  # the default of database_connections


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    """A server that the tests may stop."""
    with PostgresServer({"max_connections": "30"}) as server:
        yield server


@pytest.fixture(scope="module")
def ground(
    session_settings: dict[str, str], postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ground]:
    """One server goes through all of it, and nobody restarts it."""
    url = postgres.new_database()
    with exposed(session_settings, url, tmp_path_factory.mktemp("server")) as (_, ground):
        yield ground
    postgres.drop_database(url)


@pytest.fixture
def load(ground: Ground) -> Iterator[Load]:
    """Under way when the test begins; verified when it has ended."""
    with Load(ground, deadline=DEADLINE) as load:
        load.wait_for_answers(60)
        yield load
        await_ready(ground.base_url)
        load.wait_for_answers(60)
    load.verify()


def name_of(load: Load) -> str:
    return load.ground.workspace.installation.server.settings["VESTIBULE_DATABASE_URL"].rpartition("/")[2]


@contextlib.contextmanager
def frozen(postgres: PostgresServer) -> Iterator[None]:
    """Nothing of it runs, and nobody is told."""
    parent = psutil.Process(postgres.pid)
    family = [parent, *parent.children(recursive=True)]
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.suspend()
    try:
        yield
    finally:
        for member in reversed(family):
            with contextlib.suppress(psutil.NoSuchProcess):
                member.resume()


def cut(load: Load, postgres: PostgresServer) -> None:
    """Ends the server's connections."""
    ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'vestibule'"
    postgres.execute(f"{ended} AND datname = $1", name_of(load))


@contextlib.contextmanager
def crowded(load: Load) -> Iterator[None]:
    """Whatever connection comes free is taken."""
    installation = load.ground.workspace.installation
    url = installation.server.settings["VESTIBULE_DATABASE_URL"]
    taken: list[Any] = []

    async def take() -> None:
        while True:
            try:
                taken.append(await asyncpg.connect(url))
            except asyncpg.TooManyConnectionsError:
                await asyncio.sleep(0.005)

    async def begin() -> asyncio.Task[None]:
        return asyncio.create_task(take())

    async def end() -> None:
        taking.cancel()
        for connection in taken:
            await connection.close()

    taking = installation.run(begin())
    try:
        yield
    finally:
        installation.run(end())


def descriptors(load: Load) -> int:
    return psutil.Process(load.ground.workspace.installation.server.pid).num_fds()


def test_restarted(load: Load, postgres: PostgresServer) -> None:
    for _ in range(3):
        postgres.restart()
        load.wait_for_answers(30, within=10)


def test_stopped_for_long(load: Load, postgres: PostgresServer) -> None:
    postgres.stop()
    time.sleep(5.0)
    postgres.start()
    assert load.ledger.unavailable


def test_frozen(load: Load, postgres: PostgresServer) -> None:
    """Worse than one that is away: connections are made and statements taken, and nothing comes back."""
    before = descriptors(load)
    with frozen(postgres):
        time.sleep(4 * DATABASE_TIMEOUT)
        assert load.ledger.unavailable
        assert descriptors(load) < before + 30, "calls that were given up still hold a descriptor"


def test_tokens_of_keys_that_nobody_knows_wait_together(load: Load, postgres: PostgresServer) -> None:
    """Their key may be a new one, and is looked for. In turn, each would wait for as long as all before it."""

    def ask(number: int) -> tuple[int, float]:
        header = base64.urlsafe_b64encode(f'{{"alg":"ES256","kid":"made-up-{number}","typ":"contact+jwt"}}'.encode())
        bearer = {"authorization": f"Bearer {header.decode().rstrip('=')}.e30.AAAA"}
        began = time.monotonic()
        answer = httpx.get(f"{load.ground.base_url}/v1/me", headers=bearer, timeout=60, trust_env=False)
        return answer.status_code, time.monotonic() - began

    assert ask(0)[0] == 401
    with frozen(postgres), ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(ask, range(20)))
    assert {status for status, _ in answers} == {503}
    assert max(took for _, took in answers) < DEADLINE * strain()


def test_connections_that_are_cut(load: Load, postgres: PostgresServer) -> None:
    for _ in range(20):
        cut(load, postgres)
        time.sleep(0.1)
    load.wait_for_answers(30)


def test_read_only_and_again_writable(load: Load, postgres: PostgresServer) -> None:
    """Connections that were made meanwhile stay read-only for as long as they live, as those to a primary that was
    demoted do: they must not be kept."""
    postgres.execute(f"ALTER DATABASE {name_of(load)} SET default_transaction_read_only = on")
    cut(load, postgres)
    load.wait_for_refusals()
    postgres.execute(f"ALTER DATABASE {name_of(load)} RESET default_transaction_read_only")


def test_a_table_that_somebody_locks(load: Load, postgres: PostgresServer) -> None:
    """Statements that were given up are over in the database as well: or each would keep a connection of it."""
    lock = "LOCK TABLE contacts IN ACCESS EXCLUSIVE MODE"
    postgres.execute(f"DO $$ BEGIN {lock}; PERFORM pg_sleep({4 * DATABASE_TIMEOUT}); END $$", database=name_of(load))
    assert load.ledger.unavailable
    count = "SELECT COUNT(*) FROM pg_stat_activity WHERE application_name = 'vestibule' AND datname = $1"
    [(connections,)] = postgres.execute(count, name_of(load))
    assert connections <= 2 * CONNECTIONS, "statements that nobody waits for go on"


def test_no_connection_is_left(load: Load, postgres: PostgresServer) -> None:
    """Others have taken all of them, but for those that are the administrator's."""
    with crowded(load):
        before, deadline = sum(load.ledger.unavailable.values()), time.monotonic() + 20
        while sum(load.ledger.unavailable.copy().values()) < before + 5:
            assert time.monotonic() < deadline, "there were connections for everybody"
            cut(load, postgres)  # whoever is faster has it: the server, or the crowd
            time.sleep(0.1)


def test_a_full_disk(session_settings: dict[str, str], postgres: PostgresServer, tmp_path: Path) -> None:
    """Of the tables; where its log finds no room, PostgreSQL itself goes down, as in `test_stopped_for_long`."""
    with small_disk(40) as disk:
        place = disk / "tables"
        place.mkdir()
        shutil.chown(place, "postgres")  # a disk can be made by root only
        space, url = f"small_{secrets.token_hex(4)}", postgres.new_database()
        postgres.execute(f"CREATE TABLESPACE {space} LOCATION '{place}'")
        postgres.execute(f"ALTER DATABASE {url.rpartition('/')[2]} SET TABLESPACE {space}")
        try:
            with exposed(session_settings, url, tmp_path) as (_, ground):
                with Load(ground, deadline=DEADLINE) as load:
                    load.wait_for_answers(100)
                    with filled(disk):
                        load.wait_for_refusals(20)
                    await_ready(ground.base_url)
                    load.wait_for_answers(100)
                load.verify()
        finally:
            postgres.drop_database(url)
            postgres.execute(f"DROP TABLESPACE {space}")
