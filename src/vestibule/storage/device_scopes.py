"""Which conversation scopes an unverified visitor's token has shown; it must not decide what that opens."""

from __future__ import annotations

from vestibule.storage.statement import statement
from vestibule.storage.store import Work, query

# Page data brings a new token with every load of a page, each of which shows the scope, and none of which has an end.
MOST_TOKENS = 50
BIND = statement(
    "device_scopes.bind",
    """
    INSERT INTO device_scopes (workspace_id, token_id, scope, contact_id, created_at) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (workspace_id, token_id, scope) DO NOTHING RETURNING scope
    """,
)
FORGET = statement(
    "device_scopes.forget",
    """
    DELETE FROM device_scopes WHERE workspace_id = $1 AND contact_id = $2 AND scope = $3 AND token_id NOT IN (
        SELECT token_id FROM device_scopes WHERE workspace_id = $1 AND contact_id = $2 AND scope = $3
        ORDER BY created_at DESC, token_id DESC LIMIT $4
    )
    """,
)


def bind(workspace_id: str, token_id: str, scope: str, contact_id: str, now: int) -> Work[None]:
    """Notes that this token has shown the scope: later calls name only a conversation, and must come from the same
    device. Of one device the tokens that came last are kept: who still holds an older one shows the scope again with
    the next list, which opens nothing that it did not open the first time."""
    if (yield query(BIND, workspace_id, token_id, scope, contact_id, now)):
        yield query(FORGET, workspace_id, contact_id, scope, MOST_TOKENS)
