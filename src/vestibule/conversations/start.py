"""Starts a conversation; it must not post into it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vestibule.clock import now_ms
from vestibule.conversations.visibility import may_show
from vestibule.conversations.visitor import Visitor, ensure_contact, hold_owner, owner_of
from vestibule.errors import AlreadyExists, ScopeRequired
from vestibule.ids import new_id
from vestibule.model.claims import CustomData
from vestibule.model.conversation import Assignee, Conversation, Status
from vestibule.model.webhook import conversation_started
from vestibule.runtime import Runtime
from vestibule.storage import conversations as rows
from vestibule.storage import device_scopes, webhooks
from vestibule.storage.store import Query, UniqueViolation, Work, query


async def start_conversation(
    runtime: Runtime,
    visitor: Visitor,
    *,
    scope: str | None,
    custom_data: CustomData,
    channel: str = "web",
    conversation_id: str | None = None,
    queue_key: str | None = None,
    also: Sequence[Query] = (),
) -> Conversation:
    """A new conversation of the visitor's contact, under a client's own id where that is free. `also` is written with
    it or not at all. Raises AlreadyExists, InvalidContactToken, ScopeRequired, StorageUnavailable."""
    _require_own(visitor, scope)
    owner = owner_of(visitor, await ensure_contact(runtime, visitor))
    responder = await runtime.tenancy.responder(visitor.workspace_id)
    now = now_ms()
    fresh = Conversation(
        workspace_id=visitor.workspace_id,
        id=conversation_id or new_id(),
        contact_id=owner,
        verified=visitor.verified,
        scope=scope,
        channel=channel,
        ticket_number=0,
        title=None,
        status=Status.OPEN,
        # Without a responder people answer, from the first message on.
        handed_off=not responder.answers,
        assignee_kind=Assignee.AI if responder.answers else Assignee.NONE,
        assignee_name=None,
        assignee_avatar_url=None,
        mode_id=None,
        checkpoint=None,
        custom_data=custom_data,
        language=None,
        last_message=None,
        created_at=now,
        updated_at=now,
        version=1,
        next_seq=1,
        queue_key=queue_key,
    )

    def work() -> Work[Conversation]:
        yield from hold_owner(visitor.workspace_id, owner)
        numbered = yield query(rows.NEXT_TICKET, visitor.workspace_id)
        conversation = msgspec.structs.replace(fresh, ticket_number=int(numbered[0][0]))
        yield rows.insert(conversation)
        yield webhooks.note(conversation_started(conversation))
        if not visitor.verified and scope:
            yield from device_scopes.bind(visitor.workspace_id, visitor.token_id, scope, owner, now)
        for noted in also:  # noqa: UP028 - each is sent its rows, which a sequence cannot take
            yield noted
        return conversation

    try:
        return await runtime.store.transact(work)
    except UniqueViolation:
        raise AlreadyExists("There is a conversation of this id already.", step="conversation") from None


def _require_own(visitor: Visitor, scope: str | None) -> None:
    if not visitor.verified and scope and not may_show(visitor.token_id, scope):
        raise ScopeRequired(detail="made of another token's id", step="scope")
