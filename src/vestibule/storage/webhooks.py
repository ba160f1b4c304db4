"""Webhook endpoints, sealed, and the events that they are still to be sent; it must not send one.

An event is noted in the transaction of the change that it tells of, by one statement that makes a row for each endpoint
which wants it: where nobody listens, none. It is deleted when it was delivered.
"""

from __future__ import annotations

import msgspec

from vestibule.model.conversation import Document
from vestibule.model.webhook import EventKind, EventNames, WebhookEndpoint, WebhookEvent
from vestibule.sealing import Sealer
from vestibule.storage.json_columns import from_json, to_json
from vestibule.storage.purging import purging
from vestibule.storage.statement import statement
from vestibule.storage.store import Query, Row, Store, Work, query

_ENDPOINT = "workspace_id, id, sealed_document, events, created_at"
_DELIVERY = "workspace_id, endpoint_id, id, kind, at, contact_id, data, owner, attempts"

SET = statement(
    "webhooks.set",
    f"""
    INSERT INTO webhook_endpoints ({_ENDPOINT}) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (workspace_id, id)
    DO UPDATE SET sealed_document = excluded.sealed_document, events = excluded.events RETURNING id
    """,
)
FIND = statement("webhooks.find", f"SELECT {_ENDPOINT} FROM webhook_endpoints WHERE workspace_id = $1 AND id = $2")
LIST = statement("webhooks.list", f"SELECT {_ENDPOINT} FROM webhook_endpoints WHERE workspace_id = $1 ORDER BY id")
REMOVE = statement("webhooks.remove", "DELETE FROM webhook_endpoints WHERE workspace_id = $1 AND id = $2 RETURNING id")
REMOVE_DELIVERIES = statement(
    "webhooks.remove_deliveries", "DELETE FROM webhook_deliveries WHERE workspace_id = $1 AND endpoint_id = $2"
)
WANTED = statement(
    "webhooks.wanted", "SELECT $slot, id FROM webhook_endpoints WHERE workspace_id = $1 AND events LIKE $2 LIMIT 1"
)
NOTE = statement(
    "webhooks.note",
    f"""
    INSERT INTO webhook_deliveries ({_DELIVERY}, due_at, died_at, problem)
    SELECT workspace_id, id, $2, $3, CAST($4 AS BIGINT), $5, $6, '', 0, CAST($4 AS BIGINT), NULL, ''
    FROM webhook_endpoints WHERE workspace_id = $1 AND events LIKE $7
    """,
)
# Of all workspaces, by their few endpoints: one that does not answer, and has a long queue, hides no other.
WAITING = statement(
    "webhooks.waiting",
    """
    SELECT endpoint.workspace_id, endpoint.id FROM webhook_endpoints AS endpoint
    WHERE EXISTS (
        SELECT 1 FROM webhook_deliveries AS delivery
        WHERE delivery.workspace_id = endpoint.workspace_id AND delivery.endpoint_id = endpoint.id
            AND delivery.due_at <= $1
    )
    """,
)
DUE = statement(
    "webhooks.due",
    f"""
    SELECT {_DELIVERY} FROM webhook_deliveries WHERE workspace_id = $1 AND endpoint_id = $2 AND due_at <= $3
    ORDER BY due_at LIMIT $4
    """,
)
TAKE = statement(
    "webhooks.take",
    f"""
    UPDATE webhook_deliveries SET owner = $4, due_at = $5, attempts = attempts + 1
    WHERE workspace_id = $1 AND endpoint_id = $2 AND id = $3 AND due_at <= $6 RETURNING {_DELIVERY}
    """,
)
DONE = statement(
    "webhooks.done",
    "DELETE FROM webhook_deliveries WHERE workspace_id = $1 AND endpoint_id = $2 AND id = $3 AND owner = $4",
)
FAILED = statement(
    "webhooks.failed",
    """
    UPDATE webhook_deliveries SET due_at = $5, died_at = $6, problem = $7
    WHERE workspace_id = $1 AND endpoint_id = $2 AND id = $3 AND owner = $4
    """,
)
UNDELIVERED = statement(
    "webhooks.undelivered",
    """
    SELECT id, kind, at, attempts, due_at, died_at, problem FROM webhook_deliveries
    WHERE workspace_id = $1 AND endpoint_id = $2 AND id > $3
        AND ($4 = '' OR ($4 = 'dead' AND died_at IS NOT NULL) OR ($4 = 'waiting' AND died_at IS NULL))
    ORDER BY id LIMIT $5
    """,
)
COUNT = statement(
    "webhooks.count",
    """
    SELECT COUNT(due_at), COUNT(died_at) FROM webhook_deliveries WHERE workspace_id = $1 AND endpoint_id = $2
    """,
)
REPLAY = statement(
    "webhooks.replay",
    """
    UPDATE webhook_deliveries SET due_at = $3, died_at = NULL, attempts = 0, owner = ''
    WHERE workspace_id = $1 AND endpoint_id = $2 AND died_at IS NOT NULL AND (id = $4 OR $4 = '') RETURNING id
    """,
)
PURGE = purging("webhook_deliveries", "workspace_id, endpoint_id, id", "died_at < $1", "died_at")


class Delivery(msgspec.Struct, frozen=True):
    """An event on its way to an endpoint. `owner` tries it now, for the `attempts`-th time."""

    endpoint_id: str
    event: WebhookEvent
    owner: str
    attempts: int


