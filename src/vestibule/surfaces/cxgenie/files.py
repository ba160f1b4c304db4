"""`files/guest-auth/multiple-upload`: takes files that a message may then attach; it must not serve one."""

from __future__ import annotations

from collections.abc import Sequence

from vestibule.conversations.files import MOST_ATTACHMENTS
from vestibule.edge.contact_bearer import visitor
from vestibule.edge.http import Reply, Request
from vestibule.edge.surface import Route
from vestibule.edge.uploads import take_uploads
from vestibule.runtime import Runtime
from vestibule.surfaces.cxgenie.dialect import data_reply


class Files:
    """The handler."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def routes(self) -> Sequence[Route]:
        return [Route("POST", "/api/v1/files/guest-auth/multiple-upload", self.upload)]

    async def upload(self, request: Request) -> Reply:
        author = await visitor(self._runtime, request)
        kept = await take_uploads(self._runtime, author, request, field="files", most_files=MOST_ATTACHMENTS)
        urls = [each.link for each in kept]
        # Twice: the public client reads them beside `data`, and nothing says that its server has no envelope here.
        return data_reply({"urls": urls}, urls=urls)
