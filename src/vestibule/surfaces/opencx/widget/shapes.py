"""Conversations and messages as the widget reads them (contracts/opencx.md 4.2, 4.6), one pure function each; it must
not show what staff write for each other."""

from __future__ import annotations

from typing import Any

import msgspec

from vestibule.conversations.neutralise import neutralise
from vestibule.conversations.visibility import is_internal
from vestibule.model.conversation import Conversation, Message, Sender
from vestibule.times import rfc3339

_NOTHING: dict[str, Any] = {"type": "none"}


class SessionAssignee(msgspec.Struct, frozen=True):
    kind: str
    name: str | None
    avatarUrl: str | None  # noqa: N815 - the wire's names, here and below


class Session(msgspec.Struct, frozen=True):
    """Every member is a function of the stored row: a session that did not change is equal, member for member. The
    widget polls in a tight loop if it is not (contracts/opencx.md section 0.5)."""

    id: str
    ticketNumber: int  # noqa: N815
    title: str | None
    createdAt: str  # noqa: N815
    updatedAt: str  # noqa: N815
    isHandedOff: bool  # noqa: N815
    isOpened: bool  # noqa: N815
    assignee: SessionAssignee
    channel: str
    isVerified: bool  # noqa: N815
    lastMessage: str | None  # noqa: N815
    modeId: str | None  # noqa: N815
    latestStateCheckpointPayload: dict[str, Any] | None  # noqa: N815
    sessionAttributes: dict[str, Any]  # noqa: N815


class Content(msgspec.Struct, frozen=True):
    text: str | None


class RowSender(msgspec.Struct, frozen=True):
    kind: str
    name: str | None
    avatar: str | None


class RowAttachment(msgspec.Struct, frozen=True):
    id: str
    name: str
    size: int
    type: str
    url: str


class HistoryRow(msgspec.Struct, frozen=True):
    publicId: str  # noqa: N815
    type: str
    content: Content
    sender: RowSender
    sentAt: str  # noqa: N815
    actionCalls: tuple[dict[str, Any], ...] | None  # noqa: N815
    attachments: tuple[RowAttachment, ...] | None
    systemMessagePayload: dict[str, Any]  # noqa: N815


def session_of(conversation: Conversation) -> Session:
    last = conversation.last_message
    return Session(
        id=conversation.id,
        ticketNumber=conversation.ticket_number,
        title=conversation.title,
        createdAt=rfc3339(conversation.created_at),
        updatedAt=rfc3339(conversation.updated_at),
        isHandedOff=conversation.handed_off,
        isOpened=conversation.is_open,
        assignee=SessionAssignee(
            conversation.assignee_kind.value, conversation.assignee_name, conversation.assignee_avatar_url
        ),
        channel=conversation.channel,
        isVerified=conversation.verified,
        lastMessage=neutralise(last) if last is not None else None,
        modeId=conversation.mode_id,
        latestStateCheckpointPayload=conversation.checkpoint,
        sessionAttributes=dict(conversation.custom_data),
    )


def history_of(messages: list[Message]) -> list[HistoryRow]:
    """The rows a visitor may see, oldest first: the widget appends what is new in the order it comes."""
    return [_row(message) for message in messages if not is_internal(message)]


def _row(message: Message) -> HistoryRow:
    # The visitor's own text is shown as plain text; everything else as Markdown with HTML.
    text = message.text
    if text is not None and message.sender is not Sender.USER:
        text = neutralise(text)
    # Of the known kinds: what else a row notes for us is under "none".
    payload = message.payload if message.sender is Sender.SYSTEM else None
    if payload is None or payload.get("type") == "none":
        payload = _NOTHING
    return HistoryRow(
        publicId=message.public_id,
        type=message.type,
        content=Content(text),
        sender=RowSender(message.sender.value, message.sender_name, message.sender_avatar_url),
        sentAt=rfc3339(message.sent_at),
        actionCalls=message.action_calls or None,
        attachments=tuple(
            RowAttachment(item.id, item.name, item.size, item.type, item.url) for item in message.attachments
        )
        or None,
        systemMessagePayload=payload,
    )
