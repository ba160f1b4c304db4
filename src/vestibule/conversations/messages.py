"""Appends messages, in order and once; it must not answer them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from vestibule.clock import now_ms
from vestibule.conversations.visibility import is_internal
from vestibule.errors import AlreadyExists, ConversationClosed, ConversationFull, NotFound
from vestibule.ids import new_id
from vestibule.live import Live
from vestibule.model.conversation import Attachment, Authorship, Conversation, Document, Message, Sender, Trust
from vestibule.model.webhook import course_of
from vestibule.storage import conversations as rows
from vestibule.storage import responder_jobs, webhooks
from vestibule.storage.responder_jobs import Job
from vestibule.storage.store import Store, UniqueViolation, Work

# A conversation is read whole, again and again: without an end it would be the cheapest way to keep everybody waiting.
MOST_MESSAGES = 4_000
MOST_CHARACTERS = 2**22
_SHOWN_OF_LAST = 200


class Keeper(Protocol):
    """Where conversations are kept, and who waits for them to change: a server's runtime, or an operator's desk."""

    @property
    def store(self) -> Store: ...

    @property
    def live(self) -> Live: ...


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
    author: Authorship | None = None
    action_requests: tuple[Document, ...] = ()


class Appended(msgspec.Struct, frozen=True):
    """The conversation as it is now, and the messages with their places. `duplicate`: they were there before."""

    conversation: Conversation
    messages: tuple[Message, ...]
    duplicate: bool = False
    job: Job | None = None


Change = Callable[[Conversation], Conversation]
MakeJob = Callable[[Conversation, Message], Job | None]


async def append(
    keeper: Keeper,
    conversation: Conversation,
    drafts: Sequence[Draft],
    *,
    change: Change | None = None,
    make_job: MakeJob | None = None,
    closed_too: bool = False,
    bounded: bool = False,
) -> Appended:
    """Stores messages behind each other, a change of the conversation and a work item for the last message, all or
    nothing. If the last draft's public id is taken, the call is a duplicate: nothing is stored again. Others whose id
    is taken were stored by an earlier call, and are left out. `bounded`: it is a visitor who writes, of whom a
    conversation takes so much and no more.

    Raises ConversationClosed, ConversationFull, NotFound, AlreadyExists, StorageUnavailable.
    """

    async def store(placed: Sequence[Draft]) -> Appended:
        return await keeper.store.transact(
            lambda: append_work(
                conversation, placed, change=change, make_job=make_job, closed_too=closed_too, bounded=bounded
            )
        )

    try:
        appended = await store(drafts)
    except (UniqueViolation, ConversationClosed, ConversationFull) as error:
        # A client that repeats itself after the conversation was closed is told what it would have been told before.
        known = await _find(keeper, conversation, drafts[-1]) if drafts else None
        if known is not None:
            return Appended(conversation, (known,), duplicate=True)
        if not isinstance(error, UniqueViolation):
            raise
        try:
            appended = await store(await _unknown_of(keeper, conversation, drafts))
        except UniqueViolation:
            raise AlreadyExists("Two messages cannot have the same id.", step="append") from None
    keeper.live.changed(conversation.workspace_id, conversation.id)
    return appended


async def _unknown_of(keeper: Keeper, conversation: Conversation, drafts: Sequence[Draft]) -> list[Draft]:
    return [draft for draft in drafts if await _find(keeper, conversation, draft) is None]


async def _find(keeper: Keeper, conversation: Conversation, draft: Draft) -> Message | None:
    if not draft.public_id:
        return None
    return await rows.find_message(keeper.store, conversation.workspace_id, conversation.id, draft.public_id)


def append_work(
    conversation: Conversation,
    drafts: Sequence[Draft],
    *,
    change: Change | None = None,
    make_job: MakeJob | None = None,
    closed_too: bool = False,
    bounded: bool = False,
) -> Work[Appended]:
    """`append` as part of a larger unit of work."""
    size = sum(_length(draft) for draft in drafts)
    taken = yield rows.take_numbers(conversation.workspace_id, conversation.id, len(drafts), now_ms(), size)
    if not taken:  # erased since it was read
        raise NotFound("There is no such conversation.", step="append")
    current = rows.conversation_from(taken[0])
    if not current.is_open and not closed_too:
        raise ConversationClosed(step="append")
    if bounded:
        _require_room(current)
    first = current.next_seq - len(drafts)
    # The time that the row has now, not the one at which we began to wait for it: it never runs backwards.
    sent_at = current.updated_at
    messages = tuple(_placed(current, draft, first + index, sent_at) for index, draft in enumerate(drafts))
    for message in messages:
        yield rows.insert_message(message)
    changed = change(current) if change is not None else current
    shown = [preview for message in messages if _is_shown(message) and (preview := _preview(message))]
    if shown:
        changed = msgspec.structs.replace(changed, last_message=shown[-1])
    if changed != current:
        yield rows.update(changed)
    for event in course_of(current, changed, messages):
        yield webhooks.note(event)
    job = make_job(changed, messages[-1]) if make_job is not None and messages else None
    if job is not None:
        yield responder_jobs.insert(job)
    return Appended(changed, messages, job=job)


def _preview(message: Message) -> str:
    """Its text, or else its file's name: a list's card without either looks as if it were still loading."""
    files = message.attachments
    return (message.text or (files[0].name if files else ""))[:_SHOWN_OF_LAST]


def _length(draft: Draft) -> int:
    documents = (draft.attachments, draft.action_calls, draft.action_requests, draft.payload, draft.custom_data)
    return rows.length(draft.text, *documents)


def _require_room(current: Conversation) -> None:
    """`current` with what is to be added. Raises ConversationFull."""
    if current.next_seq - 1 > MOST_MESSAGES:
        raise ConversationFull(detail=f"{MOST_MESSAGES} messages", step="append")
    if current.characters > MOST_CHARACTERS:
        raise ConversationFull(detail=f"{MOST_CHARACTERS} characters", step="append")


def _is_shown(message: Message) -> bool:
    return message.sender is not Sender.SYSTEM and not is_internal(message)


def _placed(conversation: Conversation, draft: Draft, seq: int, sent_at: int) -> Message:
    said = msgspec.structs.asdict(draft) | {"public_id": draft.public_id or new_id()}
    return Message(
        workspace_id=conversation.workspace_id, conversation_id=conversation.id, seq=seq, sent_at=sent_at, **said
    )
