"""`POST /upload` (contracts/opencx.md 4.7): takes a file of a kind that the widget sends, and answers its link; it must
not serve one."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import partial

import msgspec

from vestibule.conversations.opening import open_conversation
from vestibule.conversations.visitor import Visitor
from vestibule.edge.http import Reply, Request, json_reply
from vestibule.edge.surface import Route
from vestibule.edge.uploads import take_upload
from vestibule.errors import NotFound, UnsupportedFile
from vestibule.runtime import Runtime
from vestibule.storage import conversations as rows
from vestibule.surfaces.opencx.widget.caller import visitor
from vestibule.surfaces.opencx.widget.reading import PREFIX

_ENCODER = msgspec.json.Encoder()
# What the widget lets its visitor choose. A pasted file it sends unchecked, whatever it is.
_TO_ANYBODY = frozenset(
    {
        "image/png",
        "image/jpeg",
        "image/gif",
        "image/webp",
        "application/pdf",
        "text/csv",
        "application/vnd.ms-excel",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    }
)
_TO_PEOPLE = "text/plain"
_TAKEN = (
    "Files of this kind are not accepted here: send PNG, JPEG, GIF, WebP, PDF, CSV, XLS or XLSX, and plain text once"
    " people answer."
)
# As many as a list shows.
_LATEST = 50


class _Uploaded(msgspec.Struct, frozen=True):
    fileName: str  # noqa: N815 - the wire's names
    fileUrl: str  # noqa: N815


def routes(runtime: Runtime) -> Sequence[Route]:
    # With one slash more, too: for uploads only, the widget keeps the one that `apiUrl` ends with.
    return [Route("POST", f"{slash}{PREFIX}/upload", partial(_upload, runtime)) for slash in ("", "/")]


async def _upload(runtime: Runtime, request: Request) -> Reply:
    author = await visitor(runtime, request)
    try:
        kept = await take_upload(runtime, author, request, takes=partial(_takes, runtime, author))
    except UnsupportedFile as error:
        raise UnsupportedFile(_TAKEN, detail=error.detail, step=error.step) from None
    return json_reply(200, _ENCODER.encode(_Uploaded(kept.file.name, kept.link)))


async def _takes(runtime: Runtime, author: Visitor, media_type: str) -> bool:
    return media_type in _TO_ANYBODY or (media_type == _TO_PEOPLE and await _has_people(runtime, author))


async def _has_people(runtime: Runtime, author: Visitor) -> bool:
    """Whether people answer in a chat that this token may see: an upload does not say which one it is for."""
    found, _ = await rows.list_page(
        runtime.store,
        rows.WHOLE,
        author.workspace_id,
        author.contact_id,
        token_id=author.token_id,
        verified=author.verified,
        scope=None,
        before=None,
        most=_LATEST,
    )
    for chat in found:
        if chat.handed_off and chat.is_open:
            # Among an unverified contact's are those of every device that claims the same e-mail.
            with contextlib.suppress(NotFound):
                await open_conversation(runtime, author, chat.id)
                return True
    return False
