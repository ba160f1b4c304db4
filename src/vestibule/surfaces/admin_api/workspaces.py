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
from vestibule.edge.operation import Operation
from vestibule.edge.surface import Route
from vestibule.errors import AlreadyExists, InvalidField, NotFound
from vestibule.model import workspace as tenancies
from vestibule.model.workspace import Scope
from vestibule.runtime import Runtime
from vestibule.surfaces.admin_api import documenting as doc
from vestibule.surfaces.admin_api import shapes
from vestibule.surfaces.admin_api.seat import (
    PREFIX,
    WORKSPACE,
    Seat,
    answer,
    endpoint,
    installation_only,
    made,
    showing,
)
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
    retention: shapes.Retention | UnsetType = UNSET


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


class ApiKeyChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is absent stays. Scopes and end are a key's for good: make another one."""

    name: Annotated[str, Meta(max_length=100)] | UnsetType = UNSET
    rate_limits: shapes.RateLimits | UnsetType = UNSET


class Rotation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`overlap`: how long the old key stays good, in seconds."""

    overlap: Annotated[int, Meta(ge=0, le=_LONGEST_LIFE)] = DAY_MS // SECOND_MS


_NEW = msgspec.json.Decoder(NewWorkspace)
_CHANGE = msgspec.json.Decoder(WorkspaceChange)
_KEY_REQUEST = msgspec.json.Decoder(ApiKeyRequest)
_KEY_CHANGE = msgspec.json.Decoder(ApiKeyChange)
_ROTATION = msgspec.json.Decoder(Rotation)


def routes(runtime: Runtime) -> Sequence[Route]:
    return [
        endpoint(runtime, "GET", _ALL, _list, _LIST),
        endpoint(runtime, "POST", _ALL, _create, _CREATE, whole=True),
        endpoint(runtime, "GET", WORKSPACE, showing(_workspace), _READ),
        endpoint(runtime, "PATCH", WORKSPACE, _edit, _EDIT),
        endpoint(runtime, "POST", f"{WORKSPACE}/widget-token/rotate", _rotate_widget_token, _ROTATE_WIDGET_TOKEN),
        endpoint(runtime, "GET", _KEYS, _list_keys, _LIST_KEYS),
        endpoint(runtime, "POST", _KEYS, _create_key, _CREATE_KEY),
        endpoint(runtime, "GET", _KEY, _read_key, _READ_KEY),
        endpoint(runtime, "PATCH", _KEY, _edit_key, _EDIT_KEY),
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
    created = await workspaces.create(seat.desk, wanted.name, customer_id=wanted.customer_id)
    return answer(201, shapes.workspace_of(created), (b"location", f"{_ALL}/{created.id}".encode()))


async def _edit(seat: Seat) -> Reply:
    wanted = seat.read(_CHANGE)
    desk = await seat.editing(_workspace)
    limits = wanted.rate_limits
    if not seat.of_installation:
        await _require_own(seat, wanted)
    await workspaces.change(
        desk,
        seat.workspace_id,
        name=wanted.name or None,
        disabled=None if wanted.disabled is UNSET else wanted.disabled,
        rate_limits=None if limits is UNSET else shapes.limits_from(limits),
        retention=None if wanted.retention is UNSET else shapes.retention_from(wanted.retention),
    )
    return await seat.shown(_workspace)


async def _require_own(seat: Seat, wanted: WorkspaceChange) -> None:
    """What the installation's operator has set about a workspace is not the workspace's to undo: that it is disabled,
    and its limits. Saying what is so already changes nothing. Raises NotAllowed."""
    known = await workspaces.get(seat.desk, seat.workspace_id)
    opens = wanted.disabled is False and known.disabled_at is not None
    limits = known.rate_limits if wanted.rate_limits is UNSET else shapes.limits_from(wanted.rate_limits)
    if opens or limits != known.rate_limits:
        raise installation_only()


async def _rotate_widget_token(seat: Seat) -> Reply:
    return answer(200, shapes.workspace_of(await workspaces.rotate_widget_token(seat.desk, seat.workspace_id)))


async def _list_keys(seat: Seat) -> Reply:
    reports = await api_keys.report(seat.desk, seat.workspace_id)
    return answer(200, ApiKeyPage([shapes.api_key_of(report) for report in reports]))


async def _create_key(seat: Seat) -> Reply:
    wanted = seat.read(_KEY_REQUEST)
    new = await api_keys.create(
        seat.desk,
        seat.workspace_id,
        scopes=wanted.scopes,
        name=wanted.name,
        lifetime_ms=wanted.lifetime * SECOND_MS if wanted.lifetime is not None else None,
        rate_limits=shapes.limits_from(wanted.rate_limits),
    )
    return _made(seat, new)


async def _read_key(seat: Seat) -> Reply:
    return await seat.shown(_key, settings=_key_settings)


async def _edit_key(seat: Seat) -> Reply:
    wanted = seat.read(_KEY_CHANGE)
    desk = await seat.editing(_key_settings)
    await api_keys.change(
        desk,
        seat.workspace_id,
        _key_id(seat),
        name=None if wanted.name is UNSET else wanted.name,
        rate_limits=None if wanted.rate_limits is UNSET else shapes.limits_from(wanted.rate_limits),
    )
    return await _read_key(seat)


async def _rotate_key(seat: Seat) -> Reply:
    overlap = seat.read(_ROTATION).overlap * SECOND_MS
    return _made(seat, await api_keys.rotate(seat.desk, seat.workspace_id, _key_id(seat), overlap_ms=overlap))


async def _revoke_key(seat: Seat) -> Reply:
    await api_keys.revoke(seat.desk, seat.workspace_id, _key_id(seat))
    return answer(200, await _key(seat, seat.desk))


def _key_id(seat: Seat) -> str:
    return seat.request.params["key_id"]


async def _key(seat: Seat, desk: Desk) -> shapes.ApiKey:
    for report in await api_keys.report(desk, seat.workspace_id):
        if report.key.id == _key_id(seat):
            return shapes.api_key_of(report)
    raise NotFound("There is no such API key.")


async def _key_settings(seat: Seat, desk: Desk) -> tuple[str, tenancies.RateLimits]:
    """Without what a key's use changes."""
    return await api_keys.settings(desk, seat.workspace_id, _key_id(seat))


