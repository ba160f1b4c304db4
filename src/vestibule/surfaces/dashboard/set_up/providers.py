"""`/dashboard/set-up/providers`: identity providers in their order, each with its settings and whether it answers; it
must not show a secret."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import msgspec

from vestibule.administration import identity_providers, method_state, provider_rules, workspaces
from vestibule.administration.desk import Desk
from vestibule.edge.http import Reply
from vestibule.edge.surface import Route
from vestibule.errors import InvalidDeclaration, InvalidField, Upstream, VestibuleError
from vestibule.model.claims import Method
from vestibule.model.identity_provider import IdentityProvider, ProviderSettings, TokenKind
from vestibule.model.staff import Role
from vestibule.oidc.jwks import ProviderKeys
from vestibule.runtime import Runtime
from vestibule.surfaces.dashboard.rendering import go_to
from vestibule.surfaces.dashboard.seat import PREFIX, Seat, action, version_of, view
from vestibule.surfaces.dashboard.set_up.fields import kept, typed, untyped
from vestibule.surfaces.dashboard.set_up.provider_fields import FIELDS
from vestibule.surfaces.dashboard.set_up.saving import Problems, refuse, saving

_HERE = "/set-up/providers"
_ONE = f"{_HERE}/{{provider_id}}"
# What a page waits for a provider that is not in memory yet; the call goes on, and the next look finds its answer.
_PATIENCE = 1.5


class Reach(msgspec.Struct, frozen=True):
    """How a provider answers. `good` None: it was not asked."""

    good: bool | None
    sentence: str


def routes(runtime: Runtime) -> Sequence[Route]:
    # Of the dashboard's own: visitors do not wait for what staff look at, nor the other way round.
    keys = ProviderKeys(runtime.outbound)

    async def show_all(seat: Seat) -> Reply:
        return await _list(seat, keys)

    async def show_one(seat: Seat) -> Reply:
        provider = await _provider(seat)
        return await _page(seat, provider, typed(provider, FIELDS), reach=await _reach(keys, provider))

    listed = saving((), _again, back=_HERE)
    return [
        view(runtime, _HERE, show_all, Role.ADMIN),
        view(runtime, f"{_HERE}/new", _blank, Role.ADMIN),
        action(runtime, f"{_HERE}/new", saving(FIELDS, _blank_again, back=_HERE)(_add), Role.ADMIN),
        view(runtime, _ONE, show_one, Role.ADMIN),
        action(runtime, _ONE, saving(FIELDS, _again_as_typed, back=_ONE)(_replace), Role.ADMIN),
        action(runtime, f"{_ONE}/switch", listed(_switch), Role.ADMIN),
        action(runtime, f"{_ONE}/move", listed(_move), Role.ADMIN),
        action(runtime, f"{_ONE}/remove", listed(_remove), Role.ADMIN),
    ]


async def _list(seat: Seat, keys: ProviderKeys) -> Reply:
    desk, workspace_id = seat.desk, seat.workspace_id
    found = await identity_providers.list_all(desk, workspace_id)
    reached = await asyncio.gather(*(_reach(keys, provider) for provider in found))
    return seat.show(
        "set_up/providers.html",
        providers=[(each, reach, version_of(_shown(each))) for each, reach in zip(found, reached, strict=True)],
        order=version_of([provider.id for provider in found]),
        state=(await method_state.read(desk, workspace_id))[Method.TOKEN_EXCHANGE],
        workspace=await workspaces.get(desk, workspace_id),
        public_url=desk.settings.public_url,
    )


async def _reach(keys: ProviderKeys, provider: IdentityProvider) -> Reach:
    if provider.uses_shared_secret:
        return Reach(None, "shared secret: nothing is fetched")
    reads_keys = set(provider.accepts) != {TokenKind.OPAQUE_ACCESS_TOKEN}
    try:
        if not reads_keys:
            await asyncio.wait_for(keys.endpoints(provider), _PATIENCE)
            return Reach(good=True, sentence="its discovery document answers; tokens are asked about")
        found = await asyncio.wait_for(keys.keys(provider), _PATIENCE)
    except TimeoutError:
        return Reach(good=False, sentence=f"no answer within {_PATIENCE:g} s; look again in a moment")
    except VestibuleError as error:
        where = f" ({error.step})" if error.step else ""
        return Reach(good=False, sentence=(error.detail if isinstance(error, Upstream) else error.message) + where)
    usable = f"{len(found.keys)} usable {'key' if len(found.keys) == 1 else 'keys'}"
    return Reach(good=bool(found.keys), sentence="; ".join([usable, *found.left_out]))


async def _blank(seat: Seat) -> Reply:
    return await _page(seat, None, typed(ProviderSettings(name="", issuer=""), FIELDS))


async def _page(
    seat: Seat,
    provider: IdentityProvider | None,
    values: Mapping[str, str],
    problems: Problems | None = None,
    status: int = 200,
    *,
    reach: Reach | None = None,
) -> Reply:
    return seat.show(
        "set_up/provider.html",
        status,
        provider=provider,
        fields=FIELDS,
        form={"values": values, "problems": problems or {}},
        # As it was typed on: whoever sends a form again has still not seen what came between.
        version=seat.form.get("version") or (version_of(_shown(provider)) if provider else ""),
        warnings=provider_rules.warnings(provider) if provider is not None else [],
        reach=reach,
        workspace=await workspaces.get(seat.desk, seat.workspace_id),
        public_url=seat.desk.settings.public_url,
    )


async def _add(seat: Seat) -> Reply:
    settings = _settings(seat, {})
    _check(seat, settings)
    made = await identity_providers.add(seat.desk, seat.workspace_id, settings)
    return go_to(f"{PREFIX}{_HERE}/{made.id}?done=added")


async def _blank_again(seat: Seat, problems: Problems, status: int) -> Reply:
    return await _page(seat, None, seat.form, problems, status)


async def _replace(seat: Seat) -> Reply:
    desk = await seat.editing(_view)
    known = await identity_providers.get(desk, seat.workspace_id, _number(seat))
    settings = _settings(seat, msgspec.to_builtins(msgspec.structs.asdict(known)))
    changed = identity_providers.with_known_secrets(known, settings)
    _check(seat, changed)
    await identity_providers.replace(desk, changed)
    return go_to(f"{PREFIX}{_HERE}/{known.id}?done=saved")


async def _again_as_typed(seat: Seat, problems: Problems, status: int) -> Reply:
    provider = await _provider(seat)
    return await _page(seat, provider, kept(typed(provider, FIELDS)) | seat.form, problems, status)


def _settings(seat: Seat, known: dict[str, object]) -> ProviderSettings:
    """What the form says, over what it does not ask for. Raises InvalidDeclaration."""
    given, problems = untyped(seat.form, FIELDS)
    for name in ("leeway", "oldest_iat", "longest_life"):
        if given.get(name, 0) is None:
            problems[name] = "is required"
    refuse(problems)
    members = {name: known[name] for name in ProviderSettings.__struct_fields__ if name in known}
    # An empty secret is what `with_known_secrets` fills in.
    members.pop("introspection_client", None)
    members.pop("shared_secret", None)
    try:
        return msgspec.convert({**members, **given}, ProviderSettings)
    except msgspec.ValidationError as error:
        raise InvalidDeclaration([str(error)]) from None


def _check(seat: Seat, settings: ProviderSettings) -> None:
    """Everything at once, each beside its field. Raises InvalidDeclaration."""
    problems = provider_rules.problems(settings, seat.desk.settings.private_hosts)
    if problems:
        raise InvalidDeclaration(problems)


async def _switch(seat: Seat) -> Reply:
    desk = await seat.editing(_view)
    enabled = bool(seat.text("enabled"))
    await identity_providers.switch(desk, seat.workspace_id, _number(seat), enabled=enabled)
    return go_to(f"{PREFIX}{_HERE}?done=saved")


async def _move(seat: Seat) -> Reply:
    place = seat.text("place")
    if not (place.isascii() and place.isdigit() and len(place) <= 3):
        raise InvalidField("place", "must be a place in the order")
    desk = await seat.editing(_order)
    await identity_providers.move(desk, seat.workspace_id, _number(seat), int(place))
    return go_to(f"{PREFIX}{_HERE}?done=moved")


async def _remove(seat: Seat) -> Reply:
    desk = await seat.editing(_view)
    await identity_providers.remove(desk, seat.workspace_id, _number(seat))
    return go_to(f"{PREFIX}{_HERE}?done=removed")


async def _again(seat: Seat, problems: Problems, status: int) -> Reply:
    provider = await _provider(seat)
    return await _page(seat, provider, typed(provider, FIELDS), problems, status)


async def _view(seat: Seat, desk: Desk) -> object:
    """Without secrets, and without its place, which is a form of its own."""
    return _shown(await identity_providers.get(desk, seat.workspace_id, _number(seat)))


def _shown(provider: IdentityProvider) -> object:
    return provider.id, provider.enabled, sorted(typed(provider, FIELDS).items())


async def _order(seat: Seat, desk: Desk) -> object:
    return [provider.id for provider in await identity_providers.list_all(desk, seat.workspace_id)]


async def _provider(seat: Seat) -> IdentityProvider:
    return await identity_providers.get(seat.desk, seat.workspace_id, _number(seat))


def _number(seat: Seat) -> int:
    return identity_providers.number_of(seat.request.params["provider_id"])
