"""Bounds how long one token may keep its providers being asked, altogether; it must not know what they are asked.

Each call has bounds of its own, but discovery, keys, introspection, userinfo and keys again come one after the other.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from vestibule.errors import UpstreamTimeout

ALTOGETHER_SECONDS = 8.0


def deadline() -> float:
    """The latest moment, by the event loop's clock, for what begins now."""
    return asyncio.get_running_loop().time() + ALTOGETHER_SECONDS


@contextlib.asynccontextmanager
async def until(latest: float) -> AsyncIterator[None]:
    """Raises UpstreamTimeout. What others wait for as well goes on (`Remembered`), and is there for the next."""
    try:
        async with asyncio.timeout_at(latest):
            yield
    except TimeoutError:
        raise UpstreamTimeout(detail=f"not all answers within {ALTOGETHER_SECONDS:g} s", step="time") from None
