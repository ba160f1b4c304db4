"""Where chats wait for the people of a workspace: a queue with its opening hours; no I/O."""

from __future__ import annotations

import msgspec

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Hours(msgspec.Struct, frozen=True):
    """Minutes since midnight, on each of the days (0 is Monday). `closes` at or before `opens` is on the next day."""

    days: tuple[int, ...]
    opens: int
    closes: int


class QueueSettings(msgspec.Struct, frozen=True, omit_defaults=True):
    """A queue as an operator writes it down. Without hours it is always open. `identified_only`: nobody unproven may
    come in."""

    name: str
    identified_only: bool = False
    hours: tuple[Hours, ...] = ()
    time_zone: str = "UTC"


class Queue(msgspec.Struct, frozen=True):
    """A queue as stored. `key` is what a page names it by."""

    workspace_id: str
    key: str
    settings: QueueSettings
