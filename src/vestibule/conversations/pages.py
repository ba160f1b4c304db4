"""Writes where a page of conversations ended as a text that callers hand back and do not read; it must not read a row:
the next page begins where this one ended, whatever has become of the conversation since."""

from __future__ import annotations

import base64
import binascii
import re
from contextlib import suppress

from vestibule.errors import InvalidField
from vestibule.model.conversation import Glance

_LONGEST = 100
_CURSOR = re.compile(r"([0-9]{1,16})\.([0-9a-f-]{36})")


def cursor_after(last: Glance) -> str:
    return base64.urlsafe_b64encode(f"{last.updated_at}.{last.id}".encode()).rstrip(b"=").decode()


def read_cursor(cursor: str | None, field: str = "cursor") -> tuple[int, str] | None:
    """Last activity and id of the conversation that the page ended with. `field`: what the wire calls it. Raises
    InvalidField."""
    if not cursor:
        return None
    text = ""
    if len(cursor) <= _LONGEST:
        # Strictly: what is passed over would make endless texts for one place, each remembered with its page.
        with suppress(binascii.Error, ValueError):
            text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    match = _CURSOR.fullmatch(text)
    if match is None:
        raise InvalidField(field, "is not one that this service gave out")
    return int(match[1]), match[2]
