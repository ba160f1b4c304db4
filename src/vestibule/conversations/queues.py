"""Finds a queue and says whether it is open, and when it will be; it must not route anything."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta

from vestibule.clock import SECOND_MS
from vestibule.errors import NotFound
from vestibule.model.queue import Hours, Queue, QueueSettings
from vestibule.storage import queues as rows
from vestibule.storage.store import Store

KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MINUTES_A_DAY = 1440


async def find_queue(store: Store, workspace_id: str, key: str) -> Queue:
    """Raises NotFound, StorageUnavailable."""
    found = await rows.find(store, workspace_id, key) if KEY.fullmatch(key) else None
    if found is None:
        raise NotFound("There is no such queue.", step="queue")
    return found


def is_open(settings: QueueSettings, now: int) -> bool:
    """Whether somebody may come in at `now`, in epoch milliseconds."""
    if not settings.hours:
        return True
    return any(opens <= now < closes for opens, closes in _periods(settings, now))


def opens_at(settings: QueueSettings, now: int) -> int | None:
    """When a closed queue opens next, in epoch milliseconds; None where it is open, or never opens."""
    if is_open(settings, now):
        return None
    return min((opens for opens, _ in _periods(settings, now) if opens > now), default=None)


def clock_text(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _periods(settings: QueueSettings, now: int) -> Iterator[tuple[int, int]]:
    """Opening periods around `now`: from yesterday's, which may reach over midnight, to the same day of next week."""
    try:
        zone = zoneinfo.ZoneInfo(settings.time_zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return  # this machine does not know the zone: closed, rather than open at a guess
    today = datetime.fromtimestamp(now / SECOND_MS, zone).date()
    for days in range(-1, 8):
        day = today + timedelta(days=days)
        for hours in settings.hours:
            if day.weekday() in hours.days:
                yield _moment(day, hours.opens, zone), _moment(day, _end(hours), zone)


def _end(hours: Hours) -> int:
    return hours.closes if hours.closes > hours.opens else hours.closes + _MINUTES_A_DAY


def _moment(day: date, minutes: int, zone: zoneinfo.ZoneInfo) -> int:
    """By the clock on the wall: on a day that is an hour shorter, nine o'clock is nine o'clock."""
    days, rest = divmod(minutes, _MINUTES_A_DAY)
    local = datetime.combine(day + timedelta(days=days), time(rest // 60, rest % 60), tzinfo=zone)
    return int(local.astimezone(UTC).timestamp() * SECOND_MS)
