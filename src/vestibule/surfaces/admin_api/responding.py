"""`/v1/admin/workspaces/{id}/responder`, `widget`, `actions`, their dry run and what is sent with them; it must not
show a secret, but a new one at the only moment at which it is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from vestibule.administration import actions, responders
from vestibule.administration.desk import Desk
from vestibule.administration.responders import Change
from vestibule.edge.http import Reply
from vestibule.edge.operation import Operation
from vestibule.edge.surface import Route
from vestibule.errors import CannotUnseal, InvalidDeclaration, InvalidField, NotFound
from vestibule.ids import is_id
from vestibule.model.action import Action, ActionDeclaration, ActionPolicy, MessageOverrides, Variables
from vestibule.model.responder import Mode, WidgetSettings
from vestibule.model.unshown import Unshown
from vestibule.model.workspace import AdminScope
from vestibule.responder.effective_request import Refusal, ShownValue, redacted
from vestibule.responder.overrides import Ignored
from vestibule.runtime import Runtime
from vestibule.surfaces.admin_api import documenting as doc
from vestibule.surfaces.admin_api.seat import WORKSPACE, Seat, answer, endpoint, gone, showing
from vestibule.surfaces.admin_api.shapes import Uuid

_RESPONDER = f"{WORKSPACE}/responder"
_WIDGET = f"{WORKSPACE}/widget"
_ACTIONS = f"{WORKSPACE}/actions"
_ACTION = f"{_ACTIONS}/{{action_name}}"
_POLICY = f"{WORKSPACE}/action-policy"
_VARIABLES = f"{WORKSPACE}/action-variables"


class Responder(responders.Shown, frozen=True, kw_only=True, omit_defaults=True):
    """What answers visitors. `address` is the URL without its query; `secrets` is how many sign. `new_secret` is shown
    once, when it is made."""

    new_secret: str | UnsetType = UNSET


class ResponderChange(Change, frozen=True, forbid_unknown_fields=True):
    """What is absent stays. `new_secret`: sign with a fresh secret as well; `one_secret`: with the newest alone."""


class Widget(msgspec.Struct, frozen=True):
    """How often the widget asks, in seconds, the modes it may show, and the pages it may stand on (none named: any)."""

    list_seconds: float
    poll_seconds: float
    modes: tuple[Mode, ...]
    allowed_origins: tuple[str, ...]


class WidgetChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is absent stays."""

    list_seconds: Annotated[float, Meta(ge=0.5, le=3600)] | None = None
    poll_seconds: Annotated[float, Meta(ge=0.5, le=3600)] | None = None
    modes: tuple[Mode, ...] | None = None
    allowed_origins: tuple[str, ...] | None = None


