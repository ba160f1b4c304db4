"""Makes a workspace what a file declares, tells what that would change, and writes down one that is there; it must not
read a file.

What is declared and what is there are brought into one form, a tree of plain values. Their difference is what `diff`
shows and what `apply` does, so that applying twice cannot change anything the second time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from vestibule.administration import (
    actions,
    api_keys,
    enforcement,
    identity_providers,
    provider_rules,
    responders,
    workspaces,
)
from vestibule.administration.api_keys import KeyState
from vestibule.administration.desk import Desk
from vestibule.administration.toml_places import toml
from vestibule.administration.workspace_file import Declared
from vestibule.clock import SECOND_MS
from vestibule.errors import Conflict, InvalidDeclaration
from vestibule.model.action import ActionDeclaration
from vestibule.model.auth_endpoint import Enforcement
from vestibule.model.identity_provider import IdentityProvider, ProviderSettings
from vestibule.model.responder import WidgetSettings
from vestibule.model.workspace import Workspace
from vestibule.responder import action_desk
from vestibule.storage.json_columns import to_json

SECRET = "(secret)"  # noqa: S105 - what is shown in the place of one
_SECRET_MEMBERS = frozenset({"api_key", "secrets", "shared_secret", "client_secret"})
Tree = dict[str, Any]


class Difference(msgspec.Struct, frozen=True):
    """`place` reads as in the file; None: not there. Of a secret only that it differs is told."""

    place: str
    before: Any
    after: Any


class Outcome(msgspec.Struct, frozen=True):
    """What applying came to, or (`dry_run`) would. `kept` are things that the file does not mention and that stay.
    `made` are secrets that were made, by place, shown now and never again."""

    workspace_id: str | None
    created: bool
    dry_run: bool
    differences: list[Difference]
    kept: list[str]
    made: dict[str, str]


async def apply(
    desk: Desk, declared: Declared, *, workspace_id: str | None = None, prune: bool = False, dry_run: bool = False
) -> Outcome:
    """Makes what is declared of a workspace true; `prune` removes providers and actions that a section does not
    mention, and never an API key. Raises NotFound, Conflict, InvalidDeclaration, InvalidField, CannotUnseal."""
    workspace = await _find(desk, declared, workspace_id)
    before = await _tree(desk, workspace) if workspace is not None else {}
    after, kept = _wanted(before, declared, prune=prune)
    differences = [*_differences("", before, after)]
    _refuse_clashes(declared)
    made: dict[str, str] = {}
    created = workspace is None
    if not dry_run and (differences or created):
        if workspace is None:
            customer_id = declared.workspace.customer_id or None
            workspace = await workspaces.create(desk, declared.workspace.name, customer_id=customer_id)
        made = await _carry_out(desk, workspace, declared, prune=prune)
    return Outcome(
        workspace_id=workspace.id if workspace is not None else None,
        created=created,
        dry_run=dry_run,
        differences=differences,
        kept=kept,
        made=made,
    )


async def export(desk: Desk, workspace_id: str) -> str:
    """The workspace as a file that declares it; a reference stands for each secret. Raises NotFound, Conflict,
    CannotUnseal."""
    workspace = await workspaces.get(desk, workspace_id)
    tree = await _tree(desk, workspace)
    tree["workspace"] = {"customer_id": workspace.customer_id, **tree["workspace"]}
    for section in ("identity_providers", "api_keys", "actions"):
        if section in tree:
            tree[section] = [{"name": name, **each} for name, each in tree[section].items()]
    if "responder" in tree:
        tree["responder"] = _for_a_file(tree["responder"])
    tree.pop("provider_order", None)
    try:
        return toml({name: _referring(name, value) for name, value in tree.items() if value})
    except ValueError:
        raise Conflict("An action's schema has a null in it, which TOML cannot write.") from None


async def _find(desk: Desk, declared: Declared, workspace_id: str | None) -> Workspace | None:
    customer_id = declared.workspace.customer_id
    if workspace_id is not None:
        found = await workspaces.get(desk, workspace_id)
        if customer_id and found.customer_id != customer_id:
            raise InvalidDeclaration([f"workspace.customer_id: is {found.customer_id}, and never changes"])
        return found
    if not customer_id:
        raise InvalidDeclaration(["workspace.customer_id: must name the workspace, or give its id with --workspace"])
    known = await workspaces.find_by_customer_id(desk, customer_id)
    if known is None and not declared.workspace.name:
        raise InvalidDeclaration(["workspace.name: is required to make a workspace"])
    return known


async def _tree(desk: Desk, workspace: Workspace) -> Tree:
    """What is there."""
    providers = await identity_providers.list_all(desk, workspace.id)
    policy = await actions.policy(desk, workspace.id)
    variables = await action_desk.variables_of(desk.store, desk.sealer, workspace.id)
    declared = {
        action.name: {
            **_action(action),
            **({"form": True} if action.name in policy.forms else {}),
        }
        for action in await actions.list_all(desk, workspace.id)
    }
    keys = {
        report.key.name: {"scopes": list(report.key.scopes), "rate_limits": _plain(report.key.rate_limits)}
        for report in await api_keys.report(desk, workspace.id)
        if report.state is KeyState.ACTIVE and report.key.name
    }
    return {
        "workspace": {
            "name": workspace.name,
            "disabled": workspace.disabled_at is not None,
            "enforcement": (await enforcement.read(desk, workspace.id)).value,
        },
        "rate_limits": _plain(workspace.rate_limits),
        "widget": _widget(await responders.read_widget(desk, workspace.id)),
        "responder": _plain(await responders.read(desk, workspace.id)),
        "identity_providers": {provider.name: _provider(provider) for provider in providers},
        "provider_order": [provider.name for provider in providers],
        "api_keys": keys,
        "policy": {name: value for name, value in _plain(policy).items() if name != "forms"},
        "variables": _plain(variables),
        "actions": declared,
    }


def _wanted(before: Tree, declared: Declared, *, prune: bool) -> tuple[Tree, list[str]]:
    """What shall be there, and what is kept although the file does not mention it."""
    after = dict(before)
    kept: list[str] = []
    table = declared.workspace
    known = {"name": "", "disabled": False, "enforcement": Enforcement.OBSERVE.value, **before.get("workspace", {})}
    given = {"name": table.name or None, "disabled": table.disabled, "enforcement": table.enforcement}
    after["workspace"] = known | {name: value for name, value in given.items() if value is not None}
    if declared.rate_limits is not None:
        after["rate_limits"] = _plain(declared.rate_limits)
    if declared.widget is not None:
        after["widget"] = _widget(declared.widget)
    if declared.responder is not None:
        after["responder"] = _plain(declared.responder)
        secrets = before.get("responder", {}).get("secrets")
        if not declared.responder.secrets and secrets:
            after["responder"]["secrets"] = secrets
    if declared.providers is not None:
        known = before.get("identity_providers", {})
        mine = {settings.name: _provider(settings) for settings in declared.providers}
        others = {} if prune else {name: each for name, each in known.items() if name not in mine}
        after["identity_providers"] = {**mine, **others}
        kept += [f"identity_providers.{name}" for name in others]
        after["provider_order"] = _order(before.get("provider_order", []), [*mine], [*others])
    if declared.api_keys:
        known = before.get("api_keys", {})
        # One in being is not changed: whoever holds it would not know.
        fresh = {
            table.name: {"scopes": sorted(table.scopes), "rate_limits": _plain(table.rate_limits)}
            for table in declared.api_keys
            if table.name not in known
        }
        after["api_keys"] = {**known, **fresh}
    if declared.actions is not None:
        _want_actions(before, after, kept, declared, prune=prune)
    return after, kept


def _want_actions(before: Tree, after: Tree, kept: list[str], declared: Declared, *, prune: bool) -> None:
    wanted = declared.actions
    if wanted is None:
        return
    known = before.get("actions", {})
    mine = {
        action.name: {**_action(action), **({"form": True} if action.name in wanted.forms else {})}
        for action in wanted.actions
    }
    others = {} if prune else {name: each for name, each in known.items() if name not in mine}
    after["actions"] = {**mine, **others}
    kept += [f"actions.{name}" for name in others]
    if wanted.policy is not None or prune:
        after["policy"] = _plain(wanted.policy) if wanted.policy is not None else {}
    if wanted.variables is not None or prune:
        after["variables"] = _plain(wanted.variables) if wanted.variables is not None else {}


def _order(known: list[str], mine: list[str], others: list[str]) -> list[str]:
    """The file's order on the places that its providers have; those that it does not mention stay where they are."""
    rest = iter(mine)
    placed = [name if name in others else next(rest, None) for name in known if name in mine or name in others]
    return [*(name for name in placed if name is not None), *rest]


