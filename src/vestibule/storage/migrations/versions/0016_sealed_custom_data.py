"""Contacts' custom data, sealed."""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"

# `custom_data` and `non_verified_custom_data` stay, for nodes of the release before and for what they have written in
# clear: no migration has the secret key. It is sealed when the contact is next written, or by `secret-key reseal`.
STATEMENTS = (
    "ALTER TABLE contacts ADD COLUMN sealed_custom_data TEXT",
    "ALTER TABLE contacts ADD COLUMN sealed_non_verified_custom_data TEXT",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
