"""What was said, what the visitor says, and their rating: as one thread, as the app shows it; it must not wait for an
answer."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vestibule.conversations import course
from vestibule.conversations.files import Reference, attachments_of
from vestibule.conversations.opening import list_conversations
from vestibule.conversations.start import start_conversation
from vestibule.conversations.visibility import is_internal
from vestibule.conversations.visitor import Visitor
from vestibule.edge.contact_bearer import visitor
from vestibule.edge.http import Reply, Request
from vestibule.edge.message_limits import count_message
from vestibule.edge.strict_json import decode
from vestibule.edge.surface import Route
from vestibule.errors import InvalidField, NotFound
from vestibule.identity import profile_rules as rules
from vestibule.ids import is_id, new_id
from vestibule.model.conversation import Conversation, Message, Sender
from vestibule.responder.posting import Written, post
from vestibule.responder.runner import Runner
from vestibule.runtime import Runtime
from vestibule.storage import conversations as rows
from vestibule.surfaces.cxgenie.dialect import data_reply
from vestibule.surfaces.cxgenie.shapes import message_of

_CHANNEL = "cxgenie"
_LONGEST_TEXT = 32_768
_MOST_CHATS = 10
_PAGE, _LARGEST_PAGE = 500, 1000
_RATINGS = {str(score): score for score in range(course.LOWEST_SCORE, course.HIGHEST_SCORE + 1)}


class Media(msgspec.Struct, frozen=True):
    """A file that this visitor has uploaded; its type is known since then."""

    url: str


class NewMessage(msgspec.Struct, frozen=True):
    """`local_id`: the client's own; where it is a UUID, a repeated message is stored once."""

    content: str = ""
    local_id: str | None = None
    media: tuple[Media, ...] | None = None
    customer_id: str | None = None


class Feedback(msgspec.Struct, frozen=True):
    rating: str
    customer_id: str | None = None


class Messages:
    """The handlers."""

    def __init__(self, runtime: Runtime, runner: Runner) -> None:
        self._runtime = runtime
        self._runner = runner
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
        reader = await visitor(self._runtime, request)
        _require_own(reader, request.query("customer_id"))
        most, offset = _number(request, "limit", _PAGE, _LARGEST_PAGE), _number(request, "offset", 0, 2**31)
        found: list[Message] = []
        for chat in await self._chats(reader, _MOST_CHATS):
            found += await rows.history(self._runtime.store, chat.workspace_id, chat.id)
        found.sort(key=lambda message: (message.sent_at, message.conversation_id, message.seq))
        hide_system = request.query("remove_system_message") in {"true", "1"}
        shown = [
            message
            for message in found
            if not is_internal(message)
            and (message.text or message.attachments)
            and not (hide_system and message.sender is Sender.SYSTEM)
        ]
        if request.query("order") != "asc":
            shown.reverse()
        name = await self._bot_name(reader)
        page = [message_of(message, reader, name) for message in shown[offset : offset + most]]
        return data_reply({"messages": page, "total": len(shown)})

    async def send(self, request: Request) -> Reply:
        """Ours where the client's own way is Socket.IO, in the words of its REST call of earlier."""
        author = await visitor(self._runtime, request)
        await count_message(self._runtime, author, request)
        payload = decode(await self._body(request), self._new)
        _require_own(author, payload.customer_id)
        text = rules.text("content", payload.content, _LONGEST_TEXT)
        if not text.strip() and not payload.media:
            raise InvalidField("content", "must not be empty without media")
        references = [Reference("", item.url) for item in payload.media or ()]
        attachments = await attachments_of(self._runtime, author, references, field="media.url")
        local_id = (payload.local_id or "").lower()
        written = Written(text, local_id if is_id(local_id) else new_id(), attachments)
        chat = await self._chat(author)
        if chat is None or not chat.is_open:
            chat = await start_conversation(
                self._runtime, author, scope=_scope(author), custom_data={}, channel=_CHANNEL
            )
        done = await post(self._runtime, self._runner, author, chat, written)
        return data_reply(message_of(done.messages[-1], author, await self._bot_name(author)))

    async def feedback(self, request: Request) -> Reply:
        author = await visitor(self._runtime, request)
        payload = decode(await self._body(request), self._feedback)
        _require_own(author, payload.customer_id)
        if payload.rating not in _RATINGS:
            raise InvalidField("rating", "must be 1, 2, 3, 4 or 5, as text")
        chat = await self._chat(author)
        if chat is None:
            raise NotFound("There is no chat to rate.", step="feedback")
        await course.rate(self._runtime, chat, score=_RATINGS[payload.rating], feedback=None, public_id=new_id())
        return data_reply({"success": True})

    async def _chat(self, reader: Visitor) -> Conversation | None:
        """The visitor's latest chat, open or not."""
        found = await self._chats(reader, 1)
        return found[0] if found else None

    async def _chats(self, reader: Visitor, most: int) -> list[Conversation]:
        found, _ = await list_conversations(self._runtime, reader, scope=_scope(reader), most=most)
        return found

    async def _bot_name(self, reader: Visitor) -> str:
        workspace = await self._runtime.tenancy.by_id(reader.workspace_id)
        return workspace.name if workspace is not None else ""

    async def _body(self, request: Request) -> bytes:
        settings = self._runtime.settings
        return await request.body(most=settings.max_body_bytes, within=settings.body_timeout / 1000)


def _scope(reader: Visitor) -> str:
    """Where this wire's chats of a visitor are. A guest's is of this very token: whoever types the same e-mail has the
    same contact, and must not find what another device wrote (DESIGN rule 2.4)."""
    if reader.verified:
        return _CHANNEL
    return f"{_CHANNEL}:{reader.token_id}"


def _require_own(reader: Visitor, customer_id: str | None) -> None:
    """The client names its customer everywhere. It is no key: the guest token says who reads."""
    if customer_id is not None and customer_id.lower() != reader.contact_id:
        raise NotFound("There is no such customer.", step="customer_id")


def _number(request: Request, name: str, default: int, high: int) -> int:
    text = request.query(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise InvalidField(name, "must be a whole number")
    return min(int(text), high)
