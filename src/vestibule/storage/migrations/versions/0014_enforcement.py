"""What enforcing login would refuse, counted, and an index for lists of chats: there may be many."""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"

TABLES = (
    # A row an hour, as in authentication_counts. step: observe, warn or enforce, as it was then.
    """
    CREATE TABLE unverified_counts (
        workspace_id TEXT NOT NULL,
        hour BIGINT NOT NULL,
        surface TEXT NOT NULL,
        step TEXT NOT NULL,
        reason TEXT NOT NULL,
        origin TEXT NOT NULL,
        count BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, hour, surface, step, reason, origin)
    )
    """,
    # Whose chats they are that enforcing would end.
    """
    CREATE INDEX conversations_unverified ON conversations (workspace_id, updated_at, id) WHERE verified = FALSE
    """,
    # What people ask for most is rare among all chats. Each index holds just that, so it costs others nothing.
    "CREATE INDEX conversations_open ON conversations (workspace_id, updated_at, id) WHERE status = 'open'",
    """
    CREATE INDEX conversations_waiting ON conversations (workspace_id, updated_at, id)
    WHERE status = 'open' AND handed_off = TRUE
    """,
    """
    CREATE INDEX conversations_unresolved ON conversations (workspace_id, updated_at, id)
    WHERE status = 'closed_unresolved'
    """,
    # What operators did about a contact: few of very many entries.
    """
    CREATE INDEX audit_entries_changes_of_contact ON audit_entries (workspace_id, contact_id, seq)
    WHERE contact_id IS NOT NULL AND kind = 'administration'
    """,
    # What was known of who wrote a message; and what was sent for its action calls, redacted, for people to look at.
    "ALTER TABLE messages ADD COLUMN author TEXT",
    "ALTER TABLE messages ADD COLUMN action_requests TEXT",
    # authentication_counts summed up by day (of UTC), for charts of months. last_hour is hours since 1970.
    """
    CREATE TABLE authentication_days (
        workspace_id TEXT NOT NULL,
        day BIGINT NOT NULL,
        method TEXT NOT NULL,
        outcome TEXT NOT NULL,
        code TEXT NOT NULL,
        origin TEXT NOT NULL,
        key_id TEXT NOT NULL,
        last_hour BIGINT NOT NULL,
        count BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, day, method, outcome, code, origin, key_id)
    )
    """,
    """
    INSERT INTO authentication_days
        SELECT workspace_id, hour / 24, method, outcome, code, origin, key_id, MAX(hour), SUM(count)
        FROM authentication_counts GROUP BY workspace_id, hour / 24, method, outcome, code, origin, key_id
    """,
)


def upgrade() -> None:
    for table in TABLES:
        op.execute(table)
