"""Brings a workspace's actions, variables and overrides together for one call, notes what came of it, and puts it in
the wire's shape; it calls nothing itself."""

from __future__ import annotations

import logging
from typing import Any

import msgspec

from vestibule.clock import SECOND_MS
from vestibule.model.action import Action, ActionPolicy, Location, MessageOverrides, OnBehalfOf, Source, Variables
from vestibule.model.claims import Method
from vestibule.model.contact import Contact
from vestibule.model.conversation import Conversation, Document
from vestibule.responder.actions import ActionResult, Circumstances
from vestibule.responder.effective_request import EffectiveRequest, Refusal, redacted
from vestibule.responder.overrides import is_locked
from vestibule.responder.question import Question
from vestibule.runtime import Runtime
from vestibule.sealing import Sealer
from vestibule.storage import actions as rows
from vestibule.storage import workspace_settings
from vestibule.storage.store import Store

VARIABLES = "action_variables"
POLICY = "action_policy"
_log = logging.getLogger("vestibule.audit")


class Policy(ActionPolicy, frozen=True, omit_defaults=True):
    """`forms`: names of the actions that the model does not call itself. The visitor gets a form instead, and what they
    send is carried out (contracts/opencx.md section 2, `/action/execute`)."""

    forms: tuple[str, ...] = ()


class Proof(msgspec.Struct, frozen=True):
    """Whom an action is called for, as the token says that the request came with; `auth_time` in seconds."""

    verified: bool
    method: Method
    auth_time: int


async def actions_of(store: Store, workspace_id: str) -> list[Action]:
    return await rows.list_all(store, workspace_id)


async def variables_of(store: Store, sealer: Sealer, workspace_id: str) -> Variables:
    return await workspace_settings.find(store, sealer, workspace_id, VARIABLES, Variables) or Variables()


async def policy_of(store: Store, sealer: Sealer, workspace_id: str) -> Policy:
    return await workspace_settings.find(store, sealer, workspace_id, POLICY, Policy) or Policy()


def of_question(question: Question) -> tuple[Proof, MessageOverrides]:
    """What a message brought with it."""
    given = question.given
    proof = Proof(question.verified, Method(given.method), given.auth_time)
    return proof, MessageOverrides(
        headers=given.headers, query_params=given.query_params, body_properties=given.body_properties
    )


async def circumstances_of(
    runtime: Runtime, conversation: Conversation, contact: Contact, proof: Proof, overrides: MessageOverrides
) -> Circumstances:
    """Everything about a call but the action and its arguments. Who is acted for comes from the token that the request
    came with, never from what anybody said."""
    verified = proof.verified and contact.verified and conversation.verified
    store, sealer, workspace_id = runtime.store, runtime.sealer, conversation.workspace_id
    return Circumstances(
        conversation_id=conversation.id,
        on_behalf_of=OnBehalfOf(
            contact_id=contact.id,
            verified=verified,
            method=proof.method,
            auth_time=proof.auth_time * SECOND_MS,
            external_user_id=contact.external_id,
        ),
        policy=await policy_of(store, sealer, workspace_id),
        variables=await variables_of(store, sealer, workspace_id),
        # Vouched for by the customer's backend for this person, so not for who has not proven to be that person.
        contact_overrides=contact.http_action_overrides if verified else None,
        message_overrides=overrides,
        ticket_number=conversation.ticket_number,
    )


def note(action: Action, circumstances: Circumstances, result: ActionResult, *, by: str) -> None:
    """Leaves a line of the call in the log, without anything that was sent or answered."""
    _log.info(
        "action %s called by %s in workspace %s, conversation %s, for contact %s (%s): %s, %s ms",
        action.name,
        by,
        action.workspace_id,
        circumstances.conversation_id,
        circumstances.on_behalf_of.contact_id,
        "verified" if circumstances.on_behalf_of.verified else "unverified",
        result.error or result.status,
        result.milliseconds,
    )


def as_call(action: Action, arguments: dict[str, Any], result: ActionResult) -> Document:
    """A call as the widget's history shows it (contracts/opencx.md 4.6): a host's component reads the body's JSON."""
    told: Document = {"status": result.status, "responseBodyText": result.text}
    if result.error is not None:
        told["error"] = result.error
    return {"actionName": action.name, "args": arguments, "result": told, "action": _described(action)}


def as_request(action: Action, prepared: EffectiveRequest | Refusal, result: ActionResult) -> Document:
    """What was sent and what came of it, as people may see it: no credential, and nothing of the answer. No wire shows
    it."""
    told: Document = {"action": action.name, "status": result.status, "milliseconds": result.milliseconds}
    if result.error is not None:
        told["error"] = result.error
    if isinstance(prepared, Refusal):
        return told | {"refused": prepared.code}
    shown: Document = msgspec.to_builtins(redacted(prepared))
    return told | shown


def as_form(action: Action, policy: ActionPolicy, arguments: dict[str, Any]) -> Document:
    """A form that the visitor shall complete, with what is known already; what the page may not set is not in it."""
    parameters = [
        parameter for parameter in action.parameters if not is_locked(action, policy, Source.MESSAGE, parameter.name)
    ]
    operation: Document = {
        "operationId": action.name,
        "description": action.description,
        "parameters": [
            {
                "name": parameter.name,
                "in": parameter.location.value,
                # A path has no hole (OpenAPI 3, Parameter Object).
                "required": parameter.required or parameter.location is Location.PATH,
                "description": parameter.description,
                "schema": parameter.schema,
            }
            for parameter in parameters
            if parameter.location is not Location.BODY
        ],
    }
    body = [parameter for parameter in parameters if parameter.location is Location.BODY]
    if body:
        schema = {
            "type": "object",
            "properties": {parameter.name: parameter.schema for parameter in body},
            "required": [parameter.name for parameter in body if parameter.required],
        }
        operation["requestBody"] = {"content": {"application/json": {"schema": schema}}}
    described = _described(action) | {
        "openapi": {
            "operation_spec": operation,
            "operation_id": action.name,
            "operation_method": action.method.lower(),
        },
        "required_form_submission": True,
    }
    return {"actionName": action.name, "args": arguments, "result": None, "action": described}


def is_form(call: Document) -> bool:
    """Whether a call of a history's row is the request of a form."""
    described = call.get("action")
    return isinstance(described, dict) and described.get("required_form_submission") is True


def asks_for_form(call: Document, action_id: str) -> bool:
    """Whether it is the request of this action's form."""
    return is_form(call) and call["action"].get("id") == action_id


def _described(action: Action) -> Document:
    return {"name": action.name, "id": action.id, "metadata": {}}
