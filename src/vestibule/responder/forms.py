"""Carries out an action whose form a visitor has completed; it must not take the visitor's word for what was asked of
them.

A form counts once: it is noted as sent before the action is called, so that nobody can have it carried out twice by
sending it twice at the same time. Only where the called API refused the values (4xx) may they be corrected.
"""

from __future__ import annotations

import uuid
from typing import Any, NoReturn

import msgspec

from vestibule.clock import now_ms
from vestibule.conversations.messages import Draft, append
from vestibule.conversations.visitor import Visitor
from vestibule.errors import (
    AlreadyExists,
    ConversationClosed,
    InvalidArguments,
    InvalidContactToken,
    InvalidField,
    NotFound,
    ReauthenticationRequired,
    TrustRequired,
    VestibuleError,
)
from vestibule.model.action import Action, Location, MessageOverrides, Source
from vestibule.model.conversation import Conversation, Document, Message, Sender, Trust
from vestibule.model.unshown import Unshown
from vestibule.responder import action_desk
from vestibule.responder.action_desk import Proof
from vestibule.responder.actions import (
    ActionResult,
    Circumstances,
    argument_names,
    check_arguments,
    execute,
    prepare,
)
from vestibule.responder.assertion import Assertions
from vestibule.responder.effective_request import EffectiveRequest, Refusal
from vestibule.responder.overrides import check_message_overrides, place
from vestibule.responder.question import ACTION_EXECUTED, FORM_SUBMITTED
from vestibule.runtime import Runtime
from vestibule.storage import conversations as rows

_MOST_TRIES = 5
_NAMESPACE = uuid.UUID("0d0f4a1e-6f0f-4f1c-9d53-2a3f1a9f7c55")
_NO_FORM = "There is no such form in this conversation."
_SENT = "This form has been sent already."
_REFUSALS: dict[str, type[VestibuleError]] = {
    "trust_required": TrustRequired,
    "reauthentication_required": ReauthenticationRequired,
    "action_disabled": NotFound,
}


class Submitted(Unshown, frozen=True):
    """What the visitor's browser sends: as weak as every other message-level override."""

    form_message_id: str
    action_id: str
    path: dict[str, Any]
    query: dict[str, Any]
    body: dict[str, Any]
    headers: dict[str, str]


async def submit(runtime: Runtime, author: Visitor, conversation: Conversation, form: Submitted) -> ActionResult:
    """What the action came to. Raises NotFound, ConversationClosed, AlreadyExists, TrustRequired,
    ReauthenticationRequired, InvalidArguments, InvalidField."""
    if not conversation.is_open:
        raise ConversationClosed(step="form")
    action = await _requested(runtime, conversation, form)
    circumstances = await _circumstances(runtime, author, conversation, form)
    claim = await _claim_of(runtime, author, conversation, form)
    prepared = _prepare(runtime, action, circumstances, form, call_id=claim.public_id or "")
    appended = await append(runtime, conversation, [claim])
    if appended.duplicate:
        raise AlreadyExists(_SENT, step="form")
    result = await execute(action, prepared, runtime.outbound)
    action_desk.note(action, circumstances, result, by="the visitor's form")
    sent = {"path": form.path, "query": form.query, "body": form.body}
    call = action_desk.as_call(action, {name: part for name, part in sent.items() if part}, result)
    done = Draft(
        Sender.SYSTEM,
        Trust.SYSTEM,
        type=ACTION_EXECUTED,
        action_calls=(call,),
        answers=appended.messages[-1].seq,
        action_requests=(action_desk.as_request(action, prepared, result),),
    )
    # Also where it was closed meanwhile: what was done is part of its history.
    await append(runtime, conversation, [done], closed_too=True)
    return result


