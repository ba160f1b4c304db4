"""`vestibule migrate` is killed at the end of each migration, in the middle of some, and at the commit: the schema is
what it was, nothing of it is half there, and the next try goes through. On an empty database, and on an earlier one."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Self

import asyncpg
import pytest

from tests.fixtures.earlier_releases import RELEASES, restore
from vestibule.storage.opening import SCHEMA_VERSION, migrate, schema_version

DYING = Path(__file__).parents[1] / "fixtures" / "dying_migration.py"
# After every single statement, on demand.
EVERY = os.environ.get("VESTIBULE_FUZZ") == "long"


def tables_of(url: str) -> list[str]:
    """Everything that has a name there."""
    if url.startswith("sqlite"):
        connection = sqlite3.connect(url.removeprefix("sqlite:///"))
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master ORDER BY name")]
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()
        return names

    async def look() -> list[str]:
        connection = await asyncpg.connect(url)
        sql = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1"
        rows = await connection.fetch(sql)
        await connection.close()
        return [str(row[0]) for row in rows]

    return asyncio.run(look())


class Dying:
    """Runs into death at a point, as often as it is asked."""

    def __init__(self, url: str) -> None:
        command = [sys.executable, str(DYING), url]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=60)

    def at(self, point: int) -> list[int]:
        """What it has printed before."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{point}\n")
        self._process.stdin.flush()
        *ends, how = self._process.stdout.readline().split()
        assert how == "died"
        return [int(end) for end in ends]


def interrupt(url: str) -> int:
    """How many migrations were to be run. Whenever they were killed, nothing has happened."""
    before, version = tables_of(url) if exists(url) else [], asyncio.run(schema_version(url))
    with Dying(url) as dying:
        ends = dying.at(0)
        middles = [(start + end) // 2 for start, end in pairwise([0, *ends])]
        for point in range(1, ends[-1] + 1) if EVERY else sorted({1, *middles[::3], *ends} - {0}):
            dying.at(point)
            assert asyncio.run(schema_version(url)) == version
            assert tables_of(url) == before
    return len(ends)


def exists(url: str) -> bool:
    return not url.startswith("sqlite") or Path(url.removeprefix("sqlite:///")).exists()


def test_an_empty_database(database_url: str) -> None:
    assert interrupt(database_url) >= 9
    migrate(database_url)
    assert asyncio.run(schema_version(database_url)) == SCHEMA_VERSION
    assert "contacts" in tables_of(database_url)
    migrate(database_url)  # and again, for nothing


@pytest.mark.parametrize("release", RELEASES)
def test_an_earlier_release_s(release: str, engine: str, database_url: str) -> None:
    restore(release, engine, database_url)
    before = set(tables_of(database_url))
    if release != SCHEMA_VERSION:
        assert interrupt(database_url) >= 1
    migrate(database_url)
    assert asyncio.run(schema_version(database_url)) == SCHEMA_VERSION
    assert "contacts" in before & set(tables_of(database_url))
