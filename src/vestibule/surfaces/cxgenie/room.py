"""Follows one visitor's thread and tells a socket of what is new in it; it must not outlive the token that opened it.

As with the native API's events, changes of this process come at once and those of others within a second, when the
token and the chats are looked at anew. What was said in the last half minute is told once more to whoever joins: the
app reads its messages and joins at the same moment, and tries again by itself after a lost network, without reading. It
leaves out what it has, by `local_id`.
"""

from __future__ import annotations

import asyncio
import contextlib

from vestibule.clock import SECOND_MS, now_ms
from vestibule.conversations.admission import Reason, admit_unverified
from vestibule.conversations.visitor import recognise
from vestibule.edge.socket_io import Connection
from vestibule.errors import Unavailable
from vestibule.model.conversation import Conversation, Message, Sender
from vestibule.runtime import Runtime
from vestibule.storage import responder_jobs as jobs
from vestibule.surfaces.cxgenie.reader import Reader
from vestibule.surfaces.cxgenie.shapes import message_of
from vestibule.surfaces.cxgenie.thread import Thread

_LOOK_SECONDS = 1.0
_AGAIN_MS = 30 * SECOND_MS
# Of each chat; a long one is not read through for that.
_MOST_AGAIN = 100


class Room:
    """Of one socket."""

    def __init__(self, runtime: Runtime, thread: Thread, connection: Connection, reader: Reader, token: str) -> None:
        self._runtime = runtime
        self._thread = thread
        self._connection = connection
        self._reader = reader
        self._token = token
        self._since = now_ms() - _AGAIN_MS
        self._latest = ""
        # By chat: the version that was looked at, and the last message then.
        self._seen: dict[str, tuple[int, int]] = {}
        # What the visitor said last: its chat, and its number there.
        self._asked: tuple[str, int] | None = None
        self._typing = False
        self._changed: asyncio.Event | None = None

    def __repr__(self) -> str:
        return f"Room({self._reader})"

    def look(self) -> None:
        """At once: this socket has written, perhaps the first message of a new chat."""
        if self._changed is not None:
            self._changed.set()

    async def follow(self) -> None:
        """Until the process stops. Raises InvalidContactToken, WorkspaceDisabled, LoginRequired where this reader may
        not look any more, ClientGone."""
        live, workspace_id = self._runtime.live, self._reader.visitor.workspace_id
        while not live.ended:
            # Only the latest chat changes at once; another is noticed within a second, and waited for from then on.
            latest = self._latest
            with live.waiting(workspace_id, latest) as changed:
                self._changed = changed
                while not live.ended:
                    # Before the look: what changes during it is looked at once more.
                    changed.clear()
                    with contextlib.suppress(Unavailable):
                        await self._look()
                    if self._latest != latest:
                        break
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_LOOK_SECONDS):
                            await changed.wait()

    async def _look(self) -> None:
        await recognise(self._runtime, self._token)
        visitor = self._reader.visitor
        if not visitor.verified:
            await admit_unverified(self._runtime, visitor.workspace_id, Reason.READ, {})
        chats = await self._thread.chats(self._reader)
        news: list[Message] = []
        for chat in chats:
            news += await self._news(chat)
        news.sort(key=lambda message: (message.sent_at, message.conversation_id, message.seq))
        name = await self._thread.bot_name(self._reader) if news else ""
        for message in news:
            if message.sender is Sender.USER:
                self._asked = (message.conversation_id, message.seq)
            else:
                await self._tell_typing(is_typing=False)
            await self._connection.emit("message.created", message_of(message, self._reader, name))
        self._latest = chats[0].id if chats else ""
        await self._tell_typing(is_typing=await self._is_answered(chats))

    async def _is_answered(self, chats: list[Conversation]) -> bool:
        """Whether an answer to what the visitor said last is on its way, from wherever in the cluster it is made. That
        it ends need not be news here: people take over or close the chat, or a responder has nothing to say."""
        if self._asked is None:
            return False
        chat_id, seq = self._asked
        chat = next((each for each in chats if each.id == chat_id), None)
        if (
            chat is not None
            and chat.is_open
            and not chat.handed_off
            and await jobs.exists(self._runtime.store, chat.workspace_id, chat.id, seq)
        ):
            return True
        self._asked = None  # an idle chat is not to be asked about at every look
        return False

    async def _news(self, chat: Conversation) -> list[Message]:
        known = self._seen.get(chat.id)
        if known is not None and known[0] == chat.version:
            return []
        if known is None and chat.updated_at < self._since:
            messages = []
        else:
            after = known[1] if known is not None else max(0, chat.next_seq - 1 - _MOST_AGAIN)
            messages = await self._thread.messages(chat, after=after)
        # The row was read before the messages, so it may be the older: the next look then reads behind them.
        last = max([chat.next_seq - 1, *(message.seq for message in messages)])
        self._seen[chat.id] = (chat.version, last)
        return [message for message in messages if known is not None or message.sent_at >= self._since]

    async def _tell_typing(self, *, is_typing: bool) -> None:
        if is_typing is not self._typing:
            self._typing = is_typing
            await self._connection.emit("is_typing", {"customer_id": self._reader.customer_id, "is_typing": is_typing})
