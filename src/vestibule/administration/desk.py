"""Opens what an operator's action needs, notes who acts, and closes it again; it must not act."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from vestibule.audit.log import AuditLog
from vestibule.clock import now_ms
from vestibule.errors import StorageUnavailable
from vestibule.live import Live
from vestibule.model.audit import DONE, SERVICE, Actor, AuditEntry, AuditKind
from vestibule.runtime import Runtime
from vestibule.sealing import Sealer
from vestibule.settings import Settings
from vestibule.storage.contacts import Contacts
from vestibule.storage.file_store import FileStore
from vestibule.storage.opening import open_files, open_store
from vestibule.storage.store import Store


@dataclass(frozen=True, slots=True)
class Desk:
    """Where an operator works, and who it is."""

    settings: Settings
    sealer: Sealer
    store: Store
    contacts: Contacts
    live: Live
    files: FileStore
    audit: AuditLog
    actor: Actor = SERVICE

    async def record(
        self, action: str, workspace_id: str, target: str = "", *, contact_id: str | None = None, detail: str = ""
    ) -> None:
        """Notes a change that was made, before its maker is told of it. `detail` names what changed, and holds no
        value. Raises StorageUnavailable: the change stands, and is told as uncertain."""
        entry = AuditEntry(
            workspace_id=workspace_id,
            kind=AuditKind.ADMINISTRATION,
            action=action,
            outcome=DONE,
            at=now_ms(),
            actor=str(self.actor),
            request_id=self.actor.request_id,
            target=target,
            contact_id=contact_id,
            detail=detail,
        )
        await self.audit.record(entry)


@contextlib.asynccontextmanager
async def open_desk(settings: Settings, sealer: Sealer, actor: Actor = SERVICE) -> AsyncIterator[Desk]:
    store = await open_store(settings.database_url, connections=2, timeout=settings.database_timeout / 1000)
    files = open_files(settings)
    audit = AuditLog(store, sealer)
    try:
        yield Desk(settings, sealer, store, Contacts(store, sealer), Live(), files, audit, actor)
    finally:
        with contextlib.suppress(StorageUnavailable):  # what could not be written a moment ago
            await audit.flush()
        await store.close()


def desk_of(runtime: Runtime, actor: Actor = SERVICE) -> Desk:
    """A desk inside a server, whose connections it shares and does not close."""
    return Desk(
        runtime.settings,
        runtime.sealer,
        runtime.store,
        runtime.contacts,
        runtime.live,
        runtime.files,
        runtime.audit,
        actor,
    )
