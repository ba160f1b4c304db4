"""What happens to a conversation beside messages: handed to people, taken, resolved, rated, checkpointed; each is a
change and the row of history that tells of it."""

from __future__ import annotations

import msgspec

from vestibule.conversations.messages import Appended, Draft, append
from vestibule.errors import AlreadyExists, ConversationClosed, InvalidField
from vestibule.model.conversation import Assignee, Conversation, Document, Sender, Status, Trust
from vestibule.runtime import Runtime
from vestibule.storage import conversations as rows

LOWEST_SCORE, HIGHEST_SCORE = 1, 5


def handed_off(conversation: Conversation) -> Conversation:
    """People answer from now on."""
    if conversation.handed_off:
        return conversation
    return msgspec.structs.replace(conversation, handed_off=True, assignee_kind=Assignee.NONE)


async def resolve(runtime: Runtime, conversation: Conversation, *, by: str) -> Conversation:
    """Closes the conversation and asks for a rating; `by` is contact, agent, api or system. Closing it twice changes
    nothing."""
    if not conversation.is_open:
        return conversation
    drafts = [
        Draft(Sender.SYSTEM, Trust.SYSTEM, type=f"closed_resolved_by_{by}", payload={"type": "none"}),
        Draft(Sender.SYSTEM, Trust.SYSTEM, type="csat_requested", payload={"type": "csat_requested"}),
    ]
    try:
        done = await append(
            runtime,
            conversation,
            drafts,
            change=lambda current: msgspec.structs.replace(current, status=Status.RESOLVED),
        )
    except ConversationClosed:  # somebody else was faster
        return await rows.get(runtime.store, conversation.workspace_id, conversation.id) or conversation
    return done.conversation


async def rate(
    runtime: Runtime, conversation: Conversation, *, score: int, feedback: str | None, public_id: str
) -> Appended:
    """The visitor's rating, once. Raises InvalidField, AlreadyExists."""
    if not LOWEST_SCORE <= score <= HIGHEST_SCORE:
        raise InvalidField("score", f"must be a whole number from {LOWEST_SCORE} to {HIGHEST_SCORE}")
    for message in await rows.history(runtime.store, conversation.workspace_id, conversation.id):
        if message.type == "csat_submitted" and message.public_id != public_id:
            raise AlreadyExists("This conversation has been rated already.")
    payload: Document = {"type": "csat_submitted", "payload": {"score": score, "feedback": feedback}}
    draft = Draft(Sender.SYSTEM, Trust.SYSTEM, public_id=public_id, type="csat_submitted", payload=payload)
    return await append(runtime, conversation, [draft], closed_too=True)


async def checkpoint(runtime: Runtime, conversation: Conversation, payload: Document) -> Appended:
    """Keeps the state of a mode's canvas. Raises ConversationClosed."""
    row: Document = {"type": "state_checkpoint", "payload": payload}
    draft = Draft(Sender.SYSTEM, Trust.SYSTEM, type="state_checkpoint", payload=row)
    return await append(
        runtime, conversation, [draft], change=lambda current: msgspec.structs.replace(current, checkpoint=payload)
    )


async def reply(runtime: Runtime, conversation: Conversation, *, text: str, name: str) -> Appended:
    """A staff member's message; the conversation is theirs from now on. Raises ConversationClosed."""
    draft = Draft(Sender.AGENT, Trust.STAFF, text=text, type="agent_message", sender_name=name)

    def take(current: Conversation) -> Conversation:
        taken = handed_off(current)
        return msgspec.structs.replace(taken, assignee_kind=Assignee.HUMAN, assignee_name=name)

    return await append(runtime, conversation, [draft], change=take)
