"""Shows, exports, merges and erases contacts for operators; it must not change a profile value."""

from __future__ import annotations

import msgspec

from vestibule.administration.desk import Desk
from vestibule.clock import now_ms
from vestibule.errors import Conflict, ContactBusy, NotFound
from vestibule.identity.email import email_key
from vestibule.model.contact import Contact
from vestibule.storage import pending_identities
from vestibule.storage.provider_identities import ProviderIdentities


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
    """Everything kept about a person: the contact, then those merged into it. Raises NotFound."""
    contact = await get(desk, workspace_id, contact_id)
    return [contact, *await _merged(desk, contact)]


async def erase(desk: Desk, workspace_id: str, contact_id: str) -> list[str]:
    """Deletes a person: the contact and those merged into it; their tokens open nothing any more. The erased ids are
    the receipt. Raises NotFound."""
    contacts = await export(desk, workspace_id, contact_id)
    for contact in reversed(contacts):
        await pending_identities.delete_of_contact(desk.store, workspace_id, contact.id)
        await ProviderIdentities(desk.store, desk.contacts).forget(workspace_id, contact.id)
        await desk.contacts.delete(workspace_id, contact.id)
    return [contact.id for contact in contacts]


async def merge(desk: Desk, workspace_id: str, contact_id: str, into_id: str) -> Contact:
    """Makes one person of two: the keys and tokens of the first lead to the second from now on. No value is lost or
    overwritten, so `unmerge` undoes it. Raises NotFound, Conflict, ContactBusy."""
    contact, into = await get(desk, workspace_id, contact_id), await get(desk, workspace_id, into_id)
    if contact.id == into.id or into.merged_into is not None or contact.merged_into is not None:
        raise Conflict("Both must be different contacts that are not merged into another one.")
    if contact.verified != into.verified:
        # What a visitor claimed must never come to belong to a proven person by an operator's slip (DESIGN rule 2.2).
        raise Conflict("A verified and an unverified contact cannot be merged.")
    return await _point(desk, contact, into.id)


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
