"""Whom identity providers have proven, as rows that lead to contacts; it must not decide whom they lead to."""

from __future__ import annotations

from vestibule.clock import now_ms
from vestibule.model.claims import ProviderSubject
from vestibule.model.contact import Contact
from vestibule.storage import spent_tokens
from vestibule.storage.contacts import COLUMNS, Contacts
from vestibule.storage.contacts import INSERT as INSERT_CONTACT
from vestibule.storage.contacts import UPDATE as UPDATE_CONTACT
from vestibule.storage.statement import Pair, pair, statement
from vestibule.storage.store import Query, Store, UniqueViolation, Work, one_after_the_other

_CONTACT = ", ".join(f"c.{name.strip()}" for name in COLUMNS.split(","))

FIND_CONTACT = statement(
    "provider_identities.find_contact",
    f"""
    SELECT $slot, {_CONTACT}
    FROM provider_identities p JOIN contacts c ON c.workspace_id = p.workspace_id AND c.id = p.contact_id
    WHERE p.workspace_id = $1 AND p.issuer = $2 AND p.subject = $3
    """,
)
# CROSS JOIN: SQLite, which has no statistics, begins with the first table then, and not with everybody of the issuer.
FIND_OTHER = statement(
    "provider_identities.find_other",
    """
    SELECT subject FROM provider_identities
    WHERE workspace_id = $1 AND contact_id = $2 AND issuer = $3 AND subject <> $4
    UNION ALL
    SELECT p.subject FROM contacts c CROSS JOIN provider_identities p
    WHERE p.workspace_id = c.workspace_id AND p.contact_id = c.id
        AND c.workspace_id = $1 AND c.merged_into = $2 AND p.issuer = $3 AND p.subject <> $4
    LIMIT 1
    """,
)
LIST = statement(
    "provider_identities.list",
    """
    SELECT issuer, subject FROM provider_identities WHERE workspace_id = $1 AND contact_id = $2
    ORDER BY created_at, issuer, subject
    """,
)
INSERT = statement(
    "provider_identities.insert",
    """
    INSERT INTO provider_identities (workspace_id, issuer, subject, contact_id, created_at)
    VALUES ($1, $2, $3, $4, $5) RETURNING $slot, contact_id
    """,
)
# The contact and what leads to it: the second fails, and undoes the first, where somebody has taken the subject.
CREATE = pair(INSERT_CONTACT, INSERT)
LINK = pair(UPDATE_CONTACT, INSERT)


class ProviderIdentities:
    """Reads and writes who was proven, together with their contacts."""

    def __init__(self, store: Store, contacts: Contacts) -> None:
        self._store = store
        self._contacts = contacts

    async def find_contact(self, workspace_id: str, subject: ProviderSubject) -> Contact | None:
        """Who was proven by it, as they are: a merged contact still has to be followed to its person."""
        rows = await self._store.read(FIND_CONTACT, workspace_id, subject.issuer, subject.subject)
        return self._contacts.from_row(rows[0]) if rows else None

    async def use_up(self, workspace_id: str, subject: ProviderSubject) -> bool:
        """Takes note that a proof was used, where it is good only once. False where it was used before."""
        if subject.once is None:
            return True
        return await spent_tokens.spend(self._store, workspace_id, subject.once, subject.expires_at)

    async def has_other_subject(self, workspace_id: str, contact_id: str, subject: ProviderSubject) -> bool:
        """Whether the contact, or one that was merged into it, is known to be somebody else at the same issuer."""
        return bool(await self._store.read(FIND_OTHER, workspace_id, contact_id, subject.issuer, subject.subject))

    async def list_of(self, workspace_id: str, contact_id: str) -> list[tuple[str, str]]:
        """Issuer and subject of everybody who is this contact."""
        return [(row[0], row[1]) for row in await self._store.read(LIST, workspace_id, contact_id)]

    async def create(self, contact: Contact, subject: ProviderSubject, also: Query | None = None) -> bool:
        """Makes the contact and what leads to it (and writes `also`), all or nothing. False where somebody was
        faster."""
        return await self._together(CREATE, contact, contact.id, subject, also)

    async def link(self, contact: Contact, holder_id: str, subject: ProviderSubject) -> bool:
        """Writes over the version of the contact that was read and lets the subject lead to the holder, which is the
        contact or was merged into it; both or neither. False where somebody was faster."""
        return await self._together(LINK, contact, holder_id, subject)

    async def _together(
        self, both: Pair, contact: Contact, holder_id: str, subject: ProviderSubject, also: Query | None = None
    ) -> bool:
        row = self._contacts.to_row(contact)
        leads = (contact.workspace_id, subject.issuer, subject.subject, holder_id, now_ms())
        try:
            if also is None:
                return await self._store.write_pair(both, row, leads)

            def work() -> Work[bool]:
                if not (yield from one_after_the_other(both, row, leads)):
                    return False
                yield also
                return True

            return await self._store.transact(work)
        except UniqueViolation:
            return False
