"""`POST /upload` (contracts/opencx.md 4.7): takes a file and answers its link; it must not serve one."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vestibule.conversations.files import keep_file
from vestibule.edge.client_address import address_bucket, client_address
from vestibule.edge.http import Reply, Request, json_reply
from vestibule.edge.multipart import read_upload
from vestibule.edge.surface import Route
from vestibule.runtime import Runtime
from vestibule.surfaces.opencx.widget.caller import visitor
from vestibule.surfaces.opencx.widget.reading import PREFIX

_ENCODER = msgspec.json.Encoder()


class _Uploaded(msgspec.Struct, frozen=True):
    fileName: str  # noqa: N815 - the wire's names
    fileUrl: str  # noqa: N815


class Files:
    """The handler."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def routes(self) -> Sequence[Route]:
        # With one slash more, too: for uploads only, the widget keeps the one that `apiUrl` ends with.
        return [Route("POST", f"{slash}{PREFIX}/upload", self.upload) for slash in ("", "/")]

    async def upload(self, request: Request) -> Reply:
        runtime, settings = self._runtime, self._runtime.settings
        author = await visitor(runtime, request)
        address = address_bucket(client_address(request, settings.trusted_proxies))
        await runtime.rate_limiter.take(author.workspace_id, f"uploads:{address}", settings.rate_limit_uploads)
        upload = await read_upload(
            request, field="file", most=settings.max_file_bytes, within=settings.body_timeout / 1000
        )
        with upload.content:
            kept = await keep_file(runtime, author, name=upload.name, size=upload.size, content=upload.content)
        request.facts |= {"file": kept.file.id, "bytes": kept.file.size}
        return json_reply(200, _ENCODER.encode(_Uploaded(kept.file.name, kept.link)))
