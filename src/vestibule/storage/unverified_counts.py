"""How often somebody without proof came in or went on, an hour a row; it must not know a single one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from vestibule.storage.purging import delete_in_batches, purging
from vestibule.storage.statement import statement
from vestibule.storage.store import Store, Work, query

ADD = statement(
    "unverified_counts.add",
    """
    INSERT INTO unverified_counts (workspace_id, hour, surface, step, reason, origin, count)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (workspace_id, hour, surface, step, reason, origin)
    DO UPDATE SET count = unverified_counts.count + excluded.count
    """,
)
# Few rows, whatever the span: surfaces and pages are few.
SUM = statement(
    "unverified_counts.sum",
    """
    SELECT workspace_id, MAX(hour), surface, step, reason, origin, CAST(SUM(count) AS BIGINT)
    FROM unverified_counts WHERE workspace_id = $1 AND hour >= $2 AND hour < $3
    GROUP BY workspace_id, surface, step, reason, origin ORDER BY surface, step, reason, origin
    """,
)
PURGE = purging(
    "unverified_counts",
    "workspace_id, hour, surface, step, reason, origin",
    "workspace_id = $1 AND hour < $2",
    "hour",
)


class UnverifiedKey(NamedTuple):
    """What is counted together. `hour` is hours since 1970."""

    workspace_id: str
    hour: int
    surface: str
    step: str
    reason: str
    origin: str


def add_work(counts: Mapping[UnverifiedKey, int]) -> Work[None]:
    # In one order for everybody: two nodes that add to the same rows must not wait for each other.
    for key in sorted(counts):
        yield query(ADD, *key, counts[key])


async def totals(
    store: Store, workspace_id: str, *, since_hour: int, until_hour: int
) -> list[tuple[UnverifiedKey, int]]:
    """Over the whole span, each with the last hour in which there was one."""
    rows = await store.read(SUM, workspace_id, since_hour, until_hour)
    return [(UnverifiedKey(*row[:6]), int(row[6])) for row in rows]


async def purge(store: Store, workspace_id: str, before_hour: int) -> None:
    await delete_in_batches(store, PURGE, workspace_id, before_hour)
