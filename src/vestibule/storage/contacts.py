"""Contacts as rows, custom data and HTTP overrides sealed; it must not decide which contact a visitor is."""

from __future__ import annotations

import msgspec

from vestibule.model.claims import CustomData, HttpOverrides, KeyKind
from vestibule.model.contact import Contact, Provenance
from vestibule.model.webhook import EventKind, contact_merged, contact_verified
from vestibule.sealing import Sealer
from vestibule.short_memory import ShortMemory
from vestibule.storage import webhooks
from vestibule.storage.json_columns import from_json, to_json
from vestibule.storage.statement import Statement, statement
from vestibule.storage.store import Query, Row, Store, UniqueViolation, Value, Work, query

_WRITTEN = (
    "workspace_id, id, version, verified, created_at, updated_at, email_key, phone_key, external_id, name, email,"
    " phone, avatar_url, language, sealed_custom_data, chat_context, sealed_http_overrides, provenance, merged_into,"
    " sealed_non_verified_custom_data, expires_at, labels, phone_e164"
)
# Then custom data in clear, of releases before schema 0016: whoever writes the row seals them.
COLUMNS = f"{_WRITTEN}, custom_data, non_verified_custom_data"

FIND_BY_ID = statement(
    "contacts.find_by_id", f"SELECT $slot, {COLUMNS} FROM contacts WHERE workspace_id = $1 AND id = $2"
)
FIND_BY_EMAIL = statement(
    "contacts.find_by_email", f"SELECT $slot, {COLUMNS} FROM contacts WHERE workspace_id = $1 AND email_key = $2"
)
FIND_BY_EXTERNAL_ID = statement(
    "contacts.find_by_external_id",
    f"SELECT $slot, {COLUMNS} FROM contacts WHERE workspace_id = $1 AND external_id = $2",
)
FIND_BY_PHONE = statement(
    "contacts.find_by_phone", f"SELECT $slot, {COLUMNS} FROM contacts WHERE workspace_id = $1 AND phone_key = $2"
)
# DO NOTHING whichever key collides: another request was first, and the caller looks again.
INSERT = statement(
    "contacts.insert",
    f"""
    INSERT INTO contacts ({_WRITTEN})
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
        $21, $22, $23)
    ON CONFLICT DO NOTHING RETURNING $slot, id
    """,
)
# Only over the version that was read: of two writers one loses, and the loser decides anew from what is there now.
UPDATE = statement(
    "contacts.update",
    """
    UPDATE contacts SET version = $3 + 1, verified = $4, created_at = $5, updated_at = $6, email_key = $7,
        phone_key = $8, external_id = $9, name = $10, email = $11, phone = $12, avatar_url = $13, language = $14,
        sealed_custom_data = $15, chat_context = $16, sealed_http_overrides = $17, provenance = $18,
        merged_into = $19, sealed_non_verified_custom_data = $20, expires_at = $21, labels = $22, phone_e164 = $23,
        custom_data = NULL, non_verified_custom_data = NULL
    WHERE workspace_id = $1 AND id = $2 AND version = $3 RETURNING $slot, id
    """,
)
# Locks the row until the transaction ends, and tells what it says by then.
LOCK = statement(
    "contacts.lock",
    "UPDATE contacts SET version = version + 1 WHERE workspace_id = $1 AND id = $2 RETURNING merged_into, verified",
)
# Likewise, for what is stored beside the row and leaves it as it is.
HOLD = statement(
    "contacts.hold", "UPDATE contacts SET version = version WHERE workspace_id = $1 AND id = $2 RETURNING id"
)
POINT = statement(
    "contacts.point",
    "UPDATE contacts SET merged_into = $3, updated_at = $4 WHERE workspace_id = $1 AND id = $2 RETURNING id",
)
EXTEND = statement(
    "contacts.extend",
    """
    UPDATE contacts SET expires_at = $3 WHERE workspace_id = $1 AND id = $2 AND verified = FALSE AND expires_at < $4
    RETURNING id
    """,
)
# The newest few thousand contacts, not all: it is a sample, and costs the same in every workspace.
SAMPLE_WITH_OVERRIDES = statement(
    "contacts.sample_with_overrides",
    f"""
    SELECT {COLUMNS} FROM (SELECT * FROM contacts WHERE workspace_id = $1 ORDER BY id DESC LIMIT 2000) AS newest
    WHERE sealed_http_overrides IS NOT NULL LIMIT $2
    """,
)
# One for each kind of key: before another identity method is chosen, an operator sees how many people lack its key.
WITHOUT_KEY = {
    kind: statement(
        f"contacts.without_{kind.value}",
        f"SELECT COUNT(*) FROM contacts WHERE workspace_id = $1 AND verified = TRUE AND {column} IS NULL",
    )
    for kind, column in (
        (KeyKind.EMAIL, "email_key"),
        (KeyKind.PHONE, "phone_key"),
        (KeyKind.EXTERNAL_ID, "external_id"),
    )
}
COUNT = statement("contacts.count", "SELECT COUNT(*) FROM contacts WHERE workspace_id = $1")
# By what no key has: to be spared sorting a few by their ids, SQLite would read all of the workspace in that order.
LIST_MERGED = statement(
    "contacts.list_merged",
    f"SELECT {COLUMNS} FROM contacts WHERE workspace_id = $1 AND merged_into = $2 ORDER BY created_at, id",
)
MERGED_IDS = statement(
    "contacts.merged_ids",
    "SELECT id FROM contacts WHERE workspace_id = $1 AND merged_into = $2 ORDER BY created_at, id",
)

