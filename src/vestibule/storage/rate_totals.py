"""What all processes together used of each rate limit, a row a minute; it must not decide who may pass."""

from __future__ import annotations

from vestibule.storage.statement import statement
from vestibule.storage.store import Store

ADD = statement(
    "rate_totals.add",
    """
    INSERT INTO rate_totals (workspace_id, bucket, minute, used) VALUES ($1, $2, $3, $4)
    ON CONFLICT (workspace_id, bucket, minute) DO UPDATE SET used = rate_totals.used + excluded.used
    RETURNING $slot, used
    """,
)
READ = statement(
    "rate_totals.read",
    "SELECT $slot, used FROM rate_totals WHERE workspace_id = $1 AND bucket = $2 AND minute = $3",
)
PURGE = statement("rate_totals.purge", "DELETE FROM rate_totals WHERE minute < $1")


async def add(store: Store, workspace_id: str, bucket: str, minute: int, used: int) -> int:
    """Adds `used` to the minute's total and tells the new total."""
    rows = await store.write(ADD, workspace_id, bucket, minute, used)
    return int(rows[0][0])


async def read(store: Store, workspace_id: str, bucket: str, minute: int) -> int:
    rows = await store.read(READ, workspace_id, bucket, minute)
    return int(rows[0][0]) if rows else 0


async def purge(store: Store, before_minute: int) -> None:
    await store.write(PURGE, before_minute)