async def _workspace(seat: Seat, desk: Desk) -> shapes.Workspace:
    return shapes.workspace_of(await workspaces.get(desk, seat.workspace_id))


def _made(seat: Seat, new: tuple[tenancies.ApiKey, NewApiKey]) -> Reply:
    key, secret = new
    shown = shapes.shown(shapes.NewApiKey, key, api_key=secret.text)
    return made(seat, shown, f"api-keys/{key.id}")


_LIST = Operation(
    name="listWorkspaces",
    summary="List the workspaces that the key is good for",
    answers=doc.answer(WorkspacePage, "All of them."),
    errors=(NotFound,),
)
_CREATE = Operation(
    name="createWorkspace",
    summary="Make a workspace",
    about="With a key of the installation.",
    request=NewWorkspace,
    answers=doc.added(shapes.Workspace, "The workspace."),
    errors=(AlreadyExists,),
)
_READ = Operation(name="getWorkspace", summary="Show a workspace", answers=doc.one(shapes.Workspace, "The workspace."))
_EDIT = Operation(
    name="changeWorkspace",
    summary="Change a workspace's name, limits or retention, or disable it",
    about="A shorter retention counts for what is there as well. Limits, and the end of being disabled, need a key of "
    "the installation.",
    request=WorkspaceChange,
    answers=doc.one(shapes.Workspace, "The workspace as it is now."),
    errors=(InvalidField,),
)
_ROTATE_WIDGET_TOKEN = Operation(
    name="rotateWidgetToken",
    summary="Give the workspace another widget token",
    about="The one before is refused within 5 seconds, so change the pages that carry it.",
    answers=doc.answer(shapes.Workspace, "The workspace."),
)
_LIST_KEYS = Operation(
    name="listApiKeys", summary="List a workspace's API keys", answers=doc.answer(ApiKeyPage, "All of them.")
)
_CREATE_KEY = Operation(
    name="createApiKey",
    summary="Make an API key",
    request=ApiKeyRequest,
    answers=doc.added(shapes.NewApiKey, "The key, with its text."),
)
_READ_KEY = Operation(name="getApiKey", summary="Show an API key", answers=doc.one(shapes.ApiKey, "The key."))
_EDIT_KEY = Operation(
    name="changeApiKey",
    summary="Change an API key's name or limits",
    request=ApiKeyChange,
    answers=doc.one(shapes.ApiKey, "The key as it is now."),
    errors=(InvalidField,),
)
_ROTATE_KEY = Operation(
    name="rotateApiKey",
    summary="Make a key that takes over from another one",
    request=Rotation,
    answers=doc.added(shapes.NewApiKey, "The new key, with its text."),
)
_REVOKE_KEY = Operation(
    name="revokeApiKey",
    summary="End an API key",
    about="Every worker refuses it within 5 seconds.",
    answers=doc.answer(shapes.ApiKey, "The key."),
)
