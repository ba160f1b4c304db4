"""Who is at the other end of one of the app's sockets, and what they send: rooms, messages, reactions; it must not let
anything be opened by an id that somebody could know who has not got the token.

The app opens one socket for its thread, which joins a room, and one for each message that it shows, which joins none
and names its customer in what it sends. So every event is its sender's by the customer id in it (`customer_ids.py`),
looked up and checked each time; a client that can shows its guest token when it connects. Whoever is refused is told
not to come back by itself: the app would try for ever. What passes by itself is told by a closed connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any, Literal

from vestibule.conversations.admission import Reason, admit_unverified
from vestibule.conversations.visitor import visitor_of
from vestibule.edge.bearer import bearer
from vestibule.edge.contact_bearer import claims_of
from vestibule.edge.http import ClientGone, Request
from vestibule.edge.socket_io import TRY_AGAIN, Broken, Connection, Ended
from vestibule.edge.strict_json import convert
from vestibule.edge.surface import note_refusal
from vestibule.edge.unproven import count_unverified
from vestibule.errors import (
    InvalidContactToken,
    InvalidField,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    RateLimited,
    Unavailable,
    VestibuleError,
)
from vestibule.model.unshown import Unshown
from vestibule.runtime import Runtime
from vestibule.storage import conversations as rows
from vestibule.surfaces.cxgenie.customer_ids import customer_id_of, token_of
from vestibule.surfaces.cxgenie.reader import Reader
from vestibule.surfaces.cxgenie.room import Room
from vestibule.surfaces.cxgenie.shapes import VOTES, message_of, reactions_of
from vestibule.surfaces.cxgenie.thread import NewMessage, Thread

# As many as a person's streams of events (surfaces/native/events.py).
_MOST_ROOMS = 16
_LONGEST_TOKEN = 4096
_SURFACE = "cxgenie"
_log = logging.getLogger(__name__)


class Reaction(Unshown, frozen=True):
    message_id: str
    value: Literal["like", "dislike"]
    customer_id: str | None = None


class Guest:
    """At one socket. `rooms` counts those of all visitors in this process."""

    def __init__(
        self,
        runtime: Runtime,
        thread: Thread,
        request: Request,
        connection: Connection,
        rooms: dict[tuple[str, str], int],
    ) -> None:
        self._runtime = runtime
        self._thread = thread
        self._request = request
        self._connection = connection
        self._rooms = rooms
        self._shown: str | None = None
        self._reader: Reader | None = None
        self._room: Room | None = None
        self._following: asyncio.Task[None] | None = None
        self._events = {
            "room.conversation.join": self._join,
            "room.conversation.leave": self._leave,
            "message.bot.create": self._write,
            "message.reaction.create": self._react,
        }

    async def connected(self, auth: Any) -> None:
        """A token may be shown as the connection's payload, or as any other bearer. Raises MissingCredentials,
        AmbiguousCredentials, InvalidContactToken, RateLimited, WorkspaceDisabled, OriginNotAllowed, LoginRequired."""
        try:
            token = self._token_of(auth)
            if token is not None:
                self._reader = await self._recognised(token, Reason.READ)
        except VestibuleError as error:
            note_refusal(self._request, error)
            raise
        self._shown = token

    def _token_of(self, auth: Any) -> str | None:
        token = auth.get("token") if isinstance(auth, dict) else None
        if token is None and self._request.headers(b"authorization"):
            return bearer(self._request)
        if token is not None and (not isinstance(token, str) or not token.isascii() or len(token) > _LONGEST_TOKEN):
            raise InvalidContactToken(detail="no token", step="form")
        return token

    async def event(self, name: str, argument: Any) -> Any:
        handle = self._events.get(name)
        return await handle(argument) if handle is not None else None

    async def leave(self) -> None:
        """Ends what goes on for this socket."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
            self._room = self._following = None

    async def _join(self, argument: Any) -> Any:
        try:
            reader, token = await self._sender(argument)
        except (Unavailable, RateLimited) as error:
            # The app asks for no acknowledgement, and would hear nothing for as long as its connection lasts.
            note_refusal(self._request, error)
            raise Broken(TRY_AGAIN) from None
        if self._following is None:
            visitor = reader.visitor
            seat = (visitor.workspace_id, visitor.seat)
            if self._rooms.get(seat, 0) >= _MOST_ROOMS:
                # Told, if it listens: closed, it would come back for as long as the others are open.
                raise RateLimited(_MOST_ROOMS, 1, detail="rooms")
            self._rooms[seat] = self._rooms.get(seat, 0) + 1
            self._room = Room(self._runtime, self._thread, self._connection, reader, token)
            self._following = asyncio.create_task(self._follow(self._room))
            self._following.add_done_callback(lambda _: self._free(seat))
        return {"success": True}

    async def _leave(self, argument: Any) -> Any:
        await self._sender(argument)
        await self.leave()
        return {"success": True}

    async def _write(self, argument: Any) -> Any:
        new = convert(argument, NewMessage)
        try:
            author, _ = await self._sender(new.customer_id, Reason.WRITE)
            await self._thread.count(author, self._request)
            done = await self._thread.write(author, new)
        except VestibuleError as error:
            # The app asks for no acknowledgement, and shows what it sends as sent.
            problem = {"message": error.message, "code": error.code}
            await self._connection.emit("message.send_error", {"local_id": new.local_id, "error": problem})
            raise
        if self._room is not None:
            self._room.look()
        message = message_of(done.messages[-1], author, await self._thread.bot_name(author))
        told = {
            "local_id": new.local_id,
            "message_id": message["id"],
            "customer_id": author.customer_id,
            "sending_status": message["sending_status"],
            "meta_tags": [],
        }
        await self._connection.emit("message.send_success", told)
        return message

    async def _react(self, argument: Any) -> Any:
        reaction = convert(argument, Reaction)
        reader, _ = await self._sender(reaction.customer_id, Reason.WRITE)
        await self._thread.count(reader, self._request)
        for chat in await self._thread.chats(reader):
            vote, store = VOTES[reaction.value], self._runtime.store
            if await rows.vote(store, chat.workspace_id, chat.id, reaction.message_id, vote):
                found = await rows.find_message(store, chat.workspace_id, chat.id, reaction.message_id)
                if found is not None:
                    reactions = reactions_of(found, reader)
                    told = {"message": {"id": found.public_id, "reactions": reactions}}
                    await self._connection.emit("message.reaction.created", told)
                    return told
        raise NotFound("There is no such answer.", step="message_id")

    async def _sender(self, customer_id: Any, reason: Reason = Reason.READ) -> tuple[Reader, str]:
        """Whose event it is, and their token. Raises Ended for everybody who may not send, InvalidField,
        StorageUnavailable."""
        if customer_id is not None and not isinstance(customer_id, str):
            raise InvalidField("customer_id", "must be text")
        try:
            return await self._identified(customer_id, reason)
        except (NotAuthenticated, NotAllowed, NotFound) as error:
            await self._refuse(error)
            raise Ended from None

    async def _identified(self, customer_id: str | None, reason: Reason) -> tuple[Reader, str]:
        """By what the connection has shown, or what the event says."""
        token = self._shown if self._shown is not None else await token_of(self._runtime, customer_id or "")
        reader = await self._recognised(token, reason)
        reader.require_own(customer_id)
        if self._reader is not None and self._reader.customer_id != reader.customer_id:
            raise NotFound("There is no such customer.", detail="a socket is one visitor's", step="customer_id")
        self._reader = reader
        return reader, token

    async def _recognised(self, token: str, reason: Reason) -> Reader:
        """Raises InvalidContactToken, RateLimited, WorkspaceDisabled, OriginNotAllowed, LoginRequired."""
        claims = await claims_of(self._runtime, self._request, token)
        found = visitor_of(claims)
        if not found.verified:
            await self._admit(found.workspace_id, reason)
        return Reader(found, customer_id_of(claims.org_id, token))

    async def _admit(self, workspace_id: str, reason: Reason) -> None:
        """Each event is counted, as each request is elsewhere (`app.py`): before login is enforced its operator sees
        there what that would refuse. Raises LoginRequired."""
        facts: dict[str, str | int] = {}
        try:
            await admit_unverified(self._runtime, workspace_id, reason, facts)
        finally:
            if facts:  # else it could not be told
                self._request.facts |= facts
                count_unverified(self._runtime.audit, self._request, _SURFACE)

    async def _follow(self, room: Room) -> None:
        try:
            await room.follow()
        except ClientGone:
            pass
        except VestibuleError as error:
            await self._refuse(error)
            await self._connection.end()
        except Exception:
            _log.exception("unexpected error", extra={"surface": _SURFACE})
            await self._connection.end()

    async def _refuse(self, error: VestibuleError) -> None:
        """Notes why, and tells a client that listens for it; the app does not."""
        note_refusal(self._request, error)
        with contextlib.suppress(ClientGone):
            await self._connection.emit("refused", {"message": error.message, "code": error.code})

    def _free(self, seat: tuple[str, str]) -> None:
        self._rooms[seat] -= 1
        if not self._rooms[seat]:
            del self._rooms[seat]
