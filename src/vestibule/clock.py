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
