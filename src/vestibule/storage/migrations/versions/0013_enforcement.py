"""What enforcing login would refuse, counted, and an index for lists of chats: there may be many."""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0010"

TABLES = (
    # A row an hour, as in authentication_counts. step: observe, warn or enforce, as it was then.
    """
    CREATE TABLE unverified_counts (
        workspace_id TEXT NOT NULL,
        hour BIGINT NOT NULL,
        surface TEXT NOT NULL,
        step TEXT NOT NULL,
        reason TEXT NOT NULL,
        origin TEXT NOT NULL,
        count BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, hour, surface, step, reason, origin)
    )
    """,
    # Whose chats they are that enforcing would end.
    """
    CREATE INDEX conversations_unverified ON conversations (workspace_id, updated_at, id) WHERE verified = FALSE
    """,
)


def upgrade() -> None:
    for table in TABLES:
        op.execute(table)
