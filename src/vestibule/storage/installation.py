"""Facts about the installation as a whole, by name; it must not hold anything of one workspace."""

from __future__ import annotations

from vestibule.storage.statement import statement
from vestibule.storage.store import Store

FIND = statement("installation.find", "SELECT value FROM installation WHERE name = $1")
SET_FIRST = statement(
    "installation.set_first",
    "INSERT INTO installation (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING RETURNING name",
)


async def find(store: Store, name: str) -> str | None:
    rows = await store.read(FIND, name)
    return str(rows[0][0]) if rows else None


async def set_first(store: Store, name: str, value: str) -> str:
    """Sets the fact unless it is set; the value that holds now."""
    await store.write(SET_FIRST, name, value)
    return await find(store, name) or value
