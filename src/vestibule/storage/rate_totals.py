"""What all processes together used of each rate limit, a row a minute; it must not decide who may pass."""

from __future__ import annotations

from vestibule.storage.purging import BATCH, purging
from vestibule.storage.statement import statement
from vestibule.storage.store import Store

ADD = statement(
    "rate_totals.add",
    """
    INSERT INTO rate_totals (workspace_id, bucket, minute, used) VALUES ($1, $2, $3, $5)
    ON CONFLICT (workspace_id, bucket, minute) DO UPDATE
    SET used = CASE WHEN rate_totals.used + $4 < $5 THEN $5 ELSE rate_totals.used + $4 END
    RETURNING $slot, used
    """,
)
READ = statement(
    "rate_totals.read",
    "SELECT $slot, used FROM rate_totals WHERE workspace_id = $1 AND bucket = $2 AND minute = $3",
)
PURGE = purging("rate_totals", "workspace_id, bucket, minute", "minute < $1")


class DatabaseTotals:
    """The totals of one installation. Every method raises StorageUnavailable."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def add(self, workspace_id: str, bucket: str, minute: int, used: int, least: int) -> int:
        """Adds `used` to the minute's total and tells the new total, which is `least` at least: what the caller knows
        of it, from wherever it was counted before."""
        rows = await self._store.write(ADD, workspace_id, bucket, minute, used, max(used, least))
        return int(rows[0][0])

    async def read(self, workspace_id: str, bucket: str, minute: int) -> int:
        rows = await self._store.read(READ, workspace_id, bucket, minute)
        return int(rows[0][0]) if rows else 0

    async def purge(self, before_minute: int) -> bool:
        return len(await self._store.write(PURGE, before_minute)) == BATCH
