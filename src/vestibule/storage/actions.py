"""A workspace's actions as rows; it must not check a declaration."""

from __future__ import annotations

from vestibule.model.action import Action
from vestibule.storage.json_columns import from_json, to_json
from vestibule.storage.statement import statement
from vestibule.storage.store import Store

PUT = statement(
    "actions.put",
    """
    INSERT INTO actions (workspace_id, name, id, document, updated_at) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (workspace_id, name)
    DO UPDATE SET document = excluded.document, updated_at = excluded.updated_at RETURNING id
    """,
)
LIST = statement("actions.list", "SELECT document FROM actions WHERE workspace_id = $1 ORDER BY name")
DELETE = statement("actions.delete", "DELETE FROM actions WHERE workspace_id = $1 AND name = $2 RETURNING name")


async def put(store: Store, action: Action, now: int) -> None:
    """Makes or replaces the action of this name."""
    await store.write(PUT, action.workspace_id, action.name, action.id, to_json(action), now)


async def list_all(store: Store, workspace_id: str) -> list[Action]:
    return [from_json(row[0], Action) for row in await store.read(LIST, workspace_id)]


async def delete(store: Store, workspace_id: str, name: str) -> bool:
    return bool(await store.write(DELETE, workspace_id, name))