async def _carry_out(desk: Desk, workspace: Workspace, declared: Declared, *, prune: bool) -> dict[str, str]:
    made: dict[str, str] = {}
    await workspaces.change(
        desk,
        workspace.id,
        name=declared.workspace.name or None,
        disabled=declared.workspace.disabled,
        rate_limits=declared.rate_limits,
    )
    if declared.workspace.enforcement is not None:
        await enforcement.change(desk, workspace.id, declared.workspace.enforcement)
    widget = declared.widget
    if widget is not None:
        await responders.change_widget(
            desk,
            workspace.id,
            list_seconds=widget.list_seconds,
            poll_seconds=widget.poll_seconds,
            modes=widget.modes,
            allowed_origins=widget.allowed_origins,
        )
    if declared.responder is not None:
        _, secret = await responders.replace(desk, workspace.id, declared.responder)
        if secret is not None:
            made["responder.secrets"] = secret
    if declared.providers is not None:
        await _put_providers(desk, workspace.id, declared.providers, prune=prune)
    if declared.actions is not None:
        await actions.apply(desk, workspace.id, declared.actions, prune=prune)
    known = {report.key.name for report in await api_keys.report(desk, workspace.id) if report.state is KeyState.ACTIVE}
    for table in declared.api_keys:
        if table.name not in known:
            _, new = await api_keys.create(
                desk,
                workspace.id,
                scopes=tuple(table.scopes),
                name=table.name,
                lifetime_ms=table.lifetime_ms,
                rate_limits=table.rate_limits,
            )
            made[f"api_keys.{table.name}"] = new.text
    return made


