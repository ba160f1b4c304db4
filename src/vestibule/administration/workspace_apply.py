"""Makes a workspace what a file declares, tells what that would change, and writes down one that is there; it must not
read a file.

What is declared and what is there are brought into one form (`workspace_tree.py`). Their difference is what `diff`
shows and what `apply` does, so that applying twice cannot change anything the second time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import msgspec

from vestibule.administration import (
    actions,
    auth_endpoints,
    enforcement,
    identity_providers,
    provider_rules,
    queues,
    responders,
    staff,
    webhooks,
    workspaces,
)
from vestibule.administration import workspace_changes as changes
from vestibule.administration import workspace_tree as trees
from vestibule.administration.action_file import MOST_ACTIONS
from vestibule.administration.desk import Desk
from vestibule.administration.toml_places import toml
from vestibule.administration.workspace_changes import Made
from vestibule.administration.workspace_file import Declared
from vestibule.administration.workspace_tree import Tree
from vestibule.errors import Conflict, InvalidDeclaration
from vestibule.model.auth_endpoint import Enforcement
from vestibule.model.identity_provider import ProviderSettings
from vestibule.model.workspace import Workspace

T = TypeVar("T")
SECRET = "(secret)"  # noqa: S105 - what is shown in the place of one


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
    """Makes what is declared of a workspace true; `prune` removes what a section does not mention, but disables staff,
    and leaves API keys. Raises NotFound, Conflict, InvalidDeclaration, InvalidField, CannotUnseal,
    AlreadyExists."""
    workspace = await _find(desk, declared, workspace_id)
    before = await trees.tree_of(desk, workspace) if workspace is not None else {}
    if declared.providers is not None:
        _refuse_namesakes(before)
    after, kept = _wanted(before, declared, prune=prune)
    differences = [*_differences("", before, after)]
    _refuse_clashes(declared, after)
    if declared.providers is not None:
        _refuse_namesakes(after)
    await _refuse_what_cannot_be(desk, workspace, after)
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
    tree = await trees.tree_of(desk, workspace)
    _refuse_namesakes(tree)
    try:
        return toml(trees.for_a_file(tree, workspace.customer_id))
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


def _wanted(before: Tree, declared: Declared, *, prune: bool) -> tuple[Tree, list[str]]:
    """What shall be there, and what is kept although the file does not mention it."""
    after = dict(before)
    kept: list[str] = []
    table = declared.workspace
    known = {"name": "", "disabled": False, "enforcement": Enforcement.OBSERVE.value, **before.get("workspace", {})}
    given = {"name": table.name or None, "disabled": table.disabled, "enforcement": table.enforcement}
    after["workspace"] = known | {name: value for name, value in given.items() if value is not None}
    if declared.rate_limits is not None:
        after["rate_limits"] = trees.plain(declared.rate_limits)
    if declared.retention is not None:
        after["retention"] = trees.retention(declared.retention)
    if declared.widget is not None:
        after["widget"] = trees.plain(declared.widget)
    if declared.visitor_sessions is not None:
        addresses = declared.visitor_sessions
        after["visitor_sessions"] = {"allowed_addresses": list(addresses)} if addresses else {}
    if declared.responder is not None:
        after["responder"] = _with_secrets(trees.plain(declared.responder), before.get("responder"))
    if declared.auth_endpoint is not None:
        after["auth_endpoint"] = _with_secrets(trees.auth_endpoint(declared.auth_endpoint), before.get("auth_endpoint"))
    _want_arrays(before, after, kept, declared, prune=prune)
    if declared.api_keys:
        known = before.get("api_keys", {})
        # One in being is not changed: whoever holds it would not know.
        fresh = {table.name: trees.api_key(table) for table in declared.api_keys if table.name not in known}
        after["api_keys"] = {**known, **fresh}
    if declared.actions is not None:
        _want_actions(before, after, kept, declared, prune=prune)
    return after, kept


def _with_secrets(wanted: Tree, known: Tree | None) -> Tree:
    """Those that sign stay, where the file names none."""
    secrets = (known or {}).get("secrets")
    return {**wanted, "secrets": secrets} if secrets and "secrets" not in wanted else wanted


def _want_arrays(before: Tree, after: Tree, kept: list[str], declared: Declared, *, prune: bool) -> None:
    def want(section: str, tables: Sequence[T] | None, name: Callable[[T], str], tree: Callable[[T], Tree]) -> None:
        if tables is None:
            return
        known = before.get(section, {})
        mine = {name(table): tree(table) for table in tables}
        others = {} if prune else {name: each for name, each in known.items() if name not in mine}
        after[section] = {**mine, **others}
        kept.extend(f"{section}.{name}" for name in others)

    hooks, members = before.get("webhooks", {}), before.get("staff", {})
    want("identity_providers", declared.providers, lambda settings: settings.name, trees.provider)
    if declared.providers is not None:
        mine = [settings.name for settings in declared.providers]
        others = [name for name in after["identity_providers"] if name not in mine]
        after["provider_order"] = changes.order_of(before.get("provider_order", []), mine, others)
    want("queues", declared.queues, lambda table: table.key, lambda table: trees.queue(table.settings))
    want(
        "webhooks",
        declared.webhooks,
        lambda table: table.name,
        lambda table: _with_secrets(trees.webhook(table), hooks.get(table.name)),
    )
    want("staff", declared.staff, lambda table: table.key, lambda table: trees.member(table, members.get(table.key)))
    if declared.staff is not None and prune:
        after["staff"] = {key: {**each, "disabled": True} for key, each in members.items()} | after["staff"]


def _want_actions(before: Tree, after: Tree, kept: list[str], declared: Declared, *, prune: bool) -> None:
    wanted = declared.actions
    if wanted is None:
        return
    known = before.get("actions", {})
    mine = {action.name: trees.action(action, form=action.name in wanted.forms) for action in wanted.actions}
    others = {} if prune else {name: each for name, each in known.items() if name not in mine}
    after["actions"] = {**mine, **others}
    kept += [f"actions.{name}" for name in others]
    if wanted.policy is not None or prune:
        after["policy"] = trees.plain(wanted.policy) if wanted.policy is not None else {}
    if wanted.variables is not None or prune:
        after["variables"] = trees.plain(wanted.variables) if wanted.variables is not None else {}


async def _carry_out(desk: Desk, workspace: Workspace, declared: Declared, *, prune: bool) -> Made:
    made = await _change_settings(desk, workspace, declared)
    if declared.providers is not None:
        await changes.put_providers(desk, workspace.id, declared.providers, prune=prune)
    if declared.queues is not None:
        await changes.put_queues(desk, workspace.id, declared.queues, prune=prune)
    if declared.webhooks is not None:
        made |= await changes.put_webhooks(desk, workspace.id, declared.webhooks, prune=prune)
    if declared.staff is not None:
        made |= await changes.put_staff(desk, workspace.id, declared.staff, prune=prune)
    if declared.actions is not None:
        await actions.apply(desk, workspace.id, declared.actions, prune=prune)
    return made | await changes.put_api_keys(desk, workspace.id, declared.api_keys)


async def _change_settings(desk: Desk, workspace: Workspace, declared: Declared) -> Made:
    made: Made = {}
    await workspaces.change(
        desk,
        workspace.id,
        name=declared.workspace.name or None,
        disabled=declared.workspace.disabled,
        rate_limits=declared.rate_limits,
        retention=declared.retention,
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
    if declared.visitor_sessions is not None:
        known = await workspaces.visitor_sessions(desk, workspace.id)
        if known.allowed_addresses != declared.visitor_sessions:
            await workspaces.allow_addresses(desk, workspace.id, declared.visitor_sessions)
    if declared.responder is not None:
        _, secret = await responders.replace(desk, workspace.id, declared.responder)
        if secret is not None:
            made["responder.secrets"] = secret
    if declared.auth_endpoint is not None:
        wanted = declared.auth_endpoint.at(await enforcement.read(desk, workspace.id))
        set_up = await auth_endpoints.replace(desk, workspace.id, wanted)
        if set_up.secret is not None:
            made["auth_endpoint.secrets"] = set_up.secret
    return made


async def _refuse_what_cannot_be(desk: Desk, workspace: Workspace | None, after: Tree) -> None:
    """What would be refused halfway is refused before anything is changed."""
    most = {
        "identity_providers": identity_providers.MOST_PROVIDERS,
        "queues": queues.MOST_QUEUES,
        "webhooks": webhooks.MOST_ENDPOINTS,
        "actions": MOST_ACTIONS,
    }
    problems = [
        f"{section}: must be at most {count}, with those that are there"
        for section, count in most.items()
        if len(after.get(section, {})) > count
    ]
    for email in after.get("staff", {}):
        found = await staff.find_by_email(desk, email)
        if found is not None and (workspace is None or found.workspace_id != workspace.id):
            problems.append(f"staff: {email} is staff of another workspace")
    if problems:
        raise InvalidDeclaration(problems)


def _refuse_namesakes(tree: Tree) -> None:
    """Of providers that are there, from when names could be given twice: a file would take them for one."""
    names = [name.casefold() for name in tree.get("provider_order", ())]
    for name in tree.get("provider_order", ()):
        if names.count(name.casefold()) > 1:
            raise Conflict(f"Two identity providers are called {name}; give one of them another name.")


def _refuse_clashes(declared: Declared, after: Tree) -> None:
    """Of the file's providers with each other, and with those that stay beside them. What stays is left as it is, also
    where two of it clash."""
    if declared.providers is None:
        return
    mine = {settings.name: settings for settings in declared.providers}
    there = after["identity_providers"].items()
    stay = [msgspec.convert({**each, "name": name}, ProviderSettings) for name, each in there if name not in mine]
    for index, settings in enumerate(mine.values()):
        for other in (*mine.values(), *stay):
            why = provider_rules.contradiction(settings, other) if other is not settings else None
            if why is not None:
                raise InvalidDeclaration([f"identity_providers[{index}]: {why} as {other.name}"])


def _differences(place: str, before: Any, after: Any) -> Iterator[Difference]:
    if isinstance(before, dict) or isinstance(after, dict):
        before, after = before or {}, after or {}
        for name in [*before, *(name for name in after if name not in before)]:
            yield from _differences(f"{place}.{name}".lstrip("."), before.get(name), after.get(name))
    elif before != after:
        yield Difference(place, _masked(place, before), _masked(place, after))


def _masked(place: str, value: Any) -> Any:
    return SECRET if value is not None and trees.is_secret(place, value) else value
