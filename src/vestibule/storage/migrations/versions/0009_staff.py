"""Staff of workspaces: who may sign in at the dashboard, in which browsers, and links that are good once."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"

TABLES = (
    # password_hash: argon2id in its own text form; NULL until one was chosen.
    """
    CREATE TABLE staff (
        workspace_id TEXT NOT NULL,
        id TEXT NOT NULL,
        email TEXT NOT NULL,
        name TEXT NOT NULL,
        role TEXT NOT NULL,
        password_hash TEXT,
        created_at BIGINT NOT NULL,
        signed_in_at BIGINT,
        PRIMARY KEY (workspace_id, id)
    )
    """,
    # The installation's own (workspace_id of all zeros): who signs in gives an e-mail and names no workspace.
    """
    CREATE TABLE staff_emails (
        workspace_id TEXT NOT NULL,
        email_key TEXT NOT NULL,
        home_id TEXT NOT NULL,
        staff_id TEXT NOT NULL,
        PRIMARY KEY (workspace_id, email_key)
    )
    """,
    """
    CREATE TABLE staff_sessions (
        workspace_id TEXT NOT NULL,
        secret_hash TEXT NOT NULL,
        staff_id TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        last_used_at BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, secret_hash)
    )
    """,
    "CREATE INDEX staff_sessions_by_age ON staff_sessions (created_at)",
    """
    CREATE TABLE staff_links (
        workspace_id TEXT NOT NULL,
        secret_hash TEXT NOT NULL,
        staff_id TEXT NOT NULL,
        expires_at BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, secret_hash)
    )
    """,
    "CREATE INDEX staff_links_by_end ON staff_links (expires_at)",
)


def upgrade() -> None:
    for table in TABLES:
        op.execute(table)
