"""Tells how visitors were authenticated over time, and who still uses a key that was replaced; it must not look at a
single person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

from vestibule.administration import api_keys, workspaces
from vestibule.administration.api_keys import KeyReport
from vestibule.administration.desk import Desk
from vestibule.clock import DAY_MS, HOUR_MS, now_ms
from vestibule.errors import InvalidField
from vestibule.model.audit import INSTALLATION, REFUSED
from vestibule.model.claims import Method
from vestibule.storage import authentication_counts as rows
from vestibule.storage.authentication_counts import CountKey

LONGEST_SPAN_MS = 92 * DAY_MS
MOST_ROWS = 20_000
_PROVING = frozenset({Method.SERVER_TO_SERVER.value, Method.TOKEN_EXCHANGE.value, Method.AUTH_ENDPOINT.value})


class Count(msgspec.Struct, frozen=True):
    """How many authentications of one kind there were in the hour that begins at `at` (epoch milliseconds)."""

    at: int
    method: str
    outcome: str
    code: str
    origin: str
    key_id: str
    count: int


class KeyUse(msgspec.Struct, frozen=True):
    """What came with an API key in the span. `replaced_at` is when another took over from it."""

    key: KeyReport
    succeeded: int
    refused: int
    last_hour: int | None
    replaced_at: int | None

    @property
    def should_have_gone(self) -> bool:
        """Whether somebody called with a key after it was replaced. Of the very hour in which it was, what is counted
        does not tell."""
        if self.replaced_at is None or self.last_hour is None:
            return False
        return self.last_hour >= self.replaced_at or self.key.used_since_replaced


class Coverage(msgspec.Struct, frozen=True):
    """A span in numbers. `verified` of `issued` tokens stand for a proven contact."""

    since: int
    until: int
    issued: int
    verified: int
    refused: int
    by_method: dict[str, int]
    by_outcome: dict[str, int]
    refusals_by_code: dict[str, int]
    by_origin: dict[str, int]
    keys: list[KeyUse]


async def counts(desk: Desk, workspace_id: str, *, since: int | None = None, until: int | None = None) -> list[Count]:
    """By hour, oldest first. Times are epoch milliseconds, taken to the full hour. Raises NotFound, InvalidField."""
    first, last = span_of(since, until)
    await workspaces.require(desk, workspace_id)
    found = await rows.list_all(desk.store, workspace_id, since_hour=first, until_hour=last, most=MOST_ROWS + 1)
    if len(found) > MOST_ROWS:
        raise InvalidField("since", f"must be later: there are more than {MOST_ROWS} counts in this span")
    return [_count(key, count) for key, count in found]


async def coverage(desk: Desk, workspace_id: str, *, since: int | None = None, until: int | None = None) -> Coverage:
    """Raises NotFound, InvalidField."""
    first, last = span_of(since, until)
    await workspaces.require(desk, workspace_id)
    found = await rows.totals(desk.store, workspace_id, since_hour=first, until_hour=last)
    proofs = [(key, count) for key, count in found if key.method in _PROVING or key.method == Method.UNVERIFIED]
    issued = [(key, count) for key, count in proofs if key.outcome != REFUSED]
    refused = [(key, count) for key, count in found if key.outcome == REFUSED]
    reports = await api_keys.report(desk, workspace_id) if workspace_id != INSTALLATION else []
    replaced = {report.key.replaces: report.key.created_at for report in reports}
    return Coverage(
        since=first * HOUR_MS,
        until=last * HOUR_MS,
        issued=_sum(issued),
        verified=_sum((key, count) for key, count in issued if key.method in _PROVING),
        refused=_sum(refused),
        by_method=_by("method", found),
        by_outcome=_by("outcome", found),
        refusals_by_code=_by("code", refused),
        by_origin=_by("origin", found),
        keys=[_use(report, found, replaced.get(report.key.id)) for report in reports],
    )


def span_of(since: int | None, until: int | None) -> tuple[int, int]:
    """In hours; the last day, if nothing is said. Raises InvalidField."""
    until = now_ms() if until is None else until
    since = until - DAY_MS if since is None else since
    if not 0 <= until - since <= LONGEST_SPAN_MS:
        raise InvalidField("since", f"must lie before until, by at most {LONGEST_SPAN_MS // DAY_MS} days")
    return since // HOUR_MS, -(-until // HOUR_MS)


def _count(key: CountKey, count: int) -> Count:
    return Count(key.hour * HOUR_MS, key.method, key.outcome, key.code, key.origin, key.key_id, count)


def _sum(found: Iterable[tuple[CountKey, int]]) -> int:
    return sum(count for _, count in found)


def _by(member: str, found: Iterable[tuple[CountKey, int]]) -> dict[str, int]:
    """The most frequent first; what has no such member is left out."""
    totals: Counter[str] = Counter()
    for key, count in found:
        if getattr(key, member):
            totals[getattr(key, member)] += count
    return dict(totals.most_common())


def _use(report: KeyReport, found: list[tuple[CountKey, int]], replaced_at: int | None) -> KeyUse:
    mine = [(key, count) for key, count in found if key.key_id == report.key.id]
    refused = _sum((key, count) for key, count in mine if key.outcome == REFUSED)
    last = max((key.hour for key, _ in mine), default=None)
    last_hour = last * HOUR_MS if last is not None else None
    return KeyUse(report, _sum(mine) - refused, refused, last_hour, replaced_at)
