"""What operators need: the audit and its counts, admin keys, answers to repeat, and contacts found by name."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0006"

TABLES = (
    # A row a workspace (and one for the installation): where its chain ends, and where what is left of it begins.
    """
    CREATE TABLE audit_chains (
        workspace_id TEXT NOT NULL PRIMARY KEY,
        seq BIGINT NOT NULL,
        mac TEXT NOT NULL,
        purged_seq BIGINT NOT NULL,
        purged_mac TEXT NOT NULL
    )
    """,
    # contact_id, address and salt are emptied when the contact is erased; the commitment to them stays in the chain.
    """
    CREATE TABLE audit_entries (
        workspace_id TEXT NOT NULL,
        seq BIGINT NOT NULL,
        at BIGINT NOT NULL,
        kind TEXT NOT NULL,
        action TEXT NOT NULL,
        method TEXT NOT NULL,
        outcome TEXT NOT NULL,
        code TEXT NOT NULL,
        key_id TEXT NOT NULL,
        request_id TEXT NOT NULL,
        contact_id TEXT,
        address TEXT,
        salt TEXT,
        commitment TEXT NOT NULL,
        document TEXT NOT NULL,
        mac TEXT NOT NULL,
        PRIMARY KEY (workspace_id, seq)
    )
    """,
    """
    CREATE INDEX audit_entries_of_contact ON audit_entries (workspace_id, contact_id, seq) WHERE contact_id IS NOT NULL
    """,
    """
    CREATE TABLE authentication_counts (
        workspace_id TEXT NOT NULL,
        hour BIGINT NOT NULL,
        method TEXT NOT NULL,
        outcome TEXT NOT NULL,
        code TEXT NOT NULL,
        origin TEXT NOT NULL,
        key_id TEXT NOT NULL,
        count BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, hour, method, outcome, code, origin, key_id)
    )
    """,
    # workspace_id of all zeros: good for the whole installation.
    """
    CREATE TABLE admin_keys (
        workspace_id TEXT NOT NULL,
        id TEXT NOT NULL,
        secret_hash TEXT NOT NULL,
        name TEXT NOT NULL,
        hint TEXT NOT NULL,
        scopes TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        expires_at BIGINT,
        revoked_at BIGINT,
        last_used_at BIGINT,
        PRIMARY KEY (workspace_id, id),
        UNIQUE (workspace_id, secret_hash)
    )
    """,
    # Answers of creates, sealed: some show a key that is shown once. NULL while the create is under way.
    """
    CREATE TABLE idempotency_keys (
        workspace_id TEXT NOT NULL,
        admin_key_id TEXT NOT NULL,
        name_hash TEXT NOT NULL,
        request_hash TEXT NOT NULL,
        sealed_answer TEXT,
        created_at BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, admin_key_id, name_hash)
    )
    """,
    "CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at)",
)
# Found by how they begin. The order must be that of bytes, whatever the database's language: a beginning is a range.
# SQLite compares so by itself, and adds no stored column to a table that exists.
_SEARCHED = ("name", "email")


def upgrade() -> None:
    for table in TABLES:
        op.execute(table)
    on_postgresql = op.get_bind().dialect.name == "postgresql"
    for column in _SEARCHED:
        type_, kept = ('TEXT COLLATE "C"', "STORED") if on_postgresql else ("TEXT", "VIRTUAL")
        made = f"{type_} GENERATED ALWAYS AS (lower({column})) {kept}"
        op.execute(f"ALTER TABLE contacts ADD COLUMN {column}_search {made}")
        op.execute(f"CREATE INDEX contacts_by_{column}_search ON contacts (workspace_id, {column}_search, id)")
