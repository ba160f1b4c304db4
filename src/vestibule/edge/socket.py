"""Holds one WebSocket over ASGI: accepts or refuses it, reads and writes texts, each within a time; it must not know
what they say."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from vestibule.edge.http import ClientGone, Receive, Reply, Request, Send

# Close codes of RFC 6455 section 7.4.1.
NORMAL, PROTOCOL_ERROR, UNSUPPORTED, POLICY, FAILED = 1000, 1002, 1003, 1008, 1011
# A reader that takes nothing for this long holds a connection for no use.
_WRITE_SECONDS = 30.0


class Socket:
    """One connection. It is refused with an answer of HTTP, or accepted and later closed."""

    __slots__ = ("_receive", "_send", "accepted", "closed")

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self.accepted = self.closed = False

    async def accept(self) -> None:
        """Raises ClientGone."""
        if (await self._receive())["type"] != "websocket.connect":
            raise ClientGone
        await self._write({"type": "websocket.accept"})
        self.accepted = True

    async def refuse(self, reply: Reply, request_id: bytes) -> None:
        """Raises ClientGone."""
        length = (b"content-length", b"%d" % len(reply.body))
        headers = [(b"x-request-id", request_id), length, (b"connection", b"close"), *reply.headers]
        await self._write({"type": "websocket.http.response.start", "status": reply.status, "headers": headers})
        await self._write({"type": "websocket.http.response.body", "body": reply.body})

    async def read(self) -> str:
        """The next text. Raises ClientGone at the end; binary messages, which nothing here speaks, end it."""
        message = await self._receive()
        if message["type"] != "websocket.receive":
            self.closed = True
            raise ClientGone
        text: str | None = message.get("text")
        if text is None:
            await self.close(UNSUPPORTED)
            raise ClientGone
        return text

    async def write(self, text: str) -> None:
        """Raises ClientGone, also where the other end does not read."""
        await self._write({"type": "websocket.send", "text": text})

    async def close(self, code: int) -> None:
        """Does nothing to what is closed already."""
        if self.accepted and not self.closed:
            self.closed = True
            await self._write({"type": "websocket.close", "code": code})

    async def _write(self, message: dict[str, object]) -> None:
        try:
            async with asyncio.timeout(_WRITE_SECONDS):
                await self._send(message)
        except (TimeoutError, OSError, RuntimeError):
            # RuntimeError: what uvicorn raises where it has closed the connection itself meanwhile.
            self.closed = True
            raise ClientGone from None


SocketHandler = Callable[[Request, Socket], Awaitable[None]]
