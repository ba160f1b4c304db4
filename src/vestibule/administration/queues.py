"""Sets up a workspace's queues; it must not route a chat."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Sequence

from vestibule.administration import workspaces
from vestibule.administration.desk import Desk
from vestibule.conversations.queues import KEY, clock_text
from vestibule.errors import Conflict, InvalidField, NotFound
from vestibule.model.queue import DAYS, Hours, Queue, QueueSettings
from vestibule.storage import queues as rows

MOST_QUEUES = 200
_MOST_HOURS = 50
_LONGEST_NAME = 100
_HOURS = re.compile(r"([a-z,-]+) +([0-9]{2}):([0-9]{2}) *- *([0-9]{2}):([0-9]{2})")
_HOURS_FORM = "must look like `mon-fri 09:00-17:00` or `sat,sun 22:00-06:00`"


async def put(desk: Desk, workspace_id: str, key: str, settings: QueueSettings) -> Queue:
    """Makes the queue, or writes over it. Raises NotFound, InvalidField, Conflict."""
    for problem in problems_of(key, settings):
        raise problem
    others = await list_all(desk, workspace_id)
    if len(others) >= MOST_QUEUES and key not in {other.key for other in others}:
        raise Conflict(f"A workspace has at most {MOST_QUEUES} queues.")
    queue = Queue(workspace_id, key, settings)
    await rows.put(desk.store, queue)
    await desk.record("queue.set", workspace_id, detail=key)
    return queue


def problems_of(key: str, settings: QueueSettings) -> list[InvalidField]:
    """Everything that keeps a queue from being kept."""
    problems, name = [], settings.name
    if KEY.fullmatch(key) is None:
        problems.append(InvalidField("key", "must have 1 to 64 letters, digits, `.`, `_` or `-`"))
    if not name.strip() or len(name) > _LONGEST_NAME or not name.isprintable():
        problems.append(InvalidField("name", f"must have 1 to {_LONGEST_NAME} printable characters"))
    if len(settings.hours) > _MOST_HOURS:
        problems.append(InvalidField("hours", f"must be given at most {_MOST_HOURS} times"))
    if settings.time_zone not in zoneinfo.available_timezones():
        problems.append(InvalidField("time_zone", "must be a zone that this machine knows, such as Europe/Oslo"))
    return problems


async def list_all(desk: Desk, workspace_id: str) -> list[Queue]:
    """By their keys. Raises NotFound."""
    await workspaces.get(desk, workspace_id)
    return await rows.list_all(desk.store, workspace_id)


async def get(desk: Desk, workspace_id: str, key: str) -> Queue:
    """Raises NotFound."""
    await workspaces.get(desk, workspace_id)
    found = await rows.find(desk.store, workspace_id, key)
    if found is None:
        raise NotFound("There is no such queue.")
    return found


async def remove(desk: Desk, workspace_id: str, key: str) -> None:
    """Its conversations stay, and go on naming it. Raises NotFound."""
    await workspaces.get(desk, workspace_id)
    if not await rows.delete(desk.store, workspace_id, key):
        raise NotFound("There is no such queue.")
    await desk.record("queue.remove", workspace_id, detail=key)


def read_hours(texts: Sequence[str]) -> tuple[Hours, ...]:
    """Raises InvalidField."""
    return tuple(_read(text.strip().lower()) for text in texts)


def hours_text(hours: Hours) -> str:
    days = ",".join(DAYS[day] for day in hours.days)
    return f"{days} {clock_text(hours.opens)}-{clock_text(hours.closes)}"


def _read(text: str) -> Hours:
    match = _HOURS.fullmatch(text)
    if match is None:
        raise InvalidField("hours", _HOURS_FORM)
    days = {day for part in match[1].split(",") for day in _days(part)}
    return Hours(tuple(sorted(days)), _minutes(match[2], match[3]), _minutes(match[4], match[5]))


def _days(part: str) -> range:
    first, _, last = part.partition("-")
    if first not in DAYS or (last or first) not in DAYS or ("-" in part and not last):
        raise InvalidField("hours", f"{_HOURS_FORM}; days are {', '.join(DAYS)}")
    begin, end = DAYS.index(first), DAYS.index(last or first)
    if end < begin:
        raise InvalidField("hours", "must name days in the order of a week, Monday first")
    return range(begin, end + 1)


def _minutes(hours: str, minutes: str) -> int:
    total = int(hours) * 60 + int(minutes)
    if total > 24 * 60 or int(minutes) > 59:
        raise InvalidField("hours", "must be times of a day, 00:00 to 24:00")
    return total
