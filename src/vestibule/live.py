"""Wakes those who wait for a conversation to change, within one process; it must not carry what changed.

Across processes nobody is woken: who waits asks the database every second as well (`surfaces/native/events.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator


class Live:
    """The waiters of one process, by conversation."""

    def __init__(self) -> None:
        self._waiters: dict[tuple[str, str], set[asyncio.Event]] = {}
        self.ended = False

    def changed(self, workspace_id: str, conversation_id: str) -> None:
        for event in self._waiters.get((workspace_id, conversation_id), ()):
            event.set()

    def end(self) -> None:
        """Wakes everybody for the last time: the process is about to stop."""
        self.ended = True
        for events in self._waiters.values():
            for event in events:
                event.set()

    @contextlib.contextmanager
    def waiting(self, workspace_id: str, conversation_id: str) -> Iterator[asyncio.Event]:
        """An event that is set whenever the conversation changes."""
        key = (workspace_id, conversation_id)
        event = asyncio.Event()
        self._waiters.setdefault(key, set()).add(event)
        try:
            yield event
        finally:
            self._waiters[key].discard(event)
            if not self._waiters[key]:
                del self._waiters[key]
