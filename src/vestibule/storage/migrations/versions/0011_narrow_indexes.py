"""Indexes that serve some statements serve no others: each gets a condition that only those imply.

On a table without statistics PostgreSQL thinks that every index which begins with workspace_id is as good as any, takes
the newest, and a prepared statement keeps what was thought until the table was analysed: the look-up by e-mail read a
whole workspace. A comparison implies that its column is not NULL, and so does no other condition.
"""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"

_INDEXES = {
    "contacts_by_name_search": ("contacts", "name_search, id", "name_search"),
    "contacts_by_email_search": ("contacts", "email_search, id", "email_search"),
    "conversations_of_contact": ("conversations", "contact_id, updated_at", "contact_id"),
    "conversations_by_activity": ("conversations", "updated_at, id", "updated_at"),
}


def upgrade() -> None:
    for name, (table, columns, compared) in _INDEXES.items():
        op.execute(f"DROP INDEX {name}")
        op.execute(f"CREATE INDEX {name} ON {table} (workspace_id, {columns}) WHERE {compared} IS NOT NULL")
