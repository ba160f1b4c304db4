"""Finds, corrects, merges, signs out and erases contacts for operators; it must not touch a key that finds one."""

from __future__ import annotations

import asyncio
from functools import partial

import msgspec
from msgspec import UNSET, UnsetType

from vestibule.administration import workspaces
from vestibule.administration.desk import Desk
from vestibule.audit.log import FLUSH_SECONDS
from vestibule.clock import SECOND_MS, now_ms
from vestibule.conversations.files import delete_attached, delete_files_of
from vestibule.errors import Conflict, ContactBusy, InvalidField, NotFound
from vestibule.identity import profile_rules
from vestibule.identity.email import email_key
from vestibule.identity.phone import phone_key
from vestibule.model.audit import AuditEntry
from vestibule.model.claims import CustomData, Method
from vestibule.model.contact import Contact, Provenance
from vestibule.model.webhook import contact_unmerged
from vestibule.storage import audit, contact_search, erasure, files, refresh_tokens, token_endings, webhooks
from vestibule.storage.contact_search import Trust
from vestibule.storage.contacts import LOCK, UPDATE
from vestibule.storage.provider_identities import ProviderIdentities
from vestibule.storage.store import Work, query
from vestibule.storage.token_endings import Ending

_OTHER_SIDE = ".into"
_MERGES = {action + side for action in ("contact.merge", "contact.unmerge") for side in ("", _OTHER_SIDE)}
_MOST_CHANGES = 50


class Identity(msgspec.Struct, frozen=True):
    """A key that finds a contact. `kind` is email, phone, external_id or provider, which has an `issuer`."""

    kind: str
    value: str
    issuer: str | None
    contact_id: str


class MergeNote(msgspec.Struct, frozen=True):
    """That a contact was merged into another one, or parted from it."""

    contact_id: str
    into: str
    undone: bool
    at: int
    actor: str


class Place(msgspec.Struct, frozen=True):
    """Where a page of contacts ended."""

    id: str
    key: str = ""

    def is_storable(self) -> bool:
        return "\0" not in self.id + self.key