async def _requested(runtime: Runtime, conversation: Conversation, form: Submitted) -> Action:
    """The action, if this conversation's responder has asked for this form."""
    workspace_id = conversation.workspace_id
    message = await rows.find_message(runtime.store, workspace_id, conversation.id, form.form_message_id)
    asked = message is not None and message.sender is Sender.AI and message.trust is Trust.SYSTEM
    if message is None or not asked:
        raise NotFound(_NO_FORM, detail="no such message of the responder", step="form")
    if not any(action_desk.asks_for_form(call, form.action_id) for call in message.action_calls):
        raise NotFound(_NO_FORM, detail="the message asks for no form of this action", step="form")
    for action in await action_desk.actions_of(runtime.store, workspace_id):
        if action.id == form.action_id and action.enabled:
            return action
    raise NotFound(_NO_FORM, detail="the action is gone or disabled", step="form")


async def _circumstances(
    runtime: Runtime, author: Visitor, conversation: Conversation, form: Submitted
) -> Circumstances:
    contact = await runtime.contacts.find_leading(conversation.workspace_id, conversation.contact_id)
    if contact is None:
        raise InvalidContactToken(detail="its contact is gone", step="contact")
    query = {name: value if isinstance(value, str) else _json(value) for name, value in form.query.items()}
    overrides = MessageOverrides(headers=form.headers, query_params=query, body_properties=form.body)
    check_message_overrides(overrides)
    proof = Proof(author.verified, author.method, author.auth_time)
    return await action_desk.circumstances_of(runtime, conversation, contact, proof, overrides)


def _prepare(
    runtime: Runtime, action: Action, circumstances: Circumstances, form: Submitted, *, call_id: str
) -> EffectiveRequest:
    given = {Location.PATH: form.path, Location.QUERY: form.query, Location.BODY: form.body}
    given[Location.HEADER] = {place(Location.HEADER, name): value for name, value in form.headers.items()}
    declared: dict[str, Any] = {}
    for name, parameter in argument_names(action).items():
        key = place(parameter.location, parameter.name)
        if key in given[parameter.location]:
            declared[name] = given[parameter.location][key]
    checked = check_arguments(action, _json(declared))
    if isinstance(checked, Refusal):
        _refuse(checked)
    assertions = Assertions(runtime.signing_keys, issuer=runtime.settings.public_url)
    # The message level has no path values (seed), so these come in where the model's would, behind all others'. They
    # are a browser's all the same, so its locks hold, and not the model's.
    in_path = tuple(
        msgspec.structs.replace(value, source=Source.MESSAGE) for value in checked if value.location is Location.PATH
    )
    prepared = prepare(
        action, "{}", circumstances, now=now_ms(), assertions=assertions, call_id=call_id, from_form=in_path
    )
    if isinstance(prepared, Refusal):
        _refuse(prepared)
    return prepared


def _refuse(refusal: Refusal) -> NoReturn:
    kind = _REFUSALS.get(refusal.code, InvalidArguments)
    raise kind(refusal.sentence, detail=refusal.code, step="form")


def _json(value: object) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise InvalidField("request", "must be JSON") from None


async def _claim_of(runtime: Runtime, author: Visitor, conversation: Conversation, form: Submitted) -> Draft:
    """The note that this form was sent, under an id by the number of the try: of two at once only one has it. Raises
    AlreadyExists where it was sent before."""
    about = {"form": form.form_message_id, "action": form.action_id}
    for tried in range(_MOST_TRIES):
        name = f"{conversation.id}:{form.form_message_id}:{form.action_id}:{tried}"
        public_id = str(uuid.uuid5(_NAMESPACE, name))
        claim = await rows.find_message(runtime.store, conversation.workspace_id, conversation.id, public_id)
        if claim is None:
            payload: Document = {"type": "none", "about": about}
            return Draft(Sender.SYSTEM, author.trust, public_id=public_id, type=FORM_SUBMITTED, payload=payload)
        done = await rows.answer_to(runtime.store, conversation.workspace_id, conversation.id, claim.seq)
        if done is None or not _may_be_corrected(done):
            break
    raise AlreadyExists(_SENT, step="form")


def _may_be_corrected(line: Message) -> bool:
    """Whether the called API answered that it did not do what it was asked."""
    if line.type != ACTION_EXECUTED:
        return False
    result = line.action_calls[0]["result"] if line.action_calls else {}
    return "error" not in result and 400 <= (result.get("status") or 0) < 500
