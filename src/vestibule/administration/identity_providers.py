"""Adds, changes and removes a workspace's identity providers; it must not read a token."""

from __future__ import annotations

import msgspec

from vestibule.administration import provider_rules, workspaces
from vestibule.administration.desk import Desk
from vestibule.errors import Conflict, InvalidRequest, NotFound
from vestibule.model.identity_provider import IdentityProvider, ProviderSettings
from vestibule.storage import identity_providers as rows

MOST_PROVIDERS = 50


async def add(desk: Desk, workspace_id: str, settings: ProviderSettings) -> IdentityProvider:
    """A new provider, last in the order. Raises NotFound, InvalidRequest, Conflict."""
    _check(settings, desk)
    others = await list_all(desk, workspace_id)
    if len(others) >= MOST_PROVIDERS:
        raise Conflict(f"A workspace has at most {MOST_PROVIDERS} identity providers.")
    _refuse_clash(settings, others)
    made = await rows.insert(desk.store, desk.sealer, workspace_id, settings)
    await desk.record("identity_provider.add", workspace_id, str(made.id))
    return made


async def replace(desk: Desk, provider: IdentityProvider) -> IdentityProvider:
    """Writes over a provider's settings and place. Raises NotFound, InvalidRequest, Conflict."""
    _check(provider, desk)
    others = await list_all(desk, provider.workspace_id)
    _refuse_clash(provider, tuple(other for other in others if other.id != provider.id))
    known = await get(desk, provider.workspace_id, provider.id)
    if not await rows.update(desk.store, desk.sealer, provider):
        raise NotFound("There is no such identity provider.")
    changed = workspaces.names_changed(known, provider)
    await desk.record("identity_provider.change", provider.workspace_id, str(provider.id), detail=changed)
    return provider


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
    members = {name: getattr(settings, name) for name in ProviderSettings.__struct_fields__}
    members["introspection_client"] = client
    if settings.uses_shared_secret and not settings.shared_secret:
        members["shared_secret"] = known.shared_secret
    return IdentityProvider(workspace_id=known.workspace_id, id=known.id, position=known.position, **members)


async def remove(desk: Desk, workspace_id: str, provider_id: int) -> IdentityProvider:
    """Its number is never given again. Contacts and what leads to them stay. Raises NotFound."""
    provider = await get(desk, workspace_id, provider_id)
    await rows.delete(desk.store, workspace_id, provider_id)
    await desk.record("identity_provider.remove", workspace_id, str(provider_id))
    return provider


async def get(desk: Desk, workspace_id: str, provider_id: int) -> IdentityProvider:
    """Raises NotFound."""
    for provider in await list_all(desk, workspace_id):
        if provider.id == provider_id:
            return provider
    raise NotFound("There is no such identity provider.")


async def list_all(desk: Desk, workspace_id: str) -> tuple[IdentityProvider, ...]:
    """In their order. Raises NotFound."""
    await workspaces.get(desk, workspace_id)
    return await rows.list_all(desk.store, desk.sealer, workspace_id)


def _check(settings: ProviderSettings, desk: Desk) -> None:
    found = provider_rules.problems(settings, desk.settings.private_hosts)
    if found:
        raise InvalidRequest("; ".join(found), step="settings")


def _refuse_clash(settings: ProviderSettings, others: tuple[IdentityProvider, ...]) -> None:
    clash = provider_rules.clash(settings, others)
    if clash is not None:
        raise Conflict(f"{clash}.", step="settings")
