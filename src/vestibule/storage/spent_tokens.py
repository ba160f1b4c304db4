"""Tokens that were good for one time and have had it, as rows; it must not see a token, but fingerprints of them."""

from __future__ import annotations

from vestibule.clock import DAY_MS, HOUR_MS, now_ms
from vestibule.storage.purging import delete_in_batches, purging
from vestibule.storage.statement import statement
from vestibule.storage.store import Store

# One statement looks and takes, so that of any number at once exactly one goes on.
SPEND = statement(
    "spent_tokens.spend",
    """
    INSERT INTO spent_tokens (workspace_id, fingerprint, expires_at) VALUES ($1, $2, $3)
    ON CONFLICT (workspace_id, fingerprint) DO NOTHING RETURNING fingerprint
    """,
)
FIND = statement(
    "spent_tokens.find", "SELECT expires_at FROM spent_tokens WHERE workspace_id = $1 AND fingerprint = $2"
)
PURGE = purging("spent_tokens", "workspace_id, fingerprint", "expires_at < $1", "expires_at")
# Beyond a token's own end: what leeway and other clocks might make of it.
_GRACE_MS = HOUR_MS
# Longer than any provider may let a token live here; what does not say when it ends is remembered for so long.
_LONGEST_MS = 367 * DAY_MS


def until(expires_at: int | None) -> int:
    """How long a token that ends then must be remembered."""
    return expires_at + _GRACE_MS if expires_at is not None else now_ms() + _LONGEST_MS


async def spend(store: Store, workspace_id: str, fingerprint: str, expires_at: int | None) -> bool:
    """False where it was spent before. `expires_at` None: the token does not say when it ends."""
    return bool(await store.write(SPEND, workspace_id, fingerprint, until(expires_at)))


async def is_spent(store: Store, workspace_id: str, fingerprint: str) -> bool:
    """For showing alone: between a look and a step somebody else may spend it."""
    return bool(await store.read(FIND, workspace_id, fingerprint))


async def purge(store: Store, now: int) -> int:
    """Deletes what could not be used any more anyway; how many."""
    return await delete_in_batches(store, PURGE, now)
