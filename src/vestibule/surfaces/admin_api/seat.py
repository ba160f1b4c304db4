"""What every operation of the admin API passes first: whose key it is, what it may do, in which workspace; and the
conditions that a request makes. It must not know an operation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import msgspec

from vestibule.administration.desk import Desk, desk_of
from vestibule.edge import editing
from vestibule.edge.bearer import bearer
from vestibule.edge.client_address import address_bucket, client_address
from vestibule.edge.entity_tags import entity_tag
from vestibule.edge.http import Header, Reply, Request, json_reply
from vestibule.edge.operation import Operation
from vestibule.edge.strict_json import decode
from vestibule.edge.surface import Route
from vestibule.errors import InsufficientScope, InvalidAdminKey, NotAllowed, NotFound
from vestibule.ids import is_id
from vestibule.model.audit import INSTALLATION, Actor
from vestibule.model.workspace import AdminKey, AdminScope
from vestibule.runtime import Runtime
from vestibule.surfaces.admin_api.documenting import PLACES, completed
from vestibule.surfaces.admin_api.idempotency import answered_once
from vestibule.surfaces.admin_api.shapes import Uuid
from vestibule.tokens import admin_keys

T = TypeVar("T")
PREFIX = "/v1/admin"
WORKSPACE = f"{PREFIX}/workspaces/{{workspace_id}}"
# An instruction for a language model, or fifty actions' schemas, are larger than what visitors send.
LARGEST_BODY = 1_048_576
_NOT_HERE = "There is no such workspace."
_IDS = frozenset(name for name, place in PLACES.items() if place.type is Uuid)


class Seat:
    """One request at the admin API: its desk, its key, its workspace (empty where the path names none), its body."""

    __slots__ = ("body", "desk", "key", "request", "workspace_id")

    def __init__(self, request: Request, desk: Desk, key: AdminKey, body: bytes) -> None:
        self.request = request
        self.desk = desk
        self.key = key
        self.workspace_id = request.params.get("workspace_id", "")
        self.body = body

    @property
    def of_installation(self) -> bool:
        return self.key.workspace_id == INSTALLATION

    def read(self, decoder: msgspec.json.Decoder[T]) -> T:
        """The body. Raises MalformedBody, InvalidField."""
        return decode(self.body or b"{}", decoder)

    async def editing(self, view: View) -> Desk:
        """The desk at which to change what `view` shows. With `If-Match`, only what was seen is changed: it is compared
        now, and again in the transaction that writes. Raises StaleEdit, and what `view` raises."""
        wanted = {tag.strip() for value in self.request.headers(b"if-match") for tag in value.split(b",")}
        if not wanted:
            return self.desk
        return await editing.desk_for_editing(self.desk, self.workspace_id, partial(view, self), wanted)

    async def shown(self, view: View, *, settings: View | None = None) -> Reply:
        """What `view` shows, with the tag to make a change conditional on: of `settings`, where what is shown also
        moves by itself and nobody's change should fail for that."""
        body = editing.ENCODER.encode(await view(self, self.desk))
        edited = body if settings is None else editing.ENCODER.encode(await settings(self, self.desk))
        return json_reply(200, body, (b"etag", entity_tag(edited)))


Handler = Callable[[Seat], Awaitable[Reply]]
# What a request is about, as it is found at a desk.
View = Callable[[Seat, Desk], Awaitable[object]]


def answer(status: int, value: object, *extra: Header) -> Reply:
    return json_reply(status, editing.ENCODER.encode(value), *extra)


def made(seat: Seat, value: object, path: str) -> Reply:
    """What was made, and where below the workspace it is."""
    return answer(201, value, (b"location", f"{PREFIX}/workspaces/{seat.workspace_id}/{path}".encode()))


def gone() -> Reply:
    return Reply(204, b"", ((b"cache-control", b"no-store"),))


def showing(view: View) -> Handler:
    """A handler that shows it."""
    return lambda seat: seat.shown(view)


def endpoint(
    runtime: Runtime,
    method: str,
    path: str,
    handler: Handler,
    operation: Operation,
    *,
    scope: AdminScope | None = None,
    whole: bool = False,
) -> Route:
    """A route, documented also with what `operation` need not say. Reading needs `admin:read`, everything else
    `admin:write`, unless `scope` says otherwise; `whole`: a key of the installation."""
    needed = scope or (AdminScope.READ if method == "GET" else AdminScope.WRITE)
    check_again = partial(_check_again, runtime)

    async def handle(request: Request) -> Reply:
        key = await _identify(runtime, request)
        await runtime.rate_limiter.take("", f"admin:{key.id}", runtime.settings.rate_limit_admin)
        if needed not in key.scopes:
            raise InsufficientScope(needed)
        if whole and key.workspace_id != INSTALLATION:
            raise installation_only()
        _require_place(request, key)
        request.again = check_again
        body = await _body(runtime, request, operation)
        actor = Actor("admin_key", key.id, request.scope.get("vestibule.request_id", ""))
        seat = Seat(request, desk_of(runtime, actor), key, body)
        if method == "POST":
            return await answered_once(runtime, request, key, body, lambda: handler(seat))
        return await handler(seat)

    return Route(method, path, handle, completed(operation, method, path))


def installation_only() -> NotAllowed:
    return NotAllowed("This needs an admin key of the whole installation.", step="workspace")


async def _identify(runtime: Runtime, request: Request) -> AdminKey:
    """Wrong keys are counted per address, as everywhere (ASVS 6.1.1)."""
    try:
        key = await admin_keys.identify(runtime.store, bearer(request))
    except InvalidAdminKey:
        address = client_address(request, runtime.settings.trusted_proxies)
        await runtime.rate_limiter.take("", f"bad_keys:{address_bucket(address)}", runtime.settings.rate_limit_bad_keys)
        raise
    request.facts |= {"admin_key": key.id, "workspace": key.workspace_id}
    return key


async def _check_again(runtime: Runtime, request: Request) -> None:
    """Without what counts calls: it is one call still."""
    _require_place(request, await _identify(runtime, request))


def _require_place(request: Request, key: AdminKey) -> None:
    """Raises NotFound, in the same words for what is another workspace's and for what does not exist."""
    workspace_id = request.params.get("workspace_id")
    if workspace_id is not None and key.workspace_id not in {INSTALLATION, workspace_id}:
        raise NotFound(_NOT_HERE, detail="another workspace's key", step="workspace")
    for name, value in request.params.items():
        # No column holds a NUL, and an id has one form.
        if "\0" in value or (name in _IDS and not is_id(value)):
            raise NotFound(_NOT_HERE if name == "workspace_id" else None, step=name)
    if workspace_id is not None:
        request.facts["workspace"] = workspace_id


async def _body(runtime: Runtime, request: Request, operation: Operation) -> bytes:
    within = runtime.settings.body_timeout / 1000
    if operation.request is not None:
        return await request.body(most=LARGEST_BODY, within=within)
    if request.method in {"GET", "HEAD"}:
        return b""
    return await request.raw_body(most=LARGEST_BODY, within=within)
