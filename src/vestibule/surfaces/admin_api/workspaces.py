"""`/v1/admin/workspaces` and the API keys below; it must not know how they are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from vestibule.administration import api_keys, workspaces
from vestibule.administration.desk import Desk
from vestibule.clock import DAY_MS, SECOND_MS
from vestibule.edge.http import Reply
from vestibule.edge.operation import Answer, Operation
from vestibule.edge.parameters import rfc3339
from vestibule.edge.surface import Route
from vestibule.errors import AlreadyExists, IdempotencyKeyReused, InvalidField, NotFound, RequestUnderWay, StaleEdit
from vestibule.model import workspace as tenancies
from vestibule.model.workspace import Scope
from vestibule.runtime import Runtime
from vestibule.surfaces.admin_api import documenting as doc
from vestibule.surfaces.admin_api import shapes
from vestibule.surfaces.admin_api.seat import PREFIX, WORKSPACE, Seat, View, answer, endpoint
from vestibule.tokens.api_key import NewApiKey

_ALL = f"{PREFIX}/workspaces"
_KEYS = f"{WORKSPACE}/api-keys"
_KEY = f"{_KEYS}/{{key_id}}"
_LONGEST_LIFE = 3650 * DAY_MS // SECOND_MS
Name = Annotated[str, Meta(min_length=1, max_length=200)]


class WorkspacePage(msgspec.Struct, frozen=True):
    """Oldest first; all there are."""

    items: list[shapes.Workspace]
    next: str | None = None


class NewWorkspace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`customer_id` is its public short name, made up if absent."""

    name: Name
    customer_id: Annotated[str, Meta(pattern="^[A-Za-z0-9][A-Za-z0-9_-]{0,24}$")] | None = None


class WorkspaceChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is absent stays. A disabled workspace is refused everything, but for this API."""

    name: Name | UnsetType = UNSET
    disabled: bool | UnsetType = UNSET
    rate_limits: shapes.RateLimits | UnsetType = UNSET


class ApiKeyPage(msgspec.Struct, frozen=True):
    """Oldest first; all there are."""

    items: list[shapes.ApiKey]
    next: str | None = None


class ApiKeyRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`lifetime` is in seconds; a key without one is good for ever."""

    scopes: tuple[Scope, ...] = (Scope.AUTHENTICATE,)
    name: Annotated[str, Meta(max_length=100)] = ""
    lifetime: Annotated[int, Meta(ge=1, le=_LONGEST_LIFE)] | None = None
    rate_limits: shapes.RateLimits = shapes.RateLimits()