# A merged contact points to another one. Longer chains than this are not made.
_LONGEST_CHAIN = 8


class Contacts:
    """Reads and writes contacts."""

    def __init__(self, store: Store, sealer: Sealer) -> None:
        self._store = store
        self._sealer = sealer
        # Whether anybody wants to be told of new people: asked for each of them, it was a third of the way in.
        self._listeners: ShortMemory[str, bool] = ShortMemory()

    async def find(self, workspace_id: str, contact_id: str) -> Contact | None:
        """The contact itself, merged or not."""
        return self._only(await self._store.read(FIND_BY_ID, workspace_id, contact_id))

    async def find_leading(self, workspace_id: str, contact_id: str) -> Contact | None:
        """The contact, or the one that it was merged into."""
        return await self.lead(await self.find(workspace_id, contact_id))

    async def find_by_email(self, workspace_id: str, email_key: str) -> Contact | None:
        """Who is found by this verified e-mail; a merged contact leads to the one it was merged into."""
        return await self.lead(await self.holder_of_email(workspace_id, email_key))

    async def holder_of_email(self, workspace_id: str, email_key: str) -> Contact | None:
        """Whose key it is, merged or not."""
        return self._only(await self._store.read(FIND_BY_EMAIL, workspace_id, email_key))

    async def find_by_phone(self, workspace_id: str, phone_key: str) -> Contact | None:
        return await self.lead(self._only(await self._store.read(FIND_BY_PHONE, workspace_id, phone_key)))

    async def find_by_external_id(self, workspace_id: str, external_id: str) -> Contact | None:
        return await self.lead(self._only(await self._store.read(FIND_BY_EXTERNAL_ID, workspace_id, external_id)))

    async def news_of(self, contact: Contact) -> Query | None:
        """What tells the workspace's servers that the contact is proven now; None where nobody wants to know, or wanted
        to 2 s ago."""
        listened = self._listeners.get(contact.workspace_id)
        if listened is None:
            listened = await webhooks.wanted(self._store, contact.workspace_id, EventKind.CONTACT_VERIFIED)
            self._listeners.keep(contact.workspace_id, listened)
        return webhooks.note(contact_verified(contact)) if listened else None

    async def insert(self, contact: Contact, also: Query | None = None) -> bool:
        """`also` is written with it or not at all. False where one of its keys already belongs to a contact."""
        return await self._write(INSERT, contact, also)

    async def update(self, contact: Contact, also: Query | None = None) -> bool:
        """Writes over the version that `contact` was read at, `also` with it or not at all. False where somebody else
        wrote since, or took a key."""
        try:
            return await self._write(UPDATE, contact, also)
        except UniqueViolation:
            return False

    async def _write(self, statement: Statement, contact: Contact, also: Query | None) -> bool:
        row = self.to_row(contact)
        if also is None:  # one statement, which shares its round trip with others
            return bool(await self._store.write(statement, *row))

        def work() -> Work[bool]:
            if not (yield query(statement, *row)):
                return False
            yield also
            return True

        return await self._store.transact(work)

    async def merge(self, workspace_id: str, contact_id: str, into_id: str, now: int) -> bool:
        """Points one contact to another, unless either points somewhere by now, or others to the first, or one of them
        alone is verified. Both rows are locked, in one order for everybody: two operators must make neither a ring nor
        a chain at the same moment."""

        def work() -> Work[bool]:
            verified = set()
            for each in sorted((contact_id, into_id)):
                rows = yield query(LOCK, workspace_id, each)
                if not rows or rows[0][0] is not None:
                    return False
                verified.add(bool(rows[0][1]))
            if len(verified) > 1 or (yield query(MERGED_IDS, workspace_id, contact_id)):
                return False
            yield query(POINT, workspace_id, contact_id, into_id, now)
            yield webhooks.note(contact_merged(workspace_id, contact_id, into_id))
            return True

        return await self._store.transact(work)

    async def extend(self, workspace_id: str, contact_id: str, expires_at: int, if_before: int) -> None:
        """Gives an unverified contact more time, unless it has much left: it is not written at every message."""
        await self._store.write(EXTEND, workspace_id, contact_id, expires_at, if_before)

    async def count(self, workspace_id: str) -> int:
        return int((await self._store.read(COUNT, workspace_id))[0][0])

    async def count_without(self, workspace_id: str, kind: KeyKind) -> int:
        """How many verified contacts cannot be found by this kind of key."""
        return int((await self._store.read(WITHOUT_KEY[kind], workspace_id))[0][0])

    async def with_overrides(self, workspace_id: str, most: int) -> list[Contact]:
        """Some of the newest contacts that have HTTP overrides. Raises CannotUnseal."""
        return [self.from_row(row) for row in await self._store.read(SAMPLE_WITH_OVERRIDES, workspace_id, most)]

    async def merged_into(self, workspace_id: str, contact_id: str) -> list[Contact]:
        return [self.from_row(row) for row in await self._store.read(LIST_MERGED, workspace_id, contact_id)]

    async def lead(self, contact: Contact | None) -> Contact | None:
        """The contact, or the one that it was merged into."""
        for _ in range(_LONGEST_CHAIN):
            if contact is None or contact.merged_into is None:
                return contact
            contact = await self.find(contact.workspace_id, contact.merged_into)
        return None

    def _only(self, rows: list[Row]) -> Contact | None:
        return self.from_row(rows[0]) if rows else None

    def to_row(self, contact: Contact) -> tuple[Value, ...]:
        """The parameters of INSERT and UPDATE, for units of work that write more than the contact."""
        return (
            contact.workspace_id,
            contact.id,
            contact.version,
            contact.verified,
            contact.created_at,
            contact.updated_at,
            contact.email_key,
            contact.phone_key,
            contact.external_id,
            contact.name,
            contact.email,
            contact.phone,
            contact.avatar_url,
            contact.language,
            self._sealed("custom_data", contact.id, contact.custom_data),
            contact.chat_context,
            self._sealed("http_overrides", contact.id, contact.http_action_overrides),
            to_json(contact.provenance),
            contact.merged_into,
            self._sealed("non_verified_custom_data", contact.id, contact.non_verified_custom_data),
            contact.expires_at,
            to_json(contact.labels) if contact.labels is not None else None,
            contact.phone_e164,
        )

    def from_row(self, row: Row) -> Contact:
        """A row of COLUMNS, for statements that join contacts. Raises CannotUnseal."""
        custom = row[23] or self._opened("custom_data", row[1], row[14])
        overrides = self._opened("http_overrides", row[1], row[16])
        non_verified_custom = row[24] or self._opened("non_verified_custom_data", row[1], row[19])
        return Contact(
            workspace_id=row[0],
            id=row[1],
            version=row[2],
            verified=bool(row[3]),
            created_at=row[4],
            updated_at=row[5],
            email_key=row[6],
            phone_key=row[7],
            external_id=row[8],
            name=row[9],
            email=row[10],
            phone=row[11],
            avatar_url=row[12],
            language=row[13],
            custom_data=_CUSTOM_DATA.decode(custom) if custom is not None else None,
            chat_context=row[15],
            http_action_overrides=from_json(overrides, HttpOverrides) if overrides is not None else None,
            provenance=_PROVENANCE.decode(row[17]),
            merged_into=row[18],
            non_verified_custom_data=_CUSTOM_DATA.decode(non_verified_custom)
            if non_verified_custom is not None
            else None,
            expires_at=row[20],
            labels=_LABELS.decode(row[21]) if row[21] is not None else None,
            phone_e164=row[22],
        )

    def _sealed(self, value: str, contact_id: str, content: object | None) -> str | None:
        return self._sealer.seal(to_json(content), sealing_context(value, contact_id)) if content is not None else None

    def _opened(self, value: str, contact_id: str, sealed: str | None) -> str | None:
        return self._sealer.unseal(sealed, sealing_context(value, contact_id)) if sealed is not None else None


def hold(workspace_id: str, contact_id: str) -> Query:
    """Keeps the contact from being erased until the unit of work is over. Comes back empty where it is gone."""
    return query(HOLD, workspace_id, contact_id)


def sealing_context(value: str, contact_id: str) -> str:
    return f"contacts.{value}:{contact_id}"


_CUSTOM_DATA = msgspec.json.Decoder(CustomData)
_LABELS = msgspec.json.Decoder(tuple[str, ...])
_PROVENANCE = msgspec.json.Decoder(dict[str, Provenance])
