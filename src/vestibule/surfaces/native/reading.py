"""Reads parameters and bodies of the native API, bounded; it must not act on them."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from vestibule.edge.http import Request
from vestibule.edge.strict_json import decode
from vestibule.errors import InvalidField
from vestibule.identity import profile_rules as rules
from vestibule.runtime import Runtime

T = TypeVar("T")
LONGEST_SCOPE = 256
_ENCODER = msgspec.json.Encoder()


async def read_body(runtime: Runtime, request: Request, decoder: msgspec.json.Decoder[T]) -> T:
    settings = runtime.settings
    body = await request.body(most=settings.max_body_bytes, within=settings.body_timeout / 1000)
    return decode(body or b"{}", decoder)


def scope(value: str | None) -> str | None:
    """A conversation scope; an empty one is none. Raises InvalidField."""
    return rules.text("scope", value, LONGEST_SCOPE) if value else None


def document(field: str, value: dict[str, Any] | None) -> dict[str, Any] | None:
    """A JSON object to keep. No database column holds a NUL character; in JSON it comes as an escape."""
    if value is not None and b"\\u0000" in _ENCODER.encode(value):
        raise InvalidField(field, "must not contain a NUL character")
    return value
