"""Reads form bodies one way everywhere: bounded, UTF-8, no parameter twice (RFC 6749 section 3.2); it must not know
parameters."""

from __future__ import annotations

from urllib.parse import parse_qsl

from vestibule.edge.http import Request, is_utf8
from vestibule.errors import InvalidField, MalformedBody, UnsupportedMedia

MEDIA_TYPE = "application/x-www-form-urlencoded"
_MOST_PARAMETERS = 50


async def read_form(request: Request, *, most: int, within: float) -> dict[str, str]:
    """The parameters that have a value: one without counts as left out. Raises UnsupportedMedia, MalformedBody,
    InvalidField, BodyTooLarge, BodyTooSlow."""
    types = request.headers(b"content-type")
    kind, _, parameters = types[0].lower().partition(b";") if len(types) == 1 else (b"", b"", b"")
    if kind.strip() != MEDIA_TYPE.encode() or not is_utf8(parameters) or request.is_compressed:
        raise UnsupportedMedia(f"Send a form with Content-Type: {MEDIA_TYPE}, not compressed.", step="content_type")
    body = await request.raw_body(most=most, within=within)
    try:
        pairs = parse_qsl(body.decode("ascii"), errors="strict", max_num_fields=_MOST_PARAMETERS)
    except ValueError:
        raise MalformedBody("The body is not a form in UTF-8.", step="form") from None
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found:
            raise InvalidField(name, "must be given once")
        found[name] = value
    return found
