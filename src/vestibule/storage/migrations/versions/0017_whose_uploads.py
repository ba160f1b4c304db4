"""Which device of an unverified contact has uploaded a file."""

from __future__ import annotations

from alembic import op

revision = "0017"
down_revision = "0016"

STATEMENTS = (
    # The token's id, of who has proven nothing; empty for everybody else, and for what was uploaded before.
    "ALTER TABLE files ADD COLUMN token_id TEXT NOT NULL DEFAULT ''",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
