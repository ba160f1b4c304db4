"""Staff who are shut out for a while, and who they are at the installation's own identity provider."""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"

CHANGES = (
    "ALTER TABLE staff ADD COLUMN disabled_at BIGINT",
    # The installation's own (workspace_id of all zeros), as the e-mails are: who signs in names no workspace.
    """
    CREATE TABLE staff_subjects (
        workspace_id TEXT NOT NULL,
        issuer TEXT NOT NULL,
        subject TEXT NOT NULL,
        home_id TEXT NOT NULL,
        staff_id TEXT NOT NULL,
        PRIMARY KEY (workspace_id, issuer, subject)
    )
    """,
    # One identity a member at an issuer: a second account with the same e-mail is not taken for the first.
    "CREATE UNIQUE INDEX staff_subjects_of_member ON staff_subjects (workspace_id, home_id, staff_id, issuer)",
)


def upgrade() -> None:
    for change in CHANGES:
        op.execute(change)
