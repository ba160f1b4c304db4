"""Remembers for a moment what was read, so that a busy process asks seldom and sees a change soon; it must not remember
that nothing was found: what was made a moment ago has to work."""

from __future__ import annotations

from typing import Generic, TypeVar

from vestibule.clock import elapsed

K = TypeVar("K")
V = TypeVar("V")

# What is disabled, revoked or changed is seen by every worker within this (the promise is 5 s, SECURITY 3.2).
FRESH_SECONDS = 2.0
_MOST_KNOWN = 10_000


class ShortMemory(Generic[K, V]):
    """Of one process. No value is None."""

    def __init__(self) -> None:
        self._known: dict[K, tuple[float, V]] = {}

    def get(self, key: K) -> V | None:
        """What was kept, or None if that is too long ago."""
        known = self._known.get(key)
        return known[1] if known is not None and elapsed() - known[0] < FRESH_SECONDS else None

    def keep(self, key: K, value: V) -> V:
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[key] = (elapsed(), value)
        return value
