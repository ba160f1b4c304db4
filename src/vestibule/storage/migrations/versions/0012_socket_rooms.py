"""Which contact token a customer id of CX Genie's mobile wire stands for."""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"

TABLES = (
    # room_hash: of the customer id, which is a credential.
    """
    CREATE TABLE socket_rooms (
        workspace_id TEXT NOT NULL,
        room_hash TEXT NOT NULL,
        contact_id TEXT NOT NULL,
        sealed_token TEXT NOT NULL,
        expires_at BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, room_hash)
    )
    """,
    "CREATE INDEX socket_rooms_of_contact ON socket_rooms (workspace_id, contact_id)",
    "CREATE INDEX socket_rooms_expiry ON socket_rooms (expires_at)",
)


def upgrade() -> None:
    for table in TABLES:
        op.execute(table)
