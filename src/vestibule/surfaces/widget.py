"""`GET /widget.js`: our widget as one script, for pages of any origin; it must not depend on who asks."""

from __future__ import annotations

import gzip
import re
from collections.abc import Sequence

from vestibule.edge.entity_tags import digest_of, is_known
from vestibule.edge.http import Handler, Header, Reply, Request
from vestibule.edge.problem import problem
from vestibule.edge.surface import Route, Surface
from vestibule.responder.runner import Runner
from vestibule.runtime import Runtime
from vestibule.widget.bundle import script, style_sheet

# A page's address of the script never changes, so a new version shall come soon; until then most loads ask nothing,
# and a load after that is answered 304.
_FRESH = b"public, max-age=600, stale-while-revalidate=86400"
_HEADERS: tuple[Header, ...] = (
    (b"cache-control", _FRESH),
    (b"vary", b"accept-encoding"),
    (b"x-content-type-options", b"nosniff"),
    # Pages that isolate themselves (COEP) may load it, and pages with `crossorigin` may read its errors.
    (b"cross-origin-resource-policy", b"cross-origin"),
    (b"access-control-allow-origin", b"*"),
)
_REFUSES_GZIP = re.compile(rb"gzip\s*;\s*q=0(\.0*)?\s*(,|$)")


def surface(_runtime: Runtime, _runner: Runner) -> Surface:
    return Surface("widget", ("/widget.js", "/widget.css"), problem, routes())


def routes() -> Sequence[Route]:
    return [
        Route("GET", "/widget.js", _file(script(), b"text/javascript; charset=utf-8")),
        # Only for browsers without constructable style sheets.
        Route("GET", "/widget.css", _file(style_sheet(), b"text/css; charset=utf-8")),
    ]


def _file(text: str, kind: bytes) -> Handler:
    plain = text.encode()
    packed = gzip.compress(plain, 9, mtime=0)
    tag = digest_of(plain)

    async def answer(request: Request) -> Reply:
        accepted = b",".join(request.headers(b"accept-encoding")).lower()
        packs = b"gzip" in accepted and not _REFUSES_GZIP.search(accepted)
        # One tag for each coding: they are two representations (RFC 9110 section 8.8.3).
        own = b'"%s%s"' % (tag, b"-gzip" if packs else b"")
        headers = ((b"content-type", kind), (b"etag", own), *_HEADERS)
        if is_known(request, tag):
            return Reply(304, b"", headers)
        return Reply(200, packed, (*headers, (b"content-encoding", b"gzip"))) if packs else Reply(200, plain, headers)

    return answer
