"""`POST /upload` (contracts/opencx.md 4.7): takes a file and answers its link; it must not serve one."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vestibule.edge.http import Reply, Request, json_reply
from vestibule.edge.surface import Route
from vestibule.edge.uploads import take_upload
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
        author = await visitor(self._runtime, request)
        kept = await take_upload(self._runtime, author, request)
        return json_reply(200, _ENCODER.encode(_Uploaded(kept.file.name, kept.link)))
