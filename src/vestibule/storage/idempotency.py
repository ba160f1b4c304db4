"""Answers that a repeated request gets again, sealed; it must not know what they say."""

from __future__ import annotations

import msgspec

from vestibule.clock import DAY_MS
from vestibule.storage.purging import purging
from vestibule.storage.statement import statement
from vestibule.storage.store import Store

KEPT_MS = DAY_MS
BEGIN = statement(
    "idempotency_keys.begin",
    """
    INSERT INTO idempotency_keys (workspace_id, admin_key_id, name_hash, request_hash, sealed_answer, created_at)
    VALUES ($1, $2, $3, $4, NULL, $5) ON CONFLICT (workspace_id, admin_key_id, name_hash) DO NOTHING RETURNING name_hash
    """,
)
FIND = statement(
    "idempotency_keys.find",
    """
    SELECT request_hash, sealed_answer FROM idempotency_keys
    WHERE workspace_id = $1 AND admin_key_id = $2 AND name_hash = $3
    """,
)
FINISH = statement(
    "idempotency_keys.finish",
    """
    UPDATE idempotency_keys SET sealed_answer = $4 WHERE workspace_id = $1 AND admin_key_id = $2 AND name_hash = $3
    """,
)
FORGET = statement(
    "idempotency_keys.forget",
    """
    DELETE FROM idempotency_keys
    WHERE workspace_id = $1 AND admin_key_id = $2 AND name_hash = $3
        AND ((sealed_answer IS NULL AND created_at < $4) OR created_at < $5)
    """,
)
# All that is over: answers hold secrets, and nobody may ever ask again.
PURGE = purging("idempotency_keys", "workspace_id, admin_key_id, name_hash", "created_at < $1", "created_at")


class Place(msgspec.Struct, frozen=True):
    """Where an answer is kept: the key's workspace, the key, and the hash of the Idempotency-Key."""

    workspace_id: str
    admin_key_id: str
    name_hash: str

    @property
    def sealing_context(self) -> str:
        return f"idempotency_keys:{self.workspace_id}:{self.admin_key_id}:{self.name_hash}"


async def begin(store: Store, place: Place, request_hash: str, now: int) -> bool:
    """False where the place is taken."""
    return bool(await store.write(BEGIN, *msgspec.structs.astuple(place), request_hash, now))


async def find(store: Store, place: Place) -> tuple[str, str | None] | None:
    """The hash of the request, and its sealed answer once there is one."""
    rows = await store.read(FIND, *msgspec.structs.astuple(place))
    return (rows[0][0], rows[0][1]) if rows else None


async def finish(store: Store, place: Place, sealed_answer: str) -> None:
    await store.write(FINISH, *msgspec.structs.astuple(place), sealed_answer)


async def forget(store: Store, place: Place, *, unanswered_before: int, before: int) -> None:
    """Frees a place that was taken before a moment, or before another and has no answer."""
    await store.write(FORGET, *msgspec.structs.astuple(place), unanswered_before, before)
