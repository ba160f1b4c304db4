"""`GET /v1/openapi.json`: what the native API says of itself."""

from __future__ import annotations

from collections.abc import Sequence

from vestibule.edge import description
from vestibule.edge.openapi import CONTACT_TOKEN
from vestibule.edge.surface import Route
from vestibule.runtime import Runtime

_ABOUT = (
    "What a contact token opens: the contact, their conversations, messages, files and live events. Times are RFC 3339"
    " in UTC. Errors are RFC 9457 problems with a stable `code`. Texts are data: show them as text, or sanitise what"
    " you render of them."
)


def described(runtime: Runtime, routes: Sequence[Route]) -> Sequence[Route]:
    """The routes, and one more that tells of all."""
    return description.described(
        routes,
        path="/v1/openapi.json",
        title="Vestibule",
        about=_ABOUT,
        server=runtime.settings.public_url,
        security=CONTACT_TOKEN,
    )
