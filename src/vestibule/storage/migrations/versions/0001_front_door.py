"""The front door: workspaces, API keys, signing keys, contacts and the shared totals of rate limits.

Times are epoch milliseconds, ids text, documents JSON text, and every row of a workspace carries its id first in the
key (DESIGN section 6). The same DDL serves both engines.
"""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None

TABLES = (
    """
    CREATE TABLE installation (
        name TEXT NOT NULL PRIMARY KEY,
        value TEXT NOT NULL
    )
    """,
    """
    CREATE TABLE workspaces (
        id TEXT NOT NULL PRIMARY KEY,
        name TEXT NOT NULL,
        customer_id TEXT NOT NULL UNIQUE,
        widget_token TEXT NOT NULL UNIQUE,
        rate_limits TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        disabled_at BIGINT
    )
    """,
    """
    CREATE TABLE api_keys (
        workspace_id TEXT NOT NULL,
        id TEXT NOT NULL,
        secret_hash TEXT NOT NULL,
        name TEXT NOT NULL,
        hint TEXT NOT NULL,
        scopes TEXT NOT NULL,
        rate_limits TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        expires_at BIGINT,
        revoked_at BIGINT,
        last_used_at BIGINT,
        replaces TEXT,
        PRIMARY KEY (workspace_id, id),
        UNIQUE (workspace_id, secret_hash)
    )
    """,
    """
    CREATE TABLE signing_keys (
        id TEXT NOT NULL PRIMARY KEY,
        public_jwk TEXT NOT NULL,
        sealed_private_jwk TEXT,
        created_at BIGINT NOT NULL,
        signs_from BIGINT NOT NULL,
        last_expiry BIGINT NOT NULL,
        withdrawn_at BIGINT
    )
    """,
    # email_key, phone_key and external_id are verified keys, NULL for everybody unverified; NULLs do not collide.
    """
    CREATE TABLE contacts (
        workspace_id TEXT NOT NULL,
        id TEXT NOT NULL,
        version BIGINT NOT NULL,
        verified BOOLEAN NOT NULL,
        created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL,
        email_key TEXT,
        phone_key TEXT,
        external_id TEXT,
        name TEXT,
        email TEXT,
        phone TEXT,
        avatar_url TEXT,
        language TEXT,
        custom_data TEXT,
        chat_context TEXT,
        sealed_http_overrides TEXT,
        provenance TEXT NOT NULL,
        merged_into TEXT,
        PRIMARY KEY (workspace_id, id)
    )
    """,
    # Only where there is a key: an index over the others' NULLs looks to PostgreSQL, before it has statistics, like a
    # good way to find a contact by its workspace alone.
    "CREATE UNIQUE INDEX contacts_email ON contacts (workspace_id, email_key) WHERE email_key IS NOT NULL",
    "CREATE UNIQUE INDEX contacts_phone ON contacts (workspace_id, phone_key) WHERE phone_key IS NOT NULL",
    "CREATE UNIQUE INDEX contacts_external ON contacts (workspace_id, external_id) WHERE external_id IS NOT NULL",
    """
    CREATE TABLE rate_totals (
        workspace_id TEXT NOT NULL,
        bucket TEXT NOT NULL,
        minute BIGINT NOT NULL,
        used BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, bucket, minute)
    )
    """,
)


def upgrade() -> None:
    for table in TABLES:
        op.execute(table)
