"""Shows, turns and withdraws the installation's signing keys for operators; it must not sign."""

from __future__ import annotations

import msgspec

from vestibule.administration.desk import Desk
from vestibule.clock import now_ms
from vestibule.errors import NotFound
from vestibule.model.audit import INSTALLATION
from vestibule.storage.signing_keys import list_all as list_rows
from vestibule.tokens import signing_keys
from vestibule.tokens.signing_keys import ALGORITHM, Status, status_of


class KeyReport(msgspec.Struct, frozen=True):
    """A signing key as an operator sees it; times are epoch milliseconds."""

    kid: str
    algorithm: str
    status: Status
    created_at: int
    signs_from: int
    published_until: int
    withdrawn_at: int | None


async def list_all(desk: Desk) -> list[KeyReport]:
    """Oldest first."""
    rows = await list_rows(desk.store)
    return [
        KeyReport(
            kid=row.id,
            algorithm=ALGORITHM,
            status=status_of(row, rows, now_ms()),
            created_at=row.created_at,
            signs_from=row.signs_from,
            published_until=row.last_expiry,
            withdrawn_at=row.withdrawn_at,
        )
        for row in rows
    ]


async def rotate(desk: Desk, *, lead_ms: int | None = None) -> KeyReport:
    """A new key, published now; it signs `lead_ms` later (the setting `signing_key_lead` if absent)."""
    settings = desk.settings
    row = await signing_keys.rotate(
        desk.store,
        desk.sealer,
        lifetime_ms=settings.contact_token_lifetime,
        lead_ms=settings.signing_key_lead if lead_ms is None else lead_ms,
    )
    await desk.record("signing_key.rotate", INSTALLATION, row.id)
    return await _get(desk, row.id)


async def retire(desk: Desk, kid: str) -> KeyReport:
    """Withdraws a key at once, with every token that it signed. Raises NotFound."""
    lifetime = desk.settings.contact_token_lifetime
    if not await signing_keys.withdraw(desk.store, desk.sealer, kid, lifetime_ms=lifetime):
        raise NotFound("There is no such signing key.")
    await desk.record("signing_key.retire", INSTALLATION, kid)
    return await _get(desk, kid)


async def _get(desk: Desk, kid: str) -> KeyReport:
    return next(report for report in await list_all(desk) if report.kid == kid)
