"""How many characters a conversation's messages have."""

from __future__ import annotations

from alembic import op

revision = "0018"
down_revision = "0017"

# What was written before counts as nothing: to add it up would read every message while the schema is locked.
STATEMENTS = ("ALTER TABLE conversations ADD COLUMN characters BIGINT NOT NULL DEFAULT 0",)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
