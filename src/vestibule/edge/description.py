"""`GET …/openapi.json`: a surface describes itself; it must not say what the code does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from vestibule import __version__
from vestibule.edge.entity_tags import entity_tag, is_known
from vestibule.edge.http import Reply, Request
from vestibule.edge.openapi import Security, document
from vestibule.edge.operation import Answer, Operation
from vestibule.edge.surface import Route

_FRESH = (b"cache-control", b"public, max-age=300")


def described(
    routes: Sequence[Route], *, path: str, title: str, about: str, server: str, security: Security
) -> Sequence[Route]:
    """The routes, and one more at `path` that tells of all."""
    body, tag = b"", b""

    async def openapi(request: Request) -> Reply:
        headers = ((b"content-type", b"application/json"), _FRESH, (b"etag", tag))
        if is_known(request, tag):
            return Reply(304, b"", headers)
        return Reply(200, body, (*headers, (b"x-content-type-options", b"nosniff")))

    every = [*routes, Route("GET", path, openapi, _OPENAPI)]
    made = document(every, title=title, version=__version__, about=about, server=server, security=security)
    body = msgspec.json.encode(made)
    tag = entity_tag(body)
    return every


_OPENAPI = Operation(
    name="getDescription",
    summary="Show this description",
    answers=(Answer(about="An OpenAPI 3.1 document.", type=dict[str, Any], headers={"ETag": "Of this description."}),),
    public=True,
)
