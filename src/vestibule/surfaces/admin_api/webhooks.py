"""`/v1/admin/workspaces/{id}/webhooks`, and what was not delivered; it must not show a secret, but a new one at the
only moment at which it is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from vestibule.administration import webhooks, workspaces
from vestibule.administration.desk import Desk
from vestibule.administration.webhooks import DEAD, WAITING, Listed
from vestibule.edge.http import Reply
from vestibule.edge.operation import Operation, Parameter
from vestibule.edge.parameters import choice, cursor, cursor_of, number
from vestibule.edge.surface import Route
from vestibule.errors import AlreadyExists, CannotUnseal, Conflict, InvalidField, NotFound
from vestibule.ids import is_id
from vestibule.model.unshown import Unshown
from vestibule.model.webhook import EventKind, EventNames, WebhookEndpoint
from vestibule.runtime import Runtime
from vestibule.storage.webhooks import Undelivered
from vestibule.surfaces.admin_api import documenting as doc
from vestibule.surfaces.admin_api import shapes
from vestibule.surfaces.admin_api.seat import WORKSPACE, Seat, answer, endpoint, gone, made
from vestibule.times import rfc3339

_ALL = f"{WORKSPACE}/webhooks"
_ONE = f"{_ALL}/{{webhook_id}}"
_STATES = (WAITING, DEAD)
Events = Annotated[tuple[EventKind, ...], Meta(min_length=1)]
WebhookName = Annotated[str, Meta(max_length=100)]
Address = Annotated[str, Meta(min_length=1, max_length=2048)]


class Webhook(msgspec.Struct, frozen=True):
    """Where a workspace's own server is told of events. `address` is the URL without its query; `secrets` is how many
    sign; `waiting` and `dead` are how many events were not delivered yet, and are not tried any more."""

    id: shapes.Uuid
    name: str
    address: str
    events: tuple[EventKind, ...]
    names: EventNames
    secrets: int
    created_at: shapes.Time
    waiting: int
    dead: int


class WebhookPage(msgspec.Struct, frozen=True):
    """Oldest first; all there are."""

    items: list[Webhook]
    next: str | None = None


class NewWebhook(Unshown, frozen=True, forbid_unknown_fields=True):
    """`events` absent: all. `names` are whose event names and body are sent; `name` is what the workspace's file knows
    it by."""

    url: Address
    events: Events | UnsetType = UNSET
    names: EventNames = EventNames.VESTIBULE
    name: WebhookName = ""


class WebhookChange(Unshown, frozen=True, forbid_unknown_fields=True):
    """What is absent stays. `rotate_secret` signs with a new secret beside the current one, `forget_old_secret` with
    the newest only."""

    url: Address | UnsetType = UNSET
    events: Events | UnsetType = UNSET
    names: EventNames | UnsetType = UNSET
    name: WebhookName | UnsetType = UNSET
    rotate_secret: bool = False
    forget_old_secret: bool = False


class ChangedWebhook(Webhook, frozen=True, kw_only=True, omit_defaults=True):
    """`secret` is there once, when it was made."""

    secret: str | UnsetType = UNSET

    def __repr__(self) -> str:
        return f"ChangedWebhook({self.id})"


class UndeliveredEvent(msgspec.Struct, frozen=True):
    """An event that was not delivered. `due_at` is when it is tried again, null for a dead letter; `problem` is what
    the last try came to. On the wire its `webhook-id` is `msg_` and this id."""

    id: shapes.Uuid
    kind: EventKind
    at: shapes.Time
    attempts: int
    due_at: shapes.Time | None
    died_at: shapes.Time | None
    problem: str


class UndeliveredPage(msgspec.Struct, frozen=True):
    """Oldest first. `next` is the `cursor` of the next page, null on the last one."""

    items: list[UndeliveredEvent]
    next: str | None


class Replay(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`event_id`: only this dead letter."""

    event_id: shapes.Uuid | None = None


class Replayed(msgspec.Struct, frozen=True):
    """How many dead letters are sent again."""

    count: int


_NEW = msgspec.json.Decoder(NewWebhook)
_CHANGE = msgspec.json.Decoder(WebhookChange)
_REPLAY = msgspec.json.Decoder(Replay)


def routes(runtime: Runtime) -> Sequence[Route]:
    return [
        endpoint(runtime, "GET", _ALL, _list, _LIST),
        endpoint(runtime, "POST", _ALL, _add, _ADD),
        endpoint(runtime, "GET", _ONE, _read, _READ),
        endpoint(runtime, "PATCH", _ONE, _change, _EDIT),
        endpoint(runtime, "DELETE", _ONE, _remove, _REMOVE),
        endpoint(runtime, "GET", f"{_ONE}/undelivered", _undelivered, _LIST_UNDELIVERED),
        endpoint(runtime, "POST", f"{_ONE}/replay", _replay, _SEND_AGAIN),
    ]


async def _list(seat: Seat) -> Reply:
    return answer(200, WebhookPage([_shape_of(each) for each in await webhooks.list_all(seat.desk, seat.workspace_id)]))


async def _add(seat: Seat) -> Reply:
    wanted = seat.read(_NEW)
    events = wanted.events or ()
    done = await webhooks.add(
        seat.desk, seat.workspace_id, wanted.url, events=events, names=wanted.names, name=wanted.name
    )
    shown = _with_secret(_shape_of(Listed(done.endpoint, 0, 0)), done.secret)
    return made(seat, shown, f"webhooks/{done.endpoint.id}")


