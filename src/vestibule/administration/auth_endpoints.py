"""Sets, shows and removes a workspace's auth endpoint; it must not show a secret, but for a new one at the only
moment at which it is known."""

from __future__ import annotations

from typing import Any

import msgspec

from vestibule.administration import auth_endpoint_rules as rules
from vestibule.administration import workspaces
from vestibule.administration.desk import Desk
from vestibule.errors import InvalidDeclaration, InvalidField
from vestibule.model.auth_endpoint import AuthEndpointSettings, Enforcement
from vestibule.model.unshown import Unshown
from vestibule.outbound.standard_webhooks import new_secret
from vestibule.storage import workspace_settings
from vestibule.tenancy import AUTH_ENDPOINT
from vestibule.verification.auth_endpoint import KEY_KINDS


class Changed(Unshown, frozen=True):
    """The settings as they are now. `secret`: the one that was made, if one was."""

    settings: AuthEndpointSettings
    secret: str | None = None


async def read(desk: Desk, workspace_id: str) -> AuthEndpointSettings:
    """Raises NotFound, CannotUnseal."""
    await workspaces.get(desk, workspace_id)
    found = await workspace_settings.find(desk.store, desk.sealer, workspace_id, AUTH_ENDPOINT, AuthEndpointSettings)
    return found or AuthEndpointSettings()


async def without_key(desk: Desk, workspace_id: str) -> dict[str, int]:
    """How many verified contacts each identity method cannot find: worth knowing before one is changed for another."""
    return {method.value: await desk.contacts.count_without(workspace_id, kind) for method, kind in KEY_KINDS.items()}


async def change(
    desk: Desk, workspace_id: str, given: dict[str, Any], *, new_signing_secret: bool = False, one_secret: bool = False
) -> Changed:
    """Sets what is given, by the names of the settings; the rest stays. `new_signing_secret` puts a fresh one in front
    of the current one; `one_secret` forgets all but the newest. Raises NotFound, InvalidField, InvalidDeclaration."""
    known = await read(desk, workspace_id)
    changed = _replaced(known, given)
    if changed.required_login:
        changed = changed.at(Enforcement.ENFORCE)
    made = None
    if new_signing_secret or not changed.secrets:
        made = new_secret()
        # The one before goes on signing as well, until the customer's server has changed to the new one.
        changed = msgspec.structs.replace(changed, secrets=(made, *changed.secrets)[:2])
    if one_secret:
        changed = msgspec.structs.replace(changed, secrets=changed.secrets[:1])
    changed = msgspec.structs.replace(changed, domains=rules.normalised_domains(changed.domains))
    problems = rules.problems(changed, desk.settings.private_hosts)
    if problems:
        raise InvalidDeclaration(problems)
    elsewhere = rules.leads_elsewhere(known, changed, desk.settings.private_hosts)
    if known.header_token and "header_token" not in given and elsewhere:
        # What was meant for one server is not shown to another because its address was mistyped, or changed.
        raise InvalidField("header_token", "must be given again, as the new URL leads to another server")
    await workspace_settings.put(desk.store, desk.sealer, workspace_id, AUTH_ENDPOINT, changed)
    await desk.record("auth_endpoint.set", workspace_id, detail=workspaces.names_changed(known, changed))
    return Changed(changed, made)


async def replace(desk: Desk, workspace_id: str, wanted: AuthEndpointSettings) -> Changed:
    """Sets everything at once; without secrets the known ones stay, or one is made. Raises NotFound, InvalidField,
    InvalidDeclaration."""
    known = await read(desk, workspace_id)
    secrets = wanted.secrets or known.secrets
    made = None if secrets else new_secret()
    wanted = msgspec.structs.replace(
        wanted, secrets=secrets or (made or "",), domains=rules.normalised_domains(wanted.domains)
    )
    problems = rules.problems(wanted, desk.settings.private_hosts)
    if problems:
        raise InvalidDeclaration(problems)
    if wanted != known:
        await workspace_settings.put(desk.store, desk.sealer, workspace_id, AUTH_ENDPOINT, wanted)
        await desk.record("auth_endpoint.set", workspace_id, detail=workspaces.names_changed(known, wanted))
    return Changed(wanted, made)


async def remove(desk: Desk, workspace_id: str) -> AuthEndpointSettings:
    """Forgets everything that was set, required login and domains as well. The contacts it proved stay. Raises
    NotFound."""
    known = await read(desk, workspace_id)
    await workspace_settings.delete(desk.store, workspace_id, AUTH_ENDPOINT)
    await desk.record("auth_endpoint.remove", workspace_id)
    return known


def shown(settings: AuthEndpointSettings) -> dict[str, Any]:
    """Without secrets: whether there is one, or how many. The URLs without their query, which may hold one."""
    members: dict[str, Any] = msgspec.to_builtins(msgspec.structs.asdict(settings))
    del members["warn_unverified"]  # shown and set as the workspace's enforcement
    members |= {"header_token": bool(settings.header_token), "client_key": bool(settings.client_key)}
    members |= {"client_certificate": bool(settings.client_certificate), "ca": bool(settings.ca)}
    members |= {"secrets": len(settings.secrets)}
    for name in ("url", "domains_url"):
        members[name] = workspaces.shown_url(members[name])
    return {**members, "warnings": rules.warnings(settings)}


def _replaced(known: AuthEndpointSettings, given: dict[str, Any]) -> AuthEndpointSettings:
    unknown = sorted(set(given) - set(AuthEndpointSettings.__struct_fields__))
    if unknown:
        raise InvalidField(unknown[0], "is not a setting of an auth endpoint")
    try:
        return msgspec.convert({**msgspec.to_builtins(known), **given}, AuthEndpointSettings)
    except msgspec.ValidationError as error:
        # It quotes types and places, and of values those of our own lists.
        raise InvalidDeclaration([str(error)]) from None
