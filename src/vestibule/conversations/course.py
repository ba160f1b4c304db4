"""What happens to a conversation beside messages: handed to people, taken, resolved, rated, checkpointed; each is a
change and the row of history that tells of it."""

from __future__ import annotations

import msgspec

from vestibule.conversations.messages import Appended, Draft, Keeper, append, append_work
from vestibule.errors import AlreadyExists, ConversationClosed, InvalidField
from vestibule.model.conversation import Assignee, Conversation, Document, Sender, Status, Trust
from vestibule.storage import conversations as rows
from vestibule.storage.store import UniqueViolation, Work

LOWEST_SCORE, HIGHEST_SCORE = 1, 5


def handed_off(conversation: Conversation) -> Conversation:
    """People answer from now on."""
    if conversation.handed_off:
        return conversation
    return msgspec.structs.replace(conversation, handed_off=True, assignee_kind=Assignee.NONE)


async def resolve(keeper: Keeper, conversation: Conversation, *, by: str) -> Conversation:
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
            keeper,
            conversation,
            drafts,
            change=lambda current: msgspec.structs.replace(current, status=Status.RESOLVED),
        )
    except ConversationClosed:  # somebody else was faster
        return await rows.get(keeper.store, conversation.workspace_id, conversation.id) or conversation
    return done.conversation


async def rate(
    keeper: Keeper, conversation: Conversation, *, score: int, feedback: str | None, public_id: str
) -> Appended:
    """The visitor's rating, once. Raises InvalidField, AlreadyExists."""
    if not LOWEST_SCORE <= score <= HIGHEST_SCORE:
        raise InvalidField("score", f"must be a whole number from {LOWEST_SCORE} to {HIGHEST_SCORE}")
    payload: Document = {"type": "csat_submitted", "payload": {"score": score, "feedback": feedback}}
    draft = Draft(Sender.SYSTEM, Trust.SYSTEM, public_id=public_id, type="csat_submitted", payload=payload)

    def work() -> Work[Appended]:
        done = yield from append_work(conversation, [draft], closed_too=True)
        # Counted after the row of the conversation was locked: of two ratings at once one is refused.
        if len((yield rows.of_type(conversation.workspace_id, conversation.id, draft.type))) > 1:
            raise AlreadyExists("This conversation has been rated already.")
        return done

    try:
        done = await keeper.store.transact(work)
    except UniqueViolation:
        known = await rows.find_message(keeper.store, conversation.workspace_id, conversation.id, public_id)
        if known is None or known.type != draft.type:
            raise AlreadyExists("Two messages cannot have the same id.", step="rate") from None
        return Appended(conversation, (known,), duplicate=True)
    keeper.live.changed(conversation.workspace_id, conversation.id)
    return done


async def checkpoint(keeper: Keeper, conversation: Conversation, payload: Document) -> Appended:
    """Keeps the state of a mode's canvas. Raises ConversationClosed, ConversationFull."""
    row: Document = {"type": "state_checkpoint", "payload": payload}
    draft = Draft(Sender.SYSTEM, Trust.SYSTEM, type="state_checkpoint", payload=row)
    return await append(
        keeper,
        conversation,
        [draft],
        change=lambda current: msgspec.structs.replace(current, checkpoint=payload),
        bounded=True,
    )


async def take(keeper: Keeper, conversation: Conversation, *, name: str) -> Appended:
    """Gives the conversation to a staff member: the responder is silent from now on. Raises ConversationClosed."""
    kind = "agent_joined" if conversation.handed_off else "agent_took_session_from_ai"
    draft = Draft(Sender.SYSTEM, Trust.SYSTEM, type=kind, payload={"type": "none"}, sender_name=name)
    return await append(keeper, conversation, [draft], change=lambda current: taken_by(current, name))


async def reply(keeper: Keeper, conversation: Conversation, *, text: str, name: str, public_id: str = "") -> Appended:
    """A staff member's message; the conversation is theirs from now on. `public_id` empty: a new one. What comes twice
    under one is a duplicate. Raises ConversationClosed, AlreadyExists."""
    draft = Draft(Sender.AGENT, Trust.STAFF, text=text, public_id=public_id, type="agent_message", sender_name=name)
    done = await append(keeper, conversation, [draft], change=lambda current: taken_by(current, name))
    [said] = done.messages
    # Whoever sends another text, or the id of somebody else's message, must not believe that theirs was sent.
    if (said.type, said.text, said.sender_name) != (draft.type, text, name):
        raise AlreadyExists("Another message was sent with this id before; this one was not sent.", step="reply")
    return done


def taken_by(conversation: Conversation, name: str) -> Conversation:
    """A staff member answers from now on."""
    return msgspec.structs.replace(
        handed_off(conversation), assignee_kind=Assignee.HUMAN, assignee_name=name, assignee_avatar_url=None
    )
