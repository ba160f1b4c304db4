"""A network stream that reads no more than it is told; it must not know HTTP.

A server can send what costs much to parse and never counts as headers or body: interim answers without end, chunks of
one byte. What it sends is counted here, before anybody looks at it, and read in pieces that do not hold up the event
loop for long while they are parsed (httpcore reads 64 KiB at once: 0.7 s in chunks of one byte).
"""

from __future__ import annotations

from typing import Any

import httpcore

from vestibule.errors import UpstreamTooLarge

_PIECE = 8192


class BoundedStream(httpcore.AsyncNetworkStream):
    """Set `left` to the bytes that may still come."""

    def __init__(self, inner: httpcore.AsyncNetworkStream) -> None:
        self._inner = inner
        self.left = 0

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Raises UpstreamTooLarge."""
        data = await self._inner.read(min(max_bytes, _PIECE), timeout)
        self.left -= len(data)
        if self.left < 0:
            raise UpstreamTooLarge(detail="more bytes than an answer may have")
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._inner.aclose()

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
