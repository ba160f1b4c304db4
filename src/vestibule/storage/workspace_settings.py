"""A workspace's settings as sealed documents, one a kind; it must not know what is in them."""

from __future__ import annotations

from typing import TypeVar

from vestibule.clock import now_ms
from vestibule.sealing import Sealer
from vestibule.storage.json_columns import from_json, to_json
from vestibule.storage.statement import statement
from vestibule.storage.store import Store

T = TypeVar("T")

FIND = statement(
    "workspace_settings.find", "SELECT sealed_document FROM workspace_settings WHERE workspace_id = $1 AND kind = $2"
)
SET = statement(
    "workspace_settings.set",
    """
    INSERT INTO workspace_settings (workspace_id, kind, sealed_document, updated_at) VALUES ($1, $2, $3, $4)
    ON CONFLICT (workspace_id, kind)
    DO UPDATE SET sealed_document = excluded.sealed_document, updated_at = excluded.updated_at RETURNING kind
    """,
)

DELETE = statement(
    "workspace_settings.delete", "DELETE FROM workspace_settings WHERE workspace_id = $1 AND kind = $2 RETURNING kind"
)


async def find(store: Store, sealer: Sealer, workspace_id: str, kind: str, type_: type[T]) -> T | None:
    """Raises CannotUnseal, StorageUnavailable."""
    rows = await store.read(FIND, workspace_id, kind)
    return from_json(sealer.unseal(rows[0][0], sealing_context(workspace_id, kind)), type_) if rows else None


async def put(store: Store, sealer: Sealer, workspace_id: str, kind: str, document: object) -> None:
    await store.write(
        SET, workspace_id, kind, sealer.seal(to_json(document), sealing_context(workspace_id, kind)), now_ms()
    )


async def delete(store: Store, workspace_id: str, kind: str) -> bool:
    return bool(await store.write(DELETE, workspace_id, kind))


def sealing_context(workspace_id: str, kind: str) -> str:
    return f"workspace_settings:{workspace_id}:{kind}"
