"""Refresh tokens of visitor sessions, as rows of hashes; it must not see a token."""

from __future__ import annotations

import msgspec

from vestibule.storage import token_endings
from vestibule.storage.purging import purging
from vestibule.storage.statement import statement
from vestibule.storage.store import Query, Store, Work, query
from vestibule.storage.token_endings import Ending

INSERT = statement(
    "refresh_tokens.insert",
    """
    INSERT INTO refresh_tokens (workspace_id, token_hash, visitor_id, uses, created_at, expires_at)
    VALUES ($1, $2, $3, 0, $4, $5) RETURNING $slot, token_hash
    """,
)
# Counts, so that of two uses at once exactly one is the first. `created_at` is when the session began.
USE = statement(
    "refresh_tokens.use",
    """
    UPDATE refresh_tokens SET uses = uses + 1 WHERE workspace_id = $1 AND token_hash = $2 AND expires_at > $3
        AND created_at > $4
    RETURNING visitor_id, uses, created_at
    """,
)
END = statement("refresh_tokens.end", "DELETE FROM refresh_tokens WHERE workspace_id = $1 AND visitor_id = $2")
PURGE = purging("refresh_tokens", "workspace_id, token_hash", "expires_at < $1", "expires_at")


class RefreshRow(msgspec.Struct, frozen=True):
    """Times are epoch milliseconds; `created_at` is when the session began, in each of its rows."""

    workspace_id: str
    token_hash: str
    visitor_id: str
    created_at: int
    expires_at: int


class Used(msgspec.Struct, frozen=True):
    """Whose token it was, and when their session began. `again`: it had been used before, so the session is over."""

    visitor_id: str
    began: int
    again: bool


async def insert(store: Store, row: RefreshRow) -> None:
    await store.write(INSERT, *msgspec.structs.astuple(row))


async def rotate(
    store: Store, workspace_id: str, token_hash: str, following: RefreshRow, *, now: int, longest: int
) -> Used | None:
    """Takes a token and puts the following one in its place, whose visitor and session are the taken one's. A token
    that was taken before takes its whole session with it, and the access tokens, whose id is the session's. None where
    it is unknown or has run out, or its session is `longest` old."""

    def work() -> Work[Used | None]:
        found = yield query(USE, workspace_id, token_hash, now, now - longest)
        if not found:
            return None
        visitor_id, uses, began = str(found[0][0]), int(found[0][1]), int(found[0][2])
        if uses > 1:
            yield end(workspace_id, visitor_id)
            # With it or not at all: once the row is gone, a repetition is not known as one, and would end nothing.
            yield token_endings.insert_query(Ending(workspace_id, visitor_id, visitor_id, 0), now)
        elif (yield from token_endings.ended_since(workspace_id, visitor_id, began)):
            # Whoever ended it could not delete the row that a refresh of the same moment was about to write.
            yield end(workspace_id, visitor_id)
            return None
        else:
            until = min(following.expires_at, began + longest)
            row = msgspec.structs.replace(following, visitor_id=visitor_id, created_at=began, expires_at=until)
            yield query(INSERT, *msgspec.structs.astuple(row))
        return Used(visitor_id, began, again=uses > 1)

    return await store.transact(work)


def end(workspace_id: str, visitor_id: str) -> Query:
    """Nothing refreshes the session any more."""
    return query(END, workspace_id, visitor_id)
