"""`/dashboard/audit`: reads and exports the audit; it must not change what it says."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from urllib.parse import urlencode

from vestibule.administration import audit
from vestibule.edge.http import Reply
from vestibule.edge.parameters import choice, number, text
from vestibule.edge.streaming import StreamedReply
from vestibule.edge.surface import Route
from vestibule.model.audit import AuditKind
from vestibule.model.claims import Method
from vestibule.model.staff import Role
from vestibule.runtime import Runtime
from vestibule.storage.audit import AuditFilter
from vestibule.surfaces.dashboard.rendering import SAFE
from vestibule.surfaces.dashboard.seat import Seat, view

_PAGE = 50
_PIECE = 500
_METHODS = tuple(method.value for method in Method)
_KINDS = tuple(kind.value for kind in AuditKind)
_ASKED = ("kind", "method", "outcome", "code", "action", "request_id")


def routes(runtime: Runtime) -> Sequence[Route]:
    return [view(runtime, "/audit", _show), view(runtime, "/audit/export", _export, Role.ADMIN)]


async def _show(seat: Seat) -> Reply:
    await seat.desk.audit.flush()
    before = number(seat.request, "before", default=0)
    wanted = _wanted(seat)
    found = await audit.list_page(seat.desk, seat.workspace_id, wanted, before=before or None, most=_PAGE)
    asked = {name: value for name in _ASKED if (value := getattr(wanted, name))}
    return seat.show(
        "audit.html",
        entries=[(audit.shown(stored), stored.entry.at) for stored in found.entries],
        wanted=wanted,
        query=urlencode(asked),
        following=found.following,
        choices={"kind": _KINDS, "method": _METHODS, "outcome": audit.OUTCOMES},
    )


async def _export(seat: Seat) -> Reply:
    """What the filters let through, the latest first. Who took it is in the audit themselves."""
    wanted = _wanted(seat)
    await seat.desk.record("audit.export", seat.workspace_id, detail="csv")
    headers = (
        (b"content-type", b"text/csv; charset=utf-8; header=present"),
        (b"content-disposition", b'attachment; filename="vestibule-audit.csv"'),
        (b"cache-control", b"no-store"),
        *SAFE,
    )
    return StreamedReply(seat.request, 200, _lines(seat, wanted), headers)


async def _lines(seat: Seat, wanted: AuditFilter) -> AsyncGenerator[bytes, None]:
    yield audit.csv_header().encode()
    before: int | None = None
    while True:
        page = await audit.list_page(seat.desk, seat.workspace_id, wanted, before=before, most=_PIECE)
        if page.entries:
            yield "".join(audit.csv_line(stored) for stored in page.entries).encode()
        if page.following is None:
            return
        before = page.following


def _wanted(seat: Seat) -> AuditFilter:
    request = seat.request
    return AuditFilter(
        kind=choice(request, "kind", ("", *_KINDS)),
        method=choice(request, "method", ("", *_METHODS)),
        outcome=choice(request, "outcome", ("", *audit.OUTCOMES)),
        code=text(request, "code").strip(),
        action=text(request, "action").strip(),
        request_id=text(request, "request_id").strip(),
    )
