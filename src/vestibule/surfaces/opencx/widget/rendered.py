"""Keeps what open widgets are shown at every look, rendered, within so much memory; it must not render or send it."""

from __future__ import annotations

from collections.abc import Hashable

import msgspec

# Of one worker. Histories may be long, so bytes are counted; most are short, and then each takes as much again.
_MOST_BYTES = 16 * 1024 * 1024
_MOST_ANSWERS = 8_192


class Rendered(msgspec.Struct, frozen=True, eq=False):
    """A body as it is sent, its tag, and the state of what it shows."""

    of: object
    tag: bytes
    body: bytes


class RenderedAnswers:
    """By what was asked for. What was kept first is forgotten first."""

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most = most_bytes
        self._bytes = 0
        self._kept: dict[Hashable, Rendered] = {}

    def find(self, asked: Hashable, of: object) -> Rendered | None:
        """The answer if it shows this very state, or None."""
        found = self._kept.get(asked)
        return found if found is not None and found.of == of else None

    def keep(self, asked: Hashable, rendered: Rendered) -> Rendered:
        former = self._kept.pop(asked, None)
        self._bytes += len(rendered.body) - (len(former.body) if former is not None else 0)
        self._kept[asked] = rendered
        while self._bytes > self._most or len(self._kept) > _MOST_ANSWERS:
            self._bytes -= len(self._kept.pop(next(iter(self._kept))).body)
        return rendered
