"""Puzzel's surface: visitor sessions, identities attached to conversations, and queues."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"

TABLES = (
    # Every refresh token of a session stays until it would have run out: a used one that comes again was stolen.
    """
    CREATE TABLE refresh_tokens (
        workspace_id TEXT NOT NULL,
        token_hash TEXT NOT NULL,
        visitor_id TEXT NOT NULL,
        uses BIGINT NOT NULL,
        created_at BIGINT NOT NULL,
        expires_at BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, token_hash)
    )
    """,
    "CREATE INDEX refresh_tokens_of_visitor ON refresh_tokens (workspace_id, visitor_id)",
    "CREATE INDEX refresh_tokens_expiring ON refresh_tokens (expires_at)",
    # Who has proven to be whom in which conversation. The holder is a visitor's token, or the userInfoId of somebody
    # who came without one. A row that was cleared still says whose the conversation is to identify again.
    """
    CREATE TABLE attached_identities (
        workspace_id TEXT NOT NULL,
        conversation_id TEXT NOT NULL,
        holder TEXT NOT NULL,
        contact_id TEXT NOT NULL,
        token_id TEXT NOT NULL,
        auth_time BIGINT NOT NULL,
        created_at BIGINT NOT NULL,
        expires_at BIGINT NOT NULL,
        cleared_at BIGINT,
        PRIMARY KEY (workspace_id, conversation_id, holder)
    )
    """,
    "CREATE INDEX attached_identities_of_contact ON attached_identities (workspace_id, contact_id)",
    "CREATE INDEX attached_identities_expiring ON attached_identities (expires_at)",
    # A sign-out finds what could sign in again.
    """
    CREATE INDEX pending_identities_bound ON pending_identities (workspace_id, bound_conversation)
    WHERE bound_conversation IS NOT NULL
    """,
    """
    CREATE TABLE queues (
        workspace_id TEXT NOT NULL,
        queue_key TEXT NOT NULL,
        document TEXT NOT NULL,
        updated_at BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, queue_key)
    )
    """,
    "ALTER TABLE conversations ADD COLUMN queue_key TEXT",
)


def upgrade() -> None:
    for table in TABLES:
        op.execute(table)
