"""`/v1/admin/workspaces/{id}/queues`; it must not route a chat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from vestibule.administration import queues
from vestibule.administration.desk import Desk
from vestibule.clock import now_ms
from vestibule.conversations.queues import is_open
from vestibule.edge.http import Reply
from vestibule.edge.operation import Operation
from vestibule.edge.surface import Route
from vestibule.errors import Conflict, InvalidField
from vestibule.model import queue as stored
from vestibule.runtime import Runtime
from vestibule.surfaces.admin_api import documenting as doc
from vestibule.surfaces.admin_api.seat import WORKSPACE, Seat, answer, endpoint, gone

_ALL = f"{WORKSPACE}/queues"
_ONE = f"{_ALL}/{{queue_key}}"
OpeningHours = Annotated[str, Meta(max_length=100, description="As in `mon-fri 09:00-17:00`, `sat,sun 22:00-06:00`.")]


class QueueSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Without hours a queue is always open. `identified_only`: nobody unproven may come in."""

    name: str
    identified_only: bool = False
    hours: tuple[OpeningHours, ...] = ()
    time_zone: str = "UTC"


class Queue(msgspec.Struct, frozen=True):
    """Where chats wait for people. `key` is what a page names it by; `open`: at this moment."""

    key: str
    name: str
    identified_only: bool
    hours: list[str]
    time_zone: str
    open: bool


class QueuePage(msgspec.Struct, frozen=True):
    """By their keys; all there are."""

    items: list[Queue]
    next: str | None = None


_SETTINGS = msgspec.json.Decoder(QueueSettings)


def routes(runtime: Runtime) -> Sequence[Route]:
    return [
        endpoint(runtime, "GET", _ALL, _list, _LIST),
        endpoint(runtime, "GET", _ONE, _read, _READ),
        endpoint(runtime, "PUT", _ONE, _put, _PUT),
        endpoint(runtime, "DELETE", _ONE, _remove, _REMOVE),
    ]


async def _list(seat: Seat) -> Reply:
    return answer(200, QueuePage([_queue_of(queue) for queue in await queues.list_all(seat.desk, seat.workspace_id)]))


async def _read(seat: Seat) -> Reply:
    return await seat.shown(_queue, settings=_settings)


async def _put(seat: Seat) -> Reply:
    wanted = seat.read(_SETTINGS)
    hours = queues.read_hours(wanted.hours)
    desk = await seat.editing(_settings)
    settings = stored.QueueSettings(wanted.name, wanted.identified_only, hours, wanted.time_zone)
    await queues.put(desk, seat.workspace_id, _key(seat), settings)
    return await _read(seat)


async def _remove(seat: Seat) -> Reply:
    desk = await seat.editing(_settings)
    await queues.remove(desk, seat.workspace_id, _key(seat))
    return gone()


def _key(seat: Seat) -> str:
    return seat.request.params["queue_key"]


async def _queue(seat: Seat, desk: Desk) -> Queue:
    return _queue_of(await queues.get(desk, seat.workspace_id, _key(seat)))


async def _settings(seat: Seat, desk: Desk) -> stored.Queue:
    """Without what the clock changes."""
    return await queues.get(desk, seat.workspace_id, _key(seat))


def _queue_of(queue: stored.Queue) -> Queue:
    settings = queue.settings
    return Queue(
        key=queue.key,
        name=settings.name,
        identified_only=settings.identified_only,
        hours=[queues.hours_text(hours) for hours in settings.hours],
        time_zone=settings.time_zone,
        open=is_open(settings, now_ms()),
    )


_LIST = Operation(name="listQueues", summary="List a workspace's queues", answers=doc.answer(QueuePage, "All of them."))
_READ = Operation(name="getQueue", summary="Show a queue", answers=doc.one(Queue, "The queue."))
_PUT = Operation(
    name="putQueue",
    summary="Make or replace a queue",
    request=QueueSettings,
    answers=doc.one(Queue, "The queue as it is now."),
    errors=(InvalidField, Conflict),
)
_REMOVE = Operation(name="removeQueue", summary="Remove a queue; its conversations stay", answers=doc.GONE)
