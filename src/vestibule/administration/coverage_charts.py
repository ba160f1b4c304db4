"""Tells how many authentications of each kind there were over time, piece by piece, to be drawn; it must not draw."""

from __future__ import annotations

from collections import Counter

import msgspec

from vestibule.administration import workspaces
from vestibule.administration.desk import Desk
from vestibule.clock import DAY_MS, HOUR_MS, now_ms
from vestibule.storage import authentication_counts as rows

# More lines than this nobody tells apart; the rest is one.
MOST_SERIES = 6
OTHERS = "(others)"
_DAY_HOURS = DAY_MS // HOUR_MS


class Span(msgspec.Struct, frozen=True):
    """A range that can be asked for, and how long one piece of it is, both in hours."""

    hours: int
    width: int


SPANS = {"24h": Span(24, 1), "7d": Span(7 * _DAY_HOURS, _DAY_HOURS), "30d": Span(30 * _DAY_HOURS, _DAY_HOURS)}


class Series(msgspec.Struct, frozen=True):
    """One name, and how often it was there in each piece."""

    name: str
    counts: tuple[int, ...]

    @property
    def total(self) -> int:
        return sum(self.counts)


class Chart(msgspec.Struct, frozen=True):
    """Authentications by one of `rows.DIMENSIONS`. `starts` are the pieces' beginnings (epoch ms)."""

    dimension: str
    width: int
    starts: tuple[int, ...]
    series: tuple[Series, ...]

    @property
    def highest(self) -> int:
        """Of all pieces, each with all its series on top of each other."""
        return max(
            (sum(series.counts[index] for series in self.series) for index in range(len(self.starts))), default=0
        )


async def charts(desk: Desk, workspace_id: str, span: Span) -> list[Chart]:
    """One for each dimension, of the span that ends with this piece. Raises NotFound."""
    await workspaces.get(desk, workspace_id)
    width = span.width
    until = (now_ms() // HOUR_MS // width + 1) * width
    since = until - span.hours
    starts = tuple((since + index * width) * HOUR_MS for index in range(span.hours // width))
    found = []
    for dimension in rows.DIMENSIONS:
        counted = await rows.series(
            desk.store, workspace_id, dimension, since_hour=since, until_hour=until, width=width
        )
        found.append(Chart(dimension, width, starts, _series(counted, len(starts))))
    return found


def _series(counted: list[tuple[int, str, int]], pieces: int) -> tuple[Series, ...]:
    """The most frequent first, what is rare together."""
    totals: Counter[str] = Counter()
    for _, name, count in counted:
        totals[name] += count
    shown = [name for name, _ in totals.most_common(MOST_SERIES)]
    by_name = {name: [0] * pieces for name in (*shown, OTHERS)}
    for piece, name, count in counted:
        by_name[name if name in by_name else OTHERS][piece] += count
    return tuple(Series(name, tuple(counts)) for name, counts in by_name.items() if any(counts))
