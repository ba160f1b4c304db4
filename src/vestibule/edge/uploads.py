"""Takes a file that a visitor sends, for every surface: counted, bounded and kept; it must not word the answer."""

from __future__ import annotations

import contextlib

from vestibule.conversations.files import Kept, Takes, keep_file
from vestibule.conversations.visitor import Visitor
from vestibule.edge.client_address import address_bucket, client_address
from vestibule.edge.http import Request
from vestibule.edge.multipart import read_uploads
from vestibule.runtime import Runtime


async def take_upload(runtime: Runtime, author: Visitor, request: Request, *, takes: Takes | None = None) -> Kept:
    """The one field `file`, kept; `takes` says which of the accepted types, where it is not all. Raises RateLimited,
    UnsupportedFile, UnsupportedMedia, BodyTooLarge, BodyTooSlow, InvalidField, StorageUnavailable."""
    [kept] = await _taken(runtime, author, request, field="file", most_files=1, takes=takes)
    request.facts |= {"file": kept.file.id, "bytes": kept.file.size}
    return kept


async def take_uploads(
    runtime: Runtime, author: Visitor, request: Request, *, field: str, most_files: int
) -> list[Kept]:
    """Likewise the files of a field that may be given more than once; each counts."""
    kept = await _taken(runtime, author, request, field=field, most_files=most_files, takes=None)
    request.facts |= {"files": len(kept), "bytes": sum(each.file.size for each in kept)}
    return kept


async def _taken(
    runtime: Runtime, author: Visitor, request: Request, *, field: str, most_files: int, takes: Takes | None
) -> list[Kept]:
    settings = runtime.settings
    bucket = f"uploads:{address_bucket(client_address(request, settings.trusted_proxies))}"
    await runtime.rate_limiter.take(author.workspace_id, bucket, settings.rate_limit_uploads)
    uploads = await read_uploads(
        request,
        field=field,
        most=settings.max_file_bytes,
        most_files=most_files,
        within=settings.body_timeout / 1000,
    )
    with contextlib.ExitStack() as contents:
        for upload in uploads:
            contents.enter_context(upload.content)
        for _ in uploads[1:]:
            await runtime.rate_limiter.take(author.workspace_id, bucket, settings.rate_limit_uploads)
        return [
            await keep_file(runtime, author, name=upload.name, size=upload.size, content=upload.content, takes=takes)
            for upload in uploads
        ]
