"""Auth endpoint: labels that a customer's server gives its people, and phone numbers as they are dialled."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"

COLUMNS = (
    "ALTER TABLE contacts ADD COLUMN labels TEXT",
    "ALTER TABLE contacts ADD COLUMN phone_e164 TEXT",
)


def upgrade() -> None:
    for column in COLUMNS:
        op.execute(column)
