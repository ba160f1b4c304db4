"""Admin keys as rows: hashes, never secrets; it must not judge whether a key is good."""

from __future__ import annotations

from vestibule.model.workspace import AdminKey
from vestibule.storage.json_columns import from_json, to_json
from vestibule.storage.statement import statement
from vestibule.storage.store import Row, Store

_COLUMNS = "workspace_id, id, name, hint, scopes, created_at, expires_at, revoked_at, last_used_at"

INSERT = statement(
    "admin_keys.insert",
    """
    INSERT INTO admin_keys (workspace_id, id, name, hint, scopes, created_at, expires_at, secret_hash)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id
    """,
)
FIND_BY_HASH = statement(
    "admin_keys.find_by_hash", f"SELECT {_COLUMNS} FROM admin_keys WHERE workspace_id = $1 AND secret_hash = $2"
)
LIST = statement(
    "admin_keys.list", f"SELECT {_COLUMNS} FROM admin_keys WHERE workspace_id = $1 ORDER BY created_at, id"
)
END = statement(
    "admin_keys.end",
    f"""
    UPDATE admin_keys SET revoked_at = CASE WHEN revoked_at IS NULL OR revoked_at > $3 THEN $3 ELSE revoked_at END
    WHERE workspace_id = $1 AND id = $2 RETURNING {_COLUMNS}
    """,
)
TOUCH = statement(
    "admin_keys.touch", "UPDATE admin_keys SET last_used_at = $3 WHERE workspace_id = $1 AND id = $2 RETURNING id"
)


async def insert(store: Store, key: AdminKey, secret_hash: str) -> None:
    await store.write(
        INSERT,
        key.workspace_id,
        key.id,
        key.name,
        key.hint,
        to_json(key.scopes),
        key.created_at,
        key.expires_at,
        secret_hash,
    )


async def find_by_hash(store: Store, workspace_id: str, secret_hash: str) -> AdminKey | None:
    rows = await store.read(FIND_BY_HASH, workspace_id, secret_hash)
    return _from_row(rows[0]) if rows else None


async def list_all(store: Store, workspace_id: str) -> list[AdminKey]:
    return [_from_row(row) for row in await store.read(LIST, workspace_id)]


async def end(store: Store, workspace_id: str, key_id: str, at: int) -> AdminKey | None:
    """Ends the key at `at` (epoch ms) at the latest; None where there is none."""
    rows = await store.write(END, workspace_id, key_id, at)
    return _from_row(rows[0]) if rows else None


async def touch(store: Store, workspace_id: str, key_id: str, used_at: int) -> None:
    await store.write(TOUCH, workspace_id, key_id, used_at)


def _from_row(row: Row) -> AdminKey:
    return AdminKey(row[0], row[1], row[2], row[3], from_json(row[4], tuple[str, ...]), *row[5:])
