"""A chat once it is routed, and what a queue is: messages, the end, opening hours. The shapes are ours; Puzzel has
published none. It must not identify anybody."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import msgspec

from vestibule.clock import now_ms
from vestibule.conversations import course, queues
from vestibule.conversations.admission import admit_call
from vestibule.conversations.attach_identity import open_as
from vestibule.conversations.visibility import is_internal
from vestibule.conversations.visitor import Visitor
from vestibule.edge.bearer import bearer
from vestibule.edge.contact_bearer import admit, check_again
from vestibule.edge.http import Reply, Request, json_reply
from vestibule.edge.message_limits import count_message
from vestibule.edge.request_limits import count_stranger
from vestibule.edge.strict_json import decode
from vestibule.edge.surface import Route
from vestibule.errors import InvalidField, NotFound
from vestibule.identity import profile_rules as rules
from vestibule.ids import is_id, new_id
from vestibule.model.conversation import Conversation, Message, Sender, Trust
from vestibule.model.queue import DAYS, Queue
from vestibule.responder.posting import Written, post
from vestibule.responder.runner import Runner
from vestibule.runtime import Runtime
from vestibule.storage import conversations as rows
from vestibule.surfaces.puzzel import caller

_LONGEST_TEXT = 32_768
_LARGEST_SEQ = 2**53
_CONVERSATION = "/api/conversation/{conversation_id}"


class NewMessage(msgspec.Struct, frozen=True):
    """`id` is the client's own UUID: a repeated one is stored once. Without it a repeated request is a new message."""

    text: str
    id: str | None = None


class _Message(msgspec.Struct, frozen=True):
    """`trust` is what was proven of the author when this was written."""

    id: str
    seq: int
    type: str
    sender: Sender
    senderName: str | None  # noqa: N815 - the wire's way of writing
    trust: Trust
    text: str | None
    sentAt: int  # noqa: N815


class _Messages(msgspec.Struct, frozen=True):
    conversationId: str  # noqa: N815
    status: str
    items: list[_Message]


class _Ended(msgspec.Struct, frozen=True):
    conversationId: str  # noqa: N815
    status: str


class _Hours(msgspec.Struct, frozen=True):
    days: list[str]
    opens: str
    closes: str


class _Queue(msgspec.Struct, frozen=True):
    """`opensAt` is epoch milliseconds, of a closed queue."""

    queueKey: str  # noqa: N815
    name: str
    open: bool
    opensAt: int | None  # noqa: N815
    identifiedOnly: bool  # noqa: N815
    timeZone: str  # noqa: N815
    openingHours: list[_Hours]  # noqa: N815


_NEW = msgspec.json.Decoder(NewMessage)
_ENCODER = msgspec.json.Encoder()


class Chat:
    """The handlers."""

    def __init__(self, runtime: Runtime, runner: Runner) -> None:
        self._runtime = runtime
        self._runner = runner

    def routes(self) -> Sequence[Route]:
        return [
            Route("POST", f"{_CONVERSATION}/message", self.send),
            Route("GET", f"{_CONVERSATION}/messages", self.history),
            Route("POST", f"{_CONVERSATION}/end", self.end),
            Route("GET", "/api/queue/info/{queue_key}", self.queue_info),
        ]

    async def send(self, request: Request) -> Reply:
        settings = self._runtime.settings
        author, conversation = await self._open(request)
        await count_message(self._runtime, author, request)
        body = await request.body(most=settings.max_body_bytes, within=settings.body_timeout / 1000)
        new = decode(body, _NEW)
        public_id = new_id() if new.id is None else new.id.lower()
        if not is_id(public_id):
            raise InvalidField("id", "must be a UUID")
        if not new.text.strip():
            raise InvalidField("text", "must not be empty")
        text = rules.text("text", new.text, _LONGEST_TEXT)
        done = await post(self._runtime, self._runner, author, conversation, Written(text, public_id))
        return json_reply(200 if done.duplicate else 201, _ENCODER.encode(_message_of(done.messages[-1])))

    async def history(self, request: Request) -> Reply:
        after = request.query("after") or "0"
        if not (after.isascii() and after.isdigit() and len(after) <= 16 and int(after) <= _LARGEST_SEQ):
            raise InvalidField("after", "must be a whole number")
        _, conversation = await self._open(request)
        found = await rows.history(self._runtime.store, conversation.workspace_id, conversation.id, after=int(after))
        items = [_message_of(message) for message in found if not is_internal(message)]
        answer = _Messages(request.params["conversation_id"], conversation.status.value, items)
        return json_reply(200, _ENCODER.encode(answer))

    async def end(self, request: Request) -> Reply:
        _, conversation = await self._open(request)
        closed = await course.resolve(self._runtime, conversation, by="contact")
        return json_reply(200, _ENCODER.encode(_Ended(request.params["conversation_id"], closed.status.value)))

    async def queue_info(self, request: Request) -> Reply:
        """Public, like the opening hours on a shop's door: without a bearer the customer is named."""
        workspace_id = await self._workspace(request)
        queue = await queues.find_queue(self._runtime.store, workspace_id, request.params["queue_key"])
        return json_reply(200, _ENCODER.encode(_queue_of(queue, now_ms())))

    async def _open(self, request: Request) -> tuple[Visitor, Conversation]:
        """The visitor as who they are in this conversation. Raises NotFound, LoginRequired."""
        visitor = await caller.visitor(self._runtime, request)
        conversation_id = caller.conversation_id(visitor.workspace_id, request)
        acting, conversation = await open_as(self._runtime, visitor, conversation_id)
        await admit(self._runtime, request, acting)
        request.again = partial(self._check_again, visitor)
        return acting, conversation

    async def _check_again(self, visitor: Visitor, request: Request) -> None:
        """Not their token alone may have ended: who was a person here may be nobody by now (`clear_identity`)."""
        await check_again(self._runtime, bearer(request), request)
        await open_as(self._runtime, visitor, caller.conversation_id(visitor.workspace_id, request))

    async def _workspace(self, request: Request) -> str:
        customer_id = request.query("customerId")
        if customer_id is None:
            return (await caller.visitor(self._runtime, request)).workspace_id
        count_stranger(self._runtime, request)
        workspace = await self._runtime.tenancy.by_customer_id(customer_id)
        if workspace is None or workspace.disabled_at is not None:
            raise NotFound("There is no such queue.", step="customer")
        await admit_call(self._runtime, workspace.id, request.headers(b"origin"))
        return workspace.id


def _message_of(message: Message) -> _Message:
    return _Message(
        id=message.public_id,
        seq=message.seq,
        type=message.type,
        sender=message.sender,
        senderName=message.sender_name,
        trust=message.trust,
        text=message.text,
        sentAt=message.sent_at,
    )


def _queue_of(queue: Queue, now: int) -> _Queue:
    settings = queue.settings
    return _Queue(
        queueKey=queue.key,
        name=settings.name,
        open=queues.is_open(settings, now),
        opensAt=queues.opens_at(settings, now),
        identifiedOnly=settings.identified_only,
        timeZone=settings.time_zone,
        openingHours=[
            _Hours([DAYS[day] for day in hours.days], queues.clock_text(hours.opens), queues.clock_text(hours.closes))
            for hours in settings.hours
        ],
    )
