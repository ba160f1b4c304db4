"""Two stores over a store: one remembers what was read, the other writes only if all of it still reads the same; it
holds no noun.

What an operator was shown is what the reads of its view returned. Read again in the transaction that writes, they tell
whether anything of it was changed meanwhile, whatever it is made of. Those who edit a workspace on a condition take
turns; SQLite has one writer anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from vestibule.errors import StaleEdit
from vestibule.storage.statement import Pair, Statement, statement
from vestibule.storage.store import Query, Row, Store, Value, Work, one_after_the_other, query

T = TypeVar("T")
Seen = list[tuple[Query, list[tuple[object, ...]]]]

TAKE_TURN = statement(
    "conditional.take_turn",
    """
    INSERT INTO counters (workspace_id, name, value) VALUES ($1, 'edit', 1)
    ON CONFLICT (workspace_id, name) DO UPDATE SET value = counters.value + 1 RETURNING value
    """,
)


class RememberingStore:
    """Passes on, and keeps what was read in `seen`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.seen: Seen = []

    async def read(self, statement: Statement, *values: Value) -> list[Row]:
        rows = await self._store.read(statement, *values)
        self.seen.append((query(statement, *values), _plain(rows)))
        return rows

    async def write(self, statement: Statement, *values: Value) -> list[Row]:
        return await self._store.write(statement, *values)

    async def write_pair(self, pair: Pair, first: Sequence[Value], second: Sequence[Value]) -> bool:
        return await self._store.write_pair(pair, first, second)

    async def transact(self, make_work: Callable[[], Work[T]]) -> T:
        return await self._store.transact(make_work)

    async def close(self) -> None:
        """Nothing: it is not ours to close."""


class ConditionalStore:
    """Its first write raises StaleEdit, and writes nothing, unless `seen` still reads as it did."""

    def __init__(self, store: Store, workspace_id: str, seen: Seen) -> None:
        self._store = store
        self._workspace_id = workspace_id
        self._seen = seen
        self._holds = False

    async def read(self, statement: Statement, *values: Value) -> list[Row]:
        return await self._store.read(statement, *values)

    async def write(self, statement: Statement, *values: Value) -> list[Row]:
        def work() -> Work[list[Row]]:
            return (yield query(statement, *values))

        return await self.transact(work)

    async def write_pair(self, pair: Pair, first: Sequence[Value], second: Sequence[Value]) -> bool:
        return await self.transact(lambda: one_after_the_other(pair, first, second))

    async def transact(self, make_work: Callable[[], Work[T]]) -> T:
        if self._holds:
            return await self._store.transact(make_work)
        done = await self._store.transact(lambda: self._guarded(make_work))
        self._holds = True
        return done

    async def close(self) -> None:
        """Nothing: it is not ours to close."""

    def _guarded(self, make_work: Callable[[], Work[T]]) -> Work[T]:
        yield query(TAKE_TURN, self._workspace_id)
        for asked, rows in self._seen:
            if _plain((yield asked)) != rows:
                raise StaleEdit(detail=asked.statement.name, step="if_match")
        return (yield from make_work())


def _plain(rows: list[Row]) -> list[tuple[object, ...]]:
    return [tuple(row) for row in rows]
