"""Auth endpoint: labels that a customer's server gives its people."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0003"


def upgrade() -> None:
    op.execute("ALTER TABLE contacts ADD COLUMN labels TEXT")
