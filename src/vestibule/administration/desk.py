"""Opens what an operator's action needs, and closes it again; it must not act."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from vestibule.sealing import Sealer
from vestibule.settings import Settings
from vestibule.storage.contacts import Contacts
from vestibule.storage.opening import open_store
from vestibule.storage.store import Store


@dataclass(frozen=True, slots=True)
class Desk:
    """Where an operator works."""

    settings: Settings
    sealer: Sealer
    store: Store
    contacts: Contacts


@contextlib.asynccontextmanager
async def open_desk(settings: Settings, sealer: Sealer) -> AsyncIterator[Desk]:
    store = await open_store(settings.database_url, connections=2, timeout=settings.database_timeout / 1000)
    try:
        yield Desk(settings, sealer, store, Contacts(store, sealer))
    finally:
        await store.close()
