"""Valkey that is killed, hangs, answers slowly and is emptied: nobody is refused, the database counts meanwhile, and
Valkey does again by itself."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import pytest

from tests.fixtures.faults import exposed
from tests.fixtures.mixed_ground import Ground
from tests.fixtures.mixed_load import Load
from tests.fixtures.responding import eventually
from tests.fixtures.valkey import ValkeyServer

# A call to it is given up after a quarter of a second (valkey.py).
DEADLINE = 3.0


@pytest.fixture(scope="module")
def valkey() -> Iterator[ValkeyServer]:
    with ValkeyServer() as server:
        yield server


@pytest.fixture(scope="module")
def ground(
    session_settings: dict[str, str],
    module_database_url: str,
    valkey: ValkeyServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Ground]:
    """Two workers, which share their counts there; nobody restarts them."""
    settings = {**session_settings, "VESTIBULE_VALKEY_URL": valkey.url}
    with exposed(settings, module_database_url, tmp_path_factory.mktemp("server"), workers=2) as (_, ground):
        yield ground


@contextlib.contextmanager
def unnoticed(ground: Ground, valkey: ValkeyServer) -> Iterator[Load]:
    """A load that must not notice what happens to Valkey while the block runs. Afterwards Valkey counts again."""
    with Load(ground, deadline=DEADLINE) as load:
        load.wait_for_answers(60)
        yield load
        valkey.flush()  # what is found there from now on was counted from now on
        eventually(lambda: valkey.keys("vestibule:used:*"))
        load.wait_for_answers(60)
        assert not load.ledger.unavailable, load.told()
        assert not load.ledger.broken, load.told()
    load.verify()


def counted_by_the_database(ground: Ground) -> int:
    sql = "SELECT COALESCE(SUM(used), 0) FROM rate_totals WHERE workspace_id = $1"
    [(used,)] = ground.workspace.installation.rows(sql, ground.workspace.id)
    return int(used)


@pytest.mark.parametrize(
    ("stop", "go_on"),
    [
        pytest.param(ValkeyServer.kill, ValkeyServer.start, id="killed"),
        # Worse than one that is away: connections are made, and nothing comes back.
        pytest.param(ValkeyServer.freeze, ValkeyServer.thaw, id="frozen"),
    ],
)
def test_away_and_back(
    ground: Ground, valkey: ValkeyServer, stop: Callable[[ValkeyServer], None], go_on: Callable[[ValkeyServer], None]
) -> None:
    with unnoticed(ground, valkey) as load:
        before = counted_by_the_database(ground)
        stop(valkey)
        try:
            eventually(lambda: counted_by_the_database(ground) > before)
            load.wait_for_answers(60)
        finally:
            go_on(valkey)


def test_slow(ground: Ground, valkey: ValkeyServer) -> None:
    """Some answers come in time, and some after they were given up."""
    with unnoticed(ground, valkey) as load:
        try:
            for number in range(1, 17):
                valkey.freeze()
                time.sleep(0.15 if number % 4 else 0.4)
                valkey.thaw()
                time.sleep(0.05)
        finally:
            valkey.thaw()
        load.wait_for_answers(60)


def test_emptied(ground: Ground, valkey: ValkeyServer) -> None:
    with unnoticed(ground, valkey) as load:
        for _ in range(10):
            valkey.flush()
            load.wait_for_answers(10)
