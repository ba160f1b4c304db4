"""Adds, changes and removes a workspace's identity providers; it must not read a token."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from vestibule.administration import provider_rules, workspaces
from vestibule.administration.desk import Desk
from vestibule.errors import AlreadyExists, Conflict, InvalidRequest, NotFound
from vestibule.model.identity_provider import IdentityProvider, ProviderSettings
from vestibule.storage import identity_providers as rows

MOST_PROVIDERS = 50
_DIGITS = 15
Change = Callable[[IdentityProvider], IdentityProvider]


async def add(desk: Desk, workspace_id: str, settings: ProviderSettings) -> IdentityProvider:
    """A new provider, last in the order. Raises NotFound, InvalidRequest, Conflict, AlreadyExists."""
    _check(settings, desk)
    await workspaces.get(desk, workspace_id)

    def check(others: tuple[IdentityProvider, ...]) -> None:
        if len(others) >= MOST_PROVIDERS:
            raise Conflict(f"A workspace has at most {MOST_PROVIDERS} identity providers.")
        _refuse_clash(settings, others)
        _refuse_namesake(settings, others)

    made = await rows.insert(desk.store, desk.sealer, workspace_id, settings, check)
    await desk.record("identity_provider.add", workspace_id, str(made.id))
    return made


async def replace(desk: Desk, provider: IdentityProvider) -> IdentityProvider:
    """Writes over a provider's settings and place. Raises NotFound, InvalidRequest, Conflict, AlreadyExists."""
    return await update(desk, provider.workspace_id, provider.id, lambda _: provider)


async def replace_all(desk: Desk, workspace_id: str, wanted: Sequence[IdentityProvider]) -> None:
    """Writes over several at once. Whether two take the same tokens is judged by what all of them become: what one
    gives up, another may take on. Raises NotFound, InvalidRequest, Conflict, AlreadyExists."""
    known: dict[int, IdentityProvider] = {}

    def decide(found: tuple[IdentityProvider, ...]) -> Sequence[IdentityProvider]:
        known.clear()  # it may be asked again, of what is there by then
        known.update({provider.id: provider for provider in found})
        after = known | {provider.id: provider for provider in wanted}
        for provider in wanted:
            others = tuple(other for other in after.values() if other.id != provider.id)
            _judge(desk, _named(found, provider.id), provider, others)
        return wanted

    await workspaces.get(desk, workspace_id)
    await rows.change(desk.store, desk.sealer, workspace_id, decide)
    for provider in wanted:
        changed = workspaces.names_changed(known[provider.id], provider)
        await desk.record("identity_provider.change", workspace_id, str(provider.id), detail=changed)


async def update(desk: Desk, workspace_id: str, provider_id: int, change: Change) -> IdentityProvider:
    """What `change` makes of a provider as it is at that moment: of two operators, neither undoes what the other has
    changed. Raises NotFound, InvalidRequest, Conflict, AlreadyExists."""
    made: list[IdentityProvider] = []
    known: list[IdentityProvider] = []

    def decide(found: tuple[IdentityProvider, ...]) -> list[IdentityProvider]:
        known[:] = [_named(found, provider_id)]
        provider = change(known[0])
        _judge(desk, known[0], provider, tuple(other for other in found if other.id != provider.id))
        made[:] = [provider]
        return made

    await workspaces.get(desk, workspace_id)
    await rows.change(desk.store, desk.sealer, workspace_id, decide)
    changed = workspaces.names_changed(known[0], made[0])
    await desk.record("identity_provider.change", workspace_id, str(provider_id), detail=changed)
    return made[0]


async def switch(desk: Desk, workspace_id: str, provider_id: int, *, enabled: bool) -> IdentityProvider:
    """A disabled provider's tokens are refused by every worker within two seconds, and so are proofs that wait to be
    used; whom they have let in before stays. Raises NotFound."""
    return await update(
        desk, workspace_id, provider_id, lambda provider: msgspec.structs.replace(provider, enabled=enabled)
    )


