"""Which conversation scopes an unverified visitor's token has shown; it must not decide what that opens."""

from __future__ import annotations

from vestibule.clock import now_ms
from vestibule.storage.statement import statement
from vestibule.storage.store import Query, Store, query

BIND = statement(
    "device_scopes.bind",
    """
    INSERT INTO device_scopes (workspace_id, token_id, scope, contact_id, created_at) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (workspace_id, token_id, scope) DO NOTHING RETURNING scope
    """,
)
# As many as there are tokens remembered (tokens/contact_token.py). What is forgotten costs a statement, and is there.
_MOST_REMEMBERED = 16_384


class DeviceScopes:
    """Binds scopes to tokens, and remembers which are bound, so that polling writes nothing."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._bound: dict[tuple[str, str], None] = {}

    async def bind(self, workspace_id: str, token_id: str, scope: str, contact_id: str) -> None:
        """Notes that this token has shown the scope: later calls name only a conversation, and must come from the same
        device. Written once per token."""
        if (token_id, scope) in self._bound:
            return
        await self._store.write(BIND, workspace_id, token_id, scope, contact_id, now_ms())
        if len(self._bound) >= _MOST_REMEMBERED:
            del self._bound[next(iter(self._bound))]
        self._bound[token_id, scope] = None


def bind_query(workspace_id: str, token_id: str, scope: str, contact_id: str, now: int) -> Query:
    """The same as part of a larger unit of work."""
    return query(BIND, workspace_id, token_id, scope, contact_id, now)
