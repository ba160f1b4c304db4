"""`POST /v1/files`: takes a file that a message may then attach; it must not serve one."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vestibule.conversations.files import keep_file
from vestibule.edge.client_address import address_bucket, client_address
from vestibule.edge.http import Reply, Request, json_reply
from vestibule.edge.multipart import read_upload
from vestibule.edge.operation import Answer, Operation
from vestibule.edge.surface import Route
from vestibule.errors import RateLimited, UnsupportedFile
from vestibule.runtime import Runtime
from vestibule.surfaces.native.caller import visitor
from vestibule.surfaces.native.shapes import Attachment

_ENCODER = msgspec.json.Encoder()


class Files:
    """The handler."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def routes(self) -> Sequence[Route]:
        return [Route("POST", "/v1/files", self.upload, _UPLOAD)]

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
        file = kept.file
        request.facts |= {"file": file.id, "bytes": file.size}
        made = Attachment(file.id, file.name, file.size, file.media_type, kept.link)
        return json_reply(201, _ENCODER.encode(made))


_UPLOAD = Operation(
    name="uploadFile",
    summary="Upload a file to attach to a message",
    about="Pictures (PNG, JPEG, GIF, WebP), PDF, spreadsheets (xlsx, xls, CSV), docx, plain text, video (MP4, WebM) and"
    " sound (MP3, WAV, Ogg), told by their content. The `url` opens the file for whoever has it.",
    form=(
        "multipart/form-data",
        {
            "type": "object",
            "properties": {"file": {"type": "string", "contentMediaType": "application/octet-stream"}},
            "required": ["file"],
            "additionalProperties": False,
        },
    ),
    answers=(Answer(status=201, about="The file as it is kept.", type=Attachment),),
    errors=(UnsupportedFile, RateLimited),
)
