"""Keeps visitors' files, finds them by their links and as attachments, and forgets them; it must not read a request.

A link opens its file for whoever has it, without a credential: an `img` element sends none (contracts/opencx.md section
0.11). So it carries a secret of 256 bits, of which a hash is kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import IO
from urllib.parse import quote

import msgspec

from vestibule.clock import now_ms
from vestibule.conversations.file_types import media_type_of, safe_name
from vestibule.conversations.visitor import Visitor, ensure_contact, hold_owner, owner_of
from vestibule.errors import BodyTooLarge, InvalidField, NotFound, UnsupportedFile
from vestibule.ids import is_id, new_id, random_base62
from vestibule.model.conversation import Attachment, StoredFile
from vestibule.runtime import Runtime
from vestibule.storage import files as rows
from vestibule.storage.file_store import FileStore
from vestibule.storage.store import Store, Work

PREFIX = "/files"
LONGEST_LINK = 4096  # a name of 200 characters, percent-encoded, is up to 2,400
MOST_ATTACHMENTS = 10
_LONGEST_ATTACHMENT_ID = 256
_SECRET = 43
_LINK = re.compile(rf"{PREFIX}/([0-9a-f-]{{36}})/([0-9a-f-]{{36}})/([0-9A-Za-z]{{{_SECRET}}})/[^/?#]+")
_NO_FILE = "There is no such file."
# Whether a surface takes files of this media type.
Takes = Callable[[str], Awaitable[bool]]


class Kept(msgspec.Struct, frozen=True):
    """A file at the only moment at which its link is known."""

    file: StoredFile
    link: str

    def __repr__(self) -> str:
        return f"Kept({self.file.id})"


class Reference(msgspec.Struct, frozen=True):
    """A file as a message names it. `id` is the client's own."""

    id: str
    link: str


async def keep_file(
    runtime: Runtime, author: Visitor, *, name: str, size: int, content: IO[bytes], takes: Takes | None = None
) -> Kept:
    """Keeps an uploaded file of an accepted type; `takes`: of these only. Its contact exists from then on, and with it
    the clock after which an unverified one is purged. Raises InvalidField, UnsupportedFile, BodyTooLarge,
    InvalidContactToken, StorageUnavailable."""
    if size == 0:
        raise InvalidField("file", "must not be empty")
    media_type = await asyncio.to_thread(media_type_of, content, size, name)
    if media_type is None or not (takes is None or await takes(media_type)):
        raise UnsupportedFile(detail=media_type or "", step="file_type")
    owner = owner_of(author, await ensure_contact(runtime, author))
    secret = random_base62(_SECRET)
    file = StoredFile(
        workspace_id=author.workspace_id,
        id=new_id(),
        contact_id=owner,
        secret_hash=_fingerprint(secret),
        name=safe_name(name, media_type),
        media_type=media_type,
        size=size,
        created_at=now_ms(),
        token_id="" if author.verified else author.token_id,
    )
    most = runtime.settings.max_contact_file_bytes

    def work() -> Work[None]:
        yield from hold_owner(file.workspace_id, owner)
        _require_room(file, (yield from rows.size_beside_work(file)), most)  # others may have come since
        yield rows.insert(file)

    _require_room(file, await rows.size_beside(runtime.store, file), most)
    content.seek(0)
    try:
        await runtime.files.put(file.workspace_id, file.id, content)
        # The bytes first: a link to nothing would be worse than bytes without a link.
        await runtime.store.transact(work)
    except BaseException:
        with contextlib.suppress(Exception):
            await asyncio.shield(runtime.files.delete(file.workspace_id, file.id))
        raise
    return Kept(file, _link(runtime, file, secret))


async def find_linked(runtime: Runtime, workspace_id: str, file_id: str, secret: str) -> StoredFile:
    """The file behind a link that is still good. Raises NotFound, in the same words whatever is wrong with it."""
    file = await _find(runtime, workspace_id, file_id, secret)
    workspace = await runtime.tenancy.by_id(workspace_id) if file is not None else None
    until = link_ends_at(runtime, file) if file is not None else None
    if file is None or workspace is None or workspace.disabled_at is not None or (until and until <= now_ms()):
        raise NotFound(_NO_FILE, step="file")
    return file


def link_ends_at(runtime: Runtime, file: StoredFile) -> int | None:
    """When the file's link ends (epoch ms); None: with the file."""
    lifetime = runtime.settings.file_link_lifetime
    return file.created_at + lifetime if lifetime else None


