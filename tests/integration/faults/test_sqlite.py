"""SQLite whose disk is full, whose file is moved away, and which somebody else holds: right or 503 in time,
nothing acknowledged is lost, and well again by itself."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from pathlib import Path

from tests.fixtures.faults import (
    DATABASE_TIMEOUT,
    READY_WITHIN,
    REPLACED_WITHIN,
    await_ready,
    exposed,
    filled,
    replace_workers,
    small_disk,
)
from tests.fixtures.mixed_load import Load

DEADLINE = DATABASE_TIMEOUT + 2.0


def test_a_full_disk_refuses_and_loses_nothing(session_settings: dict[str, str], tmp_path: Path) -> None:
    with small_disk(24) as disk, exposed(session_settings, f"sqlite:///{disk}/v.db", tmp_path) as (_, ground):
        with Load(ground, deadline=DEADLINE) as load:
            load.wait_for_answers(120)
            for _ in range(2):
                with filled(disk):
                    # What was written to the log before has left some room in it.
                    load.wait_for_refusals(20)
                await_ready(ground.base_url)
                load.wait_for_answers(60)
        load.verify()


def test_a_worker_that_starts_while_the_disk_is_full_waits_for_room(
    session_settings: dict[str, str], tmp_path: Path
) -> None:
    """It must not end, and the others with it: a server of which one worker cannot start stops as a whole."""
    url = "sqlite:///{}/v.db"
    with small_disk(24) as disk, exposed(session_settings, url.format(disk), tmp_path, workers=2) as (server, ground):
        with Load(ground, deadline=REPLACED_WITHIN + READY_WITHIN) as load:  # so long nobody may be there
            load.wait_for_answers(60)
            with filled(disk):
                replace_workers(server)
            await_ready(ground.base_url)
            load.wait_for_answers(60)
        load.verify()


def test_a_file_that_is_moved_away_and_back_loses_nothing(session_settings: dict[str, str], tmp_path: Path) -> None:
    """Whoever has it open may go on with it. Nothing is made in its place."""
    file = tmp_path / "v.db"
    with exposed(session_settings, f"sqlite:///{file}", tmp_path) as (_, ground):
        with Load(ground, deadline=DEADLINE) as load:
            load.wait_for_answers(60)
            file.rename(tmp_path / "elsewhere.db")
            load.wait_for_answers(30)
            assert not file.exists(), "an empty database was made in its place"
            (tmp_path / "elsewhere.db").rename(file)
            await_ready(ground.base_url)
            load.wait_for_answers(60)
        load.verify()


def test_a_lock_that_somebody_else_holds(session_settings: dict[str, str], tmp_path: Path) -> None:
    """Nobody waits longer for it than the first: those who come later go with those who came before."""
    file = tmp_path / "v.db"
    with exposed(session_settings, f"sqlite:///{file}", tmp_path) as (_, ground):
        with Load(ground, deadline=DEADLINE) as load:
            load.wait_for_answers(60)
            with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as holder:
                holder.execute("BEGIN EXCLUSIVE")
                time.sleep(2.5 * DATABASE_TIMEOUT)
                holder.execute("ROLLBACK")
            await_ready(ground.base_url)
            load.wait_for_answers(60)
        load.verify()
        assert load.ledger.unavailable
