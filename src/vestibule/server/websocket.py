"""Bounds what a client can do over a WebSocket that uvicorn does not bound; it must not read a message's meaning.

uvicorn limits a message's size and reads no further than one message ahead of the application. What it leaves open: it
answers pings also to who reads nothing, so that the answers pile up; it waits for ever until who reads nothing has
taken the last bytes; and its log lines show queries.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from uvicorn.protocols.websockets.wsproto_impl import WSProtocol
from wsproto import events

# For a peer to take what was written, and the end of the connection.
_LEAVE_SECONDS = 10.0


class BoundedWebSocket(WSProtocol):
    """uvicorn's protocol on wsproto."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.logger = logging.getLogger("vestibule.websocket")
        self.logger.setLevel(logging.WARNING)
        self._leaving: asyncio.TimerHandle | None = None

    def handle_ping(self, event: events.Ping) -> None:
        if self.writable.is_set():
            super().handle_ping(event)
        else:
            self.transport.abort()

    def handle_message(self, event: events.TextMessage | events.BytesMessage) -> None:
        # What is left of a piece of data whose beginning has closed the connection.
        if not self.transport.is_closing():
            super().handle_message(event)

    async def run_asgi(self) -> None:
        try:
            await super().run_asgi()
        finally:
            if not self.disconnected:
                self._leaving = self.loop.call_later(_LEAVE_SECONDS, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        # The timer would keep what is over in memory.
        if self._leaving is not None:
            self._leaving.cancel()
        super().connection_lost(exc)
