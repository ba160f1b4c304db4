"""`/v1/admin/workspaces/{id}/auth-endpoint`, with the dry run of a user token; it must not show or keep a secret."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from vestibule.administration import auth_endpoint_trial, auth_endpoints
from vestibule.administration.auth_endpoint_trial import AuthTrial
from vestibule.administration.desk import Desk
from vestibule.edge.http import Reply
from vestibule.edge.operation import Operation
from vestibule.edge.surface import Route
from vestibule.edge.user_tokens import PageFields
from vestibule.errors import (
    CannotUnseal,
    InvalidDeclaration,
)
from vestibule.model.auth_endpoint import ExtraField, Fallback, HeaderForm, IdentityMethod
from vestibule.model.unshown import Unshown
from vestibule.model.workspace import AdminScope
from vestibule.runtime import Runtime
from vestibule.surfaces.admin_api import documenting as doc
from vestibule.surfaces.admin_api.seat import WORKSPACE, Seat, answer, endpoint, gone, showing

_HERE = f"{WORKSPACE}/auth-endpoint"


class AuthEndpoint(Unshown, frozen=True):
    """The customer's own server that is asked, without its secrets: whether there is one, or how many. `new_secret` is
    there once, when it was made. Addresses are shown without their query."""

    url: str
    header_token: bool
    header_name: str
    header_form: HeaderForm
    fields: tuple[ExtraField, ...]
    identity_method: IdentityMethod
    country_code: str
    required_login: bool
    fallback: Fallback
    claim_unverified_contacts: bool
    secrets: int
    client_certificate: bool
    client_key: bool
    ca: bool
    restrict_domains: bool
    domains: tuple[str, ...]
    domains_url: str
    native_apps: bool
    cache_seconds: int
    warnings: tuple[str, ...]
    new_secret: str | None = None


class AuthEndpointChange(Unshown, frozen=True, forbid_unknown_fields=True):
    """What is absent stays. `rotate_secret` signs with a new secret beside the current one, `forget_old_secret` with
    the newest only."""

    url: str | UnsetType = UNSET
    header_token: str | UnsetType = UNSET
    header_name: str | UnsetType = UNSET
    header_form: HeaderForm | UnsetType = UNSET
    fields: tuple[ExtraField, ...] | UnsetType = UNSET
    identity_method: IdentityMethod | UnsetType = UNSET
    country_code: str | UnsetType = UNSET
    required_login: bool | UnsetType = UNSET
    fallback: Fallback | UnsetType = UNSET
    claim_unverified_contacts: bool | UnsetType = UNSET
    client_certificate: str | UnsetType = UNSET
    client_key: str | UnsetType = UNSET
    ca: str | UnsetType = UNSET
    restrict_domains: bool | UnsetType = UNSET
    domains: tuple[str, ...] | UnsetType = UNSET
    domains_url: str | UnsetType = UNSET
    native_apps: bool | UnsetType = UNSET
    cache_seconds: int | UnsetType = UNSET
    rotate_secret: bool = False
    forget_old_secret: bool = False


class UserTokenToTry(Unshown, frozen=True, forbid_unknown_fields=True):
    """A user token as a page would show it, and what the page would say of its visitor. Neither is kept."""

    user_token: Annotated[str, Meta(max_length=8_192)]
    fields: PageFields | None = None


_CHANGE = msgspec.json.Decoder(AuthEndpointChange)
_TOKEN = msgspec.json.Decoder(UserTokenToTry)
_SWITCHES = frozenset({"rotate_secret", "forget_old_secret"})


def routes(runtime: Runtime) -> Sequence[Route]:
    try_token = partial(_try_token, runtime)
    return [
        endpoint(runtime, "GET", _HERE, showing(_view), _READ),
        endpoint(runtime, "PATCH", _HERE, _change, _SET),
        endpoint(runtime, "DELETE", _HERE, _remove, _REMOVE),
        endpoint(runtime, "POST", f"{_HERE}/dry-run", try_token, _TRY, scope=AdminScope.READ),
    ]


async def _change(seat: Seat) -> Reply:
    wanted = seat.read(_CHANGE)
    given: dict[str, Any] = {
        name: msgspec.to_builtins(value)
        for name in wanted.__struct_fields__
        if name not in _SWITCHES and (value := getattr(wanted, name)) is not UNSET
    }
    desk = await seat.editing(_view)
    changed = await auth_endpoints.change(
        desk,
        seat.workspace_id,
        given,
        new_signing_secret=wanted.rotate_secret,
        one_secret=wanted.forget_old_secret,
    )

    async def with_secret(seat: Seat, desk: Desk) -> AuthEndpoint:
        return msgspec.structs.replace(await _view(seat, desk), new_secret=changed.secret)

    return await seat.shown(with_secret, settings=_view)


async def _remove(seat: Seat) -> Reply:
    desk = await seat.editing(_view)
    await auth_endpoints.remove(desk, seat.workspace_id)
    return gone()


async def _try_token(runtime: Runtime, seat: Seat) -> Reply:
    wanted = seat.read(_TOKEN)
    said = msgspec.structs.asdict(wanted.fields) if wanted.fields is not None else {}
    fields = {name: value for name, value in said.items() if isinstance(value, str)}
    calls = runtime.auth_endpoint.calls
    trial = await auth_endpoint_trial.try_by(calls, seat.desk, seat.workspace_id, wanted.user_token, fields)
    return answer(200, trial)


async def _view(seat: Seat, desk: Desk) -> AuthEndpoint:
    return msgspec.convert(auth_endpoints.shown(await auth_endpoints.read(desk, seat.workspace_id)), AuthEndpoint)


_READ = Operation(
    name="getAuthEndpoint",
    summary="Show a workspace's auth endpoint, required login and allowed pages",
    answers=doc.one(AuthEndpoint, "The settings, without secrets."),
    errors=(CannotUnseal,),
)
_SET = Operation(
    name="changeAuthEndpoint",
    summary="Set up a workspace's auth endpoint",
    about="The secret that signs what is sent is made with the first change, and shown in its answer only.",
    request=AuthEndpointChange,
    answers=doc.one(AuthEndpoint, "The settings as they are now."),
    errors=(InvalidDeclaration, CannotUnseal),
)
_REMOVE = Operation(
    name="removeAuthEndpoint",
    summary="Forget a workspace's auth endpoint, required login and allowed pages as well",
    about="The contacts it proved stay.",
    answers=doc.GONE,
    errors=(CannotUnseal,),
)
_TRY = Operation(
    name="tryUserToken",
    summary="Try a user token: the request without its secrets, each field, the contact",
    about="Nothing is written. The customer's server is asked as for a visitor's token.",
    request=UserTokenToTry,
    answers=doc.answer(AuthTrial, "What came of it, also where the token is refused."),
    errors=(CannotUnseal,),
)
