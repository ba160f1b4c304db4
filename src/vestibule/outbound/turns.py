"""Lets so many calls of one tenant run at once, so that a slow server of one is not felt by the others; it must not
know what they do."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator


class _Queue:
    __slots__ = ("present", "slots")

    def __init__(self, most: int) -> None:
        self.slots = asyncio.Semaphore(most)
        self.present = 0


class Turns:
    """`async with turns.take(tenant)`; who comes when all are taken waits in line."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._queues: dict[str, _Queue] = {}

    @contextlib.asynccontextmanager
    async def take(self, tenant: str) -> AsyncIterator[None]:
        queue = self._queues.get(tenant)
        if queue is None:
            queue = self._queues[tenant] = _Queue(self._most)
        queue.present += 1
        try:
            async with queue.slots:
                yield
        finally:
            queue.present -= 1
            if not queue.present:
                del self._queues[tenant]
