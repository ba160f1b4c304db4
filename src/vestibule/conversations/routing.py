"""Moves a conversation to a queue; it must not decide who may come in."""

from __future__ import annotations

import msgspec

from vestibule.conversations.messages import Keeper, append
from vestibule.model.conversation import Conversation


async def move(keeper: Keeper, conversation: Conversation, queue_key: str) -> Conversation:
    """The conversation in the queue; nothing happens where it is there already. Raises ConversationClosed, NotFound,
    StorageUnavailable."""
    if conversation.queue_key == queue_key:
        return conversation
    moved = await append(
        keeper, conversation, [], change=lambda current: msgspec.structs.replace(current, queue_key=queue_key)
    )
    return moved.conversation
