"""Sends an answer piece by piece for as long as somebody reads it; it must not know what the pieces are.

Whether somebody still reads is told by the server, which ends the connection otherwise (`server/protocol.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable

from vestibule.edge.http import ClientGone, Header, Reply, Request, Send, Write


class StreamedReply(Reply):
    """An answer without an end known beforehand, or too large to hold. `end` is called once it is over, however."""

    __slots__ = ("_end", "_length", "_pieces", "_request")

    def __init__(
        self,
        request: Request,
        status: int,
        pieces: AsyncGenerator[bytes, None],
        headers: tuple[Header, ...],
        *,
        length: int | None = None,
        end: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(status, b"", headers)
        self._request = request
        self._pieces = pieces
        self._length = length
        self._end = end

    async def send(self, send: Send, request_id: bytes, *, close: bool = False, write: Write | None = None) -> None:  # noqa: ARG002 - this answer is not whole
        headers = [(b"x-request-id", request_id), *self.headers]
        if self._length is not None:
            headers.append((b"content-length", str(self._length).encode()))
        if close:
            headers.append((b"connection", b"close"))
        try:
            await send({"type": "http.response.start", "status": self.status, "headers": headers})
            if self._request.method == "HEAD":
                await send({"type": "http.response.body", "body": b""})
            else:
                await self._send_watched(send)
        finally:
            await self._pieces.aclose()
            if self._end is not None:
                self._end()

    async def _send_watched(self, send: Send) -> None:
        """Ends as soon as the client hangs up: sending into a closed connection reports nothing, and a piece that is
        waited for may be long in coming. Raises ClientGone."""
        sending = asyncio.create_task(self._send_pieces(send))
        gone = asyncio.create_task(self._request.gone())
        try:
            await asyncio.wait((sending, gone), return_when=asyncio.FIRST_COMPLETED)
            if not sending.done():
                raise ClientGone
            await sending
        finally:
            for task in (sending, gone):
                task.cancel()
            await asyncio.gather(sending, gone, return_exceptions=True)

    async def _send_pieces(self, send: Send) -> None:
        async with contextlib.aclosing(self._pieces):
            async for piece in self._pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
