"""Gathers everything that is kept about a person, for them to have; it must not change anything.

Each surface writes it down in its own form, and each of them all of it. Of somebody proven it is what is proven to be
theirs: a contact that was claimed has chats of others beside it, of everybody who ever typed its e-mail (DESIGN rule
2.4).
"""

from __future__ import annotations

from typing import Any

import msgspec

from vestibule.administration import contacts
from vestibule.administration.desk import Desk
from vestibule.errors import LoginRequired
from vestibule.model.audit import AuditEntry, AuditKind
from vestibule.model.claims import Method
from vestibule.model.contact import Contact
from vestibule.model.conversation import Conversation, Message, StoredFile
from vestibule.storage import audit, conversation_lists, files
from vestibule.storage import conversations as threads
from vestibule.storage.provider_identities import ProviderIdentities

_PAGE = 200
_AFTER_ALL = 2**62


class ProviderIdentity(msgspec.Struct, frozen=True):
    """Whom an identity provider has proven the contact to be."""

    issuer: str
    subject: str


class SignIn(msgspec.Struct, frozen=True):
    """That they said who they are, as the audit keeps it until they are erased. `at` is epoch milliseconds, `address` a
    network."""

    at: int
    method: str
    outcome: str
    code: str
    origin: str
    address: str | None


class Held(msgspec.Struct, frozen=True):
    """What is kept about one contact beside its profile. Sign-ins: the latest first, as far as the audit goes back."""

    provider_identities: list[ProviderIdentity]
    sign_ins: list[SignIn]
    conversations: list[tuple[Conversation, list[Message]]]
    files: list[StoredFile]


async def gather(desk: Desk, workspace_id: str, contact_id: str) -> list[tuple[Contact, Held]]:
    """The contacts that a person is, the leading one first, each with all that is kept about it. Who looked is in the
    audit. Raises NotFound."""
    people = await contacts.one_person(desk, workspace_id, contact_id)
    await desk.audit.flush()  # how they came in a moment ago
    found = [(contact, await _held(desk, contact)) for contact in people]
    await desk.record("contact.export", workspace_id, contact_id=people[0].id)
    return found


async def document(desk: Desk, workspace_id: str, contact_id: str) -> dict[str, Any]:
    """Likewise as a plain document, without what is not the person's to have: HTTP overrides, which are mostly the
    customer's credentials, and hashes of links. Raises NotFound."""
    return {
        "people": [
            {
                "contact": _plain(contact, "http_action_overrides", "version"),
                "provider_identities": [_plain(each) for each in held.provider_identities],
                "sign_ins": [_plain(each) for each in held.sign_ins],
                "conversations": [
                    {**_plain(chat), "messages": [_plain(message) for message in messages]}
                    for chat, messages in held.conversations
                ],
                "files": [_plain(file, "secret_hash") for file in held.files],
            }
            for contact, held in await gather(desk, workspace_id, contact_id)
        ]
    }


async def count(desk: Desk, contact: Contact) -> tuple[int, int]:
    """How many chats and files there are of one contact."""
    chats = await conversation_lists.count_of_contact(desk.store, contact.workspace_id, contact.id)
    return chats, await files.count_of_contact(desk.store, contact.workspace_id, contact.id)


async def _held(desk: Desk, contact: Contact) -> Held:
    proven = await ProviderIdentities(desk.store, desk.contacts).list_of(contact.workspace_id, contact.id)
    found = await threads.of_contact(desk.store, contact.workspace_id, contact.id)
    return Held(
        provider_identities=[ProviderIdentity(issuer, subject) for issuer, subject in proven],
        sign_ins=await _sign_ins(desk, contact),
        conversations=[
            (thread, await threads.history(desk.store, thread.workspace_id, thread.id))
            for thread in found
            if thread.verified or not contact.verified
        ],
        files=[
            file
            for file in await files.of_contact(desk.store, contact.workspace_id, contact.id)
            if not file.token_id or not contact.verified
        ],
    )


async def _sign_ins(desk: Desk, contact: Contact) -> list[SignIn]:
    found: list[SignIn] = []
    before = _AFTER_ALL
    while True:
        page = await audit.of_contact(desk.store, contact.workspace_id, contact.id, before=before, most=_PAGE)
        found += [_sign_in(each.entry) for each in page if _is_theirs(each.entry, contact)]
        if len(page) < _PAGE:
            return found
        before = page[-1].seq


def _is_theirs(entry: AuditEntry, contact: Contact) -> bool:
    unproven = entry.method == Method.UNVERIFIED or entry.code == LoginRequired.code
    return entry.kind is AuditKind.AUTHENTICATION and not (unproven and contact.verified)


def _sign_in(entry: AuditEntry) -> SignIn:
    return SignIn(entry.at, entry.method, entry.outcome, entry.code, entry.origin, entry.address)


def _plain(value: msgspec.Struct, *without: str) -> dict[str, Any]:
    members: dict[str, Any] = msgspec.to_builtins(msgspec.structs.asdict(value))
    return {name: member for name, member in members.items() if name not in without}
