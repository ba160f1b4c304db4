"""The one place that reads the time, so that every module agrees on it; it must not format or interpret times."""

from __future__ import annotations

import time

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS


def now_ms() -> int:
    """Wall time in milliseconds since 1970, UTC: what is stored, signed and compared across machines."""
    return time.time_ns() // 1_000_000


def elapsed() -> float:
    """Seconds on a clock that never jumps: for time-outs and cache ages inside one process, never stored."""
    return time.monotonic()


class SteadyClock:
    """Whether the wall clock can be believed where nothing can be taken back. A clock that is a year ahead for a minute
    would have everything deleted whose time comes within the year: people's chats, the audit, the note that a token was
    used. Such things wait until a day after the last jump."""

    def __init__(self) -> None:
        self._offset = _offset()
        self._jumped_at: float | None = None

    def is_steady(self) -> bool:
        """To be asked before each such deletion."""
        offset = _offset()
        # In small steps it may go anywhere: that is how clocks are set right.
        if abs(offset - self._offset) > _JUMP_SECONDS:
            self._jumped_at = elapsed()
        self._offset = offset
        return self._jumped_at is None or elapsed() - self._jumped_at > _SETTLED_SECONDS


_JUMP_SECONDS = 30 * 60.0
_SETTLED_SECONDS = 24 * 3600.0
# Goes on while a machine sleeps, which is no jump; there is none but on Linux.
_UNSTOPPED = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def _offset() -> float:
    return time.time() - time.clock_gettime(_UNSTOPPED)