class Undelivered(msgspec.Struct, frozen=True):
    """An event that was not delivered yet, and is tried again at `due_at`; or a dead letter, which is not tried any
    more. `problem` is what the last try came to."""

    id: str
    kind: str
    at: int
    attempts: int
    due_at: int | None
    died_at: int | None
    problem: str


class _Sealed(msgspec.Struct, frozen=True):
    url: str
    secrets: tuple[str, ...]
    names: EventNames
    name: str = ""


async def put(store: Store, sealer: Sealer, endpoint: WebhookEndpoint) -> None:
    """Makes the endpoint, or writes over it."""
    text = to_json(_Sealed(endpoint.url, endpoint.secrets, endpoint.names, endpoint.name))
    sealed = sealer.seal(text, sealing_context(endpoint.workspace_id, endpoint.id))
    events = f",{','.join(endpoint.events)},"
    await store.write(SET, endpoint.workspace_id, endpoint.id, sealed, events, endpoint.created_at)


async def find(store: Store, sealer: Sealer, workspace_id: str, endpoint_id: str) -> WebhookEndpoint | None:
    """Raises CannotUnseal."""
    rows = await store.read(FIND, workspace_id, endpoint_id)
    return _endpoint(sealer, rows[0]) if rows else None


async def list_all(store: Store, sealer: Sealer, workspace_id: str) -> list[WebhookEndpoint]:
    """Raises CannotUnseal."""
    return [_endpoint(sealer, row) for row in await store.read(LIST, workspace_id)]


async def remove(store: Store, workspace_id: str, endpoint_id: str) -> bool:
    """With what was still to be sent there."""

    def work() -> Work[bool]:
        removed = yield query(REMOVE, workspace_id, endpoint_id)
        yield query(REMOVE_DELIVERIES, workspace_id, endpoint_id)
        return bool(removed)

    return await store.transact(work)


async def wanted(store: Store, workspace_id: str, kind: EventKind) -> bool:
    """Whether somebody listens: asked where a transaction would cost more than the change itself."""
    return bool(await store.read(WANTED, workspace_id, _pattern(kind)))


def note(event: WebhookEvent) -> Query:
    """What tells of a change, for the unit of work that makes it."""
    return query(
        NOTE,
        event.workspace_id,
        event.id,
        event.kind.value,
        event.at,
        event.contact_id,
        to_json(event.data),
        _pattern(event.kind),
    )


async def waiting(store: Store, now: int) -> list[tuple[str, str]]:
    """Workspace and id of each endpoint for which something is due."""
    return [(row[0], row[1]) for row in await store.read(WAITING, now)]


async def take_due(
    store: Store, workspace_id: str, endpoint_id: str, owner: str, *, now: int, until: int, most: int
) -> list[Delivery]:
    """What is due, as the owner's own until then; what another process took is not among it."""
    taken = []
    for row in await store.read(DUE, workspace_id, endpoint_id, now, most):
        taken += await store.write(TAKE, workspace_id, endpoint_id, row[2], owner, until, now)
    return [_delivery(row) for row in taken]


async def done(store: Store, delivery: Delivery) -> None:
    await store.write(DONE, *_key(delivery))


async def failed(store: Store, delivery: Delivery, problem: str, *, due_at: int | None, died_at: int | None) -> None:
    """One of the two: it is tried again then, or is dead."""
    await store.write(FAILED, *_key(delivery), due_at, died_at, problem)


async def undelivered(
    store: Store, workspace_id: str, endpoint_id: str, *, after: str, state: str, most: int
) -> list[Undelivered]:
    """The oldest first, those after an event; `state` empty, `waiting` or `dead`."""
    rows = await store.read(UNDELIVERED, workspace_id, endpoint_id, after, state, most)
    return [Undelivered(*row) for row in rows]


async def count(store: Store, workspace_id: str, endpoint_id: str) -> tuple[int, int]:
    """How many events wait, and how many are dead."""
    row = (await store.read(COUNT, workspace_id, endpoint_id))[0]
    return int(row[0]), int(row[1])


async def replay(store: Store, workspace_id: str, endpoint_id: str, now: int, event_id: str = "") -> int:
    """Sends dead letters again, all or one; how many."""
    return len(await store.write(REPLAY, workspace_id, endpoint_id, now, event_id))


def _key(delivery: Delivery) -> tuple[str, str, str, str]:
    return delivery.event.workspace_id, delivery.endpoint_id, delivery.event.id, delivery.owner


def _pattern(kind: EventKind) -> str:
    return f"%,{kind.value},%"


def _delivery(row: Row) -> Delivery:
    event = WebhookEvent(row[0], row[2], EventKind(row[3]), row[4], row[5], from_json(row[6], Document))
    return Delivery(row[1], event, row[7], row[8])


def _endpoint(sealer: Sealer, row: Row) -> WebhookEndpoint:
    sealed = from_json(sealer.unseal(row[2], sealing_context(row[0], row[1])), _Sealed)
    events = tuple(EventKind(name) for name in row[3].strip(",").split(","))
    return WebhookEndpoint(row[0], row[1], sealed.url, sealed.secrets, events, sealed.names, row[4], sealed.name)


def sealing_context(workspace_id: str, endpoint_id: str) -> str:
    return f"webhook_endpoints:{workspace_id}:{endpoint_id}"