async def move(desk: Desk, workspace_id: str, provider_id: int, place: int) -> tuple[IdentityProvider, ...]:
    """To a place in the order, counted from 1; beyond the end is last. All of them, in their order. Raises NotFound."""
    made: list[IdentityProvider] = []

    def decide(found: tuple[IdentityProvider, ...]) -> list[IdentityProvider]:
        moved = _named(found, provider_id)
        order = [other for other in found if other.id != provider_id]
        order.insert(max(place, 1) - 1, moved)
        # A number is never below the count of those before it, so the next one that is added still comes last.
        made[:] = [msgspec.structs.replace(one, position=position) for position, one in enumerate(order, 1)]
        return made

    await workspaces.get(desk, workspace_id)
    await rows.change(desk.store, desk.sealer, workspace_id, decide)
    await desk.record("identity_provider.move", workspace_id, str(provider_id))
    return tuple(made)


def with_known_secrets(known: IdentityProvider, settings: ProviderSettings) -> IdentityProvider:
    """The provider with other settings. A secret that is not given stays, as long as it goes where it went: one that
    was meant for one server is not shown to another. Raises InvalidRequest."""
    client, before = settings.introspection_client, known.introspection_client
    if client.client_id and not client.client_secret and before.client_secret:
        if (settings.issuer, settings.endpoints.introspection, client.client_id) != (
            known.issuer,
            known.endpoints.introspection,
            before.client_id,
        ):
            raise InvalidRequest(
                "introspection_client.client_secret: must be given again, as issuer, endpoint or client changed",
                step="settings",
            )
        client = msgspec.structs.replace(client, client_secret=before.client_secret)
    if settings.uses_shared_secret and not settings.shared_secret:
        settings = msgspec.structs.replace(settings, shared_secret=known.shared_secret)
    settings = msgspec.structs.replace(settings, introspection_client=client)
    return settings.stored(known.workspace_id, known.id, known.position)


async def remove(desk: Desk, workspace_id: str, provider_id: int) -> IdentityProvider:
    """Its number is never given again. Contacts and what leads to them stay. Raises NotFound."""
    provider = await get(desk, workspace_id, provider_id)
    await rows.delete(desk.store, workspace_id, provider_id)
    await desk.record("identity_provider.remove", workspace_id, str(provider_id))
    return provider


async def get(desk: Desk, workspace_id: str, provider_id: int) -> IdentityProvider:
    """Raises NotFound."""
    return _named(await list_all(desk, workspace_id), provider_id)


async def list_all(desk: Desk, workspace_id: str) -> tuple[IdentityProvider, ...]:
    """In their order. Raises NotFound."""
    await workspaces.get(desk, workspace_id)
    return await rows.list_all(desk.store, desk.sealer, workspace_id)


def number_of(text: str) -> int:
    """The number that a path names. Raises NotFound."""
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        raise NotFound("There is no such identity provider.")
    return int(text)


def _named(found: tuple[IdentityProvider, ...], provider_id: int) -> IdentityProvider:
    for provider in found:
        if provider.id == provider_id:
            return provider
    raise NotFound("There is no such identity provider.")


def _judge(
    desk: Desk, known: IdentityProvider, provider: IdentityProvider, others: tuple[IdentityProvider, ...]
) -> None:
    """Whether one may become the other beside these."""
    moved = msgspec.structs.replace(known, position=provider.position)
    # What no longer passes, as private_hosts is narrower or a rule is new, can still be switched off and moved.
    if provider in (moved, msgspec.structs.replace(moved, enabled=False)):
        return
    _check(provider, desk)
    _refuse_clash(provider, others)
    if provider.name != known.name:
        _refuse_namesake(provider, others)


def _check(settings: ProviderSettings, desk: Desk) -> None:
    found = provider_rules.problems(settings, desk.settings.private_hosts)
    if found:
        raise InvalidRequest("; ".join(found), step="settings")


def _refuse_clash(settings: ProviderSettings, others: tuple[IdentityProvider, ...]) -> None:
    clash = provider_rules.clash(settings, others)
    if clash is not None:
        raise Conflict(f"{clash}.", step="settings")


def _refuse_namesake(settings: ProviderSettings, others: tuple[IdentityProvider, ...]) -> None:
    """A workspace's file knows providers by their names, and takes those for one that differ in case only."""
    if any(other.name.casefold() == settings.name.casefold() for other in others):
        raise AlreadyExists("There is an identity provider of this name already.", step="settings")