class ActionBody(ActionDeclaration, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """An action as declared. `form`: it is called by a form that the visitor fills in."""

    form: bool = False


class ActionPage(msgspec.Struct, frozen=True):
    """By name; all there are."""

    items: list[ActionBody]
    next: str | None = None


class CallToTry(Unshown, frozen=True, forbid_unknown_fields=True):
    """A call for a contact: `arguments` as the model would give them; `headers`, `query_params` and `body_properties`
    as the page would send them with its message."""

    contact_id: Uuid
    arguments: dict[str, Any] = msgspec.field(default_factory=dict)
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    query_params: dict[str, str] = msgspec.field(default_factory=dict)
    body_properties: dict[str, Any] = msgspec.field(default_factory=dict)


class TriedCall(msgspec.Struct, frozen=True):
    """What would be sent, with who gave each value, and what was `ignored` and why. Or why there would be no call, and
    nothing else: `refused` is a code."""

    method: str | UnsetType = UNSET
    url: str | UnsetType = UNSET
    values: tuple[ShownValue, ...] | UnsetType = UNSET
    ignored: tuple[Ignored, ...] | UnsetType = UNSET
    timeout_ms: int | UnsetType = UNSET
    refused: str | UnsetType = UNSET
    sentence: str | UnsetType = UNSET


class VariableNames(msgspec.Struct, frozen=True):
    """Names only: the values are mostly credentials."""

    names: dict[str, list[str]]


_CHANGE = msgspec.json.Decoder(ResponderChange)
_WIDGET_CHANGE = msgspec.json.Decoder(WidgetChange)
_BODY = msgspec.json.Decoder(ActionBody)
_CALL = msgspec.json.Decoder(CallToTry)
_POLICY_BODY = msgspec.json.Decoder(ActionPolicy)
_VARIABLES_BODY = msgspec.json.Decoder(Variables)


def routes(runtime: Runtime) -> Sequence[Route]:
    return [
        endpoint(runtime, "GET", _RESPONDER, showing(_responder), _READ_RESPONDER),
        endpoint(runtime, "PATCH", _RESPONDER, _change_responder, _CHANGE_RESPONDER),
        endpoint(runtime, "GET", _WIDGET, showing(_widget), _READ_WIDGET),
        endpoint(runtime, "PATCH", _WIDGET, _change_widget, _CHANGE_WIDGET),
        endpoint(runtime, "GET", _ACTIONS, _list_actions, _LIST_ACTIONS),
        endpoint(runtime, "GET", _ACTION, showing(_action), _READ_ACTION),
        endpoint(runtime, "PUT", _ACTION, _put_action, _PUT_ACTION),
        endpoint(runtime, "DELETE", _ACTION, _remove_action, _REMOVE_ACTION),
        endpoint(runtime, "POST", f"{_ACTION}/dry-run", _try_call, _TRY_CALL, scope=AdminScope.READ),
        endpoint(runtime, "GET", _POLICY, showing(_policy), _READ_POLICY),
        endpoint(runtime, "PUT", _POLICY, _put_policy, _PUT_POLICY),
        endpoint(runtime, "GET", _VARIABLES, showing(_variables), _READ_VARIABLES),
        endpoint(runtime, "PUT", _VARIABLES, _put_variables, _PUT_VARIABLES),
    ]


async def _change_responder(seat: Seat) -> Reply:
    wanted = seat.read(_CHANGE)
    desk = await seat.editing(_responder)
    _, made = await responders.change(desk, seat.workspace_id, wanted)

    async def with_secret(seat: Seat, desk: Desk) -> Responder:
        return msgspec.structs.replace(await _responder(seat, desk), new_secret=made if made is not None else UNSET)

    return await seat.shown(with_secret, settings=_responder)


async def _change_widget(seat: Seat) -> Reply:
    wanted = seat.read(_WIDGET_CHANGE)
    desk = await seat.editing(_widget)
    await responders.change_widget(
        desk,
        seat.workspace_id,
        list_seconds=wanted.list_seconds,
        poll_seconds=wanted.poll_seconds,
        modes=wanted.modes,
        allowed_origins=wanted.allowed_origins,
    )
    return await seat.shown(_widget)


async def _list_actions(seat: Seat) -> Reply:
    forms = (await actions.policy(seat.desk, seat.workspace_id)).forms
    found = await actions.list_all(seat.desk, seat.workspace_id)
    return answer(200, ActionPage([_body_of(action, forms) for action in found]))


async def _put_action(seat: Seat) -> Reply:
    wanted = seat.read(_BODY)
    if wanted.name != seat.request.params["action_name"]:
        raise InvalidField("name", "must be the one in the path")
    desk = await seat.editing(_action)
    members = {name: getattr(wanted, name) for name in ActionDeclaration.__struct_fields__}
    await actions.put(desk, seat.workspace_id, ActionDeclaration(**members), form=wanted.form)
    return await seat.shown(_action)


async def _remove_action(seat: Seat) -> Reply:
    desk = await seat.editing(_action)
    await actions.remove(desk, seat.workspace_id, seat.request.params["action_name"])
    return gone()


async def _try_call(seat: Seat) -> Reply:
    wanted = seat.read(_CALL)
    if not is_id(wanted.contact_id):
        raise NotFound("There is no such contact.")
    request = await actions.effective_request(
        seat.desk,
        seat.workspace_id,
        seat.request.params["action_name"],
        contact_id=wanted.contact_id,
        arguments=msgspec.json.encode(wanted.arguments).decode(),
        message=MessageOverrides(wanted.headers, wanted.query_params, wanted.body_properties),
    )
    if isinstance(request, Refusal):
        return answer(200, TriedCall(refused=request.code, sentence=request.sentence))
    return answer(200, TriedCall(**msgspec.structs.asdict(redacted(request))))


async def _put_policy(seat: Seat) -> Reply:
    wanted = seat.read(_POLICY_BODY)
    desk = await seat.editing(_policy)
    await actions.set_policy(desk, seat.workspace_id, wanted)
    return await seat.shown(_policy)


async def _put_variables(seat: Seat) -> Reply:
    wanted = seat.read(_VARIABLES_BODY)
    desk = await seat.editing(_variables)
    await actions.set_variables(desk, seat.workspace_id, wanted)
    return await seat.shown(_variables)


async def _responder(seat: Seat, desk: Desk) -> Responder:
    found = responders.shown(await responders.read(desk, seat.workspace_id))
    return Responder(**msgspec.structs.asdict(found))


async def _widget(seat: Seat, desk: Desk) -> Widget:
    found: WidgetSettings = await responders.read_widget(desk, seat.workspace_id)
    return Widget(found.list_seconds, found.poll_seconds, found.modes, found.allowed_origins)


async def _action(seat: Seat, desk: Desk) -> ActionBody:
    found = await actions.get(desk, seat.workspace_id, seat.request.params["action_name"])
    return _body_of(found, (await actions.policy(desk, seat.workspace_id)).forms)


async def _policy(seat: Seat, desk: Desk) -> ActionPolicy:
    await actions.list_all(desk, seat.workspace_id)  # whether there is such a workspace
    found = await actions.policy(desk, seat.workspace_id)
    return ActionPolicy(found.locked, found.context_headers, found.send_assertion)


async def _variables(seat: Seat, desk: Desk) -> VariableNames:
    await actions.list_all(desk, seat.workspace_id)
    return VariableNames(await actions.variable_names(desk, seat.workspace_id))


def _body_of(action: Action, forms: tuple[str, ...]) -> ActionBody:
    members = {name: getattr(action, name) for name in ActionDeclaration.__struct_fields__}
    return ActionBody(**members, form=action.name in forms)


def _reading(name: str, summary: str, type_: object) -> Operation:
    return Operation(name=name, summary=summary, answers=doc.one(type_, "As it is."), errors=(CannotUnseal,))


def _changing(name: str, summary: str, request: object, type_: object) -> Operation:
    return Operation(
        name=name,
        summary=summary,
        request=request,
        answers=doc.one(type_, "As it is now."),
        errors=(InvalidDeclaration, CannotUnseal),
    )


_READ_RESPONDER = _reading("getResponder", "Show the responder, without its secrets", Responder)
_CHANGE_RESPONDER = _changing("changeResponder", "Change the responder", ResponderChange, Responder)
_READ_WIDGET = _reading("getWidget", "Show how the widget behaves", Widget)
_CHANGE_WIDGET = _changing("changeWidget", "Change how the widget behaves", WidgetChange, Widget)
_LIST_ACTIONS = Operation(
    name="listActions",
    summary="List a workspace's actions",
    answers=doc.answer(ActionPage, "All of them."),
    errors=(CannotUnseal,),
)
_READ_ACTION = _reading("getAction", "Show an action", ActionBody)
_PUT_ACTION = _changing("putAction", "Make or replace an action", ActionBody, ActionBody)
_REMOVE_ACTION = Operation(name="removeAction", summary="Remove an action", answers=doc.GONE, errors=(CannotUnseal,))
_TRY_CALL = Operation(
    name="tryAction",
    summary="Show what a call of an action would send, and where each value comes from",
    about="As if the contact had signed in just now. Nothing is sent. The model's values and the context headers are in"
    " clear, all others hidden.",
    request=CallToTry,
    answers=doc.answer(TriedCall, "What would be sent, or why there would be no call."),
    errors=(CannotUnseal,),
)
_READ_POLICY = _reading("getActionPolicy", "Show what holds for all actions", ActionPolicy)
_PUT_POLICY = _changing("putActionPolicy", "Replace what holds for all actions", ActionPolicy, ActionPolicy)
_READ_VARIABLES = _reading("getActionVariables", "Show the names of what is sent with every action", VariableNames)
_PUT_VARIABLES = _changing("putActionVariables", "Replace all that is sent with every action", Variables, VariableNames)
