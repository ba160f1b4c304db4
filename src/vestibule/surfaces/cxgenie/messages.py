"""What was said, what the visitor says, and their rating, over HTTP; it must not decide whose they are."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vestibule.conversations import course
from vestibule.edge.bearer import bearer
from vestibule.edge.http import Reply, Request
from vestibule.edge.strict_json import decode
from vestibule.edge.surface import Route
from vestibule.errors import InvalidField, NotFound
from vestibule.ids import new_id
from vestibule.model.conversation import Message, Sender
from vestibule.model.unshown import Unshown
from vestibule.runtime import Runtime
from vestibule.surfaces.cxgenie.customer_ids import keep
from vestibule.surfaces.cxgenie.dialect import data_reply
from vestibule.surfaces.cxgenie.reader import reader_of
from vestibule.surfaces.cxgenie.shapes import message_of
from vestibule.surfaces.cxgenie.thread import NewMessage, Thread

_PAGE, _LARGEST_PAGE = 500, 1000
_RATINGS = {str(score): score for score in range(course.LOWEST_SCORE, course.HIGHEST_SCORE + 1)}


class Feedback(Unshown, frozen=True):
    rating: str
    customer_id: str | None = None


class Messages:
    """The handlers."""

    def __init__(self, runtime: Runtime, thread: Thread) -> None:
        self._runtime = runtime
        self._thread = thread
        self._new = msgspec.json.Decoder(NewMessage)
        self._feedback = msgspec.json.Decoder(Feedback)

    def routes(self) -> Sequence[Route]:
        below = "/api/v1/messages/guest-auth"
        return [
            Route("GET", f"{below}/customer", self.history),
            Route("POST", f"{below}/bot", self.send),
            Route("POST", f"{below}/flows/feedbacks", self.feedback),
        ]

    async def history(self, request: Request) -> Reply:
        reader = await reader_of(self._runtime, request)
        reader.require_own(request.query("customer_id"))
        visitor = reader.visitor
        if not visitor.verified:
            # The app reads whenever it comes to the front, and then joins its room.
            token, contact_id = bearer(request), visitor.contact_id
            await keep(self._runtime, visitor.workspace_id, token, contact_id=contact_id, life=None)
        most, offset = _number(request, "limit", _PAGE, _LARGEST_PAGE), _number(request, "offset", 0, 2**31)
        found: list[Message] = []
        for chat in await self._thread.chats(reader):
            found += await self._thread.messages(chat)
        found.sort(key=lambda message: (message.sent_at, message.conversation_id, message.seq))
        hide_system = request.query("remove_system_message") in {"true", "1"}
        shown = [message for message in found if not (hide_system and message.sender is Sender.SYSTEM)]
        if request.query("order") != "asc":
            shown.reverse()
        name = await self._thread.bot_name(reader)
        page = [message_of(message, reader, name) for message in shown[offset : offset + most]]
        return data_reply({"messages": page, "total": len(shown)})

    async def send(self, request: Request) -> Reply:
        """Ours where the client's own way is Socket.IO, in the words of its REST call of earlier."""
        author = await reader_of(self._runtime, request)
        await self._thread.count(author, request)
        payload = decode(await self._body(request), self._new)
        author.require_own(payload.customer_id)
        done = await self._thread.write(author, payload)
        return data_reply(message_of(done.messages[-1], author, await self._thread.bot_name(author)))

    async def feedback(self, request: Request) -> Reply:
        author = await reader_of(self._runtime, request)
        payload = decode(await self._body(request), self._feedback)
        author.require_own(payload.customer_id)
        if payload.rating not in _RATINGS:
            raise InvalidField("rating", "must be 1, 2, 3, 4 or 5, as text")
        chat = await self._thread.latest(author)
        if chat is None:
            raise NotFound("There is no chat to rate.", step="feedback")
        await course.rate(self._runtime, chat, score=_RATINGS[payload.rating], feedback=None, public_id=new_id())
        return data_reply({"success": True})

    async def _body(self, request: Request) -> bytes:
        settings = self._runtime.settings
        return await request.body(most=settings.max_body_bytes, within=settings.body_timeout / 1000)


def _number(request: Request, name: str, default: int, high: int) -> int:
    text = request.query(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise InvalidField(name, "must be a whole number")
    return min(int(text), high)
