"""Speaks Socket.IO 5 over Engine.IO 4 on a WebSocket: packets, signs of life, acknowledgements; it must not know an
event or who sends it.

Of the protocols this is what a client needs that names `websocket` as its only transport: one namespace, texts, no
polling (whose requests would have to find the same process each time) and no binary attachments. Events are taken one
after the other, so a client that sends faster than it is served waits in its own buffer.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any, Protocol

import msgspec

from vestibule.clock import elapsed
from vestibule.edge.http import ClientGone, Request
from vestibule.edge.socket import NORMAL, POLICY, PROTOCOL_ERROR, Socket
from vestibule.errors import InvalidField, RateLimited, Unavailable, VestibuleError
from vestibule.ids import random_base62
from vestibule.strict_json import NotStrict, read_value

SOCKET_PATH = b"/socket.io"
# Of IANA's registry, beside those of RFC 6455: the client's library comes back by itself.
TRY_AGAIN = 1013
_MINUTE = 60.0
_BURST_SHARE = 10
_ENGINE = ("open", "close", "ping", "pong", "message", "upgrade", "noop")
# Type, perhaps a namespace, perhaps an acknowledgement's number, perhaps JSON.
_PACKET = re.compile(r"([0-6])(?:(/[^,]*),)?(\d{1,15})?(.*)", re.DOTALL)
_CONNECT, _DISCONNECT, _EVENT, _ACK, _REFUSED = "0", "1", "2", "3", "4"
_ENCODER = msgspec.json.Encoder()


class Pace(msgspec.Struct, frozen=True):
    """Seconds to connect in, and between signs of life; what may come in a minute, and how large it may be."""

    connect: float
    ping: float
    events: int
    most_bytes: int


class Broken(Exception):
    """What came is not of this protocol, more than is taken, or not to be answered now. The client is told nothing but
    the code."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(code)


class Ended(Exception):
    """The server ends the conversation: a client that is told so does not come back by itself."""


class Listener(Protocol):
    """What is made of a connection. Both raise VestibuleError, which the client is told, Broken and Ended."""

    async def connected(self, auth: Any) -> None: ...

    async def event(self, name: str, argument: Any) -> Any:
        """What is acknowledged, where the client has asked for it."""


def require_websocket(request: Request) -> None:
    """Raises InvalidField where the query asks for something else than Engine.IO 4 over a WebSocket."""
    if request.query("EIO") != "4":
        raise InvalidField("EIO", "must be 4")
    if request.query("transport") != "websocket" or request.query("sid") is not None:
        raise InvalidField("transport", "must be websocket, from the first request on")


class Connection:
    """One client."""

    def __init__(self, socket: Socket, pace: Pace) -> None:
        self._socket = socket
        self._pace = pace
        self._left = float(pace.events // _BURST_SHARE)
        self._refilled = elapsed()

    async def emit(self, name: str, data: Any) -> None:
        """Raises ClientGone."""
        await self._send(_EVENT, [name, data])

    async def end(self) -> None:
        """Tells the client not to come back, and closes."""
        try:
            await self._socket.write(f"4{_DISCONNECT}")
            await self._socket.close(POLICY)
        except ClientGone:
            pass

    async def run(self, listener: Listener) -> None:
        """Until either side ends it. Raises ClientGone."""
        try:
            await self._run(listener)
        except Broken as problem:
            await self._socket.close(problem.code)
        except Ended:
            await self.end()

    async def _run(self, listener: Listener) -> None:
        await self._open()
        await self._connect(listener)
        ping, heard = self._pace.ping, elapsed()
        due = heard + ping
        while True:
            try:
                async with asyncio.timeout(due - elapsed()):
                    text = await self._socket.read()
            except TimeoutError:
                if elapsed() - heard > 2 * ping:
                    raise Broken(POLICY) from None
                await self._socket.write("2")
                due += ping
                continue
            heard = elapsed()
            packet = self._message(text)
            if packet is not None and not await self._take(listener, packet):
                await self._socket.close(NORMAL)
                return

    async def _open(self) -> None:
        pace = self._pace
        milliseconds = int(pace.ping * 1000)
        # The id opens nothing: there is no polling that could show it again.
        said = {
            "sid": random_base62(20),
            "upgrades": [],
            "pingInterval": milliseconds,
            "pingTimeout": milliseconds,
            "maxPayload": pace.most_bytes,
        }
        await self._socket.write(f"0{_ENCODER.encode(said).decode()}")

    async def _connect(self, listener: Listener) -> None:
        """To the one namespace there is, within a time. Raises Broken, Ended, ClientGone."""
        try:
            async with asyncio.timeout(self._pace.connect):
                packet = None
                while packet is None:
                    packet = self._message(await self._socket.read())
        except TimeoutError:
            raise Broken(POLICY) from None
        kind, namespace, _, body = packet
        if kind != _CONNECT:
            raise Broken(PROTOCOL_ERROR)
        if namespace is not None:
            await self._socket.write(f'4{_REFUSED}{namespace},{{"message":"Invalid namespace"}}')
            raise Ended
        try:
            await listener.connected(_json(body) if body else {})
        except (Unavailable, RateLimited):
            # Whoever is refused in so many words does not come back by itself.
            raise Broken(TRY_AGAIN) from None
        except VestibuleError as error:
            await self._send(_REFUSED, {"message": error.message, "data": {"code": error.code}})
            raise Ended from None
        await self._send(_CONNECT, {"sid": random_base62(20)})

    def _message(self, text: str) -> tuple[str, str | None, str | None, str] | None:
        """The Socket.IO packet of an Engine.IO packet; None where it carries none. Raises Broken, ClientGone."""
        self._count()
        kind = _ENGINE[int(text[0])] if text[:1] in tuple("0123456") else ""
        if kind == "close":
            raise ClientGone
        if kind in {"pong", "noop"}:
            return None
        match = _PACKET.fullmatch(text, 1) if kind == "message" else None
        if match is None:
            raise Broken(PROTOCOL_ERROR)
        return match[1], match[2], match[3], match[4]

    async def _take(self, listener: Listener, packet: tuple[str, str | None, str | None, str]) -> bool:
        """False where the client has taken its leave. Raises Broken, Ended, ClientGone."""
        kind, namespace, number, body = packet
        if kind == _DISCONNECT:
            return False
        if kind == _ACK:  # nothing here asks for one
            return True
        if kind != _EVENT or namespace is not None:
            raise Broken(PROTOCOL_ERROR)
        event = _json(body)
        if not isinstance(event, list) or not event or not isinstance(event[0], str):
            raise Broken(PROTOCOL_ERROR)
        try:
            answer = await listener.event(event[0], event[1] if len(event) > 1 else None)
        except VestibuleError as error:
            answer = {"error": {"message": error.message, "code": error.code}}
        if number is not None:
            await self._send(_ACK + number, [answer])
        return True

    async def _send(self, kind: str, data: Any) -> None:
        await self._socket.write(f"4{kind}{_ENCODER.encode(data).decode()}")

    def _count(self) -> None:
        """A bucket that fills by and by. Raises Broken."""
        now, most = elapsed(), self._pace.events
        self._left = min(self._left + (now - self._refilled) * most / _MINUTE, max(most // _BURST_SHARE, 1))
        self._refilled = now
        if self._left < 1:
            raise Broken(POLICY)
        self._left -= 1


def _json(text: str) -> Any:
    try:
        return read_value(text.encode())
    except NotStrict:
        raise Broken(PROTOCOL_ERROR) from None
