"""`/v1/conversations/{id}/events`: tells of messages and changes as they happen (HTML standard, server-sent events); it
must not outlive the token that it was opened with.

An event's id is `<version>.<seq>`: how far its reader has come. Told again in `Last-Event-ID` it resumes without a gap
and without a repetition. Changes come at once, those of other processes over the wire of `live.py`. Besides, the
conversation is looked at anew every one or two seconds, and with it the token and whether it may still be seen.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from vestibule.clock import elapsed
from vestibule.conversations.admission import Reason, admit_unverified
from vestibule.conversations.opening import open_conversation
from vestibule.conversations.visibility import is_internal
from vestibule.conversations.visitor import Visitor, recognise
from vestibule.edge.bearer import bearer
from vestibule.edge.contact_bearer import visitor
from vestibule.edge.http import Reply, Request
from vestibule.edge.operation import Answer, Operation, Parameter
from vestibule.edge.parameters import number
from vestibule.edge.streaming import StreamedReply
from vestibule.edge.surface import Route
from vestibule.errors import InvalidField, NotFound, RateLimited, Unavailable, VestibuleError
from vestibule.model.conversation import Conversation
from vestibule.runtime import Runtime
from vestibule.storage import conversations as rows
from vestibule.surfaces.native.conversations import CONVERSATION_ID, ONE
from vestibule.surfaces.native.shapes import conversation_of, message_of

MOST_STREAMS = 16
_HEARTBEAT_SECONDS = 15.0
_RETRY_MS = 2000
_PLACE = re.compile(r"(\d{1,16})\.(\d{1,16})")
_FROM_NOW = -1
_HEADERS = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store, no-transform"),
    (b"x-content-type-options", b"nosniff"),
    # Proxies that collect an answer before they pass it on would hold the events back.
    (b"x-accel-buffering", b"no"),
)
_LINE_ENDS = tuple((end.encode(), f"\\u{ord(end):04x}".encode()) for end in ("\x85", "\u2028", "\u2029"))
_ENCODER = msgspec.json.Encoder()


class Place(msgspec.Struct):
    """How far a reader has come."""

    version: int
    seq: int


class Events:
    """The handler, and how many streams it holds open."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._open: dict[tuple[str, str], int] = {}

    def routes(self) -> Sequence[Route]:
        return [Route("GET", f"{ONE}/events", self.events, _EVENTS)]

    async def events(self, request: Request) -> Reply:
        token = bearer(request)
        viewer = await visitor(self._runtime, request)
        told = _told(request)
        after = number(request, "after", default=_FROM_NOW)
        conversation = await open_conversation(self._runtime, viewer, request.params["conversation_id"])
        place = told or Place(0, after if after != _FROM_NOW else conversation.next_seq - 1)
        place.seq = min(place.seq, conversation.next_seq - 1)
        seat = (viewer.workspace_id, viewer.seat)
        self._take(seat)
        pieces = self._stream(token, viewer, conversation.id, place)
        return StreamedReply(request, 200, pieces, _HEADERS, end=lambda: self._leave(seat))

    async def _stream(
        self, token: str, viewer: Visitor, conversation_id: str, place: Place
    ) -> AsyncGenerator[bytes, None]:
        yield f"retry: {_RETRY_MS}\n\n".encode()
        live = self._runtime.live
        with live.waiting(viewer.workspace_id, conversation_id) as changed:
            quiet_since = elapsed()
            while not live.ended:
                # Before the look: what changes during it is looked at once more.
                changed.clear()
                try:
                    news = await self._look(token, viewer, conversation_id, place)
                except Unavailable:
                    news = b""  # the reader stays; who comes anew could not be let in now
                except VestibuleError:
                    return
                if not news and elapsed() - quiet_since >= _HEARTBEAT_SECONDS:
                    news = b":\n\n"
                if news:
                    quiet_since = elapsed()
                    yield news
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(live.patience):
                        await changed.wait()

    async def _look(self, token: str, viewer: Visitor, conversation_id: str, place: Place) -> bytes:
        """The events since `place`, which moves on. Raises InvalidContactToken, WorkspaceDisabled, LoginRequired,
        NotFound where this reader may not look any more."""
        await recognise(self._runtime, token)
        if not viewer.verified:
            await admit_unverified(self._runtime, viewer.workspace_id, Reason.READ, {})
        conversation = await open_conversation(self._runtime, viewer, conversation_id)
        if conversation.version == place.version:
            return b""
        return await self._news(conversation, place)

    async def _news(self, conversation: Conversation, place: Place) -> bytes:
        """Messages first: a reader that breaks off between them is not told that it has seen the version."""
        messages = await rows.history(self._runtime.store, conversation.workspace_id, conversation.id, after=place.seq)
        news = []
        for message in messages:
            place.seq = message.seq
            if not is_internal(message):
                news.append(_event("message", place, message_of(message)))
        # The row was read before the messages, so it may be the older: the next look then tells of it again.
        place.version = conversation.version
        news.append(_event("conversation", place, conversation_of(conversation)))
        return b"".join(news)

    def _take(self, seat: tuple[str, str]) -> None:
        taken = self._open.get(seat, 0)
        if taken >= MOST_STREAMS:
            raise RateLimited(MOST_STREAMS, 1, detail="event streams")
        self._open[seat] = taken + 1

    def _leave(self, seat: tuple[str, str]) -> None:
        self._open[seat] -= 1
        if not self._open[seat]:
            del self._open[seat]


def _event(kind: str, place: Place, data: Any) -> bytes:
    head = f"id: {place.version}.{place.seq}\nevent: {kind}\ndata: ".encode()
    # JSON escapes the line ends of the standard. Readers that split at all of Unicode's must not break it either.
    body = _ENCODER.encode(data)
    for raw, escaped in _LINE_ENDS:
        body = body.replace(raw, escaped)
    return head + body + b"\n\n"


def _told(request: Request) -> Place | None:
    """Where the reader says it was. An empty id is none (HTML standard, 9.2.6). Raises InvalidField."""
    values = request.headers(b"last-event-id")
    if not values or not values[0]:
        return None
    match = _PLACE.fullmatch(values[0].decode("latin-1")) if len(values) == 1 else None
    if match is None:
        raise InvalidField("Last-Event-ID", "is not one that this service gave out")
    return Place(int(match[1]), int(match[2]))


_EVENTS = Operation(
    name="streamEvents",
    summary="Follow a conversation as server-sent events",
    about="Events are `message`, with a Message as data, and `conversation`, with the Conversation after a change. It"
    " begins with the conversation as it is; messages before now are told only with `after` or `Last-Event-ID`. A"
    " comment keeps an idle stream open. It ends when the token does. Browsers' EventSource cannot send the token: read"
    " it with fetch.",
    parameters=(
        CONVERSATION_ID,
        Parameter(
            name="after",
            location="query",
            about="Tells messages whose `seq` is greater; 0 tells all.",
            type=Annotated[int, Meta(ge=0, le=2**53)],
        ),
        Parameter(
            name="Last-Event-ID",
            location="header",
            about="The id of the last event that was seen; resumes behind it, and goes before `after`.",
            type=Annotated[str, Meta(extra_json_schema={"pattern": r"^(\d{1,16}\.\d{1,16})?$"})],
        ),
    ),
    answers=(Answer(about="Events, until the reader hangs up.", type=str, media_type="text/event-stream"),),
    errors=(InvalidField, NotFound, RateLimited),
)
