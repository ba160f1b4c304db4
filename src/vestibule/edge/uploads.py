"""Takes a file that a visitor sends, for every surface: counted, bounded and kept; it must not word the answer."""

from __future__ import annotations

from vestibule.conversations.files import Kept, keep_file
from vestibule.conversations.visitor import Visitor
from vestibule.edge.client_address import address_bucket, client_address
from vestibule.edge.http import Request
from vestibule.edge.multipart import read_upload
from vestibule.runtime import Runtime


async def take_upload(runtime: Runtime, author: Visitor, request: Request) -> Kept:
    """The one field `file`, kept. Raises RateLimited, UnsupportedFile, UnsupportedMedia, BodyTooLarge, BodyTooSlow,
    InvalidField, StorageUnavailable."""
    settings = runtime.settings
    address = address_bucket(client_address(request, settings.trusted_proxies))
    await runtime.rate_limiter.take(author.workspace_id, f"uploads:{address}", settings.rate_limit_uploads)
    upload = await read_upload(request, field="file", most=settings.max_file_bytes, within=settings.body_timeout / 1000)
    with upload.content:
        kept = await keep_file(runtime, author, name=upload.name, size=upload.size, content=upload.content)
    request.facts |= {"file": kept.file.id, "bytes": kept.file.size}
    return kept
