"""Takes the bearer credential out of a request (RFC 6750 section 2.1); it must not judge it."""

from __future__ import annotations

from vestibule.edge.http import Request
from vestibule.errors import AmbiguousCredentials, MissingCredentials

_CHARACTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/"
_LONGEST = 4096


def bearer(request: Request) -> str:
    """The credential of the one Authorization header. Raises MissingCredentials, AmbiguousCredentials.

    A credential in the query or the body counts as none: addresses end up in logs and histories (RFC 6750 section 5.3).
    """
    values = request.headers(b"authorization")
    if len(values) > 1:
        # A proxy may check one of them and we another.
        raise AmbiguousCredentials(detail=f"{len(values)} Authorization headers", step="credentials")
    # White space around a field value is no part of it (RFC 9110 section 5.5); httptools strips it in front only.
    value = values[0].strip(b" \t") if values else b""
    scheme, _, token = value.partition(b" ")
    token = token.lstrip(b" ")
    if len(value) > _LONGEST or scheme.lower() != b"bearer" or not _is_token68(token):
        raise MissingCredentials(detail="no Authorization header of the form Bearer <token>", step="credentials")
    return token.decode("ascii")


def _is_token68(token: bytes) -> bool:
    """RFC 9110 section 11.2. Not by a regular expression, which takes ten times as long at every poll."""
    told = token.rstrip(b"=")
    return bool(told) and not told.translate(None, _CHARACTERS)
