"""Tokens ended before their time, as rows; it must not check one."""

from __future__ import annotations

import msgspec

from vestibule.storage.statement import statement
from vestibule.storage.store import Query, Store, query

INSERT = statement(
    "token_endings.insert",
    """
    INSERT INTO token_endings (workspace_id, contact_id, token_id, issued_before, created_at, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (workspace_id, contact_id, token_id)
    DO UPDATE SET issued_before = excluded.issued_before, created_at = excluded.created_at,
        expires_at = CASE WHEN token_endings.expires_at IS NULL THEN NULL ELSE excluded.expires_at END
    RETURNING created_at
    """,
)
SINCE = statement(
    "token_endings.since",
    "SELECT workspace_id, contact_id, token_id, issued_before FROM token_endings WHERE created_at >= $1",
)
PURGE = statement("token_endings.purge", "DELETE FROM token_endings WHERE expires_at < $1 RETURNING workspace_id")
# In place of a token's id: the contact's tokens that came of no known session of a provider.
NO_SESSION = "-"
# Before a session's name in place of a token's id: no id that is made here begins so.
SESSION = "sid:"


class Ending(msgspec.Struct, frozen=True):
    """`token_id` empty: every token of the contact that was issued before `issued_before` (epoch ms); NO_SESSION: those
    of them that came of no known session. After SESSION it names a session, and no contact. `expires_at` None: it must
    be known for ever, for one of the tokens may have no end of its own."""

    workspace_id: str
    contact_id: str
    token_id: str
    issued_before: int
    expires_at: int | None = None


async def insert(store: Store, ending: Ending, created_at: int) -> None:
    step = insert_query(ending, created_at)
    await store.write(step.statement, *step.values)


def insert_query(ending: Ending, created_at: int) -> Query:
    """The same as part of a larger unit of work."""
    where = ending.workspace_id, ending.contact_id, ending.token_id
    return query(INSERT, *where, ending.issued_before, created_at, ending.expires_at)


async def purge(store: Store, now: int) -> int:
    """Deletes those of which no token can be alive any more; how many."""
    return len(await store.write(PURGE, now))


async def list_since(store: Store, created_at: int) -> list[Ending]:
    return [Ending(*row) for row in await store.read(SINCE, created_at)]
