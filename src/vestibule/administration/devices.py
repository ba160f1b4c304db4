"""Shows which tokens a person holds, and ends one of them; it must not see a token.

No list of tokens is kept: the audit says which were issued, to whom and when, and a token's own life says how long it
is good. Those of before the audit's beginning are ended with all others (`contacts.sign_out`).
"""

from __future__ import annotations

import asyncio
import itertools

import msgspec

from vestibule.administration import contacts
from vestibule.administration.desk import Desk
from vestibule.clock import now_ms
from vestibule.errors import NotFound
from vestibule.model.audit import AuditEntry, AuditKind
from vestibule.model.claims import Method
from vestibule.storage import attached_identities, audit, token_endings
from vestibule.storage.attached_identities import AttachedRow
from vestibule.storage.token_endings import EVERYWHERE, FOR_EVER, Ending
from vestibule.tokens.endings import end_one

# Of each contact that the person is; who signs in more often within a token's life is found in the audit.
_LOOKED_AT = 200


class Device(msgspec.Struct, frozen=True):
    """A token that was issued and not ended, and so a browser or app that holds it. `ends_at` is when it is over by
    itself at the latest; None: never. `conversation_id`: it was issued for this conversation. Times are epoch
    milliseconds; `address` is a network."""

    token_id: str
    contact_id: str
    method: str
    issued_at: int
    ends_at: int | None
    origin: str
    address: str | None
    conversation_id: str | None = None


async def list_all(desk: Desk, workspace_id: str, contact_id: str) -> list[Device]:
    """Those of a person, whichever of their contacts is named, the latest first. What a sign-out at a provider has
    ended is not known here, nor what the audit has not written yet. Raises NotFound."""
    people = await contacts.one_person(desk, workspace_id, contact_id)
    found = await asyncio.gather(*(_good(desk, workspace_id, person.id) for person in people))
    return sorted(itertools.chain.from_iterable(found), key=lambda device: device.issued_at, reverse=True)


async def end(desk: Desk, workspace_id: str, contact_id: str, token_id: str) -> Device:
    """Every worker refuses it within 5 s. Raises NotFound."""
    await desk.audit.flush()
    held = {device.token_id: device for device in await list_all(desk, workspace_id, contact_id)}
    if token_id not in held:
        raise NotFound("This contact has no such token.")
    device, now = held[token_id], now_ms()
    # The end of a token without one must outlive the sweep of those that are over anyway.
    ending = Ending(workspace_id, device.contact_id, token_id, FOR_EVER if device.ends_at is None else now)
    await desk.store.transact(lambda: end_one(ending, now))
    await desk.record("contact.end_token", workspace_id, token_id, contact_id=device.contact_id)
    return device


async def _good(desk: Desk, workspace_id: str, contact_id: str) -> list[Device]:
    ended = await token_endings.of_contact(desk.store, workspace_id, contact_id)
    return [device for device in await _issued(desk, workspace_id, contact_id) if not _is_ended(device, ended)]


async def _issued(desk: Desk, workspace_id: str, contact_id: str) -> list[Device]:
    now = now_ms()
    entries = await audit.of_contact(desk.store, workspace_id, contact_id, before=2**62, most=_LOOKED_AT)
    devices: dict[str, Device] = {}
    for stored in entries:
        entry = stored.entry
        if entry.kind is AuditKind.AUTHENTICATION and entry.target:
            devices.setdefault(entry.target, _of_entry(entry, contact_id, desk.settings.contact_token_lifetime))
    for row in await attached_identities.of_contact(desk.store, workspace_id, contact_id, now):
        devices[row.token_id] = _of_row(row)
    return [device for device in devices.values() if device.ends_at is None or device.ends_at > now]


def _of_entry(entry: AuditEntry, contact_id: str, lifetime: int) -> Device:
    endless = entry.method == Method.UNVERIFIED
    return Device(
        token_id=entry.target,
        contact_id=contact_id,
        method=entry.method,
        issued_at=entry.at,
        ends_at=None if endless else entry.at + lifetime,
        origin=entry.origin,
        address=entry.address,
    )


def _of_row(row: AttachedRow) -> Device:
    return Device(
        token_id=row.token_id,
        contact_id=row.contact_id,
        method=Method.TOKEN_EXCHANGE.value,
        issued_at=row.created_at,
        ends_at=row.expires_at,
        origin="",
        address=None,
        conversation_id=row.conversation_id,
    )


def _is_ended(device: Device, endings: list[Ending]) -> bool:
    return token_endings.ends(endings, device.token_id, device.issued_at, {"", EVERYWHERE})
