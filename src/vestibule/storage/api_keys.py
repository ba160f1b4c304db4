"""API keys as rows: hashes, never secrets; it must not judge whether a key is good."""

from __future__ import annotations

from vestibule.model.workspace import ApiKey, RateLimits, Workspace
from vestibule.storage import workspaces
from vestibule.storage.json_columns import from_json, to_json
from vestibule.storage.statement import statement
from vestibule.storage.store import Row, Store

_COLUMNS = (
    "k.workspace_id, k.id, k.name, k.hint, k.scopes, k.rate_limits, k.created_at, k.expires_at, k.revoked_at,"
    " k.last_used_at, k.replaces"
)

_OF_W = ", ".join(f"w.{name.strip()}" for name in workspaces.COLUMNS.split(","))

INSERT = statement(
    "api_keys.insert",
    """
    INSERT INTO api_keys
        (workspace_id, id, name, hint, scopes, rate_limits, created_at, expires_at, replaces, secret_hash)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING id
    """,
)
FIND_BY_HASH = statement(
    "api_keys.find_by_hash",
    f"""
    SELECT {_COLUMNS}, {_OF_W}
    FROM api_keys k JOIN workspaces w ON w.id = k.workspace_id
    WHERE k.workspace_id = $1 AND k.secret_hash = $2
    """,
)
FIND = statement("api_keys.find", f"SELECT {_COLUMNS} FROM api_keys k WHERE k.workspace_id = $1 AND k.id = $2")
LIST = statement(
    "api_keys.list", f"SELECT {_COLUMNS} FROM api_keys k WHERE k.workspace_id = $1 ORDER BY k.created_at, k.id"
)
# An end only ever moves nearer: a second rotation or revocation cannot give a key more time.
END = statement(
    "api_keys.end",
    """
    UPDATE api_keys SET revoked_at = CASE WHEN revoked_at IS NULL OR revoked_at > $3 THEN $3 ELSE revoked_at END
    WHERE workspace_id = $1 AND id = $2 RETURNING revoked_at
    """,
)
SETTINGS = statement(
    "api_keys.settings", "SELECT id, name, rate_limits FROM api_keys WHERE workspace_id = $1 AND id = $2"
)
SET_SETTINGS = statement(
    "api_keys.set_settings",
    "UPDATE api_keys SET name = $3, rate_limits = $4 WHERE workspace_id = $1 AND id = $2 RETURNING id",
)
TOUCH = statement(
    "api_keys.touch",
    """
    UPDATE api_keys SET last_used_at = $3
    WHERE workspace_id = $1 AND id = $2 AND (last_used_at IS NULL OR last_used_at < $3) RETURNING id
    """,
)


async def insert(store: Store, key: ApiKey, secret_hash: str) -> None:
    await store.write(
        INSERT,
        key.workspace_id,
        key.id,
        key.name,
        key.hint,
        to_json(key.scopes),
        to_json(key.rate_limits),
        key.created_at,
        key.expires_at,
        key.replaces,
        secret_hash,
    )


async def find_by_hash(store: Store, workspace_id: str, secret_hash: str) -> tuple[ApiKey, Workspace] | None:
    """The key and the workspace it belongs to, whatever their state."""
    rows = await store.read(FIND_BY_HASH, workspace_id, secret_hash)
    return (_from_row(rows[0]), workspaces.from_row(rows[0][11:])) if rows else None


async def find(store: Store, workspace_id: str, key_id: str) -> ApiKey | None:
    rows = await store.read(FIND, workspace_id, key_id)
    return _from_row(rows[0]) if rows else None


async def list_all(store: Store, workspace_id: str) -> list[ApiKey]:
    return [_from_row(row) for row in await store.read(LIST, workspace_id)]


async def end(store: Store, workspace_id: str, key_id: str, at: int) -> int | None:
    """Makes the key end at `at` (epoch ms) at the latest; the moment it now ends, or None if there is no such key."""
    rows = await store.write(END, workspace_id, key_id, at)
    return int(rows[0][0]) if rows else None


async def settings(store: Store, workspace_id: str, key_id: str) -> tuple[str, RateLimits] | None:
    """Name and limits: what may be changed, without what its use changes."""
    rows = await store.read(SETTINGS, workspace_id, key_id)
    return (str(rows[0][1]), from_json(rows[0][2], RateLimits)) if rows else None


async def set_settings(store: Store, workspace_id: str, key_id: str, name: str, limits: RateLimits) -> None:
    await store.write(SET_SETTINGS, workspace_id, key_id, name, to_json(limits))


async def touch(store: Store, workspace_id: str, key_id: str, used_at: int) -> None:
    await store.write(TOUCH, workspace_id, key_id, used_at)


def _from_row(row: Row) -> ApiKey:
    scopes, limits = from_json(row[4], tuple[str, ...]), from_json(row[5], RateLimits)
    return ApiKey(row[0], row[1], row[2], row[3], scopes, limits, *row[6:11])
