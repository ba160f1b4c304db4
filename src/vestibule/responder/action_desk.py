"""Brings a workspace's actions, variables and overrides together for one question; it calls nothing itself."""

from __future__ import annotations

import msgspec

from vestibule.clock import SECOND_MS
from vestibule.model.action import Action, ActionPolicy, MessageOverrides, OnBehalfOf, Variables
from vestibule.model.claims import Method
from vestibule.responder.actions import Circumstances
from vestibule.responder.question import Question
from vestibule.runtime import Runtime
from vestibule.sealing import Sealer
from vestibule.storage import actions as rows
from vestibule.storage import workspace_settings
from vestibule.storage.store import Store

VARIABLES = "action_variables"
POLICY = "action_policy"


async def actions_of(store: Store, workspace_id: str) -> list[Action]:
    return await rows.list_all(store, workspace_id)


async def variables_of(store: Store, sealer: Sealer, workspace_id: str) -> Variables:
    return await workspace_settings.find(store, sealer, workspace_id, VARIABLES, Variables) or Variables()


async def policy_of(store: Store, sealer: Sealer, workspace_id: str) -> ActionPolicy:
    return await workspace_settings.find(store, sealer, workspace_id, POLICY, ActionPolicy) or ActionPolicy()


async def circumstances_of(runtime: Runtime, question: Question) -> Circumstances:
    """Everything about a call but the action and what the model says. Who is acted for comes from the token that the
    message was sent with, never from what anybody said."""
    workspace_id = question.conversation.workspace_id
    contact = question.contact
    return Circumstances(
        conversation_id=question.conversation.id,
        on_behalf_of=OnBehalfOf(
            contact_id=contact.id,
            verified=contact.verified and question.conversation.verified,
            method=Method(question.given.method),
            auth_time=question.given.auth_time * SECOND_MS,
            external_user_id=contact.external_id,
        ),
        policy=await policy_of(runtime.store, runtime.sealer, workspace_id),
        variables=await variables_of(runtime.store, runtime.sealer, workspace_id),
        # Vouched for by the customer's backend for this person; an unverified contact has none.
        contact_overrides=contact.http_action_overrides if contact.verified else None,
        message_overrides=MessageOverrides(
            headers=question.given.headers,
            query_params=question.given.query_params,
            body_properties=question.given.body_properties,
        ),
        ticket_number=question.conversation.ticket_number,
    )


def as_call(action: Action, arguments: dict[str, object], result: object) -> dict[str, object]:
    """A call as the widget's history shows it (contracts/opencx.md 4.6)."""
    return {
        "actionName": action.name,
        "args": arguments,
        "result": msgspec.to_builtins(result),
        "action": {"name": action.name, "id": action.id, "metadata": {}},
    }
