"""Writes times and spans of time as people and programs read them, and reads spans; it must not ask what time it is."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from vestibule.clock import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS

_SPAN = re.compile(r"([0-9]{1,15})(ms|s|m|h|d)")
# A thousand years: what is added to a time must still be one that can be written.
_LONGEST = 365_000 * DAY_MS
_UNITS = {"d": DAY_MS, "h": HOUR_MS, "m": MINUTE_MS, "s": SECOND_MS, "ms": 1}


def rfc3339(milliseconds: int) -> str:
    """A stored time in UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read_span(text: str) -> int | None:
    """Milliseconds of `500ms`, `90s`, `15m`, `24h` or `30d`; None of anything else."""
    match = _SPAN.fullmatch(text)
    found = int(match[1]) * _UNITS[match[2]] if match is not None else None
    return found if found is not None and found <= _LONGEST else None


def span_text(milliseconds: int) -> str:
    """As `read_span` reads it, in the largest unit that leaves no rest."""
    unit = next(unit for unit, each in _UNITS.items() if milliseconds % each == 0)
    return f"{milliseconds // _UNITS[unit]}{unit}" if milliseconds else "0s"
