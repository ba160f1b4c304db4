"""Contacts a page at a time, all of them or those that begin with something; it must not decide who may look.

The database lower-cases both sides: SQLite's knows ASCII only, so there other letters match in the case they are in.
"""

from __future__ import annotations

from vestibule.model.contact import Contact
from vestibule.storage.contacts import COLUMNS, Contacts
from vestibule.storage.statement import statement
from vestibule.storage.store import Store

# Behind everything that begins alike, in the order of bytes.
_LAST = "\U0010ffff"
# ($2, $3): verified ones, unverified ones or, with one of each, both.
LATEST = statement(
    "contact_search.latest",
    f"""
    SELECT {COLUMNS} FROM contacts
    WHERE workspace_id = $1 AND (verified = $2 OR verified = $3) AND id < $4 ORDER BY id DESC LIMIT $5
    """,
)


def _beginning(column: str) -> str:
    # $6 and $7 are where to begin: one lower bound, because of two SQLite takes the one that does not help.
    return f"""
        SELECT {COLUMNS}, {column} FROM contacts
        WHERE workspace_id = $1 AND (verified = $2 OR verified = $3)
            AND {column} >= lower($6) AND {column} < lower($4) || $5 AND ({column} > lower($6) OR id > $7)
        ORDER BY {column}, id LIMIT $8
    """


BY_NAME = statement("contact_search.by_name", _beginning("name_search"))
BY_EMAIL = statement("contact_search.by_email", _beginning("email_search"))

Trust = tuple[bool, bool]
ANY: Trust = (True, False)
VERIFIED: Trust = (True, True)
UNVERIFIED: Trust = (False, False)


async def latest(
    store: Store, contacts: Contacts, workspace_id: str, trust: Trust, *, before: str, most: int
) -> list[Contact]:
    """The newest first; `before` empty: from the newest on."""
    rows = await store.read(LATEST, workspace_id, *trust, before or "g", most)
    return [contacts.from_row(row) for row in rows]


async def beginning(
    store: Store,
    contacts: Contacts,
    workspace_id: str,
    trust: Trust,
    *,
    by_email: bool,
    prefix: str,
    after: tuple[str, str],
    most: int,
) -> list[tuple[Contact, str]]:
    """Those whose name or e-mail begins so, in its order, each with what it was ordered by."""
    statement = BY_EMAIL if by_email else BY_NAME
    key, last_id = after
    rows = await store.read(statement, workspace_id, *trust, prefix, _LAST, key or prefix, last_id, most)
    return [(contacts.from_row(row), row[-1]) for row in rows]
