"""Makes the protocol of a connection that becomes a WebSocket, when the first one does: it must not load what most
processes never need (1 MiB)."""

from __future__ import annotations

import asyncio
from typing import Any


def make_websocket(**given: Any) -> asyncio.Protocol:
    """What uvicorn calls as the class of its WebSocket protocol."""
    from vestibule.server.websocket import BoundedWebSocket  # noqa: PLC0415 - that is the point

    return BoundedWebSocket(**given)