class Correction(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an operator changes of a profile; UNSET keeps, None clears (DESIGN rule 2.7). E-mail and phone are not among
    it: they are proven, and find the contact."""

    name: str | None | UnsetType = UNSET
    avatar_url: str | None | UnsetType = UNSET
    language: str | None | UnsetType = UNSET
    custom_data: CustomData | None | UnsetType = UNSET
    chat_context: str | None | UnsetType = UNSET


async def search(
    desk: Desk,
    workspace_id: str,
    *,
    name: str = "",
    email: str = "",
    phone: str = "",
    trust: Trust = contact_search.ANY,
    after: Place | None = None,
    most: int = 50,
) -> tuple[list[Contact], Place | None]:
    """Contacts whose name or e-mail begins so, or with this phone number, or (nothing given) all, the newest first; and
    where the next page begins. Raises NotFound, InvalidField."""
    await workspaces.get(desk, workspace_id)
    if sum(map(bool, (name, email, phone))) > 1:
        raise InvalidField("name", "must be given without email and phone: one at a time")
    store, contacts = desk.store, desk.contacts
    if phone:
        key = phone_key(phone)
        found = await contacts.find_by_phone(workspace_id, key) if key is not None else None
        return ([found] if found is not None and found.verified in trust else []), None
    if name or email:
        matches = await contact_search.beginning(
            store,
            contacts,
            workspace_id,
            trust,
            by_email=bool(email),
            prefix=name or email,
            after=(after.key, after.id) if after is not None else ("", ""),
            most=most + 1,
        )
        last = matches[most - 1] if len(matches) > most else None
        return [contact for contact, _ in matches[:most]], Place(last[0].id, last[1]) if last is not None else None
    page = await contact_search.latest(
        store, contacts, workspace_id, trust, before=after.id if after is not None else "", most=most + 1
    )
    return page[:most], Place(page[most - 1].id) if len(page) > most else None


async def correct(desk: Desk, workspace_id: str, contact_id: str, correction: Correction) -> Contact:
    """Changes what is given; that an operator said so stands beside each value. Raises NotFound, InvalidField,
    ContactBusy."""
    contact = await get(desk, workspace_id, contact_id)
    given = {name: value for name in Correction.__struct_fields__ if (value := getattr(correction, name)) is not UNSET}
    _check(contact, given)
    changed = {name: value for name, value in given.items() if value != getattr(contact, name)}
    if not changed:
        return contact
    now = now_ms()
    provenance = {**contact.provenance, **{name: Provenance(Method.OPERATOR, now) for name in changed}}
    wanted = msgspec.structs.replace(contact, **changed, provenance=provenance, updated_at=now)
    if not await desk.contacts.update(wanted):
        raise ContactBusy
    await desk.record("contact.change", workspace_id, contact_id=contact_id, detail=", ".join(changed))
    return await get(desk, workspace_id, contact_id)


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


async def one_person(desk: Desk, workspace_id: str, contact_id: str) -> list[Contact]:
    """The contacts that a person is, whichever of them is named: the one that leads, then those merged into it. Raises
    NotFound."""
    contact = await get(desk, workspace_id, contact_id)
    # Where the one that it points to is gone, it is left by itself.
    found = [await desk.contacts.lead(contact) or contact]
    for each in found:  # who is found is asked for theirs as well
        known = {other.id for other in found}
        found += [other for other in await desk.contacts.merged_into(workspace_id, each.id) if other.id not in known]
    return found


async def identities(desk: Desk, workspace_id: str, contact_id: str) -> list[Identity]:
    """The verified keys that find a person, whichever of their contacts is named. Raises NotFound."""
    subjects, found = ProviderIdentities(desk.store, desk.contacts), []
    for each in await one_person(desk, workspace_id, contact_id):
        keys = {"email": each.email_key, "phone": each.phone_key, "external_id": each.external_id}
        found += [Identity(kind, value, None, each.id) for kind, value in keys.items() if value is not None]
        proven = await subjects.list_of(workspace_id, each.id)
        found += [Identity("provider", subject, issuer, each.id) for issuer, subject in proven]
    return found


async def sign_out(desk: Desk, workspace_id: str, contact_id: str) -> list[str]:
    """Ends every token that a person holds, whichever of their contacts is named, on all devices; every worker refuses
    them within 5 s. The ids are the receipt. Raises NotFound."""
    ended = [contact.id for contact in await one_person(desk, workspace_id, contact_id)]
    await _end_tokens(desk, workspace_id, ended)
    await desk.record("contact.sign_out", workspace_id, contact_id=ended[0])
    await _next_second()
    return ended


async def erasable(desk: Desk, workspace_id: str, contact_id: str) -> Contact:
    """The contact, if it leads its person. Raises NotFound, Conflict."""
    contact = await get(desk, workspace_id, contact_id)
    leading = await desk.contacts.lead(contact)
    if leading is not None and leading.id != contact_id:
        # Half a person would be left, or more go than was asked for, and neither can be undone.
        raise Conflict(f"This contact was merged into {leading.id}: erase that one, or undo the merge first.")
    return contact


async def erase(desk: Desk, workspace_id: str, contact_id: str) -> list[str]:
    """Deletes a person: the contact that leads and those merged into it, with their chats, files and devices; their
    tokens open nothing any more. Who is parted from them meanwhile stays, signed out and perhaps without files. The
    erased ids are the receipt. Raises NotFound, Conflict."""
    try:
        await erasable(desk, workspace_id, contact_id)
    except NotFound:
        # An erasure may have been cut short before its last step.
        await erasure.forget_in_audit(desk.store, workspace_id, contact_id)
        raise
    asked: list[str] = []
    erased: list[str] = []

    def work() -> Work[tuple[list[str], list[str]]]:
        return erasure.erase_all(workspace_id, asked)

    found = await erasure.people(desk.store, workspace_id, contact_id)
    while found:  # again for who was merged into them meanwhile
        asked += found
        # The tokens first: nobody shall come back under a name that is being forgotten.
        await _end_tokens(desk, workspace_id, found)
        for person in found:
            await delete_files_of(desk.store, desk.files, workspace_id, person)
            # Also another's upload that hangs in their chats: a visitor may have attached it in two, and is two people
            # now.
            attached = await files.attached_of_contact(desk.store, workspace_id, person)
            await delete_attached(desk.store, desk.files, workspace_id, attached)
        erased, found = await desk.store.transact(work)
    for person in erased:
        await delete_files_of(desk.store, desk.files, workspace_id, person)  # what came while the others were deleted
    # The receipt: an id that leads to nothing any more, and stays when the rest of the audit forgets the person.
    for person in erased:
        await desk.record("contact.erase", workspace_id, person)
    # What was noted of them until then is on its way to the audit, in every process.
    await asyncio.sleep(2 * FLUSH_SECONDS)
    for person in erased:
        await erasure.forget_in_audit(desk.store, workspace_id, person)
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
    await _record_both(desk, "contact.merge", workspace_id, contact_id, into_id)
    return await get(desk, workspace_id, contact_id)


async def unmerge(desk: Desk, workspace_id: str, contact_id: str) -> Contact:
    """Undoes a merge. Of verified contacts both sign in anew: a token that was issued since then names the one who led,
    and would go on opening what is theirs to whoever was merged. Raises NotFound, Conflict, ContactBusy."""
    contact = await get(desk, workspace_id, contact_id)
    if contact.merged_into is None:
        raise Conflict("This contact is not merged into another one.")
    until = await _part(desk, contact, contact.merged_into)
    await _record_both(desk, "contact.unmerge", workspace_id, contact_id, contact.merged_into)
    if contact.verified:
        await _wait_until(until)
    return await get(desk, workspace_id, contact_id)


async def merges(desk: Desk, workspace_id: str, contact_id: str) -> list[MergeNote]:
    """Who was merged into the contact, or it into whom, and parted again; the latest first, as far as the audit goes
    back and was written. Raises NotFound."""
    await get(desk, workspace_id, contact_id)
    found = await audit.changes_of_contact(desk.store, workspace_id, contact_id, most=_MOST_CHANGES)
    return [_merge_of(stored.entry, contact_id) for stored in found if stored.entry.action in _MERGES]


async def _record_both(desk: Desk, action: str, workspace_id: str, contact_id: str, into_id: str) -> None:
    """An entry of each, so that either's history has it: the audit is searched by contact."""
    await desk.record(action, workspace_id, into_id, contact_id=contact_id)
    await desk.record(action + _OTHER_SIDE, workspace_id, contact_id, contact_id=into_id)


def _merge_of(entry: AuditEntry, contact_id: str) -> MergeNote:
    action, other_side, _ = entry.action.partition(_OTHER_SIDE)
    people = (entry.target, contact_id) if other_side else (contact_id, entry.target)
    return MergeNote(*people, undone=action == "contact.unmerge", at=entry.at, actor=entry.actor)


def _check(contact: Contact, given: dict[str, object]) -> None:
    for name, longest in (
        ("name", profile_rules.LONGEST_NAME),
        ("avatar_url", profile_rules.LONGEST_URL),
        ("language", profile_rules.LONGEST_NAME),
        ("chat_context", profile_rules.LONGEST_CONTEXT),
    ):
        value = given.get(name)
        if isinstance(value, str):
            profile_rules.text(name, value, longest)
    picture = given.get("avatar_url")
    if isinstance(picture, str) and not profile_rules.is_web_url(picture):
        raise InvalidField("avatar_url", "must be an http or https URL")
    custom = given.get("custom_data")
    if isinstance(custom, dict):
        profile_rules.custom_data("custom_data", custom)
    if not contact.verified and ("custom_data" in given or "chat_context" in given):
        # What an action believes of a verified contact must not come to stand beside what a visitor claims.
        raise InvalidField("custom_data" if "custom_data" in given else "chat_context", "is for verified contacts")


async def _end_tokens(desk: Desk, workspace_id: str, people: list[str]) -> None:
    for each in people:
        await desk.store.transact(partial(_ended, workspace_id, each))


def _ended(workspace_id: str, contact_id: str, issued_before: int = 0) -> Work[None]:
    """Ends all tokens of a contact that were issued before a moment, now if none is given, and what would bring others:
    visitor sessions, and proofs, claimed ones too. Whoever claims one is looked up among the signed out in memory,
    which may be two seconds behind."""
    yield refresh_tokens.end(workspace_id, contact_id)
    yield erasure.forget_proofs(workspace_id, contact_id)
    now = now_ms()
    yield token_endings.insert_query(Ending(workspace_id, contact_id, "", issued_before or now), now)


async def _next_second() -> None:
    """A token says in whole seconds when it was issued: whoever signs in after the answer must not seem to have
    before."""
    await _wait_until(now_ms() // SECOND_MS * SECOND_MS + SECOND_MS)


async def _wait_until(moment: int) -> None:
    await asyncio.sleep(max(0, moment + 1 - now_ms()) / SECOND_MS)


async def _part(desk: Desk, contact: Contact, from_id: str) -> int:
    """Tokens of who led that are issued before the moment that comes back are over, where the contacts are verified."""
    changed = msgspec.structs.replace(contact, merged_into=None, updated_at=now_ms())

    def work() -> Work[int | None]:
        # A sign-in under way has read that they are one: what it would write loses, and is decided anew.
        yield query(LOCK, contact.workspace_id, from_id)
        if not (yield query(UPDATE, *desk.contacts.to_row(changed))):
            return None
        # Who is signing in at this moment as one of both gets a token that is over, a moment later as well. Of when the
        # row is ours: it may have been waited for.
        until = now_ms() // SECOND_MS * SECOND_MS + 2 * SECOND_MS
        yield webhooks.note(contact_unmerged(contact.workspace_id, contact.id, from_id))
        # With it or not at all: it is not undone a second time. What an unverified visitor holds names their own
        # contact whomever that was merged into, and nothing in the OpenCX widget would get them another.
        if contact.verified:
            yield from _ended(contact.workspace_id, from_id, until)
        return until

    until = await desk.store.transact(work)
    if until is None:
        raise ContactBusy
    return until
