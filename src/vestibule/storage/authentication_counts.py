"""How many authentications there were, an hour a row; it must not know a single one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from vestibule.storage.statement import statement
from vestibule.storage.store import Store, Work, query

ADD = statement(
    "authentication_counts.add",
    """
    INSERT INTO authentication_counts (workspace_id, hour, method, outcome, code, origin, key_id, count)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT (workspace_id, hour, method, outcome, code, origin, key_id)
    DO UPDATE SET count = authentication_counts.count + excluded.count
    """,
)
LIST = statement(
    "authentication_counts.list",
    """
    SELECT workspace_id, hour, method, outcome, code, origin, key_id, count FROM authentication_counts
    WHERE workspace_id = $1 AND hour >= $2 AND hour < $3
    ORDER BY hour, method, outcome, code, origin, key_id LIMIT $4
    """,
)
# Few rows, whatever the span: pages, keys and reasons are few.
SUM = statement(
    "authentication_counts.sum",
    """
    SELECT workspace_id, MAX(hour), method, outcome, code, origin, key_id, CAST(SUM(count) AS BIGINT)
    FROM authentication_counts WHERE workspace_id = $1 AND hour >= $2 AND hour < $3
    GROUP BY workspace_id, method, outcome, code, origin, key_id ORDER BY method, outcome, code, origin, key_id
    """,
)
# By what a chart may be drawn, a piece of the span a row: as few as pieces times names.
DIMENSIONS = ("method", "outcome", "code", "origin", "key_id")
SERIES = {
    column: statement(
        f"authentication_counts.series_{column}",
        f"""
        SELECT (hour - $2) / $4, {column}, CAST(SUM(count) AS BIGINT) FROM authentication_counts
        WHERE workspace_id = $1 AND hour >= $2 AND hour < $3 AND {column} <> '' GROUP BY 1, 2 ORDER BY 1, 2
        """,
    )
    for column in DIMENSIONS
}
PURGE = statement(
    "authentication_counts.purge", "DELETE FROM authentication_counts WHERE workspace_id = $1 AND hour < $2"
)


class CountKey(NamedTuple):
    """What is counted together. `hour` is hours since 1970."""

    workspace_id: str
    hour: int
    method: str
    outcome: str
    code: str
    origin: str
    key_id: str


def add_work(counts: Mapping[CountKey, int]) -> Work[None]:
    # In one order for everybody: two nodes that add to the same rows must not wait for each other.
    for key in sorted(counts):
        yield query(ADD, *key, counts[key])


async def list_all(
    store: Store, workspace_id: str, *, since_hour: int, until_hour: int, most: int
) -> list[tuple[CountKey, int]]:
    """By hour, the end not included."""
    rows = await store.read(LIST, workspace_id, since_hour, until_hour, most)
    return [(CountKey(*row[:7]), int(row[7])) for row in rows]


async def totals(store: Store, workspace_id: str, *, since_hour: int, until_hour: int) -> list[tuple[CountKey, int]]:
    """Over the whole span, each with the last hour in which there was one."""
    rows = await store.read(SUM, workspace_id, since_hour, until_hour)
    return [(CountKey(*row[:7]), int(row[7])) for row in rows]


async def series(
    store: Store, workspace_id: str, dimension: str, *, since_hour: int, until_hour: int, width: int
) -> list[tuple[int, str, int]]:
    """How many of each name of one of DIMENSIONS there were, by piece of the span: the first is 0, each has `width`
    hours."""
    rows = await store.read(SERIES[dimension], workspace_id, since_hour, until_hour, width)
    return [(int(row[0]), row[1], int(row[2])) for row in rows]


async def purge(store: Store, workspace_id: str, before_hour: int) -> None:
    await store.write(PURGE, workspace_id, before_hour)
