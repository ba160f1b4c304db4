"""Shows, exports, merges and erases contacts for operators; it must not change a profile value."""

from __future__ import annotations

import msgspec

from vestibule.administration.desk import Desk
from vestibule.clock import now_ms
from vestibule.conversations.files import delete_files_of
from vestibule.errors import Conflict, ContactBusy, NotFound
from vestibule.identity.email import email_key
from vestibule.model.contact import Contact
from vestibule.model.conversation import Conversation, Message, StoredFile
from vestibule.storage import conversations as threads
from vestibule.storage import erasure, files, refresh_tokens, token_endings
from vestibule.storage.store import Work
from vestibule.storage.token_endings import Ending


class Held(msgspec.Struct, frozen=True):
    """What is kept about one contact beside its profile."""

    conversations: list[tuple[Conversation, list[Message]]]
    files: list[StoredFile]


async def get(desk: Desk, workspace_id: str, contact_id: str) -> Contact:
    """Raises NotFound."""
    found = await desk.contacts.find(workspace_id, contact_id)
    if found is None:
        raise NotFound("There is no such contact.")
    return found


async def find(desk: Desk, workspace_id: str, id_or_email: str) -> Contact:
    """By id, or by verified e-mail. Raises NotFound, InvalidField."""
    if "@" not in id_or_email:
        return await get(desk, workspace_id, id_or_email)
    found = await desk.contacts.find_by_email(workspace_id, email_key(id_or_email))
    if found is None:
        raise NotFound("There is no such contact.")
    return found


async def export(desk: Desk, workspace_id: str, contact_id: str) -> list[Contact]:
    """The contacts that a person is: the contact, then those merged into it. Raises NotFound."""
    contact = await get(desk, workspace_id, contact_id)
    return [contact, *await _merged(desk, contact)]


async def held(desk: Desk, contact: Contact) -> Held:
    """The chats and files of one contact."""
    found = await threads.of_contact(desk.store, contact.workspace_id, contact.id)
    chats = [(thread, await threads.history(desk.store, thread.workspace_id, thread.id)) for thread in found]
    return Held(chats, await files.of_contact(desk.store, contact.workspace_id, contact.id))


async def sign_out(desk: Desk, workspace_id: str, contact_id: str) -> list[str]:
    """Ends every token that a person holds, of the contact and of those merged into it, on all devices; every worker
    refuses them within 5 s. The ids are the receipt. Raises NotFound."""
    contacts = await export(desk, workspace_id, contact_id)
    now = now_ms()
    for contact in contacts:
        await refresh_tokens.end_now(desk.store, workspace_id, contact.id)
        await token_endings.insert(desk.store, Ending(workspace_id, contact.id, "", now), now)
    return [contact.id for contact in contacts]


async def erase(desk: Desk, workspace_id: str, contact_id: str) -> list[str]:
    """Deletes a person: the contact and those merged into it, with their chats, files and devices; their tokens open
    nothing any more. The erased ids are the receipt. Raises NotFound."""
    # The tokens first: nobody shall come back under a name that is being forgotten.
    erased = await sign_out(desk, workspace_id, contact_id)
    for person in erased:
        await delete_files_of(desk.store, desk.files, workspace_id, person)

    def work() -> Work[None]:
        for person in erased:
            yield from erasure.erase(workspace_id, person)

    await desk.store.transact(work)
    return erased


async def merge(desk: Desk, workspace_id: str, contact_id: str, into_id: str) -> Contact:
    """Makes one person of two: the keys and tokens of the first lead to the second from now on. No value is lost or
    overwritten, so `unmerge` undoes it. Raises NotFound, Conflict, ContactBusy."""
    contact, into = await get(desk, workspace_id, contact_id), await get(desk, workspace_id, into_id)
    if contact.verified != into.verified:
        # What a visitor claimed must never come to belong to a proven person by an operator's slip (DESIGN rule 2.2).
        raise Conflict("A verified and an unverified contact cannot be merged.")
    if await desk.contacts.merged_into(workspace_id, contact_id):
        # One step leads from any contact to its person; chains would have to be walked at every look-up.
        raise Conflict("Others are merged into this contact; unmerge them first.")
    if contact_id == into_id or not await desk.contacts.merge(workspace_id, contact_id, into_id, now_ms()):
        raise Conflict("Both must be different contacts that are not merged into another one.")
    return await get(desk, workspace_id, contact_id)


async def unmerge(desk: Desk, workspace_id: str, contact_id: str) -> Contact:
    """Undoes a merge. Raises NotFound, Conflict, ContactBusy."""
    contact = await get(desk, workspace_id, contact_id)
    if contact.merged_into is None:
        raise Conflict("This contact is not merged into another one.")
    return await _point(desk, contact, None)


async def _point(desk: Desk, contact: Contact, into_id: str | None) -> Contact:
    changed = msgspec.structs.replace(contact, merged_into=into_id, updated_at=now_ms())
    if not await desk.contacts.update(changed):
        raise ContactBusy
    return await get(desk, contact.workspace_id, contact.id)


async def _merged(desk: Desk, contact: Contact) -> list[Contact]:
    found: list[Contact] = []
    for merged in await desk.contacts.merged_into(contact.workspace_id, contact.id):
        found += [merged, *await _merged(desk, merged)]
    return found
