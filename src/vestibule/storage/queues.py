"""Queues as rows; it must not decide who may come in."""

from __future__ import annotations

from vestibule.clock import now_ms
from vestibule.model.queue import Queue, QueueSettings
from vestibule.storage.json_columns import from_json, to_json
from vestibule.storage.statement import statement
from vestibule.storage.store import Store

FIND = statement("queues.find", "SELECT $slot, document FROM queues WHERE workspace_id = $1 AND queue_key = $2")
LIST = statement("queues.list", "SELECT queue_key, document FROM queues WHERE workspace_id = $1 ORDER BY queue_key")
SET = statement(
    "queues.set",
    """
    INSERT INTO queues (workspace_id, queue_key, document, updated_at) VALUES ($1, $2, $3, $4)
    ON CONFLICT (workspace_id, queue_key)
    DO UPDATE SET document = excluded.document, updated_at = excluded.updated_at RETURNING queue_key
    """,
)
DELETE = statement("queues.delete", "DELETE FROM queues WHERE workspace_id = $1 AND queue_key = $2 RETURNING queue_key")


async def find(store: Store, workspace_id: str, key: str) -> Queue | None:
    rows = await store.read(FIND, workspace_id, key)
    return Queue(workspace_id, key, from_json(rows[0][0], QueueSettings)) if rows else None


async def list_all(store: Store, workspace_id: str) -> list[Queue]:
    """By their keys."""
    rows = await store.read(LIST, workspace_id)
    return [Queue(workspace_id, row[0], from_json(row[1], QueueSettings)) for row in rows]


async def put(store: Store, queue: Queue) -> None:
    await store.write(SET, queue.workspace_id, queue.key, to_json(queue.settings), now_ms())


async def delete(store: Store, workspace_id: str, key: str) -> bool:
    return bool(await store.write(DELETE, workspace_id, key))
