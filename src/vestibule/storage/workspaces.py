"""Workspaces as rows; it must not check who asks."""

from __future__ import annotations

from vestibule.model.workspace import RateLimits, Retention, Workspace
from vestibule.storage.json_columns import from_json, to_json
from vestibule.storage.statement import statement
from vestibule.storage.store import Query, Row, Store, Work, query

COLUMNS = "id, name, customer_id, widget_token, rate_limits, created_at, disabled_at, retention"

INSERT = statement(
    "workspaces.insert", f"INSERT INTO workspaces ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id"
)
FIND = statement("workspaces.find", f"SELECT {COLUMNS} FROM workspaces WHERE id = $1")
FIND_BY_WIDGET_TOKEN = statement(
    "workspaces.find_by_widget_token", f"SELECT {COLUMNS} FROM workspaces WHERE widget_token = $1"
)
FIND_BY_CUSTOMER_ID = statement(
    "workspaces.find_by_customer_id", f"SELECT {COLUMNS} FROM workspaces WHERE customer_id = $1"
)
LIST = statement("workspaces.list", f"SELECT {COLUMNS} FROM workspaces ORDER BY created_at, id")
UPDATE = statement(
    "workspaces.update",
    "UPDATE workspaces SET name = $2, rate_limits = $3, disabled_at = $4, retention = $5 WHERE id = $1 RETURNING id",
)
MOVE_EXPIRY = statement(
    "workspaces.move_expiry",
    """
    UPDATE contacts SET expires_at = expires_at + CAST($2 AS BIGINT)
    WHERE workspace_id = $1 AND verified = FALSE AND expires_at IS NOT NULL
    """,
)
SET_WIDGET_TOKEN = statement(
    "workspaces.set_widget_token", "UPDATE workspaces SET widget_token = $2 WHERE id = $1 RETURNING id"
)


async def insert(store: Store, workspace: Workspace) -> None:
    """Raises UniqueViolation where the customer id or widget token is taken."""
    made = insertion(workspace)
    await store.write(made.statement, *made.values)


def insertion(workspace: Workspace) -> Query:
    """The same within another unit of work."""
    return query(
        INSERT,
        workspace.id,
        workspace.name,
        workspace.customer_id,
        workspace.widget_token,
        to_json(workspace.rate_limits),
        workspace.created_at,
        workspace.disabled_at,
        to_json(workspace.retention),
    )


async def find(store: Store, workspace_id: str) -> Workspace | None:
    rows = await store.read(FIND, workspace_id)
    return from_row(rows[0]) if rows else None


async def find_by_widget_token(store: Store, token: str) -> Workspace | None:
    rows = await store.read(FIND_BY_WIDGET_TOKEN, token)
    return from_row(rows[0]) if rows else None


async def find_by_customer_id(store: Store, customer_id: str) -> Workspace | None:
    rows = await store.read(FIND_BY_CUSTOMER_ID, customer_id)
    return from_row(rows[0]) if rows else None


async def list_all(store: Store) -> list[Workspace]:
    return [from_row(row) for row in await store.read(LIST)]


async def update(store: Store, workspace: Workspace, *, later_ms: int = 0) -> None:
    """`later_ms`: by how much longer (or, negative, shorter) its unverified contacts are kept from now on. All of their
    clocks move with the setting or none."""

    def work() -> Work[None]:
        limits, retention = to_json(workspace.rate_limits), to_json(workspace.retention)
        yield query(UPDATE, workspace.id, workspace.name, limits, workspace.disabled_at, retention)
        if later_ms:
            yield query(MOVE_EXPIRY, workspace.id, later_ms)

    await store.transact(work)


async def set_widget_token(store: Store, workspace_id: str, token: str) -> None:
    await store.write(SET_WIDGET_TOKEN, workspace_id, token)


def from_row(row: Row) -> Workspace:
    limits, retention = from_json(row[4], RateLimits), from_json(row[7], Retention)
    return Workspace(row[0], row[1], row[2], row[3], limits, row[5], row[6], retention)
