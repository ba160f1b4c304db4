"""Tells how a verification method has fared of late: counts of a day and the last outcome; it must not look at a single
person."""

from __future__ import annotations

import msgspec

from vestibule.administration.desk import Desk
from vestibule.clock import DAY_MS, HOUR_MS, now_ms
from vestibule.model.audit import REFUSED, AuditKind, StoredEntry
from vestibule.model.claims import Method
from vestibule.storage import audit, authentication_counts
from vestibule.storage.audit import AuditFilter

_LOOKS_BACK_MS = 30 * DAY_MS


class MethodState(msgspec.Struct, frozen=True):
    """Of the last 24 hours, to the full hour. `last` is the latest decision of the last 30 days, if the audit has it
    among its latest twenty thousand entries."""

    accepted: int
    refused: int
    last: StoredEntry | None


async def read(desk: Desk, workspace_id: str) -> dict[Method, MethodState]:
    """Of every method."""
    await desk.audit.flush()  # what was decided a moment ago
    now = now_ms()
    until = now // HOUR_MS + 1
    today = await authentication_counts.totals(
        desk.store, workspace_id, since_hour=(now - DAY_MS) // HOUR_MS, until_hour=until
    )
    month = await authentication_counts.totals(
        desk.store, workspace_id, since_hour=(now - _LOOKS_BACK_MS) // HOUR_MS, until_hour=until
    )
    # Nobody looks through the audit for what the counts say is not there.
    used = {key.method for key, _ in month}
    return {
        method: MethodState(
            accepted=sum(count for key, count in today if key.method == method and key.outcome != REFUSED),
            refused=sum(count for key, count in today if key.method == method and key.outcome == REFUSED),
            last=await _last(desk, workspace_id, method) if method in used else None,
        )
        for method in Method
    }


async def _last(desk: Desk, workspace_id: str, method: Method) -> StoredEntry | None:
    head = await audit.head(desk.store, workspace_id)
    wanted = AuditFilter(kind=AuditKind.AUTHENTICATION.value, method=method.value)
    found = await audit.list_page(desk.store, workspace_id, wanted, before=head.seq + 1, most=1)
    return found[0] if found else None
