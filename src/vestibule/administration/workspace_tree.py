"""A workspace as a tree of plain values, as it is there and as a file declares it, so that the two can be compared; it
must not change anything.

Places in the tree are those of the file, but for arrays: their tables go by their names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from vestibule.administration import (
    actions,
    api_keys,
    auth_endpoints,
    identity_providers,
    queues,
    responders,
    staff,
    webhooks,
    workspaces,
)
from vestibule.administration.api_keys import KeyState
from vestibule.administration.desk import Desk
from vestibule.administration.workspace_tables import ApiKeyTable, StaffTable, WebhookTable
from vestibule.identity.email import email_key
from vestibule.model.action import ActionDeclaration
from vestibule.model.auth_endpoint import AuthEndpointSettings, Enforcement
from vestibule.model.identity_provider import ProviderSettings
from vestibule.model.queue import QueueSettings
from vestibule.model.staff import Staff
from vestibule.model.webhook import EventKind, EventNames, WebhookEndpoint
from vestibule.model.workspace import Retention, Workspace
from vestibule.responder import action_desk
from vestibule.times import span_text

Tree = dict[str, Any]
# Arrays of the file, and the member by which the tree has their tables.
ARRAYS = {
    "identity_providers": "name",
    "queues": "key",
    "webhooks": "name",
    "staff": "email",
    "api_keys": "name",
    "actions": "name",
}
_SECRETS = frozenset({"api_key", "secrets", "shared_secret", "client_secret", "header_token", "client_key"})
# Where a file has a name of its own making, or none of ours: what reads like a secret is none.
_NAMES = re.compile(r"api_keys\.|identity_providers\.\d+\.claims\.")


async def tree_of(desk: Desk, workspace: Workspace) -> Tree:
    """What is there. Raises CannotUnseal."""
    providers = await identity_providers.list_all(desk, workspace.id)
    policy = await actions.policy(desk, workspace.id)
    variables = await action_desk.variables_of(desk.store, desk.sealer, workspace.id)
    addresses = (await workspaces.visitor_sessions(desk, workspace.id)).allowed_addresses
    settings = await auth_endpoints.read(desk, workspace.id)
    members = sorted(await staff.list_all(desk, workspace.id), key=lambda member: email_key(member.email))
    return {
        "workspace": {
            "name": workspace.name,
            "disabled": workspace.disabled_at is not None,
            "enforcement": settings.enforcement.value,
        },
        "rate_limits": plain(workspace.rate_limits),
        "retention": retention(workspace.retention),
        "widget": plain(await responders.read_widget(desk, workspace.id)),
        "visitor_sessions": {"allowed_addresses": list(addresses)} if addresses else {},
        "responder": plain(await responders.read(desk, workspace.id)),
        "auth_endpoint": auth_endpoint(settings),
        "identity_providers": {each.name: provider(each) for each in providers},
        "provider_order": [each.name for each in providers],
        "queues": {each.key: queue(each.settings) for each in await queues.list_all(desk, workspace.id)},
        "webhooks": {name_of(each): _webhook(each) for each in await endpoints_of(desk, workspace.id)},
        "staff": {email_key(member.email): _member(member) for member in members},
        "api_keys": await _keys(desk, workspace.id),
        "policy": {name: value for name, value in plain(policy).items() if name != "forms"},
        "variables": plain(variables),
        "actions": {
            each.name: action(each, form=each.name in policy.forms)
            for each in await actions.list_all(desk, workspace.id)
        },
    }


async def endpoints_of(desk: Desk, workspace_id: str) -> list[WebhookEndpoint]:
    """By the names that a file knows them by."""
    found = [listed.endpoint for listed in await webhooks.list_all(desk, workspace_id)]
    return sorted(found, key=name_of)


def name_of(endpoint: WebhookEndpoint) -> str:
    """One that was made without a name goes by its id."""
    return endpoint.name or endpoint.id


def plain(value: msgspec.Struct) -> Tree:
    """Without what has its default, so that absent and default are one. A list and a tuple are one as well."""
    # Compared here: `omit_defaults` leaves out a number only where it is the default's very object.
    members = {field.name: (getattr(value, field.name), field) for field in msgspec.structs.fields(value)}
    return {name: _plain(member) for name, (member, field) in members.items() if member != _default(field)}


def _default(field: msgspec.structs.FieldInfo) -> Any:
    return field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()


def _plain(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return plain(value)
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return msgspec.to_builtins(value)


def retention(value: Retention) -> Tree:
    return {name: span_text(milliseconds) for name, milliseconds in plain(value).items()}


def auth_endpoint(settings: AuthEndpointSettings) -> Tree:
    """Without who may come in unproven: that is the workspace's enforcement."""
    return plain(settings.at(Enforcement.OBSERVE))


def nameless(value: msgspec.Struct, type_: type[msgspec.Struct]) -> Tree:
    """The members that the type has, without the name by which the tree has them."""
    tree = plain(type_(**{name: getattr(value, name) for name in type_.__struct_fields__}))
    tree.pop("name", None)
    return tree


