"""What a workspace's own servers are told of: events, by which names, and where to; no I/O.

An event holds ids, what was proven and what changed, and no text of anybody's: it lies in a queue, perhaps for hours,
and whoever receives it can read the rest with an admin key.
"""

from __future__ import annotations

import enum

import msgspec

from vestibule.clock import now_ms
from vestibule.ids import new_id
from vestibule.model.contact import Contact
from vestibule.model.conversation import Conversation, Document, Message, Sender


class EventKind(enum.StrEnum):
    CONTACT_VERIFIED = "contact.verified"
    CONTACT_MERGED = "contact.merged"
    CONTACT_UNMERGED = "contact.unmerged"
    CONTACT_ERASED = "contact.erased"
    CONVERSATION_STARTED = "conversation.started"
    CONVERSATION_HANDED_OFF = "conversation.handed_off"
    CONVERSATION_CLOSED = "conversation.closed"
    CONVERSATION_MESSAGE = "conversation.message"


class EventNames(enum.StrEnum):
    VESTIBULE = "vestibule"
    OPENCX = "opencx"  # contracts/opencx.md section 7


class WebhookEndpoint(msgspec.Struct, frozen=True):
    """`secrets` sign what is sent, the current one first; two while the receiver changes from one to the other. `name`
    is what a workspace's file knows it by, and may be empty."""

    workspace_id: str
    id: str
    url: str
    secrets: tuple[str, ...]
    events: tuple[EventKind, ...]
    names: EventNames
    created_at: int
    name: str = ""

    def __repr__(self) -> str:
        return f"WebhookEndpoint({self.id})"


class WebhookEvent(msgspec.Struct, frozen=True):
    """`contact_id`: whose it is, so that it is forgotten with them; empty for the news that they were."""

    workspace_id: str
    id: str
    kind: EventKind
    at: int
    contact_id: str
    data: Document


def contact_verified(contact: Contact) -> WebhookEvent:
    """Somebody was proven for the first time."""
    data: Document = {"contact_id": contact.id, "verified": True, "conversation_id": None}
    return _event(EventKind.CONTACT_VERIFIED, contact.workspace_id, contact.id, data)


def conversation_identified(conversation: Conversation) -> WebhookEvent:
    """It was nobody's, and has become a proven person's."""
    data: Document = {"contact_id": conversation.contact_id, "verified": True, "conversation_id": conversation.id}
    return _event(EventKind.CONTACT_VERIFIED, conversation.workspace_id, conversation.contact_id, data)


def contact_merged(workspace_id: str, contact_id: str, into_id: str) -> WebhookEvent:
    data: Document = {"contact_id": contact_id, "merged_into": into_id}
    return _event(EventKind.CONTACT_MERGED, workspace_id, contact_id, data)


def contact_unmerged(workspace_id: str, contact_id: str, from_id: str) -> WebhookEvent:
    data: Document = {"contact_id": contact_id, "unmerged_from": from_id}
    return _event(EventKind.CONTACT_UNMERGED, workspace_id, contact_id, data)


def contact_erased(workspace_id: str, contact_id: str) -> WebhookEvent:
    """The id leads to nothing any more; whoever keeps something under it can delete it."""
    return _event(EventKind.CONTACT_ERASED, workspace_id, "", {"contact_id": contact_id})


def conversation_started(conversation: Conversation) -> WebhookEvent:
    return _of_conversation(EventKind.CONVERSATION_STARTED, conversation)


def course_of(before: Conversation, after: Conversation, messages: tuple[Message, ...]) -> list[WebhookEvent]:
    """What an append has brought: messages that people or the responder wrote (not what a page says that it has shown,
    which nobody wrote), a handoff, the end."""
    events = [
        _of_conversation(EventKind.CONVERSATION_MESSAGE, after, message=_told(message))
        for message in messages
        if message.sender is not Sender.SYSTEM and not message.is_greeting
    ]
    if after.handed_off and not before.handed_off:
        events.append(_of_conversation(EventKind.CONVERSATION_HANDED_OFF, after))
    if before.is_open and not after.is_open:
        # `closed_resolved_by_agent`: the row of history says who it was (conversations/course.py).
        by = next((message.type.rpartition("_")[2] for message in messages if message.type.startswith("closed_")), None)
        events.append(_of_conversation(EventKind.CONVERSATION_CLOSED, after, closed_by=by))
    return events


def _told(message: Message) -> Document:
    return {
        "id": message.public_id,
        "seq": message.seq,
        "sender": message.sender.value,
        "trust": message.trust.value,
        "attachments": len(message.attachments),
    }


def _of_conversation(kind: EventKind, conversation: Conversation, **more: object) -> WebhookEvent:
    data: Document = {
        "conversation_id": conversation.id,
        "ticket_number": conversation.ticket_number,
        "contact_id": conversation.contact_id,
        "verified": conversation.verified,
        "channel": conversation.channel,
        "status": conversation.status.value,
        "handed_off": conversation.handed_off,
        "assignee": conversation.assignee_kind.value,
        **more,
    }
    return _event(kind, conversation.workspace_id, conversation.contact_id, data)


def _event(kind: EventKind, workspace_id: str, contact_id: str, data: Document) -> WebhookEvent:
    return WebhookEvent(workspace_id, new_id(), kind, now_ms(), contact_id, data)
