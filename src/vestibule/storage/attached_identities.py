"""Who has proven to be whom in which conversation, as rows; it must not decide what that opens."""

from __future__ import annotations

import msgspec

from vestibule.storage.purging import purging
from vestibule.storage.statement import statement
from vestibule.storage.store import Query, Store, query

_COLUMNS = (
    "workspace_id, conversation_id, holder, contact_id, token_id, auth_time, created_at, expires_at"
    ", cleared_at, session"
)

# A repeated call keeps the token's id: there is one thing to end. One that was ended does not come back.
PUT = statement(
    "attached_identities.put",
    f"""
    INSERT INTO attached_identities ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
    ON CONFLICT (workspace_id, conversation_id, holder)
    DO UPDATE SET contact_id = excluded.contact_id, auth_time = excluded.auth_time,
        created_at = excluded.created_at, expires_at = excluded.expires_at, cleared_at = excluded.cleared_at,
        session = excluded.session,
        token_id = CASE WHEN attached_identities.cleared_at IS NULL THEN attached_identities.token_id
            ELSE excluded.token_id END
    RETURNING token_id
    """,
)
FIND = statement(
    "attached_identities.find",
    f"""
    SELECT $slot, {_COLUMNS} FROM attached_identities WHERE workspace_id = $1 AND conversation_id = $2 AND holder = $3
    """,
)
CLEAR = statement(
    "attached_identities.clear",
    f"""
    UPDATE attached_identities SET cleared_at = $4
    WHERE workspace_id = $1 AND conversation_id = $2 AND (holder = $3 OR token_id = $3) AND cleared_at IS NULL
    RETURNING {_COLUMNS}
    """,
)
CLEAR_TOKEN = statement(
    "attached_identities.clear_token",
    f"""
    UPDATE attached_identities SET cleared_at = $4
    WHERE workspace_id = $1 AND contact_id = $2 AND token_id = $3 AND cleared_at IS NULL RETURNING {_COLUMNS}
    """,
)
OF_CONTACT = statement(
    "attached_identities.of_contact",
    f"""
    SELECT {_COLUMNS} FROM attached_identities
    WHERE workspace_id = $1 AND contact_id = $2 AND cleared_at IS NULL AND expires_at > $3 ORDER BY created_at
    """,
)
PURGE = purging("attached_identities", "workspace_id, conversation_id, holder", "expires_at < $1", "expires_at")


class AttachedRow(msgspec.Struct, frozen=True):
    """The holder is `contact_id` in this conversation until `expires_at`, or until it was cleared. `token_id` is that
    of the contact token which was given for it, `session` that of the provider which it came of. Times are epoch
    milliseconds."""

    workspace_id: str
    conversation_id: str
    holder: str
    contact_id: str
    token_id: str
    auth_time: int
    created_at: int
    expires_at: int
    cleared_at: int | None = None
    session: str | None = None


def put(row: AttachedRow) -> Query:
    """Comes back with the id of the token that stands for it."""
    return query(PUT, *msgspec.structs.astuple(row))


async def find(store: Store, workspace_id: str, conversation_id: str, holder: str) -> AttachedRow | None:
    rows = await store.read(FIND, workspace_id, conversation_id, holder)
    return AttachedRow(*rows[0]) if rows else None


async def of_contact(store: Store, workspace_id: str, contact_id: str, now: int) -> list[AttachedRow]:
    """In which conversations somebody is the contact at this moment."""
    return [AttachedRow(*row) for row in await store.read(OF_CONTACT, workspace_id, contact_id, now)]


def clear(workspace_id: str, conversation_id: str, holder_or_token: str, now: int) -> Query:
    """Comes back with the rows that were cleared."""
    return query(CLEAR, workspace_id, conversation_id, holder_or_token, now)


def clear_token(workspace_id: str, contact_id: str, token_id: str, now: int) -> Query:
    """Likewise wherever this token of the contact was given."""
    return query(CLEAR_TOKEN, workspace_id, contact_id, token_id, now)
