"""`POST /v1/files`: takes a file that a message may then attach; it must not serve one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import msgspec

from vestibule.edge.contact_bearer import visitor
from vestibule.edge.http import Reply, Request, json_reply
from vestibule.edge.operation import Answer, Operation
from vestibule.edge.surface import Route
from vestibule.edge.uploads import take_upload
from vestibule.errors import RateLimited, UnsupportedFile
from vestibule.runtime import Runtime
from vestibule.surfaces.native.shapes import Attachment

_ENCODER = msgspec.json.Encoder()


def routes(runtime: Runtime) -> Sequence[Route]:
    return [Route("POST", "/v1/files", partial(_upload, runtime), _UPLOAD)]


async def _upload(runtime: Runtime, request: Request) -> Reply:
    author = await visitor(runtime, request)
    kept = await take_upload(runtime, author, request)
    file = kept.file
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
