"""How much waits in the queues of the whole installation, counted up to a bound; it must not know whose it is."""

from __future__ import annotations

from vestibule.clock import SECOND_MS
from vestibule.measures import Depth
from vestibule.storage.statement import Statement, statement
from vestibule.storage.store import Store

# Beyond this it is too much anyway, and asking must not cost more than delivering.
_MOST = 100_000


def _depth(name: str, table: str, since: str, condition: str) -> Statement:
    return statement(
        f"depths.{name}",
        f"""
        SELECT COUNT(*), MIN(since) FROM (
            SELECT {since} AS since FROM {table} WHERE {condition} LIMIT {_MOST}
        ) AS waiting
        """,
    )


DEPTHS = {
    "responder": _depth("responder", "responder_jobs", "created_at", "1 = 1"),
    "webhooks": _depth("webhooks", "webhook_deliveries", "at", "due_at IS NOT NULL"),
    "webhook_dead_letters": _depth("webhook_dead_letters", "webhook_deliveries", "died_at", "died_at IS NOT NULL"),
}


async def read(store: Store, now: int) -> list[Depth]:
    """Raises StorageUnavailable."""
    found = []
    for queue, asked in DEPTHS.items():
        [(count, since)] = [tuple(row) for row in await store.read(asked)]
        found.append(Depth(queue, int(count), (now - int(since)) / SECOND_MS if since is not None else 0.0))
    return found
