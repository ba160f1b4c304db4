"""Opens what an operator's action needs, and closes it again; it must not act."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from vestibule.live import Live
from vestibule.runtime import Runtime
from vestibule.sealing import Sealer
from vestibule.settings import Settings
from vestibule.storage.contacts import Contacts
from vestibule.storage.file_store import DiskFileStore, FileStore
from vestibule.storage.opening import open_store
from vestibule.storage.store import Store


@dataclass(frozen=True, slots=True)
class Desk:
    """Where an operator works."""

    settings: Settings
    sealer: Sealer
    store: Store
    contacts: Contacts
    live: Live
    files: FileStore


@contextlib.asynccontextmanager
async def open_desk(settings: Settings, sealer: Sealer) -> AsyncIterator[Desk]:
    store = await open_store(settings.database_url, connections=2, timeout=settings.database_timeout / 1000)
    files = DiskFileStore(Path(settings.files_directory))
    try:
        yield Desk(settings, sealer, store, Contacts(store, sealer), Live(), files)
    finally:
        await store.close()


def desk_of(runtime: Runtime) -> Desk:
    """A desk inside a server, whose connections it shares and does not close."""
    return Desk(runtime.settings, runtime.sealer, runtime.store, runtime.contacts, runtime.live, runtime.files)
