"""`/v1/admin/workspaces/{id}/identity-providers`, with the dry run of a token; it must not show or keep a secret."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated

import msgspec
from msgspec import Meta

from vestibule.administration import dry_run, identity_providers
from vestibule.administration.desk import Desk
from vestibule.administration.dry_run import Trial
from vestibule.edge.http import Reply
from vestibule.edge.operation import Operation
from vestibule.edge.surface import Route
from vestibule.errors import (
    CannotUnseal,
    Conflict,
    InvalidField,
    InvalidRequest,
)
from vestibule.model.identity_provider import ProviderSettings
from vestibule.model.unshown import Unshown
from vestibule.model.workspace import AdminScope
from vestibule.runtime import Runtime
from vestibule.surfaces.admin_api import documenting as doc
from vestibule.surfaces.admin_api import shapes
from vestibule.surfaces.admin_api.seat import WORKSPACE, Seat, answer, endpoint, gone, made, showing

_ALL = f"{WORKSPACE}/identity-providers"
_ONE = f"{_ALL}/{{provider_id}}"
Token = Annotated[str, Meta(max_length=65_536)]


class ProviderBody(ProviderSettings, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """An identity provider's settings; what is absent has its default. When a provider is replaced, a secret that is
    empty stays as it was, unless it would go to another server."""


class ProviderPage(msgspec.Struct, frozen=True):
    """In the order in which they are tried; all there are."""

    items: list[shapes.Provider]
    next: str | None = None


class TokenToTry(Unshown, frozen=True, forbid_unknown_fields=True):
    """A token as a visitor would send it: exactly one. It is read like a visitor's, and neither stored nor logged."""

    id_token: Token | None = None
    access_token: Token | None = None
    provider_id: int | None = None


_BODY = msgspec.json.Decoder(ProviderBody)
_TOKEN = msgspec.json.Decoder(TokenToTry)


def routes(runtime: Runtime) -> Sequence[Route]:
    try_token = partial(_try_token, runtime)
    return [
        endpoint(runtime, "GET", _ALL, _list, _LIST),
        endpoint(runtime, "POST", _ALL, _add, _ADD),
        endpoint(runtime, "POST", f"{_ALL}/dry-run", try_token, _TRY, scope=AdminScope.READ),
        endpoint(runtime, "GET", _ONE, showing(_provider), _READ),
        endpoint(runtime, "PUT", _ONE, _replace, _REPLACE),
        endpoint(runtime, "DELETE", _ONE, _remove, _REMOVE),
    ]


async def _list(seat: Seat) -> Reply:
    found = await identity_providers.list_all(seat.desk, seat.workspace_id)
    return answer(200, ProviderPage([shapes.provider_of(provider) for provider in found]))


async def _add(seat: Seat) -> Reply:
    added = await identity_providers.add(seat.desk, seat.workspace_id, seat.read(_BODY))
    return made(seat, shapes.provider_of(added), f"identity-providers/{added.id}")


async def _replace(seat: Seat) -> Reply:
    wanted = seat.read(_BODY)
    desk = await seat.editing(_provider)
    known = await identity_providers.get(desk, seat.workspace_id, _number(seat))
    await identity_providers.replace(desk, identity_providers.with_known_secrets(known, wanted))
    return await seat.shown(_provider)


async def _remove(seat: Seat) -> Reply:
    desk = await seat.editing(_provider)
    await identity_providers.remove(desk, seat.workspace_id, _number(seat))
    return gone()


async def _try_token(runtime: Runtime, seat: Seat) -> Reply:
    wanted = seat.read(_TOKEN)
    if (wanted.id_token is None) == (wanted.access_token is None):
        raise InvalidField("id_token", "or access_token must be given, and not both")
    trial = await dry_run.try_by(
        runtime.token_exchange,
        seat.desk,
        seat.workspace_id,
        provider_id=wanted.provider_id,
        access_token=wanted.access_token,
        id_token=wanted.id_token,
    )
    return answer(200, trial)


async def _provider(seat: Seat, desk: Desk) -> shapes.Provider:
    return shapes.provider_of(await identity_providers.get(desk, seat.workspace_id, _number(seat)))


def _number(seat: Seat) -> int:
    return identity_providers.number_of(seat.request.params["provider_id"])


_WRONG = (InvalidRequest, Conflict, CannotUnseal)
_LIST = Operation(
    name="listIdentityProviders",
    summary="List a workspace's identity providers",
    answers=doc.answer(ProviderPage, "All of them."),
    errors=(CannotUnseal,),
)
_ADD = Operation(
    name="addIdentityProvider",
    summary="Add an identity provider, last in the order",
    request=ProviderBody,
    answers=doc.added(shapes.Provider, "The provider."),
    errors=_WRONG,
)
_READ = Operation(
    name="getIdentityProvider",
    summary="Show an identity provider",
    answers=doc.one(shapes.Provider, "The provider, without its secrets."),
    errors=(CannotUnseal,),
)
_REPLACE = Operation(
    name="replaceIdentityProvider",
    summary="Replace an identity provider's settings",
    request=ProviderBody,
    answers=doc.one(shapes.Provider, "The provider as it is now."),
    errors=_WRONG,
)
_REMOVE = Operation(
    name="removeIdentityProvider",
    summary="Remove an identity provider",
    about="Its number is never given again; the contacts it proved stay.",
    answers=doc.GONE,
    errors=(CannotUnseal,),
)
_TRY = Operation(
    name="tryToken",
    summary="Try a token: each step, what failed and why, the claims as mapped, the contact",
    about="Nothing is written. The provider is asked as for a visitor's token.",
    request=TokenToTry,
    answers=doc.answer(Trial, "What came of it, also where the token is refused."),
    errors=(CannotUnseal,),
)
