"""Deletes by age, a batch at a time: what has gathered while nobody could delete must not be too much to delete; it
must not decide what is old."""

from __future__ import annotations

import asyncio

from vestibule.storage.statement import Statement, statement
from vestibule.storage.store import Store

# For some hundredths of a second SQLite's only writer is taken; far from PostgreSQL's statement_timeout.
BATCH = 1_000
# Between two batches, so that visitors' own writes find their turn.
_BREATH_SECONDS = 0.05


def purging(table: str, key: str, old: str, order: str = "") -> Statement:
    """Deletes a batch of the rows of which `old` is true. `order` is the column by which they are, which leads
    PostgreSQL to its index even where it takes most of the table for old."""
    batch = f"SELECT {key} FROM {table} WHERE {old}{f' ORDER BY {order}' if order else ''} LIMIT {BATCH}"
    # Of a row that somebody renews at this moment PostgreSQL asks again only what is asked of the row itself. An age
    # that is part of the key stays, and SQLite would look for it in place of the key.
    still = "" if order in key.split(", ") else f" AND {old}"
    return statement(f"{table}.purge", f"DELETE FROM {table} WHERE ({key}) IN ({batch}){still} RETURNING 1")


async def delete_in_batches(store: Store, purge: Statement, *values: str | int) -> int:
    """All that is old; how many. What another process is deleting meanwhile is left to it. Raises
    StorageUnavailable."""
    deleted = 0
    while True:
        batch = len(await store.write(purge, *values))
        deleted += batch
        if batch < BATCH:
            return deleted
        await asyncio.sleep(_BREATH_SECONDS)
