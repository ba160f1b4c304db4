"""Sets up where a workspace's own servers are told of events, and looks after what did not arrive; it must not show a
secret, but for a new one at the only moment at which it is known."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vestibule.administration import workspaces
from vestibule.administration.desk import Desk
from vestibule.clock import now_ms
from vestibule.errors import AlreadyExists, Conflict, InvalidField, NotFound, UpstreamForbidden
from vestibule.ids import new_id
from vestibule.model.unshown import Unshown
from vestibule.model.webhook import EventKind, EventNames, WebhookEndpoint
from vestibule.outbound.address_guard import parse_url
from vestibule.outbound.standard_webhooks import new_secret, secret_bytes
from vestibule.storage import webhooks as rows
from vestibule.storage.webhooks import Undelivered

MOST_ENDPOINTS = 20
WAITING, DEAD = "waiting", "dead"
_LONGEST_URL = 2048
_LONGEST_NAME = 100
_MOST_SECRETS = 2


class Changed(Unshown, frozen=True):
    """The endpoint as it is now. `secret`: the one that was made, if one was."""

    endpoint: WebhookEndpoint
    secret: str | None = None


class Listed(msgspec.Struct, frozen=True):
    """An endpoint, and how many events wait for it or are its dead letters."""

    endpoint: WebhookEndpoint
    waiting: int
    dead: int


async def add(
    desk: Desk,
    workspace_id: str,
    url: str,
    *,
    events: Sequence[EventKind] = (),
    names: EventNames = EventNames.VESTIBULE,
    name: str = "",
    secrets: tuple[str, ...] = (),
) -> Changed:
    """A new endpoint with a secret of its own, unless one is given, for these events; none given: all. Raises NotFound,
    InvalidField, Conflict, AlreadyExists."""
    await workspaces.get(desk, workspace_id)
    others = await rows.list_all(desk.store, desk.sealer, workspace_id)
    if len(others) >= MOST_ENDPOINTS:
        raise Conflict(f"A workspace has at most {MOST_ENDPOINTS} webhook endpoints.")
    made = None if secrets else new_secret()
    endpoint = WebhookEndpoint(
        workspace_id=workspace_id,
        id=new_id(),
        url=url,
        secrets=secrets or (made or "",),
        events=_ordered(events or EventKind),
        names=names,
        created_at=now_ms(),
        name=name,
    )
    _check(desk, endpoint, others)
    await rows.put(desk.store, desk.sealer, endpoint)
    await desk.record("webhook.set", workspace_id, endpoint.id, detail="new")
    return Changed(endpoint, made)


async def change(
    desk: Desk,
    workspace_id: str,
    endpoint_id: str,
    *,
    url: str | None = None,
    events: Sequence[EventKind] = (),
    names: EventNames | None = None,
    name: str | None = None,
    secrets: tuple[str, ...] = (),
    new_signing_secret: bool = False,
    one_secret: bool = False,
) -> Changed:
    """Changes what is given; events that wait go where the endpoint leads by then. `new_signing_secret` signs with a
    fresh one beside the current one; `one_secret` forgets all but the newest. Raises NotFound, InvalidField,
    AlreadyExists."""
    known = await get(desk, workspace_id, endpoint_id)
    made = new_secret() if new_signing_secret else None
    secrets = ((made,) if made is not None else ()) + (secrets or known.secrets)
    changed = msgspec.structs.replace(
        known,
        url=url if url is not None else known.url,
        name=name if name is not None else known.name,
        events=_ordered(events) if events else known.events,
        names=names or known.names,
        # The one before goes on signing as well, until the receiver has changed to the new one.
        secrets=secrets[: 1 if one_secret else 2],
    )
    _check(desk, changed, await rows.list_all(desk.store, desk.sealer, workspace_id))
    await rows.put(desk.store, desk.sealer, changed)
    await desk.record("webhook.set", workspace_id, endpoint_id, detail=workspaces.names_changed(known, changed))
    return Changed(changed, made)


async def get(desk: Desk, workspace_id: str, endpoint_id: str) -> WebhookEndpoint:
    """Raises NotFound, CannotUnseal."""
    found = await rows.find(desk.store, desk.sealer, workspace_id, endpoint_id)
    if found is None:
        raise NotFound("There is no such webhook endpoint.")
    return found


async def list_all(desk: Desk, workspace_id: str) -> list[Listed]:
    """The oldest first. Raises NotFound, CannotUnseal."""
    await workspaces.get(desk, workspace_id)
    return [await counted(desk, each) for each in await rows.list_all(desk.store, desk.sealer, workspace_id)]


async def counted(desk: Desk, endpoint: WebhookEndpoint) -> Listed:
    return Listed(endpoint, *await rows.count(desk.store, endpoint.workspace_id, endpoint.id))


async def remove(desk: Desk, workspace_id: str, endpoint_id: str) -> None:
    """With everything that was still to be sent there. Raises NotFound."""
    if not await rows.remove(desk.store, workspace_id, endpoint_id):
        raise NotFound("There is no such webhook endpoint.")
    await desk.record("webhook.remove", workspace_id, endpoint_id)


async def undelivered(
    desk: Desk, workspace_id: str, endpoint_id: str, *, state: str = "", after: str = "", most: int = 50
) -> list[Undelivered]:
    """What waits and what is dead, or only one of them (`WAITING`, `DEAD`); the oldest first, those after an event.
    Raises NotFound."""
    await get(desk, workspace_id, endpoint_id)
    return await rows.undelivered(desk.store, workspace_id, endpoint_id, after=after, state=state, most=most)


async def replay(desk: Desk, workspace_id: str, endpoint_id: str, event_id: str = "") -> int:
    """Sends the endpoint's dead letters again, under the same ids and with as many tries as at first, all or one; how
    many. Raises NotFound."""
    await get(desk, workspace_id, endpoint_id)
    count = await rows.replay(desk.store, workspace_id, endpoint_id, now_ms(), event_id.removeprefix("msg_"))
    if event_id and not count:
        raise NotFound("There is no such dead letter.")
    await desk.record("webhook.replay", workspace_id, endpoint_id, detail=f"{count} events")
    return count


def problems_of(desk: Desk, *, url: str, name: str, secrets: tuple[str, ...]) -> list[InvalidField]:
    """Everything that keeps an endpoint from being kept; none repeats a secret."""
    problems = []
    if len(url) > _LONGEST_URL:
        problems.append(InvalidField("url", f"must be at most {_LONGEST_URL} characters"))
    try:
        parse_url(url, desk.settings.private_hosts)
    except UpstreamForbidden as error:
        problems.append(InvalidField("url", f"may not be called: {error.detail}"))
    if len(name) > _LONGEST_NAME or (name and not name.isprintable()):
        problems.append(InvalidField("name", f"must have at most {_LONGEST_NAME} printable characters"))
    if len(secrets) > _MOST_SECRETS:
        problems.append(InvalidField("secrets", "must be one, or two while they are changed"))
    for secret in secrets:
        try:
            secret_bytes(secret)
        except ValueError as error:
            problems.append(InvalidField("secrets", str(error)))
    return problems


def _check(desk: Desk, endpoint: WebhookEndpoint, others: Sequence[WebhookEndpoint]) -> None:
    for problem in problems_of(desk, url=endpoint.url, name=endpoint.name, secrets=endpoint.secrets):
        raise problem
    if endpoint.name and any(each.name == endpoint.name and each.id != endpoint.id for each in others):
        raise AlreadyExists("There is a webhook endpoint of this name already.")


def _ordered(events: Sequence[EventKind] | type[EventKind]) -> tuple[EventKind, ...]:
    return tuple(kind for kind in EventKind if kind in set(events))
