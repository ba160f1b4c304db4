"""The form of an API key and what is kept of it; it must not look anything up.

    vst_key_<workspace id, 22><secret, 43><checksum, 6>      base 62

The prefix lets secret scanners find leaked keys, the checksum lets us refuse typing errors without a look-up, and the
workspace id inside lets the look-up go to one shard. The secret has 256 bits, so a plain SHA-256 of the key is enough
to keep: there is nothing to guess (a slow hash protects weak secrets only).
"""

from __future__ import annotations

import hashlib
import re
import zlib

import msgspec

from vestibule.errors import InvalidApiKey
from vestibule.ids import long_id, random_base62, short_id, to_base62

PREFIX = "vst_key_"
_SECRET = 43
_FORM = re.compile(rf"{PREFIX}([0-9A-Za-z]{{22}})([0-9A-Za-z]{{{_SECRET}}})([0-9A-Za-z]{{6}})")
_SHOWN = 6


class NewApiKey(msgspec.Struct, frozen=True):
    """A key at the only moment at which its text exists."""

    text: str
    secret_hash: str
    hint: str

    def __repr__(self) -> str:
        return f"NewApiKey({self.hint})"


def generate(workspace_id: str) -> NewApiKey:
    """A new key of the workspace. `hint` is what people see of it later."""
    secret = random_base62(_SECRET)
    body = f"{PREFIX}{short_id(workspace_id)}{secret}"
    text = body + _checksum(body)
    return NewApiKey(text, fingerprint(text), f"{PREFIX}…{secret[:_SHOWN]}…")


def workspace_of(text: str) -> str:
    """The workspace that a key says it belongs to. Raises InvalidApiKey where the form or checksum is wrong."""
    match = _FORM.fullmatch(text)
    if match is None or _checksum(text[:-6]) != match[3]:
        raise InvalidApiKey(detail="not the form of an API key, or mistyped", step="form")
    workspace_id = long_id(match[1])
    if workspace_id is None:
        raise InvalidApiKey(detail="its workspace is out of range", step="form")
    return workspace_id


def fingerprint(text: str) -> str:
    """What is stored, and looked up by: hexadecimal SHA-256. Equality of hashes is decided by the database's index, so
    its timing tells about the hash of a guess, not about the key."""
    return hashlib.sha256(text.encode()).hexdigest()


def _checksum(body: str) -> str:
    return to_base62(zlib.crc32(body.encode()), 6)
