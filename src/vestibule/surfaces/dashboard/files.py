"""`/dashboard/static/…css` and `js`: the files that pages load; it must not serve another."""

from __future__ import annotations

from collections.abc import Sequence

from vestibule.edge.http import Handler, Reply, Request
from vestibule.edge.surface import Route
from vestibule.surfaces.dashboard.rendering import FOLDER, SAFE
from vestibule.surfaces.dashboard.seat import PREFIX

_KINDS = {
    "dashboard.css": b"text/css; charset=utf-8",
    "set-up.css": b"text/css; charset=utf-8",
    "dashboard.js": b"text/javascript; charset=utf-8",
}


def routes() -> Sequence[Route]:
    return [
        Route("GET", f"{PREFIX}/static/{name}", _file((FOLDER / "static" / name).read_bytes(), kind))
        for name, kind in _KINDS.items()
    ]


def _file(content: bytes, kind: bytes) -> Handler:
    # Asked for again after an update: both are small.
    reply = Reply(200, content, ((b"content-type", kind), (b"cache-control", b"no-cache"), *SAFE))

    async def answer(_request: Request) -> Reply:
        return reply

    return answer