class Rotation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`overlap`: how long the old key stays good, in seconds."""

    overlap: Annotated[int, Meta(ge=0, le=_LONGEST_LIFE)] = DAY_MS // SECOND_MS


_NEW = msgspec.json.Decoder(NewWorkspace)
_CHANGE = msgspec.json.Decoder(WorkspaceChange)
_KEY_REQUEST = msgspec.json.Decoder(ApiKeyRequest)
_ROTATION = msgspec.json.Decoder(Rotation)


def routes(runtime: Runtime) -> Sequence[Route]:
    return [
        endpoint(runtime, "GET", _ALL, _list, _LIST),
        endpoint(runtime, "POST", _ALL, _create, _CREATE, whole=True),
        endpoint(runtime, "GET", WORKSPACE, _read, _READ),
        endpoint(runtime, "PATCH", WORKSPACE, _edit, _EDIT),
        endpoint(runtime, "POST", f"{WORKSPACE}/widget-token/rotate", _rotate_widget_token, _ROTATE_WIDGET_TOKEN),
        endpoint(runtime, "GET", _KEYS, _list_keys, _LIST_KEYS),
        endpoint(runtime, "POST", _KEYS, _create_key, _CREATE_KEY),
        endpoint(runtime, "GET", _KEY, _read_key, _READ_KEY),
        endpoint(runtime, "POST", f"{_KEY}/rotate", _rotate_key, _ROTATE_KEY),
        endpoint(runtime, "POST", f"{_KEY}/revoke", _revoke_key, _REVOKE_KEY),
    ]


async def _list(seat: Seat) -> Reply:
    found = (
        await workspaces.list_all(seat.desk)
        if seat.of_installation
        else [await workspaces.get(seat.desk, seat.key.workspace_id)]
    )
    return answer(200, WorkspacePage([shapes.workspace_of(workspace) for workspace in found]))


async def _create(seat: Seat) -> Reply:
    wanted = seat.read(_NEW)
    made = await workspaces.create(seat.desk, wanted.name, customer_id=wanted.customer_id)
    return answer(201, shapes.workspace_of(made), (b"location", f"{_ALL}/{made.id}".encode()))


async def _read(seat: Seat) -> Reply:
    return await seat.shown(_workspace(seat))


async def _edit(seat: Seat) -> Reply:
    wanted = seat.read(_CHANGE)
    desk = await seat.editing(_workspace(seat))
    limits = wanted.rate_limits
    await workspaces.change(
        desk,
        seat.workspace_id,
        name=wanted.name or None,
        disabled=None if wanted.disabled is UNSET else wanted.disabled,
        rate_limits=None if limits is UNSET else tenancies.RateLimits(limits.standard, limits.streaming),
    )
    return await seat.shown(_workspace(seat))


async def _rotate_widget_token(seat: Seat) -> Reply:
    return answer(200, shapes.workspace_of(await workspaces.rotate_widget_token(seat.desk, seat.workspace_id)))


async def _list_keys(seat: Seat) -> Reply:
    return answer(200, ApiKeyPage(await _reports(seat)))


async def _create_key(seat: Seat) -> Reply:
    wanted = seat.read(_KEY_REQUEST)
    made = await api_keys.create(
        seat.desk,
        seat.workspace_id,
        scopes=wanted.scopes,
        name=wanted.name,
        lifetime_ms=wanted.lifetime * SECOND_MS if wanted.lifetime is not None else None,
        rate_limits=tenancies.RateLimits(wanted.rate_limits.standard, wanted.rate_limits.streaming),
    )
    return _made(seat, made)


async def _read_key(seat: Seat) -> Reply:
    for key in await _reports(seat):
        if key.id == seat.request.params["key_id"]:
            return answer(200, key)
    raise NotFound("There is no such API key.")


async def _rotate_key(seat: Seat) -> Reply:
    overlap = seat.read(_ROTATION).overlap * SECOND_MS
    return _made(
        seat, await api_keys.rotate(seat.desk, seat.workspace_id, seat.request.params["key_id"], overlap_ms=overlap)
    )


async def _revoke_key(seat: Seat) -> Reply:
    await api_keys.revoke(seat.desk, seat.workspace_id, seat.request.params["key_id"])
    return await _read_key(seat)


async def _reports(seat: Seat) -> list[shapes.ApiKey]:
    return [shapes.api_key_of(report) for report in await api_keys.report(seat.desk, seat.workspace_id)]


def _workspace(seat: Seat) -> View:
    async def view(desk: Desk) -> shapes.Workspace:
        return shapes.workspace_of(await workspaces.get(desk, seat.workspace_id))

    return view


def _made(seat: Seat, made: tuple[tenancies.ApiKey, NewApiKey]) -> Reply:
    key, secret = made
    shown = shapes.NewApiKey(
        api_key=secret.text,
        id=key.id,
        name=key.name,
        hint=key.hint,
        scopes=key.scopes,
        created_at=rfc3339(key.created_at),
        expires_at=shapes.time_of(key.expires_at),
        replaces=key.replaces,
    )
    path = f"{PREFIX}/workspaces/{seat.workspace_id}/api-keys/{key.id}"
    return answer(201, shown, (b"location", path.encode()))


_ONCE = (InvalidField, IdempotencyKeyReused, RequestUnderWay)
_LOCATION = {"Location": "Its path."}
_LIST = Operation(
    name="listWorkspaces",
    summary="List the workspaces that the key is good for",
    answers=(Answer(about="All of them.", type=WorkspacePage),),
    errors=(NotFound,),
)
_CREATE = Operation(
    name="createWorkspace",
    summary="Make a workspace",
    about="With a key of the installation.",
    parameters=(doc.IDEMPOTENCY_KEY,),
    request=NewWorkspace,
    answers=(Answer(status=201, about="The workspace.", type=shapes.Workspace, headers=_LOCATION),),
    errors=(AlreadyExists, *_ONCE),
)
_READ = Operation(
    name="getWorkspace",
    summary="Show a workspace",
    parameters=(doc.WORKSPACE_ID,),
    answers=doc.one(shapes.Workspace, "The workspace."),
    errors=(NotFound,),
)
_EDIT = Operation(
    name="changeWorkspace",
    summary="Change a workspace's name or limits, or disable it",
    parameters=(doc.WORKSPACE_ID, doc.IF_MATCH),
    request=WorkspaceChange,
    answers=doc.one(shapes.Workspace, "The workspace as it is now."),
    errors=(NotFound, StaleEdit),
)
_ROTATE_WIDGET_TOKEN = Operation(
    name="rotateWidgetToken",
    summary="Give the workspace another widget token",
    about="The one before is refused within 5 seconds, so change the pages that carry it.",
    parameters=(doc.WORKSPACE_ID, doc.IDEMPOTENCY_KEY),
    answers=(Answer(about="The workspace.", type=shapes.Workspace),),
    errors=(NotFound, *_ONCE),
)
_LIST_KEYS = Operation(
    name="listApiKeys",
    summary="List a workspace's API keys",
    parameters=(doc.WORKSPACE_ID,),
    answers=(Answer(about="All of them.", type=ApiKeyPage),),
    errors=(NotFound,),
)
_CREATE_KEY = Operation(
    name="createApiKey",
    summary="Make an API key",
    parameters=(doc.WORKSPACE_ID, doc.IDEMPOTENCY_KEY),
    request=ApiKeyRequest,
    answers=(Answer(status=201, about="The key, with its text.", type=shapes.NewApiKey, headers=_LOCATION),),
    errors=(NotFound, *_ONCE),
)
_READ_KEY = Operation(
    name="getApiKey",
    summary="Show an API key",
    parameters=(doc.WORKSPACE_ID, doc.KEY_ID),
    answers=(Answer(about="The key.", type=shapes.ApiKey),),
    errors=(NotFound,),
)
_ROTATE_KEY = Operation(
    name="rotateApiKey",
    summary="Make a key that takes over from another one",
    parameters=(doc.WORKSPACE_ID, doc.KEY_ID, doc.IDEMPOTENCY_KEY),
    request=Rotation,
    answers=(Answer(status=201, about="The new key, with its text.", type=shapes.NewApiKey, headers=_LOCATION),),
    errors=(NotFound, *_ONCE),
)
_REVOKE_KEY = Operation(
    name="revokeApiKey",
    summary="End an API key",
    about="Every worker refuses it within 5 seconds.",
    parameters=(doc.WORKSPACE_ID, doc.KEY_ID, doc.IDEMPOTENCY_KEY),
    answers=(Answer(about="The key.", type=shapes.ApiKey),),
    errors=(NotFound, *_ONCE),
)
