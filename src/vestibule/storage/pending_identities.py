"""Proofs that nobody has claimed yet, as rows; it must not see a userInfoId or a verifier, but hashes of them."""

from __future__ import annotations

import msgspec

from vestibule.storage.purging import purging
from vestibule.storage.statement import statement
from vestibule.storage.store import Query, Row, Store, query

MOST_WRONG_VERIFIERS = 5

INSERT = statement(
    "pending_identities.insert",
    """
    INSERT INTO pending_identities (workspace_id, user_info_id_hash, challenge, contact_id, provider_id, issuer,
        subject, provider_session, auth_time, created_at, expires_at, wrong_count)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0) RETURNING $slot, user_info_id_hash
    """,
)
# One statement looks, counts and binds, so that of any number at once exactly one binds and no guess goes uncounted.
# The right verifier binds only what nobody has bound; a wrong one counts. Whether the caller is the one it is bound to
# is read off the columns that come back.
CLAIM = statement(
    "pending_identities.claim",
    f"""
    UPDATE pending_identities SET
        bound_conversation = CASE WHEN challenge = $3 AND bound_conversation IS NULL THEN $4
            ELSE bound_conversation END,
        bound_visitor = CASE WHEN challenge = $3 AND bound_conversation IS NULL THEN $5 ELSE bound_visitor END,
        wrong_count = CASE WHEN challenge = $3 THEN wrong_count ELSE wrong_count + 1 END
    WHERE workspace_id = $1 AND user_info_id_hash = $2 AND expires_at > $6 AND wrong_count < {MOST_WRONG_VERIFIERS}
    RETURNING $slot, workspace_id, contact_id, provider_id, issuer, subject, provider_session, auth_time, created_at,
        expires_at, challenge, bound_conversation, bound_visitor
    """,
)
# What was claimed for a conversation, by a visitor or (empty) by nobody in particular; or that one, by its hash.
END = statement(
    "pending_identities.end",
    """
    DELETE FROM pending_identities
    WHERE workspace_id = $1 AND bound_conversation = $2 AND (bound_visitor = $3 OR user_info_id_hash = $3)
    """,
)
PURGE = purging("pending_identities", "workspace_id, user_info_id_hash", "expires_at < $1", "expires_at")


class PendingRow(msgspec.Struct, frozen=True):
    """Whom a userInfoId stands for. Times are epoch milliseconds; `auth_time` is when the person proved themselves. The
    members are in the order of `INSERT` and `CLAIM`."""

    workspace_id: str
    contact_id: str
    provider_id: int
    issuer: str
    subject: str
    provider_session: str | None
    auth_time: int
    created_at: int
    expires_at: int


class Claimed(msgspec.Struct, frozen=True):
    """What a claim found, bound by it or before it."""

    pending: PendingRow
    challenge: str
    conversation: str | None
    visitor: str | None


async def insert(store: Store, pending: PendingRow, user_info_id_hash: str, challenge: str) -> None:
    workspace_id, *others = msgspec.structs.astuple(pending)
    await store.write(INSERT, workspace_id, user_info_id_hash, challenge, *others)


async def claim(
    store: Store,
    workspace_id: str,
    user_info_id_hash: str,
    *,
    challenge: str,
    conversation: str,
    visitor: str,
    now: int,
) -> Claimed | None:
    """None where it is unknown, another workspace's, expired or dead."""
    rows = await store.write(CLAIM, workspace_id, user_info_id_hash, challenge, conversation, visitor, now)
    return _from_row(rows[0]) if rows else None


def end(workspace_id: str, conversation: str, holder: str) -> Query:
    """No call is answered again with what was claimed so. The holder is as in AttachedRow."""
    return query(END, workspace_id, conversation, holder)


def _from_row(row: Row) -> Claimed:
    return Claimed(PendingRow(*row[:9]), row[9], row[10], row[11])