def provider(settings: ProviderSettings) -> Tree:
    """With what it takes, the default as well: a file that does not say has it read off what is set up."""
    return {**nameless(settings, ProviderSettings), "accepts": [kind.value for kind in settings.accepts]}


def action(declared: ActionDeclaration, *, form: bool) -> Tree:
    return {**nameless(declared, ActionDeclaration), **({"form": True} if form else {})}


def queue(settings: QueueSettings) -> Tree:
    tree = plain(settings)
    if settings.hours:
        tree["hours"] = [queues.hours_text(hours) for hours in settings.hours]
    return tree


def webhook(table: WebhookTable) -> Tree:
    """As it is declared; without secrets, where it keeps those that it has."""
    return _hook(table.url, table.events, table.names, table.secrets)


def member(table: StaffTable, known: Tree | None) -> Tree:
    """As it is declared; a name that is absent is the known one."""
    name = table.name.strip() or (known or {}).get("name") or table.email.partition("@")[0]
    return _person(name, table.role, disabled=table.disabled)


def api_key(table: ApiKeyTable) -> Tree:
    return _key(sorted(table.scopes), plain(table.rate_limits), table.lifetime_ms)


def for_a_file(tree: Tree, customer_id: str) -> Tree:
    """The sections of a file: arrays as such, a reference in the place of each secret, nothing empty."""
    tree = {**tree, "workspace": {"customer_id": customer_id, **tree["workspace"]}}
    tree.pop("provider_order", None)
    tree["responder"] = _without_secrets(tree["responder"])
    timeout = tree["responder"].pop("timeout_ms", None)
    if timeout is not None:
        tree["responder"]["timeout"] = span_text(timeout)
    tree["auth_endpoint"] = _without_secrets(tree["auth_endpoint"])
    for section, by in ARRAYS.items():
        tree[section] = [{by: key, **_without_secrets(each)} for key, each in tree[section].items()]
    return {name: _referring(name, value) for name, value in tree.items() if value}


def _without_secrets(table: Tree) -> Tree:
    """Those that sign stay where they are: a file need not name them."""
    return {name: value for name, value in table.items() if name != "secrets"}


def is_secret(place: str, value: Any) -> bool:
    """Whether what stands there must not be shown; of an address its query may hold one."""
    if place.startswith("actions."):  # what a schema calls so is a name
        return False
    parts = place.split(".")
    if place.startswith("variables.") or not _SECRETS.isdisjoint(parts):
        return True
    return parts[-1] in {"url", "domains_url"} and isinstance(value, str) and "?" in value


def _webhook(endpoint: WebhookEndpoint) -> Tree:
    return _hook(endpoint.url, endpoint.events, endpoint.names, endpoint.secrets)


def _hook(url: str, events: tuple[EventKind, ...], names: EventNames, secrets: tuple[str, ...]) -> Tree:
    wanted = [kind.value for kind in EventKind if kind in events]
    tree: Tree = {"url": url}
    if len(wanted) < len(EventKind):
        tree["events"] = wanted
    if names is not EventNames.VESTIBULE:
        tree["names"] = names.value
    return {**tree, **({"secrets": list(secrets)} if secrets else {})}


def _member(member: Staff) -> Tree:
    return _person(member.name, member.role, disabled=member.disabled_at is not None)


def _person(name: str, role: str, *, disabled: bool) -> Tree:
    return {"name": name, "role": str(role), **({"disabled": True} if disabled else {})}


async def _keys(desk: Desk, workspace_id: str) -> Tree:
    """Those that can be declared: active, and with a name."""
    keys = [
        report.key
        for report in await api_keys.report(desk, workspace_id)
        if report.state is KeyState.ACTIVE and report.key.name
    ]
    return {
        key.name: _key(
            list(key.scopes),
            plain(key.rate_limits),
            key.expires_at - key.created_at if key.expires_at is not None else None,
        )
        for key in sorted(keys, key=lambda key: key.name)
    }


def _key(scopes: list[str], rate_limits: Tree, lifetime_ms: int | None) -> Tree:
    tree: Tree = {"scopes": [str(scope) for scope in scopes]}
    if rate_limits:
        tree["rate_limits"] = rate_limits
    if lifetime_ms is not None:
        tree["expires_in"] = span_text(lifetime_ms)
    return tree


def _referring(place: str, value: Any) -> Any:
    """With a reference in the place of each secret, under a name to set."""
    if isinstance(value, Mapping):
        return {name: _referring(f"{place}.{name}", each) for name, each in value.items()}
    if isinstance(value, list):
        return [_referring(f"{place}.{index}", each) for index, each in enumerate(value)]
    if isinstance(value, str) and value and not _NAMES.match(place) and is_secret(place, value):
        return {"env": "".join(character if character.isalnum() else "_" for character in place).upper()}
    return value