async def attachments_of(
    runtime: Runtime, author: Visitor, references: Sequence[Reference], *, field: str
) -> tuple[Attachment, ...]:
    """What a message may attach: files that this very contact has uploaded, with name, type and size as they were
    found, not as the client says now. Raises InvalidField, in the same words for a foreign file and for none."""
    if len(references) > MOST_ATTACHMENTS:
        raise InvalidField("attachments", f"must have at most {MOST_ATTACHMENTS} members")
    found = []
    for reference in references:
        if len(reference.id) > _LONGEST_ATTACHMENT_ID or "\0" in reference.id:
            raise InvalidField("attachments.id", f"must be a text of at most {_LONGEST_ATTACHMENT_ID} characters")
        own = await _own_file(runtime, author, reference.link)
        if own is None:
            raise InvalidField(field, "is not the address of a file that you have uploaded here", step="attachment")
        file = own.file
        found.append(Attachment(reference.id or file.id, file.name, file.size, file.media_type, own.link))
    return tuple(found)


async def delete_files_of(store: Store, files: FileStore, workspace_id: str, contact_id: str) -> int:
    """Forgets everything a contact has uploaded; how much it was. The links open nothing any more."""
    found = await rows.of_contact(store, workspace_id, contact_id)
    for file in found:
        # The row last: what is cut short is found again.
        await files.delete(workspace_id, file.id)
        await rows.delete(store, workspace_id, file.id)
    return len(found)


async def delete_attached(
    store: Store, files: FileStore, workspace_id: str, links: Sequence[str], people: Sequence[str] = ()
) -> int:
    """Forgets the uploads that these links lead to; how many they were. Where people are given, only uploads of theirs
    that hang on no message in a conversation of one of them any more: another's shows it to that one."""
    left = [link for person in people for link in await rows.attached_of_contact(store, workspace_id, person)]
    shown = set(_uploads(workspace_id, left))
    deleted = 0
    for file_id in _uploads(workspace_id, links):
        file = await rows.find(store, workspace_id, file_id) if people else None
        if file_id not in shown and (file is None or file.contact_id in people):
            await files.delete(workspace_id, file_id)
            deleted += await rows.delete(store, workspace_id, file_id)
    return deleted


def give_attached(workspace_id: str, conversation_id: str, contact_id: str) -> Work[None]:
    """Makes what was attached in a conversation the contact's, for the unit of work that makes the conversation theirs:
    it is forgotten with them, and not with the visitor who uploaded it before anything was proven of them."""
    links = yield from rows.attached_in(workspace_id, conversation_id)
    for file_id in _uploads(workspace_id, links):
        yield rows.give(workspace_id, file_id, contact_id)


def _require_room(file: StoredFile, taken: int, most: int) -> None:
    """Files stay as long as their contact, also those that were never attached to anything. Raises BodyTooLarge."""
    if taken + file.size > most:
        raise BodyTooLarge(f"Your files would be larger than {most} bytes together.", step="files")


def _uploads(workspace_id: str, links: Sequence[str]) -> list[str]:
    """The ids of the workspace's uploads among what links lead to; in one order for all who change their rows."""
    matches = [match for link in links if (match := _LINK.search(link)) is not None]
    return sorted({match[2] for match in matches if match[1] == workspace_id})


async def _own_file(runtime: Runtime, author: Visitor, link: str) -> Kept | None:
    settings = runtime.settings
    # A page that was open when the address changed still names its uploads by the one before.
    bases = (settings.public_url, *settings.former_public_urls)
    base = next((each for each in bases if link.startswith(f"{each}{PREFIX}/")), None)
    match = _LINK.fullmatch(link, len(base)) if base is not None and len(link) <= LONGEST_LINK else None
    if match is None or match[1] != author.workspace_id:
        return None
    file = await _find(runtime, match[1], match[2], match[3])
    if file is None:
        return None
    if file.contact_id != author.contact_id:
        lead = await runtime.contacts.find_leading(author.workspace_id, author.contact_id)
        if lead is None or file.contact_id != lead.id:
            return None
    return Kept(file, _link(runtime, file, match[3]))


def _link(runtime: Runtime, file: StoredFile, secret: str) -> str:
    name = quote(file.name, safe="")
    return f"{runtime.settings.public_url}{PREFIX}/{file.workspace_id}/{file.id}/{secret}/{name}"


async def _find(runtime: Runtime, workspace_id: str, file_id: str, secret: str) -> StoredFile | None:
    if not is_id(workspace_id) or not is_id(file_id):
        return None
    file = await rows.find(runtime.store, workspace_id, file_id)
    # Compared also where there is no file, so that time tells nothing of which ids exist.
    known = file.secret_hash if file is not None else ""
    return file if hmac.compare_digest(_fingerprint(secret), known) else None


def _fingerprint(secret: str) -> str:
    """There is nothing to guess in 256 bits, so a plain hash is enough to keep."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
