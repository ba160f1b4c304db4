"""Appends messages, in order and once; it must not answer them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from vestibule.clock import now_ms
from vestibule.errors import ConversationClosed
from vestibule.ids import new_id
from vestibule.model.conversation import Attachment, Conversation, Document, Message, Sender, Trust
from vestibule.runtime import Runtime
from vestibule.storage import conversations as rows
from vestibule.storage import responder_jobs
from vestibule.storage.responder_jobs import Job
from vestibule.storage.store import UniqueViolation, Work

_SHOWN_OF_LAST = 200


class Draft(msgspec.Struct, frozen=True):
    """A message before it has a place in a conversation."""

    sender: Sender
    trust: Trust
    text: str | None = None
    public_id: str = ""
    type: str = "message"
    sender_name: str | None = None
    sender_avatar_url: str | None = None
    attachments: tuple[Attachment, ...] = ()
    action_calls: tuple[Document, ...] = ()
    payload: Document | None = None
    custom_data: Document | None = None
    answers: int | None = None


class Appended(msgspec.Struct, frozen=True):
    """The conversation as it is now, and the messages with their places. `duplicate`: they were there before."""

    conversation: Conversation
    messages: tuple[Message, ...]
    duplicate: bool = False
    job: Job | None = None


Change = Callable[[Conversation], Conversation]
MakeJob = Callable[[Conversation, Message], Job | None]


async def append(
    runtime: Runtime,
    conversation: Conversation,
    drafts: Sequence[Draft],
    *,
    change: Change | None = None,
    make_job: MakeJob | None = None,
    closed_too: bool = False,
) -> Appended:
    """Stores messages behind each other, a change of the conversation and a work item for the last message, all or
    nothing. A draft whose public id is taken makes the whole call a duplicate: nothing is stored again.

    Raises ConversationClosed, StorageUnavailable.
    """

    def work() -> Work[Appended]:
        return (yield from append_work(conversation, drafts, change=change, make_job=make_job, closed_too=closed_too))

    try:
        appended = await runtime.store.transact(work)
    except UniqueViolation:
        known = await rows.find_message(runtime.store, conversation.workspace_id, conversation.id, drafts[-1].public_id)
        if known is None:  # another of the ids was taken: a different message under a used id
            raise
        return Appended(conversation, (known,), duplicate=True)
    runtime.live.changed(conversation.workspace_id, conversation.id)
    return appended


def append_work(
    conversation: Conversation,
    drafts: Sequence[Draft],
    *,
    change: Change | None = None,
    make_job: MakeJob | None = None,
    closed_too: bool = False,
) -> Work[Appended]:
    """`append` as part of a larger unit of work."""
    now = now_ms()
    taken = yield rows.take_numbers(conversation.workspace_id, conversation.id, len(drafts), now)
    current = rows.conversation_from(taken[0])
    if not current.is_open and not closed_too:
        raise ConversationClosed(step="append")
    first = current.next_seq - len(drafts)
    messages = tuple(_placed(current, draft, first + index, now) for index, draft in enumerate(drafts))
    for message in messages:
        yield rows.insert_message(message)
    changed = change(current) if change is not None else current
    shown = [message.text for message in messages if message.text and message.sender is not Sender.SYSTEM]
    if shown:
        changed = msgspec.structs.replace(changed, last_message=shown[-1][:_SHOWN_OF_LAST])
    if changed != current:
        yield rows.update(changed)
    job = make_job(changed, messages[-1]) if make_job is not None and messages else None
    if job is not None:
        yield responder_jobs.insert(job)
    return Appended(changed, messages, job=job)


def _placed(conversation: Conversation, draft: Draft, seq: int, now: int) -> Message:
    return Message(
        workspace_id=conversation.workspace_id,
        conversation_id=conversation.id,
        seq=seq,
        public_id=draft.public_id or new_id(),
        type=draft.type,
        sender=draft.sender,
        text=draft.text,
        sent_at=now,
        trust=draft.trust,
        sender_name=draft.sender_name,
        sender_avatar_url=draft.sender_avatar_url,
        attachments=draft.attachments,
        action_calls=draft.action_calls,
        payload=draft.payload,
        custom_data=draft.custom_data,
        answers=draft.answers,
    )
