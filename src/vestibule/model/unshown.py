"""What a value is called whose members are secrets; it must not hold any itself."""

from __future__ import annotations

import msgspec


class Unshown(msgspec.Struct, frozen=True):
    """A base for values that must not be read in a log or a traceback: their repr is the name of their class."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"
