"""Makes identifiers and random secrets as text, and knows them again; it must not know what they open."""

from __future__ import annotations

import functools
import os
import re
import uuid

from vestibule.clock import now_ms

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
SHORT_ID = 22
# Four times 62 of the 256 values that a byte has: the rest is thrown away, so that all characters are as likely.
_CHARACTERS = (BASE62 * 5).encode()[:256]
_LEFT_OVER = bytes(range(62 * 4, 256))
# API and admin keys, staff's sessions and links, the first one's link, refresh tokens, userInfoIds: each of 256 bits,
# whatever it opens.
_OWN_SECRET = re.compile(r"(?:vst_(?:key|admin|staff|link|first|ref)_|usr_)[0-9A-Za-z]{65,71}")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def new_id() -> str:
    """A UUIDv7 (RFC 9562 section 5.7): time-ordered, so that new rows land at the end of an index.

    An id is a name, not a secret: 74 random bits keep it unique, and nothing may be opened by knowing one.
    """
    random = int.from_bytes(os.urandom(10), "big")
    value = (now_ms() & 0xFFFF_FFFF_FFFF) << 80
    value |= 0x7 << 76 | (random >> 62 & 0xFFF) << 64
    value |= 0b10 << 62 | (random & 0x3FFF_FFFF_FFFF_FFFF)
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def is_id(text: str) -> bool:
    """Whether `text` has the form of an id made here; says nothing about whether it exists."""
    return _UUID.fullmatch(text) is not None


def random_base62(length: int) -> str:
    """`length` characters from the system's random source, 5.95 bits each: 43 of them carry 256 bits."""
    made = b""
    while len(made) < length:
        made += os.urandom(length + 8).translate(_CHARACTERS, _LEFT_OVER)
    return made[:length].decode()


def to_base62(number: int, width: int) -> str:
    """`number` in base 62, padded to `width` characters."""
    digits = []
    for _ in range(width):
        number, digit = divmod(number, 62)
        digits.append(BASE62[digit])
    return "".join(reversed(digits))


@functools.lru_cache(maxsize=1024)
def short_id(identifier: str) -> str:
    """An id made here in 22 characters of base 62, to stand inside a credential: it says where to look it up."""
    return to_base62(uuid.UUID(identifier).int, SHORT_ID)


def long_id(short: str) -> str | None:
    """The id of 22 characters of base 62; None where they are too large for one."""
    number = 0
    for character in short:
        number = number * 62 + BASE62.index(character)
    return str(uuid.UUID(int=number)) if number < 1 << 128 else None


def is_own_secret(text: str) -> bool:
    """Whether `text` has the form of a secret that was made here: such a one is sent to nobody else, not even to be
    refused there."""
    return _OWN_SECRET.fullmatch(text.strip()) is not None
