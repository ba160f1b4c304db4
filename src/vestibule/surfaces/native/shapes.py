"""Conversations and messages as the native API shows them, one pure function each; it must not show what staff write
for each other.

Texts go out as they were written. Who shows them decides how: they are data, and never HTML to be inserted.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from vestibule.conversations.visibility import is_internal
from vestibule.model import conversation as stored
from vestibule.model.claims import CustomData
from vestibule.times import rfc3339

Time = Annotated[str, Meta(description="RFC 3339, UTC.", extra_json_schema={"format": "date-time"})]
Uuid = Annotated[str, Meta(extra_json_schema={"format": "uuid"})]


class ConversationAssignee(msgspec.Struct, frozen=True):
    """Who answers at present. Staff have a name."""

    kind: stored.Assignee
    name: str | None
    avatar_url: str | None


class Conversation(msgspec.Struct, frozen=True):
    """A chat thread. `verified`: made through a verified method. `handed_off`: people answer, and no responder.
    `version` moves with every change."""

    id: Uuid
    number: int
    status: stored.Status
    verified: bool
    handed_off: bool
    assignee: ConversationAssignee
    scope: str | None
    channel: str
    title: str | None
    language: str | None
    last_message: str | None
    custom_data: CustomData
    created_at: Time
    updated_at: Time
    version: int


class ConversationPage(msgspec.Struct, frozen=True):
    """The latest activity first. `next` is the `cursor` of the next page, null on the last one."""

    items: list[Conversation]
    next: str | None


class MessageSender(msgspec.Struct, frozen=True):
    """`user` is the visitor, `agent` a person of the staff, `ai` the responder."""

    kind: stored.Sender
    name: str | None
    avatar_url: str | None


class Attachment(msgspec.Struct, frozen=True):
    """A file. `type` and `size` are what was found when it was uploaded."""

    id: str
    name: str
    size: int
    type: str
    url: str


class Message(msgspec.Struct, frozen=True):
    """One row of a history. `seq` counts within the conversation. `trust` is what was proven of the author when this
    was written. `answers` is the `seq` of the message that the responder replied to."""

    id: str
    seq: int
    type: str
    sender: MessageSender
    trust: stored.Trust
    text: str | None
    attachments: tuple[Attachment, ...]
    action_calls: tuple[dict[str, Any], ...]
    payload: dict[str, Any] | None
    answers: int | None
    sent_at: Time


class MessageList(msgspec.Struct, frozen=True):
    """Oldest first."""

    items: list[Message]


def conversation_of(conversation: stored.Conversation) -> Conversation:
    return Conversation(
        id=conversation.id,
        number=conversation.ticket_number,
        status=conversation.status,
        verified=conversation.verified,
        handed_off=conversation.handed_off,
        assignee=ConversationAssignee(
            conversation.assignee_kind, conversation.assignee_name, conversation.assignee_avatar_url
        ),
        scope=conversation.scope,
        channel=conversation.channel,
        title=conversation.title,
        language=conversation.language,
        last_message=conversation.last_message,
        custom_data=conversation.custom_data,
        created_at=rfc3339(conversation.created_at),
        updated_at=rfc3339(conversation.updated_at),
        version=conversation.version,
    )


def messages_of(messages: list[stored.Message]) -> list[Message]:
    return [message_of(message) for message in messages if not is_internal(message)]


def message_of(message: stored.Message) -> Message:
    return Message(
        id=message.public_id,
        seq=message.seq,
        type=message.type,
        sender=MessageSender(message.sender, message.sender_name, message.sender_avatar_url),
        trust=message.trust,
        text=message.text,
        attachments=tuple(
            Attachment(item.id, item.name, item.size, item.type, item.url) for item in message.attachments
        ),
        action_calls=message.action_calls,
        # Of other senders it holds what the responder notes for itself.
        payload=message.payload if message.sender is stored.Sender.SYSTEM else None,
        answers=message.answers,
        sent_at=rfc3339(message.sent_at),
    )
