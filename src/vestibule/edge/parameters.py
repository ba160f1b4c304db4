"""Reads parameters of the query and of forms, each bounded; it must not know what they are for."""

from __future__ import annotations

import base64
import binascii
import contextlib
import re
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

import msgspec

from vestibule.edge.http import Request
from vestibule.errors import InvalidField

T = TypeVar("T")
_LARGEST = 2**53  # what every JSON reader holds without rounding
_LONGEST_TEXT = 256
_LONGEST_TIME = 40
_BEYOND = 4_000_000_000_000  # the year 2096
_INTEGER = re.compile(r"[+-]?[0-9]{1,100}")


def number(request: Request, name: str, *, default: int, low: int = 0, high: int = _LARGEST) -> int:
    """A whole number of the query. Raises InvalidField."""
    text = request.query(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 16 and low <= int(text) <= high):
        raise InvalidField(name, f"must be a whole number from {low} to {high}")
    return int(text)


def whole_number(field: str, text: str | None) -> int | None:
    """A whole number, also one that nothing here can have. None stays None. Raises InvalidField."""
    if text is None:
        return None
    if _INTEGER.fullmatch(text) is None:
        raise InvalidField(field, "must be a whole number")
    return int(text)


def text(request: Request, name: str) -> str:
    """A short text, or an empty one. Raises InvalidField."""
    found = request.query(name) or ""
    if len(found) > _LONGEST_TEXT or "\0" in found:
        raise InvalidField(name, f"must be at most {_LONGEST_TEXT} characters, and no NUL")
    return found


def choice(request: Request, name: str, choices: tuple[str, ...]) -> str:
    """One of the choices, or an empty text. Raises InvalidField."""
    found = request.query(name)
    if found is None:
        return ""
    if found not in choices:
        raise InvalidField(name, f"must be one of {', '.join(choices)}")
    return found


def moment(request: Request, name: str) -> int | None:
    """A time of RFC 3339, as epoch milliseconds. Raises InvalidField."""
    found = request.query(name)
    if found is None:
        return None
    try:
        # A plus sign that was not encoded arrives as a space.
        parsed = datetime.fromisoformat(found[:_LONGEST_TIME].replace(" ", "+"))
        milliseconds = int(parsed.timestamp() * 1000) if parsed.tzinfo is not None else -1
    except (ValueError, OverflowError):
        milliseconds = -1
    if not 0 <= milliseconds <= _BEYOND:
        raise InvalidField(name, "must be a time of RFC 3339, such as 2026-11-21T14:55:16Z")
    return milliseconds


def cursor_of(place: object) -> str:
    """Where a page ends, as a text that callers hand back and do not read."""
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).rstrip(b"=").decode()


def cursor(request: Request, type_: type[T], is_good: Callable[[T], bool]) -> T | None:
    """The place that `cursor_of` made a text of; `is_good`: the database can look for it. Raises InvalidField."""
    found = request.query("cursor")
    if not found:
        return None
    with contextlib.suppress(binascii.Error, ValueError, msgspec.DecodeError):
        raw = base64.b64decode(found + "=" * (-len(found) % 4), altchars=b"-_", validate=True)
        place = msgspec.json.decode(raw, type=type_)
        if is_good(place):
            return place
    raise InvalidField("cursor", "is not one that this service gave out")
