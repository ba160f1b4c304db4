"""How long a workspace keeps what it has."""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"

STATEMENTS = (
    # JSON, with a member for each time that is not the installation's.
    "ALTER TABLE workspaces ADD COLUMN retention TEXT NOT NULL DEFAULT '{}'",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
