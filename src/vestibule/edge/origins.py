"""Lets only the pages that a workspace has named call in its name; it must not be taken for proof.

A browser says truthfully which page is calling (Fetch standard, the Origin header), and nobody else has to: this keeps
a widget off pages that copied it, and is no lock. Who sends no Origin is no page.
"""

from __future__ import annotations

from vestibule.edge.http import Request
from vestibule.errors import OriginNotAllowed


def require_origin(request: Request, allowed: tuple[str, ...]) -> None:
    """`allowed` empty: any page. Raises OriginNotAllowed."""
    if not allowed:
        return
    values = request.headers(b"origin")
    if values and not (len(values) == 1 and is_allowed(values[0].decode("latin-1"), allowed)):
        raise OriginNotAllowed(step="origin")


def is_allowed(origin: str, allowed: tuple[str, ...]) -> bool:
    """Whether one of `allowed` is the origin, or as `https://*.example.com` stands for it."""
    if origin in allowed:
        return True
    scheme, separator, host = origin.partition("://")
    # One label after the other: the star stands for at least one.
    while separator and "." in host:
        host = host.partition(".")[2]
        if f"{scheme}://*.{host}" in allowed:
            return True
    return False
