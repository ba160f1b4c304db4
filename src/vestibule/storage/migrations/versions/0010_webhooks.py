"""Where a workspace's own servers are told of what happens, and what they are still to be told."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"

TABLES = (
    # events: names between commas, so that one statement finds who wants an event. URL and secrets are sealed.
    """
    CREATE TABLE webhook_endpoints (
        workspace_id TEXT NOT NULL,
        id TEXT NOT NULL,
        sealed_document TEXT NOT NULL,
        events TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, id)
    )
    """,
    # A row for each event and endpoint, until it was delivered. due_at: when it is sent, or sent again if whoever has
    # taken it is not heard of; NULL for a dead letter, which has a died_at.
    """
    CREATE TABLE webhook_deliveries (
        workspace_id TEXT NOT NULL,
        endpoint_id TEXT NOT NULL,
        id TEXT NOT NULL,
        kind TEXT NOT NULL,
        at BIGINT NOT NULL,
        contact_id TEXT NOT NULL,
        data TEXT NOT NULL,
        owner TEXT NOT NULL,
        attempts BIGINT NOT NULL,
        due_at BIGINT,
        died_at BIGINT,
        problem TEXT NOT NULL,
        PRIMARY KEY (workspace_id, endpoint_id, id)
    )
    """,
    """
    CREATE INDEX webhook_deliveries_due ON webhook_deliveries (workspace_id, endpoint_id, due_at)
    WHERE due_at IS NOT NULL
    """,
    "CREATE INDEX webhook_deliveries_of_contact ON webhook_deliveries (workspace_id, contact_id)",
    "CREATE INDEX webhook_deliveries_dead ON webhook_deliveries (died_at) WHERE died_at IS NOT NULL",
)


def upgrade() -> None:
    for table in TABLES:
        op.execute(table)
