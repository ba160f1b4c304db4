"""`GET /files/…`: gives a file to whoever has its link; it must not show one as a page of ours.

Files come from strangers. None is rendered as a document of this origin: the type is what was found in the content and
no browser may guess another, everything but pictures, sound and video is a download, and even those get a policy under
which nothing runs and nothing is loaded.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from vestibule.clock import SECOND_MS, now_ms
from vestibule.conversations.file_types import is_inline
from vestibule.conversations.files import PREFIX, find_linked, link_ends_at
from vestibule.edge.entity_tags import is_known
from vestibule.edge.http import Header, Reply, Request
from vestibule.edge.problem import problem
from vestibule.edge.request_limits import count_stranger
from vestibule.edge.streaming import StreamedReply
from vestibule.edge.surface import Route, Surface
from vestibule.errors import NotFound
from vestibule.model.conversation import StoredFile
from vestibule.responder.runner import Runner
from vestibule.runtime import Runtime

_FRESH_SECONDS = 365 * 86_400
# RFC 9110 section 14.1.2. A request for several ranges at once is answered with the whole, as section 14.2 allows.
_RANGE = re.compile(rb"bytes=(\d{0,18})-(\d{0,18})")
_SAFE: tuple[Header, ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; sandbox"),
    (b"cross-origin-resource-policy", b"cross-origin"),
    # The link is the credential, and no cookie is read: whoever may know it may read it from any page.
    (b"access-control-allow-origin", b"*"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-robots-tag", b"noindex"),
    (b"accept-ranges", b"bytes"),
)


def surface(runtime: Runtime, _runner: Runner) -> Surface:
    async def serve(request: Request) -> Reply:
        return await _serve(runtime, request)

    path = f"{PREFIX}/{{workspace_id}}/{{file_id}}/{{secret}}/{{name}}"
    # The name is for people, and for who saves the file.
    return Surface("files", (PREFIX,), problem, [Route("GET", path, serve)], secret_paths=True)


async def _serve(runtime: Runtime, request: Request) -> Reply:
    params = request.params
    count_stranger(runtime, request)
    file = await find_linked(runtime, params["workspace_id"], params["file_id"], params["secret"])
    request.facts |= {"workspace": file.workspace_id, "file": file.id}
    tag = f'"{file.id}"'.encode()
    headers = (*_headers(file, link_ends_at(runtime, file)), (b"etag", tag))
    if is_known(request, tag):
        return Reply(304, b"", headers)
    wanted = _wanted(request, file.size, tag)
    if wanted is None:
        # About this request and not about the file: no cache may give it to the next one.
        outside = ((b"content-range", f"bytes */{file.size}".encode()), (b"cache-control", b"no-store"))
        return Reply(416, b"", (*_SAFE, *outside))
    first, last, partial = wanted
    content = await runtime.files.open(file.workspace_id, file.id, first, last - first + 1)
    if content is None:
        raise NotFound("There is no such file.", detail="its bytes are gone", step="file_open")
    if partial:
        headers = (*headers, (b"content-range", f"bytes {first}-{last}/{file.size}".encode()))
    return StreamedReply(
        request,
        206 if partial else 200,
        content.pieces(),
        headers,
        length=last - first + 1,
        end=content.close,
    )


def _headers(file: StoredFile, until: int | None) -> tuple[Header, ...]:
    fresh = _FRESH_SECONDS
    if until is not None:
        fresh = max(0, min(fresh, (until - now_ms()) // SECOND_MS))
    # Plain text was checked to be UTF-8; a table is in whatever its spreadsheet writes (conversations/file_types.py).
    kind = f"{file.media_type}; charset=utf-8" if file.media_type == "text/plain" else file.media_type
    return (
        (b"content-type", kind.encode()),
        (b"content-disposition", _disposition(file)),
        (b"cache-control", f"private, max-age={fresh}, immutable".encode()),
        *_SAFE,
    )


def _disposition(file: StoredFile) -> bytes:
    """RFC 6266, with the name in ASCII for old readers and in UTF-8 (RFC 8187) for all others."""
    plain = re.sub(r"[^A-Za-z0-9 ._()\-]", "_", file.name)
    shown = "inline" if is_inline(file.media_type) else "attachment"
    return f"{shown}; filename=\"{plain}\"; filename*=UTF-8''{quote(file.name, safe='')}".encode()


def _wanted(request: Request, size: int, tag: bytes) -> tuple[int, int, bool] | None:
    """First and last byte to send, and whether a range was asked for, as players do to learn that they may; None where
    that range lies outside (RFC 9110 section 14.1.2)."""
    whole = (0, size - 1, False)
    # Of HEAD a range says nothing (RFC 9110 section 14.2).
    asked = request.headers(b"range") if request.method == "GET" else []
    match = _RANGE.fullmatch(asked[0]) if len(asked) == 1 else None
    # A range of another version of the file would be spliced into the wrong bytes (RFC 9110 section 13.1.5).
    if match is None or any(value != tag for value in request.headers(b"if-range")):
        return whole
    first, last = match[1], match[2]
    if not first:
        if not last:
            return whole
        return (max(0, size - int(last)), size - 1, True) if int(last) else None
    if last and int(last) < int(first):
        return whole  # not a range at all
    return (int(first), min(int(last or size), size - 1), True) if int(first) < size else None
