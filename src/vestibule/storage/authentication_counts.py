"""How many authentications there were, an hour a row, and a day a row for spans of months; it must not know a single
one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from vestibule.storage.purging import delete_in_batches, purging
from vestibule.storage.statement import statement
from vestibule.storage.store import Store, Work, query

DAY_HOURS = 24
ADD = statement(
    "authentication_counts.add",
    """
    INSERT INTO authentication_counts (workspace_id, hour, method, outcome, code, origin, key_id, count)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT (workspace_id, hour, method, outcome, code, origin, key_id)
    DO UPDATE SET count = authentication_counts.count + excluded.count
    """,
)
ADD_DAY = statement(
    "authentication_days.add",
    """
    INSERT INTO authentication_days (workspace_id, day, method, outcome, code, origin, key_id, last_hour, count)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    ON CONFLICT (workspace_id, day, method, outcome, code, origin, key_id)
    DO UPDATE SET count = authentication_days.count + excluded.count,
        last_hour = CASE WHEN excluded.last_hour > authentication_days.last_hour THEN excluded.last_hour
            ELSE authentication_days.last_hour END
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
SUM_DAYS = statement(
    "authentication_days.sum",
    """
    SELECT workspace_id, MAX(last_hour), method, outcome, code, origin, key_id, CAST(SUM(count) AS BIGINT)
    FROM authentication_days WHERE workspace_id = $1 AND day >= $2 AND day < $3
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
SERIES_OF_DAYS = {
    column: statement(
        f"authentication_days.series_{column}",
        f"""
        SELECT day - $2, {column}, CAST(SUM(count) AS BIGINT) FROM authentication_days
        WHERE workspace_id = $1 AND day >= $2 AND day < $3 AND {column} <> '' GROUP BY 1, 2 ORDER BY 1, 2
        """,
    )
    for column in DIMENSIONS
}
PURGE_DAYS = purging(
    "authentication_days",
    "workspace_id, day, method, outcome, code, origin, key_id",
    "workspace_id = $1 AND day < $2",
    "day",
)
PURGE = purging(
    "authentication_counts",
    "workspace_id, hour, method, outcome, code, origin, key_id",
    "workspace_id = $1 AND hour < $2",
    "hour",
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


def add_work(counts: Mapping[CountKey, int], days: Mapping[CountKey, int]) -> Work[None]:
    """The same numbers twice: by hour, and (those of `days`, each with its last hour) by day."""
    # In one order for everybody: two nodes that add to the same rows must not wait for each other.
    for key in sorted(counts):
        yield query(ADD, *key, counts[key])
    for key in sorted(days):
        workspace_id, hour, *kind = key
        yield query(ADD_DAY, workspace_id, hour // DAY_HOURS, *kind, hour, days[key])


async def list_all(
    store: Store, workspace_id: str, *, since_hour: int, until_hour: int, most: int
) -> list[tuple[CountKey, int]]:
    """By hour, the end not included."""
    rows = await store.read(LIST, workspace_id, since_hour, until_hour, most)
    return [(CountKey(*row[:7]), int(row[7])) for row in rows]


async def totals(store: Store, workspace_id: str, *, since_hour: int, until_hour: int) -> list[tuple[CountKey, int]]:
    """Over the whole span, each with the last hour in which there was one. Whole days are read as days."""
    first, last = -(-since_hour // DAY_HOURS), until_hour // DAY_HOURS
    if first >= last:
        rows = await store.read(SUM, workspace_id, since_hour, until_hour)
    else:
        rows = [
            *await store.read(SUM, workspace_id, since_hour, first * DAY_HOURS),
            *await store.read(SUM_DAYS, workspace_id, first, last),
            *await store.read(SUM, workspace_id, last * DAY_HOURS, until_hour),
        ]
    found: dict[CountKey, tuple[int, int]] = {}
    for row in rows:
        key = CountKey(row[0], 0, *row[2:7])
        hour, count = found.get(key, (0, 0))
        found[key] = max(hour, int(row[1])), count + int(row[7])
    return [(key._replace(hour=hour), count) for key, (hour, count) in sorted(found.items())]


async def series(
    store: Store, workspace_id: str, dimension: str, *, since_hour: int, until_hour: int, width: int
) -> list[tuple[int, str, int]]:
    """How many of each name of one of DIMENSIONS there were, by piece of the span: the first is 0, each has `width`
    hours. Days are to begin when days do."""
    if width == DAY_HOURS:
        of_days = SERIES_OF_DAYS[dimension]
        rows = await store.read(of_days, workspace_id, since_hour // DAY_HOURS, until_hour // DAY_HOURS)
    else:
        rows = await store.read(SERIES[dimension], workspace_id, since_hour, until_hour, width)
    return [(int(row[0]), row[1], int(row[2])) for row in rows]


async def purge(store: Store, workspace_id: str, before_hour: int) -> None:
    await delete_in_batches(store, PURGE, workspace_id, before_hour)
    await delete_in_batches(store, PURGE_DAYS, workspace_id, before_hour // DAY_HOURS)