async def _read(seat: Seat) -> Reply:
    return await seat.shown(_webhook, settings=_settings)


async def _change(seat: Seat) -> Reply:
    wanted = seat.read(_CHANGE)
    desk = await seat.editing(_settings)
    done = await webhooks.change(
        desk,
        seat.workspace_id,
        _id(seat),
        url=wanted.url or None,
        events=wanted.events or (),
        names=wanted.names or None,
        name=None if wanted.name is UNSET else wanted.name,
        new_signing_secret=wanted.rotate_secret,
        one_secret=wanted.forget_old_secret,
    )

    async def with_secret(seat: Seat, desk: Desk) -> Webhook:
        shown = await _webhook(seat, desk)
        return shown if done.secret is None else _with_secret(shown, done.secret)

    return await seat.shown(with_secret, settings=_settings)


async def _remove(seat: Seat) -> Reply:
    desk = await seat.editing(_settings)
    await webhooks.remove(desk, seat.workspace_id, _id(seat))
    return gone()


async def _undelivered(seat: Seat) -> Reply:
    request = seat.request
    after = cursor(request, str, lambda text: text == "" or is_id(text)) or ""
    most = number(request, "limit", default=doc.PAGE, low=1, high=doc.LARGEST_PAGE)
    state = choice(request, "state", _STATES)
    found = await webhooks.undelivered(seat.desk, seat.workspace_id, _id(seat), state=state, after=after, most=most)
    following = cursor_of(found[-1].id) if len(found) == most else None
    return answer(200, UndeliveredPage([_event_of(each) for each in found], following))


async def _replay(seat: Seat) -> Reply:
    event_id = seat.read(_REPLAY).event_id or ""
    if event_id and not is_id(event_id):
        raise NotFound("There is no such dead letter.")
    return answer(200, Replayed(await webhooks.replay(seat.desk, seat.workspace_id, _id(seat), event_id)))


def _id(seat: Seat) -> str:
    return seat.request.params["webhook_id"]


async def _webhook(seat: Seat, desk: Desk) -> Webhook:
    return _shape_of(await webhooks.counted(desk, await webhooks.get(desk, seat.workspace_id, _id(seat))))


async def _settings(seat: Seat, desk: Desk) -> WebhookEndpoint:
    """Without what waits: the tag of an endpoint that is in use stays."""
    # Its secrets go into a hash that is cut short, of which they are a part that cannot be guessed.
    return await webhooks.get(desk, seat.workspace_id, _id(seat))


def _shape_of(found: Listed) -> Webhook:
    there = found.endpoint
    address, secrets = workspaces.shown_url(there.url), len(there.secrets)
    return shapes.shown(Webhook, there, address=address, secrets=secrets, waiting=found.waiting, dead=found.dead)


def _with_secret(shown: Webhook, secret: str | None) -> ChangedWebhook:
    return ChangedWebhook(**msgspec.structs.asdict(shown), secret=secret if secret is not None else UNSET)


def _event_of(found: Undelivered) -> UndeliveredEvent:
    return shapes.shown(UndeliveredEvent, found, kind=EventKind(found.kind), at=rfc3339(found.at))


_STATE = Parameter(
    name="state",
    location="query",
    about="`waiting` or `dead` only.",
    type=Annotated[str, Meta(pattern="^(waiting|dead)$")],
)
_LIST = Operation(
    name="listWebhooks",
    summary="List a workspace's webhook endpoints",
    answers=doc.answer(WebhookPage, "All of them."),
    errors=(CannotUnseal,),
)
_ADD = Operation(
    name="addWebhook",
    summary="Add a webhook endpoint",
    request=NewWebhook,
    answers=doc.added(ChangedWebhook, "The endpoint, with the secret that signs what is sent to it."),
    errors=(Conflict, AlreadyExists, CannotUnseal),
)
_READ = Operation(
    name="getWebhook",
    summary="Show a webhook endpoint",
    answers=doc.one(Webhook, "The endpoint, without its secrets."),
    errors=(CannotUnseal,),
)
_EDIT = Operation(
    name="changeWebhook",
    summary="Change a webhook endpoint, or its secret",
    about="Events that wait go where it leads by then.",
    request=WebhookChange,
    answers=doc.one(ChangedWebhook, "The endpoint as it is now, with its secret if that was made."),
    errors=(InvalidField, AlreadyExists, CannotUnseal),
)
_REMOVE = Operation(
    name="removeWebhook",
    summary="Remove a webhook endpoint, with everything that was still to be sent there",
    answers=doc.GONE,
    errors=(CannotUnseal,),
)
_LIST_UNDELIVERED = Operation(
    name="listUndelivered",
    summary="List the events that wait, and the dead letters",
    parameters=(_STATE, doc.CURSOR, doc.LIMIT),
    answers=doc.answer(UndeliveredPage, "A page of events."),
    errors=(InvalidField, CannotUnseal),
)
_SEND_AGAIN = Operation(
    name="replayDeadLetters",
    summary="Send dead letters again, under the same ids",
    request=Replay,
    answers=doc.answer(Replayed, "How many."),
    errors=(CannotUnseal,),
)
