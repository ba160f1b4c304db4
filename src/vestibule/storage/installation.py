"""Facts about the installation as a whole, by name; it must not hold anything of one workspace."""

from __future__ import annotations

import secrets

from vestibule.sealing import Sealer
from vestibule.storage.statement import statement
from vestibule.storage.store import Store

FIND = statement("installation.find", "SELECT value FROM installation WHERE name = $1")
SET_FIRST = statement(
    "installation.set_first",
    "INSERT INTO installation (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING RETURNING name",
)


class UnverifiedSecret:
    """The installation's secret for the ids of unverified contacts: made once, sealed, the same on every node and over
    every rotation of the secret keys."""

    def __init__(self, store: Store, sealer: Sealer) -> None:
        self._store = store
        self._sealer = sealer
        self._secret: bytes | None = None

    async def get(self) -> bytes:
        """Raises CannotUnseal, StorageUnavailable."""
        if self._secret is None:
            name = "unverified_contact_secret"
            sealed = await find(self._store, name)
            if sealed is None:
                sealed = await set_first(self._store, name, self._sealer.seal(secrets.token_hex(32), name))
            self._secret = bytes.fromhex(self._sealer.unseal(sealed, name))
        return self._secret


async def find(store: Store, name: str) -> str | None:
    rows = await store.read(FIND, name)
    return str(rows[0][0]) if rows else None


async def set_first(store: Store, name: str, value: str) -> str:
    """Sets the fact unless it is set; the value that holds now."""
    await store.write(SET_FIRST, name, value)
    return await find(store, name) or value
