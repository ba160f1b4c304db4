"""Behind the door: conversations, messages, the responder's work items, devices and files."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"

TABLES = (
    """
    CREATE TABLE counters (
        workspace_id TEXT NOT NULL,
        name TEXT NOT NULL,
        value BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, name)
    )
    """,
    # version counts the changes that a reader can see; next_seq numbers the messages. Both move in one statement that
    # locks the row, which is what keeps a conversation's messages in order.
    """
    CREATE TABLE conversations (
        workspace_id TEXT NOT NULL,
        id TEXT NOT NULL,
        contact_id TEXT NOT NULL,
        verified BOOLEAN NOT NULL,
        scope TEXT,
        channel TEXT NOT NULL,
        ticket_number BIGINT NOT NULL,
        title TEXT,
        status TEXT NOT NULL,
        handed_off BOOLEAN NOT NULL,
        assignee_kind TEXT NOT NULL,
        assignee_name TEXT,
        assignee_avatar_url TEXT,
        mode_id TEXT,
        checkpoint TEXT,
        custom_data TEXT NOT NULL,
        language TEXT,
        last_message TEXT,
        created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL,
        version BIGINT NOT NULL,
        next_seq BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, id)
    )
    """,
    "CREATE INDEX conversations_of_contact ON conversations (workspace_id, contact_id, updated_at)",
    # For people who look at all conversations of a workspace, newest activity first.
    "CREATE INDEX conversations_by_activity ON conversations (workspace_id, updated_at, id)",
    """
    CREATE TABLE messages (
        workspace_id TEXT NOT NULL,
        conversation_id TEXT NOT NULL,
        seq BIGINT NOT NULL,
        public_id TEXT NOT NULL,
        type TEXT NOT NULL,
        sender TEXT NOT NULL,
        sender_name TEXT,
        sender_avatar_url TEXT,
        text TEXT,
        sent_at BIGINT NOT NULL,
        trust TEXT NOT NULL,
        attachments TEXT,
        action_calls TEXT,
        payload TEXT,
        custom_data TEXT,
        answers BIGINT,
        vote TEXT,
        PRIMARY KEY (workspace_id, conversation_id, seq),
        UNIQUE (workspace_id, conversation_id, public_id)
    )
    """,
    """
    CREATE TABLE responder_jobs (
        workspace_id TEXT NOT NULL,
        conversation_id TEXT NOT NULL,
        seq BIGINT NOT NULL,
        sealed_input TEXT NOT NULL,
        owner TEXT NOT NULL,
        leased_until BIGINT NOT NULL,
        attempts BIGINT NOT NULL,
        created_at BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, conversation_id, seq)
    )
    """,
    "CREATE INDEX responder_jobs_lease ON responder_jobs (leased_until)",
    # Which scopes an unverified visitor's token has shown: what ties a conversation to a device. The contact, so that
    # its rows are found when it is erased.
    """
    CREATE TABLE device_scopes (
        workspace_id TEXT NOT NULL,
        token_id TEXT NOT NULL,
        scope TEXT NOT NULL,
        contact_id TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, token_id, scope)
    )
    """,
    "CREATE INDEX device_scopes_of_contact ON device_scopes (workspace_id, contact_id)",
    # Tokens ended before their time: of a contact issued before a moment, or one by its id.
    """
    CREATE TABLE token_endings (
        workspace_id TEXT NOT NULL,
        contact_id TEXT NOT NULL,
        token_id TEXT NOT NULL,
        issued_before BIGINT NOT NULL,
        created_at BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, contact_id, token_id)
    )
    """,
    "CREATE INDEX token_endings_created ON token_endings (created_at)",
    """
    CREATE TABLE files (
        workspace_id TEXT NOT NULL,
        id TEXT NOT NULL,
        contact_id TEXT NOT NULL,
        secret_hash TEXT NOT NULL,
        name TEXT NOT NULL,
        media_type TEXT NOT NULL,
        size BIGINT NOT NULL,
        created_at BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, id)
    )
    """,
    "CREATE INDEX files_of_contact ON files (workspace_id, contact_id)",
    # The settings of a workspace that hold secrets (responder, variables) are sealed whole, one document a kind.
    """
    CREATE TABLE workspace_settings (
        workspace_id TEXT NOT NULL,
        kind TEXT NOT NULL,
        sealed_document TEXT NOT NULL,
        updated_at BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, kind)
    )
    """,
    """
    CREATE TABLE actions (
        workspace_id TEXT NOT NULL,
        name TEXT NOT NULL,
        id TEXT NOT NULL,
        document TEXT NOT NULL,
        updated_at BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, name)
    )
    """,
    "ALTER TABLE contacts ADD COLUMN non_verified_custom_data TEXT",
    "ALTER TABLE contacts ADD COLUMN expires_at BIGINT",
    "CREATE INDEX contacts_expiring ON contacts (expires_at)",
    "CREATE INDEX contacts_merged ON contacts (workspace_id, merged_into) WHERE merged_into IS NOT NULL",
)


def upgrade() -> None:
    for table in TABLES:
        op.execute(table)
