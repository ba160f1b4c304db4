"""Connects to the PostgreSQL server that takes writes, among those that the URL names; it runs no statement.

asyncpg reads a URL with several hosts itself, but gives all of them one time-out: a first host that has lost its power
answers nothing, and the second, which has taken over, would never be asked.
"""

from __future__ import annotations

import re
from typing import Any

import asyncpg

_PARTS = re.compile(r"(postgresql://(?:[^/?#]*@)?)([^/?#@]*)(.*)", re.DOTALL)


def urls_of(url: str) -> list[str]:
    """A URL for each host of `url`."""
    match = _PARTS.fullmatch(url)
    if match is None or "," not in match[2]:
        return [url]
    return [f"{match[1]}{host}{match[3]}" for host in match[2].split(",") if host]


class Primary:
    """The primary of one database, wherever it is at the moment."""

    def __init__(self, url: str) -> None:
        self._urls = urls_of(url)
        self._known = 0  # where it was last

    async def connect(self, *, timeout: float, **options: Any) -> Any:
        """A connection of asyncpg's. Each host has `timeout` seconds. Raises asyncpg's errors, OSError, TimeoutError
        of the last."""
        if len(self._urls) == 1:
            return await asyncpg.connect(self._urls[0], timeout=timeout, **options)
        places = [*range(self._known, len(self._urls)), *range(self._known)]
        for place in places:
            try:
                # A standby would answer what was true a moment ago, and refuse to write.
                made = await asyncpg.connect(
                    self._urls[place], timeout=timeout, target_session_attrs="primary", **options
                )
            except BaseException as error:
                # Also where the caller has given up meanwhile: the next one begins with another host. Not where it does
                # already: several connect at once, and each would turn away from what the one before has turned to.
                if self._known == place:
                    self._known = (place + 1) % len(self._urls)
                if place == places[-1] or not isinstance(error, Exception):
                    raise
            else:
                self._known = place
                return made
        raise AssertionError("unreachable")
