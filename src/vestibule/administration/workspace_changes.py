"""Carries out what a file declares of the things a workspace has several of; it must not decide what differs."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vestibule.administration import api_keys, identity_providers, queues, staff, webhooks
from vestibule.administration.api_keys import KeyState
from vestibule.administration.desk import Desk
from vestibule.administration.workspace_tables import ApiKeyTable, QueueTable, StaffTable, WebhookTable
from vestibule.administration.workspace_tree import endpoints_of, name_of, nameless
from vestibule.identity.email import email_key
from vestibule.model.identity_provider import ProviderSettings

# What was made, by place: secrets and links, shown now and never again.
Made = dict[str, str]


async def put_providers(desk: Desk, workspace_id: str, wanted: Sequence[ProviderSettings], *, prune: bool) -> None:
    known = {provider.name: provider for provider in await identity_providers.list_all(desk, workspace_id)}
    names = {settings.name for settings in wanted}
    if prune:  # first, so that one that goes cannot stand in the way of one that comes
        for name in known.keys() - names:
            await identity_providers.remove(desk, workspace_id, known[name].id)
    changed = [
        settings.stored(workspace_id, found.id, found.position)
        for settings in wanted
        if (found := known.get(settings.name)) is not None
        and nameless(found, ProviderSettings) != nameless(settings, ProviderSettings)
    ]
    if changed:  # together, and before any that is new, so that none stands in the way of what another becomes
        await identity_providers.replace_all(desk, workspace_id, changed)
    for settings in wanted:
        if settings.name not in known:
            await identity_providers.add(desk, workspace_id, settings)
    now = await identity_providers.list_all(desk, workspace_id)
    by_name = {provider.name: provider for provider in now}
    others = [provider.name for provider in now if provider.name not in names]
    order = order_of([provider.name for provider in now], [settings.name for settings in wanted], others)
    moved = [
        msgspec.structs.replace(by_name[name], position=provider.position)
        for provider, name in zip(now, order, strict=True)
        if by_name[name].position != provider.position
    ]
    if moved:
        await identity_providers.replace_all(desk, workspace_id, moved)


def order_of(known: list[str], mine: list[str], others: list[str]) -> list[str]:
    """The file's order on the places that its providers have; those that it does not mention stay where they are."""
    rest = iter(mine)
    placed = [name if name in others else next(rest, None) for name in known if name in mine or name in others]
    return [*(name for name in placed if name is not None), *rest]


async def put_queues(desk: Desk, workspace_id: str, wanted: Sequence[QueueTable], *, prune: bool) -> None:
    known = {queue.key: queue.settings for queue in await queues.list_all(desk, workspace_id)}
    if prune:
        for key in known.keys() - {table.key for table in wanted}:
            await queues.remove(desk, workspace_id, key)
    for table in wanted:
        if known.get(table.key) != table.settings:
            await queues.put(desk, workspace_id, table.key, table.settings)


async def put_webhooks(desk: Desk, workspace_id: str, wanted: Sequence[WebhookTable], *, prune: bool) -> Made:
    known = {name_of(endpoint): endpoint for endpoint in await endpoints_of(desk, workspace_id)}
    made: Made = {}
    if prune:
        for name in known.keys() - {table.name for table in wanted}:
            await webhooks.remove(desk, workspace_id, known[name].id)
    for table in wanted:
        found, secrets = known.get(table.name), table.secrets
        if found is None:
            added = await webhooks.add(
                desk,
                workspace_id,
                table.url,
                events=table.events,
                names=table.names,
                name=table.name,
                secrets=secrets,
            )
            if added.secret is not None:
                made[f"webhooks.{table.name}"] = added.secret
        elif (found.url, {*found.events}, found.names, found.secrets) != (
            table.url,
            {*table.events},
            table.names,
            secrets or found.secrets,
        ):
            await webhooks.change(
                desk, workspace_id, found.id, url=table.url, events=table.events, names=table.names, secrets=secrets
            )
    return made


async def put_staff(desk: Desk, workspace_id: str, wanted: Sequence[StaffTable], *, prune: bool) -> Made:
    """Who is not mentioned is disabled when pruned: a slip in a file must not take anybody's password."""
    known = {email_key(member.email): member for member in await staff.list_all(desk, workspace_id)}
    made: Made = {}
    if prune:
        for key in known.keys() - {table.key for table in wanted}:
            await staff.set_disabled(desk, workspace_id, known[key].id, disabled=True)
    for table in wanted:
        found, name = known.get(table.key), table.name.strip()
        if found is None:
            found = await staff.add(desk, workspace_id, email=table.email, name=name, role=table.role)
            link = None if table.disabled else await staff.invite(desk, workspace_id, found.id)
            if link is not None:
                made[f"staff.{table.key}"] = link
        if name and name != found.name:
            await staff.set_name(desk, workspace_id, found.id, name)
        if table.role is not found.role:
            await staff.set_role(desk, workspace_id, found.id, table.role)
        await staff.set_disabled(desk, workspace_id, found.id, disabled=table.disabled)
    return made


async def put_api_keys(desk: Desk, workspace_id: str, wanted: Sequence[ApiKeyTable]) -> Made:
    reports = await api_keys.report(desk, workspace_id)
    known = {report.key.name for report in reports if report.state is KeyState.ACTIVE}
    made: Made = {}
    for table in wanted:
        if table.name not in known:
            _, new = await api_keys.create(
                desk,
                workspace_id,
                scopes=tuple(table.scopes),
                name=table.name,
                lifetime_ms=table.lifetime_ms,
                rate_limits=table.rate_limits,
            )
            made[f"api_keys.{table.name}"] = new.text
    return made
