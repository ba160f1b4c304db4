"""Takes the bearer credential out of a request (RFC 6750 section 2.1); it must not judge it."""

from __future__ import annotations

import re

from vestibule.edge.http import Request
from vestibule.errors import AmbiguousCredentials, MissingCredentials

_FORM = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9\-._~+/]+=*)")
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
    match = _FORM.fullmatch(values[0].strip(b" \t")) if values and len(values[0]) <= _LONGEST else None
    if match is None:
        raise MissingCredentials(detail="no Authorization header of the form Bearer <token>", step="credentials")
    return match[1].decode("ascii")
