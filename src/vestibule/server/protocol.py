"""Bounds what a client can do before its request is complete; it must not read a request's meaning.

uvicorn has no limit on the size of headers or on the time they take when httptools parses them, so a client could
hold memory and connections for ever (slow-header attack). Bodies are bounded where they are read (`edge/http.py`).
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class BoundedHttp(HttpToolsProtocol):
    """uvicorn's protocol with a limit on the bytes and on the time of the request line and headers."""

    # Set once per process, before the server starts: uvicorn makes one instance per connection, without arguments.
    max_header_bytes = 32_768
    header_timeout = 10.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes = 0
        self._reading_head = True
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._arm()

    def shutdown(self) -> None:
        super().shutdown()
        end_streams = self.app_state.get("end_streams")
        if end_streams is not None:
            end_streams()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._reading_head:
            self._head_bytes += len(data)
            if self._deadline is None:
                self._arm()
        super().data_received(data)
        # What came with the headers' last piece may be body; only a head that is still open counts.
        if self._reading_head and self._head_bytes > self.max_header_bytes and not self.transport.is_closing():
            self._refuse(b"431 Request Header Fields Too Large", b"The headers are larger than this service accepts.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._reading_head = True

    def on_headers_complete(self) -> None:
        self._reading_head = False
        self._head_bytes = 0
        self._disarm()
        if sum(len(name) + len(value) + 4 for name, value in self.headers) + len(self.url) > self.max_header_bytes:
            # The whole head came in one piece.
            self._refuse(b"431 Request Header Fields Too Large", b"The headers are larger than this service accepts.")
            return
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._reading_head = True
        super().on_message_complete()

    def _arm(self) -> None:
        self._deadline = self.loop.call_later(self.header_timeout, self._too_slow)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self._refuse(b"408 Request Timeout", b"The headers did not arrive in time.")

    def _refuse(self, status: bytes, sentence: bytes) -> None:
        head = b"HTTP/1.1 " + status + b"\r\ncontent-type: text/plain; charset=utf-8\r\nconnection: close\r\n"
        self.transport.write(head + b"content-length: " + str(len(sentence)).encode() + b"\r\n\r\n" + sentence)
        self.transport.close()
