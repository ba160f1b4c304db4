"""Token exchange: identity providers, the subjects they have proven, and proofs that are not claimed yet."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"

TABLES = (
    # The settings hold secrets (introspection, HS256), so the document is sealed whole.
    """
    CREATE TABLE identity_providers (
        workspace_id TEXT NOT NULL,
        id BIGINT NOT NULL,
        position BIGINT NOT NULL,
        issuer TEXT NOT NULL,
        sealed_document TEXT NOT NULL,
        updated_at BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, id)
    )
    """,
    # A person at their provider: issuer and subject together, for a subject means something at its issuer only.
    """
    CREATE TABLE provider_identities (
        workspace_id TEXT NOT NULL,
        issuer TEXT NOT NULL,
        subject TEXT NOT NULL,
        contact_id TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, issuer, subject)
    )
    """,
    "CREATE INDEX provider_identities_of_contact ON provider_identities (workspace_id, contact_id)",
    # Bound once: bound_conversation goes from NULL to a value, and never changes again.
    """
    CREATE TABLE pending_identities (
        workspace_id TEXT NOT NULL,
        user_info_id_hash TEXT NOT NULL,
        challenge TEXT NOT NULL,
        contact_id TEXT NOT NULL,
        provider_id BIGINT NOT NULL,
        issuer TEXT NOT NULL,
        subject TEXT NOT NULL,
        provider_session TEXT,
        auth_time BIGINT NOT NULL,
        created_at BIGINT NOT NULL,
        expires_at BIGINT NOT NULL,
        bound_conversation TEXT,
        bound_visitor TEXT,
        wrong_count BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, user_info_id_hash)
    )
    """,
    "CREATE INDEX pending_identities_expiring ON pending_identities (expires_at)",
)


def upgrade() -> None:
    for table in TABLES:
        op.execute(table)
