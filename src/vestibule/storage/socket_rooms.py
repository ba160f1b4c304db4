"""Which contact token a room stands for, as rows; it must not see a room's name, but a hash of it."""

from __future__ import annotations

from vestibule.storage.purging import purging
from vestibule.storage.statement import statement
from vestibule.storage.store import Store

KEEP = statement(
    "socket_rooms.keep",
    """
    INSERT INTO socket_rooms (workspace_id, room_hash, contact_id, sealed_token, expires_at)
    VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (workspace_id, room_hash) DO UPDATE SET expires_at = $5 WHERE socket_rooms.expires_at < $6
    RETURNING room_hash
    """,
)
FIND = statement(
    "socket_rooms.find",
    "SELECT sealed_token FROM socket_rooms WHERE workspace_id = $1 AND room_hash = $2 AND expires_at > $3",
)
PURGE = purging("socket_rooms", "workspace_id, room_hash", "expires_at < $1", "expires_at")


def sealing_context(workspace_id: str, room_hash: str) -> str:
    """What a row's token is sealed with: copied into another row it does not open."""
    return f"socket_rooms.{workspace_id}.{room_hash}"


async def keep(
    store: Store,
    workspace_id: str,
    room_hash: str,
    *,
    contact_id: str,
    sealed_token: str,
    expires_at: int,
    if_before: int,
) -> None:
    """Makes a room, or gives one more time whose time is over before `if_before`."""
    await store.write(KEEP, workspace_id, room_hash, contact_id, sealed_token, expires_at, if_before)


async def find(store: Store, workspace_id: str, room_hash: str, now: int) -> str | None:
    """The sealed token; None where there is no such room, or its time is over."""
    found = await store.read(FIND, workspace_id, room_hash, now)
    return found[0][0] if found else None
