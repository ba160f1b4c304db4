"""A visitor's chats as the one thread that the app shows, and what they write into it, whichever way it comes; it must
not wait for an answer."""

from __future__ import annotations

import contextlib

import msgspec

from vestibule.conversations.files import Reference, attachments_of
from vestibule.conversations.messages import Appended
from vestibule.conversations.opening import list_conversations
from vestibule.conversations.start import start_conversation
from vestibule.conversations.visibility import is_internal
from vestibule.edge.http import Request
from vestibule.edge.message_limits import count_message
from vestibule.errors import ConversationFull, InvalidField
from vestibule.identity import profile_rules as rules
from vestibule.ids import is_id, new_id
from vestibule.model.conversation import Conversation, Message
from vestibule.model.unshown import Unshown
from vestibule.responder.posting import Written, post
from vestibule.responder.runner import Runner
from vestibule.runtime import Runtime
from vestibule.storage import conversations as rows
from vestibule.surfaces.cxgenie.reader import CHANNEL, Reader

MOST_CHATS = 10
_LONGEST_TEXT = 32_768


class Media(msgspec.Struct, frozen=True):
    """A file that this visitor has uploaded; its type is known since then."""

    url: str


class NewMessage(Unshown, frozen=True):
    """`local_id`: the client's own. Where it is a UUID it is the message's id as it is spelt, since clients look for it
    to the letter, and a repeated message is stored once."""

    content: str = ""
    local_id: str | None = None
    media: tuple[Media, ...] | None = None
    customer_id: str | None = None


def is_shown(message: Message) -> bool:
    return not is_internal(message) and bool(message.text or message.attachments)


class Thread:
    """Of all visitors; one per surface."""

    def __init__(self, runtime: Runtime, runner: Runner) -> None:
        self._runtime = runtime
        self._runner = runner

    async def chats(self, reader: Reader, most: int = MOST_CHATS) -> list[Conversation]:
        """The latest first, open or not."""
        found, _ = await list_conversations(self._runtime, reader.visitor, scope=reader.scope, most=most)
        return found

    async def latest(self, reader: Reader) -> Conversation | None:
        """The one that the visitor is in: something may still come into an older one, which is closed."""
        return max(await self.chats(reader), key=lambda chat: chat.created_at, default=None)

    async def messages(self, chat: Conversation, *, after: int = 0) -> list[Message]:
        """What a visitor is shown of a chat that they may see."""
        found = await rows.history(self._runtime.store, chat.workspace_id, chat.id, after=after)
        return [message for message in found if is_shown(message)]

    async def bot_name(self, reader: Reader) -> str:
        workspace = await self._runtime.tenancy.by_id(reader.visitor.workspace_id)
        return workspace.name if workspace is not None else ""

    async def count(self, reader: Reader, request: Request) -> None:
        """Before a message is looked into. Raises RateLimited, StorageUnavailable."""
        await count_message(self._runtime, reader.visitor, request)

    async def write(self, author: Reader, new: NewMessage) -> Appended:
        """Into the latest chat, or a new one where that is closed or full: to the app all of them are one thread.
        Raises InvalidField, and what `post` does."""
        text = rules.text("content", new.content, _LONGEST_TEXT)
        if not text.strip() and not new.media:
            raise InvalidField("content", "must not be empty without media")
        visitor = author.visitor
        references = [Reference("", item.url) for item in new.media or ()]
        attachments = await attachments_of(self._runtime, visitor, references, field="media.url")
        chats = await self.chats(author)
        latest = next((chat for chat in chats if chat.is_open), None)
        local_id = new.local_id or ""
        own = is_id(local_id.lower())
        if own:
            known = await self._known([chat for chat in chats if chat is not latest], local_id)
            if known is None and local_id != local_id.lower():
                known = await self._known(chats, local_id.lower())
            if known is not None:
                return known
        written = Written(text, local_id if own else new_id(), attachments)
        if latest is not None:
            with contextlib.suppress(ConversationFull):
                return await post(self._runtime, self._runner, visitor, latest, written)
        chat = await start_conversation(self._runtime, visitor, scope=author.scope, custom_data={}, channel=CHANNEL)
        return await post(self._runtime, self._runner, visitor, chat, written)

    async def _known(self, chats: list[Conversation], public_id: str) -> Appended | None:
        """A message that went into another chat than the one that is written into now: since its answer was lost, its
        own was closed, or filled."""
        for chat in chats:
            found = await rows.find_message(self._runtime.store, chat.workspace_id, chat.id, public_id)
            if found is not None:
                return Appended(chat, (found,), duplicate=True)
        return None
