"""Keeps a workspace's actions: declares, imports, shows and removes them, and shows what a call would send; it must not
call one."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from vestibule.administration import contacts, workspaces
from vestibule.administration.action_file import MOST_ACTIONS, Declared
from vestibule.administration.desk import Desk
from vestibule.clock import now_ms
from vestibule.errors import InvalidDeclaration, InvalidField, NotFound, UpstreamForbidden
from vestibule.ids import new_id
from vestibule.model.action import Action, ActionDeclaration, ActionPolicy, MessageOverrides, OnBehalfOf, Variables
from vestibule.model.claims import Method
from vestibule.outbound.address_guard import parse_url
from vestibule.responder import action_desk
from vestibule.responder.action_desk import Policy
from vestibule.responder.action_rules import check_declaration, check_policy, check_variables
from vestibule.responder.actions import Circumstances, prepare
from vestibule.responder.assertion import Assertions
from vestibule.responder.effective_request import EffectiveRequest, Refusal
from vestibule.responder.openapi_import import import_openapi, slug
from vestibule.responder.overrides import check_message_overrides
from vestibule.responder.url_template import parse_template
from vestibule.storage import actions as rows
from vestibule.storage import workspace_settings
from vestibule.storage.json_columns import to_json
from vestibule.tokens.signing_keys import SigningKeys

# Stands for the conversation that a shown request does not have.
_NO_CONVERSATION = "00000000-0000-0000-0000-000000000000"


class Applied(msgspec.Struct, frozen=True):
    """What became of each part of a file, or of an OpenAPI document; `kept` are actions that it does not mention."""

    created: list[str]
    changed: list[str]
    unchanged: list[str]
    removed: list[str]
    kept: list[str]
    policy: str = "kept"
    variables: str = "kept"
    warnings: list[str] = []


async def list_all(desk: Desk, workspace_id: str) -> list[Action]:
    """Raises NotFound."""
    await workspaces.get(desk, workspace_id)
    return await rows.list_all(desk.store, workspace_id)


async def get(desk: Desk, workspace_id: str, name: str) -> Action:
    """Raises NotFound."""
    for action in await list_all(desk, workspace_id):
        if action.name == name:
            return action
    raise NotFound("There is no such action.")


async def policy(desk: Desk, workspace_id: str) -> Policy:
    """Raises CannotUnseal."""
    return await action_desk.policy_of(desk.store, desk.sealer, workspace_id)


async def variable_names(desk: Desk, workspace_id: str) -> dict[str, list[str]]:
    """Names only: the values are mostly credentials. Raises CannotUnseal."""
    known = await action_desk.variables_of(desk.store, desk.sealer, workspace_id)
    return {kind: sorted(values) for kind, values in msgspec.structs.asdict(known).items() if values}


async def remove(desk: Desk, workspace_id: str, name: str) -> None:
    """Raises NotFound."""
    await get(desk, workspace_id, name)
    await rows.delete(desk.store, workspace_id, name)
    await desk.record("action.remove", workspace_id, name)


async def enable(desk: Desk, workspace_id: str, name: str, *, enabled: bool) -> Action:
    """Offers an action to the responder, or no longer. Raises NotFound."""
    action = msgspec.structs.replace(await get(desk, workspace_id, name), enabled=enabled)
    await rows.put(desk.store, action, now_ms())
    await desk.record("action.change", workspace_id, name, detail="enabled" if enabled else "disabled")
    return action


async def put(desk: Desk, workspace_id: str, declaration: ActionDeclaration, *, form: bool) -> Action:
    """Makes or replaces one action. Raises NotFound, InvalidField, InvalidDeclaration, CannotUnseal."""
    check_declaration(declaration, allow_http=bool(desk.settings.private_hosts))
    forms = frozenset({declaration.name} if form else ())
    await apply(desk, workspace_id, Declared(None, None, (declaration,), forms), prune=False)
    return await get(desk, workspace_id, declaration.name)


async def set_policy(desk: Desk, workspace_id: str, wanted: ActionPolicy) -> Policy:
    """Raises NotFound, InvalidField, CannotUnseal."""
    await workspaces.get(desk, workspace_id)
    forms = (await policy(desk, workspace_id)).forms
    declared = Declared(check_policy(wanted), None, (), frozenset(forms))
    await _apply_policy(desk, workspace_id, declared, prune=False)
    return await policy(desk, workspace_id)


async def set_variables(desk: Desk, workspace_id: str, wanted: Variables) -> dict[str, list[str]]:
    """Replaces all variables; their names. Raises NotFound, InvalidField, CannotUnseal."""
    await workspaces.get(desk, workspace_id)
    declared = Declared(None, check_variables(wanted), (), frozenset())
    await _apply_variables(desk, workspace_id, declared, prune=False)
    return await variable_names(desk, workspace_id)


async def apply(desk: Desk, workspace_id: str, declared: Declared, *, prune: bool) -> Applied:
    """Makes the workspace's actions, policy and variables what the file declares. What it does not mention stays, or
    goes with `prune`. Applied again, it changes nothing. Raises NotFound, InvalidField, InvalidDeclaration,
    CannotUnseal."""
    known = {action.name: action for action in await list_all(desk, workspace_id)}
    declarations = {action.name: action for action in declared.actions}
    absent = sorted(known.keys() - declarations.keys())
    _require_room(len(declarations) + (0 if prune else len(absent)))
    require_callable(desk, declared.actions)
    outcomes: dict[str, list[str]] = {"created": [], "changed": [], "unchanged": []}
    for declaration in declared.actions:
        outcomes[await _put(desk, workspace_id, declaration, known.get(declaration.name))].append(declaration.name)
    if prune:
        for name in absent:
            await remove(desk, workspace_id, name)
    return Applied(
        created=outcomes["created"],
        changed=outcomes["changed"],
        unchanged=outcomes["unchanged"],
        removed=absent if prune else [],
        kept=[] if prune else absent,
        policy=await _apply_policy(desk, workspace_id, declared, prune=prune),
        variables=await _apply_variables(desk, workspace_id, declared, prune=prune),
    )


async def import_document(
    desk: Desk, workspace_id: str, document: bytes, *, base_url: str | None, enabled: bool, dry_run: bool
) -> Applied:
    """Takes over the operations of an OpenAPI document. An action of the same name, method and URL gets the document's
    description and parameters and keeps what was decided here, its name of an earlier import as well; one that only has
    the name is left alone. Raises NotFound, InvalidField, InvalidDeclaration."""
    known = {action.name: action for action in await list_all(desk, workspace_id)}
    imported = import_openapi(
        document,
        workspace_id=workspace_id,
        base_url=base_url,
        enabled=enabled,
        allow_http=bool(desk.settings.private_hosts),
    )
    require_callable(desk, imported.actions)
    warnings = list(imported.warnings)
    outcomes: dict[str, list[str]] = {"created": [], "changed": [], "unchanged": []}
    names = {action.name: _name_of(action, known) for action in imported.actions}
    _require_room(len(known.keys() | set(names.values())))
    for action in imported.actions:
        found = known.get(names[action.name])
        wanted: ActionDeclaration = action
        if found is not None:
            if (found.method, found.url_template) != (action.method, action.url_template):
                warnings.append(f"{action.name}: left out: there is another action of this name")
                continue
            wanted = msgspec.structs.replace(found, description=action.description, parameters=action.parameters)
            if found.name != action.name:
                warnings.append(f"{found.name}: keeps the name of an earlier import; remove it for {action.name}")
        outcomes[await _put(desk, workspace_id, wanted, found, dry_run=dry_run)].append(wanted.name)
    return Applied(
        created=outcomes["created"],
        changed=outcomes["changed"],
        unchanged=outcomes["unchanged"],
        removed=[],
        kept=sorted(known.keys() - set(names.values())),
        warnings=warnings,
    )


def _name_of(imported: Action, known: dict[str, Action]) -> str:
    """Its own, or that under which it was imported before: pages, files and policies know it by that."""
    earlier = known.get(slug(imported.name))
    if imported.name in known or earlier is None:
        return imported.name
    same = (earlier.method, earlier.url_template) == (imported.method, imported.url_template)
    return earlier.name if same else imported.name


async def effective_request(
    desk: Desk, workspace_id: str, name: str, *, contact_id: str, arguments: str, message: MessageOverrides
) -> EffectiveRequest | Refusal:
    """What a call of the action would send for this contact, as if it had signed in just now. Nothing is sent. Raises
    NotFound, InvalidField, CannotUnseal."""
    action = await get(desk, workspace_id, name)
    contact = await contacts.get(desk, workspace_id, contact_id)
    contact = await desk.contacts.find_leading(workspace_id, contact.id) or contact
    now = now_ms()
    circumstances = Circumstances(
        conversation_id=_NO_CONVERSATION,
        on_behalf_of=OnBehalfOf(
            contact_id=contact.id,
            verified=contact.verified,
            method=Method.SERVER_TO_SERVER if contact.verified else Method.UNVERIFIED,
            auth_time=now,
            external_user_id=contact.external_id,
        ),
        policy=await policy(desk, workspace_id),
        variables=await action_desk.variables_of(desk.store, desk.sealer, workspace_id),
        contact_overrides=contact.http_action_overrides if contact.verified else None,
        message_overrides=check_message_overrides(message),
        ticket_number=0,
    )
    keys = SigningKeys(desk.store, desk.sealer, token_lifetime_ms=desk.settings.contact_token_lifetime)
    await keys.refresh()
    assertions = Assertions(keys, issuer=desk.settings.public_url)
    return prepare(action, arguments, circumstances, now=now, assertions=assertions)


def require_callable(desk: Desk, declarations: Iterable[ActionDeclaration]) -> None:
    """Each call is checked as well; here somebody is told who can mend it. Raises InvalidField."""
    for declaration in declarations:
        try:
            parse_url(parse_template(declaration.url_template).origin, desk.settings.private_hosts)
        except UpstreamForbidden as error:
            raise InvalidField("url_template", f"of {declaration.name} may not be called: {error.detail}") from error


def _require_room(count: int) -> None:
    if count > MOST_ACTIONS:
        raise InvalidDeclaration([f"a workspace has at most {MOST_ACTIONS} actions, and this would make {count}"])


async def _put(
    desk: Desk, workspace_id: str, declaration: ActionDeclaration, known: Action | None, *, dry_run: bool = False
) -> str:
    """What it comes to: `created`, `changed` or `unchanged`."""
    members = {name: getattr(declaration, name) for name in ActionDeclaration.__struct_fields__}
    action = Action(workspace_id=workspace_id, id=known.id if known is not None else new_id(), **members)
    # As texts, for in a schema 1 is not true; all members, for one that is written out may be its default.
    if known is not None and to_json(msgspec.structs.asdict(known)) == to_json(msgspec.structs.asdict(action)):
        return "unchanged"
    if not dry_run:
        await rows.put(desk.store, action, now_ms())
        detail = workspaces.names_changed(known, action) if known is not None else "created"
        await desk.record("action.change", workspace_id, action.name, detail=detail)
    return "created" if known is None else "changed"


async def _apply_policy(desk: Desk, workspace_id: str, declared: Declared, *, prune: bool) -> str:
    known = await policy(desk, workspace_id)
    elsewhere = set() if prune else set(known.forms) - {action.name for action in declared.actions}
    stated: ActionPolicy = declared.policy if declared.policy is not None else Policy() if prune else known
    wanted = Policy(
        locked=stated.locked,
        context_headers=stated.context_headers,
        send_assertion=stated.send_assertion,
        forms=tuple(sorted(elsewhere | declared.forms)),
    )
    if wanted == known:
        return "unchanged" if declared.policy is not None else "kept"
    await workspace_settings.put(desk.store, desk.sealer, workspace_id, action_desk.POLICY, wanted)
    await desk.record("action_policy.change", workspace_id, detail=workspaces.names_changed(known, wanted))
    return "changed"


async def _apply_variables(desk: Desk, workspace_id: str, declared: Declared, *, prune: bool) -> str:
    known = await action_desk.variables_of(desk.store, desk.sealer, workspace_id)
    wanted = declared.variables if declared.variables is not None else Variables() if prune else known
    if wanted == known:
        return "unchanged" if declared.variables is not None else "kept"
    await workspace_settings.put(desk.store, desk.sealer, workspace_id, action_desk.VARIABLES, wanted)
    await desk.record("action_variables.change", workspace_id, detail=workspaces.names_changed(known, wanted))
    return "changed"
