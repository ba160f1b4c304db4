"""Tells a user token from what pages send for lack of one; it must not judge a token, which is the customer's own."""

from __future__ import annotations

import base64
import binascii

import msgspec

LONGEST = 8192
# What a template leaves behind that nobody filled in, and what scripts make of nothing.
_NOTHING = frozenset({"", "%USER_TOKEN%", "undefined", "null"})


def usable(token: str | None) -> str | None:
    """The token, or None for what is none: absent, a placeholder, or longer than any token."""
    if token is None or len(token) > LONGEST:
        return None
    return None if token.strip() in _NOTHING else token


class _Ending(msgspec.Struct):
    exp: float


def ends_at(token: str) -> float | None:
    """When a token that looks like a JWT says that it ends, in seconds since 1970. It is nobody's proof: it may only
    shorten what the customer's endpoint allows."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        payload = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        # Not before time began: what is far below overflows where it is reckoned with.
        return max(0.0, msgspec.json.decode(payload, type=_Ending).exp)
    except (binascii.Error, ValueError, msgspec.DecodeError, RecursionError):
        return None
