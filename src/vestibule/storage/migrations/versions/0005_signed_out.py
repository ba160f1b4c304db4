"""Tokens of identity providers that are good once, and what a provider's sign-out ends."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0003"

STATEMENTS = (
    # Without whose token it was: a fingerprint and a time lead to nobody.
    """
    CREATE TABLE spent_tokens (
        workspace_id TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        expires_at BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, fingerprint)
    )
    """,
    "CREATE INDEX spent_tokens_expiring ON spent_tokens (expires_at)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
