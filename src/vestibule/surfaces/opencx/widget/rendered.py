"""Keeps what idle chats are shown at every poll, rendered, within so much memory; it must not render or send it."""

from __future__ import annotations

import msgspec

from vestibule.model.conversation import Conversation

# Of one worker. Histories may be long, so bytes are counted; most are short, and then each takes as much again.
_MOST_BYTES = 16 * 1024 * 1024
_MOST_CHATS = 4_096


class Rendered(msgspec.Struct, frozen=True, eq=False):
    """A conversation with its history as its body is sent, and the body's tag."""

    version: int
    tag: bytes
    body: bytes


class RenderedChats:
    """What was kept first is forgotten first."""

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most = most_bytes
        self._bytes = 0
        self._kept: dict[tuple[str, str], Rendered] = {}

    def find(self, conversation: Conversation) -> Rendered | None:
        """As the conversation is now, or None."""
        found = self._kept.get((conversation.workspace_id, conversation.id))
        return found if found is not None and found.version == conversation.version else None

    def keep(self, conversation: Conversation, rendered: Rendered) -> None:
        key = (conversation.workspace_id, conversation.id)
        former = self._kept.pop(key, None)
        self._bytes += len(rendered.body) - (len(former.body) if former is not None else 0)
        self._kept[key] = rendered
        while self._bytes > self._most or len(self._kept) > _MOST_CHATS:
            self._bytes -= len(self._kept.pop(next(iter(self._kept))).body)