async def _put_providers(desk: Desk, workspace_id: str, wanted: tuple[ProviderSettings, ...], *, prune: bool) -> None:
    known = {provider.name: provider for provider in await identity_providers.list_all(desk, workspace_id)}
    names = {settings.name for settings in wanted}
    if prune:  # first, so that one that goes cannot stand in the way of one that comes
        for name in known.keys() - names:
            await identity_providers.remove(desk, workspace_id, known[name].id)
    for settings in wanted:
        found = known.get(settings.name)
        if found is None:
            await identity_providers.add(desk, workspace_id, settings)
        elif _provider(found) != _provider(settings):
            await identity_providers.replace(desk, _placed(found, settings, found.position))
    now = await identity_providers.list_all(desk, workspace_id)
    by_name = {provider.name: provider for provider in now}
    others = [provider.name for provider in now if provider.name not in names]
    order = _order([provider.name for provider in now], [settings.name for settings in wanted], others)
    for provider, name in zip(now, order, strict=True):
        if by_name[name].position != provider.position:
            await identity_providers.replace(desk, _placed(by_name[name], by_name[name], provider.position))


def _placed(known: IdentityProvider, settings: ProviderSettings, position: int) -> IdentityProvider:
    members = {name: getattr(settings, name) for name in ProviderSettings.__struct_fields__}
    return IdentityProvider(workspace_id=known.workspace_id, id=known.id, position=position, **members)


def _refuse_clashes(declared: Declared) -> None:
    providers = declared.providers or ()
    for index, settings in enumerate(providers):
        others = tuple(
            IdentityProvider(
                workspace_id="", id=place, position=place, **{n: getattr(o, n) for n in o.__struct_fields__}
            )
            for place, o in enumerate(providers)
            if place != index
        )
        clash = provider_rules.clash(settings, others)
        if clash is not None:
            raise InvalidDeclaration([f"identity_providers[{index}]: {clash}"])


def _differences(place: str, before: Any, after: Any) -> Iterator[Difference]:
    if isinstance(before, dict) or isinstance(after, dict):
        before, after = before or {}, after or {}
        for name in [*before, *(name for name in after if name not in before)]:
            yield from _differences(f"{place}.{name}".lstrip("."), before.get(name), after.get(name))
    elif before != after:
        yield Difference(place, _masked(place, before), _masked(place, after))


def _is_secret(place: str) -> bool:
    return place.startswith("variables.") or not _SECRET_MEMBERS.isdisjoint(place.split("."))


def _masked(place: str, value: Any) -> Any:
    return SECRET if value is not None and _is_secret(place) else value


def _plain(value: msgspec.Struct) -> Tree:
    """Without what has its default, so that absent and default are one. A list and a tuple are one as well."""
    tree: Tree = msgspec.json.decode(to_json(value))
    return tree


def _widget(settings: WidgetSettings) -> Tree:
    tree = _plain(settings)
    if "modes" in tree:
        tree["modes"] = [{name: value for name, value in mode.items() if value is not None} for mode in tree["modes"]]
    return tree


def _provider(settings: ProviderSettings) -> Tree:
    members = {name: getattr(settings, name) for name in ProviderSettings.__struct_fields__}
    tree = _plain(ProviderSettings(**members))
    tree.pop("name", None)
    return tree


def _action(action: ActionDeclaration) -> Tree:
    members = {name: getattr(action, name) for name in ActionDeclaration.__struct_fields__}
    tree = _plain(ActionDeclaration(**members))
    tree.pop("name", None)
    return tree


def _for_a_file(responder: Tree) -> Tree:
    tree = dict(responder)
    timeout = tree.pop("timeout_ms", None)
    if timeout is not None:
        tree["timeout"] = f"{timeout // SECOND_MS}s" if timeout % SECOND_MS == 0 else f"{timeout}ms"
    # The secrets that sign stay where they are: a file need not name them.
    tree.pop("secrets", None)
    return tree


def _referring(place: str, value: Any) -> Any:
    """With a reference in the place of each secret, under a name to set."""
    if isinstance(value, Mapping):
        return {name: _referring(f"{place}.{name}", each) for name, each in value.items()}
    if isinstance(value, list):
        return [_referring(f"{place}.{index}", each) for index, each in enumerate(value)]
    if isinstance(value, str) and _is_secret(place) and not place.startswith("api_keys."):
        return {"env": "".join(character if character.isalnum() else "_" for character in place).upper()}
    return value
