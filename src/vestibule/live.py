"""Wakes those who wait for a conversation to change, in this process and, over a wire, in others; it must not carry
what changed.

A wake may be lost, and one may come for nothing: who waits looks anew by itself every `patience` seconds, and decides
by what it sees. A process tells the others at once what it knows, and what comes within the next moment together, so a
busy one sends fifty times a second and no more.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import secrets
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

_GATHER_SECONDS = 0.02
_MOST_TOLD = 50  # conversations in one message: PostgreSQL takes 8,000 bytes, a pipe 4,096 in one piece
_LONGEST_MESSAGE = 8_000
# While the others' wakes arrive, a look is for those that are lost, and for whoever may not look any more: what revokes
# is read every 2 s, and must be seen by a stream within 5.
_PATIENCE_ALONE = 1.0
_PATIENCE_TOLD = 2.0
_log = logging.getLogger(__name__)

Key = tuple[str, str]


class Wire(Protocol):
    """Carries short texts to every process of the installation that listens, the sender included. It may lose some."""

    @property
    def hears_all(self) -> bool:
        """Whether what any process of the installation sends arrives here, as things are."""

    async def run(self, heard: Callable[[str], None]) -> None:
        """Listens until cancelled."""

    async def send(self, message: str) -> None:
        """Does not raise for a wire that is broken."""


class Live:
    """The waiters of one process, by conversation."""

    def __init__(self, wire: Wire | None = None) -> None:
        self._wire = wire
        self._waiters: dict[Key, set[asyncio.Event]] = {}
        self._untold: set[Key] = set()
        self._something = asyncio.Event()
        self._name = secrets.token_hex(8)
        self.ended = False

    @property
    def patience(self) -> float:
        """How many seconds a waiter should wait at most before it looks by itself."""
        return _PATIENCE_TOLD if self._wire is not None and self._wire.hears_all else _PATIENCE_ALONE

    def changed(self, workspace_id: str, conversation_id: str) -> None:
        key = (workspace_id, conversation_id)
        self._wake(key)
        if self._wire is not None:
            self._untold.add(key)
            self._something.set()

    def end(self) -> None:
        """Wakes everybody for the last time: the process is about to stop. It is called for every connection."""
        if self.ended:
            return
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

    async def run(self) -> None:
        """Listens to the others and tells them, until cancelled."""
        if self._wire is None:
            return
        listening = asyncio.create_task(self._wire.run(self._heard))
        try:
            while True:
                await self._something.wait()
                self._something.clear()
                try:
                    await self.flush()
                except Exception:
                    _log.exception("other processes could not be told of changes")
                await asyncio.sleep(_GATHER_SECONDS)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def flush(self) -> None:
        """Tells the others what they have not been told."""
        told, self._untold = self._untold, set()
        for keys in _in_parts(told):
            if self._wire is not None:
                await self._wire.send(f"{self._name} {' '.join(map('/'.join, keys))}")

    def _heard(self, message: str) -> None:
        """A message of another process; anything else on the wire wakes nobody."""
        if len(message) > _LONGEST_MESSAGE:
            return
        sender, *keys = message.split(" ")
        if sender == self._name:
            return
        for key in keys:
            workspace_id, _, conversation_id = key.partition("/")
            self._wake((workspace_id, conversation_id))

    def _wake(self, key: Key) -> None:
        for event in self._waiters.get(key, ()):
            event.set()


def _in_parts(keys: Iterable[Key]) -> Iterator[list[Key]]:
    left = iter(keys)
    while part := list(itertools.islice(left, _MOST_TOLD)):
        yield part
