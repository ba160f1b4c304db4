"""What every storage engine must offer, in three verbs; it holds no SQL and opens nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Any, Protocol, TypeVar

import msgspec

from vestibule.storage.statement import Pair, Statement

# A row as the drivers give it, by position. It never leaves `storage/`: the functions beside the SQL make nouns of it.
Row = Sequence[Any]
Value = str | int | float | bool | bytes | None
T = TypeVar("T")


class Query(msgspec.Struct, frozen=True):
    """One step of a unit of work."""

    statement: Statement
    values: tuple[Value, ...]


# A unit of work is written once, as a generator that yields queries and receives their rows. SQLite runs it on its
# writer thread, PostgreSQL awaits each step; either commits all of it or nothing. It must do nothing but compute
# between its queries, as it may be made and run a second time after a deadlock.
Work = Generator[Query, list[Row], T]


def query(statement: Statement, *values: Value) -> Query:
    return Query(statement, values)


def one_after_the_other(pair: Pair, first: Sequence[Value], second: Sequence[Value]) -> Work[bool]:
    """A pair as a unit of work."""
    if not (yield query(pair.first, *first)):
        return False
    yield query(pair.second, *second)
    return True


class UniqueViolation(Exception):
    """A row with this key exists already."""


class Store(Protocol):
    """A database. Every method raises StorageUnavailable when it cannot answer in time; a write that raised it may
    nevertheless have happened, so every write here can be repeated."""

    def read(self, statement: Statement, *values: Value) -> Awaitable[list[Row]]:
        """Rows as they are committed now."""

    def write(self, statement: Statement, *values: Value) -> Awaitable[list[Row]]:
        """Runs one changing statement and commits it, perhaps together with others'. Raises UniqueViolation."""

    async def write_pair(self, pair: Pair, first: Sequence[Value], second: Sequence[Value]) -> bool:
        """Both statements or neither, perhaps together with others'. False where the first wrote no row. Raises
        UniqueViolation."""

    async def transact(self, make_work: Callable[[], Work[T]]) -> T:
        """Runs a unit of work in one transaction. Raises UniqueViolation, and whatever the work itself raises."""

    async def close(self) -> None: ...
