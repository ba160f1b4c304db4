"""Lists the tokens that stand for a person, as the audit knows of their issue, and ends one; it must not see a token.

A token is good by its signature and stored nowhere. What the audit keeps of its issue is its id, which opens nothing.
"""

from __future__ import annotations

import asyncio
import itertools

import msgspec

from vestibule.administration import contacts
from vestibule.administration.desk import Desk
from vestibule.clock import now_ms
from vestibule.errors import NotFound
from vestibule.ids import is_id
from vestibule.model.audit import REFUSED, AuditKind, StoredEntry
from vestibule.model.claims import Method
from vestibule.model.contact import Contact
from vestibule.storage import attached_identities, refresh_tokens, token_endings
from vestibule.storage import audit as entries
from vestibule.storage.attached_identities import AttachedRow
from vestibule.storage.store import Work
from vestibule.storage.token_endings import EVERYWHERE, LASTING, Ending

# Of each contact that the person is; who signs in more often than this within an hour is found in the audit.
MOST = 100


class Device(msgspec.Struct, frozen=True):
    """One token. `until` None: it has no end of its own. `conversation_id`: it was given for that chat alone. Page and
    network are by the browser's word, and empty where it said none."""

    id: str
    contact_id: str
    method: str
    issued_at: int
    until: int | None
    origin: str = ""
    address: str = ""
    conversation_id: str = ""


async def list_of(desk: Desk, workspace_id: str, contact_id: str) -> list[Device]:
    """Every token of a person that may still be good, the latest first. Raises NotFound."""
    people = await contacts.export(desk, workspace_id, contact_id)
    found = await asyncio.gather(*(_of_one(desk, person) for person in people))
    return sorted(itertools.chain.from_iterable(found), key=lambda device: -device.issued_at)


async def end(desk: Desk, workspace_id: str, contact_id: str, device_id: str) -> None:
    """Ends one token; every worker refuses it within 5 s. Raises NotFound."""
    for device in await list_of(desk, workspace_id, contact_id):
        if device.id == device_id:
            break
    else:
        raise NotFound("There is no such token.")
    now = now_ms()
    ending = Ending(workspace_id, device.contact_id, device_id, now if device.until is not None else LASTING)

    def work() -> Work[None]:
        yield token_endings.insert_query(ending, now)
        # Whoever acts as the person in one chat does so no more, and who renews their session is refused.
        if device.conversation_id:
            yield attached_identities.clear(workspace_id, device.conversation_id, device_id, now)
        if device_id == device.contact_id:
            yield refresh_tokens.end(workspace_id, device_id)

    await desk.store.transact(work)
    await desk.record("contact.end_token", workspace_id, device_id, contact_id=device.contact_id)


async def _of_one(desk: Desk, contact: Contact) -> list[Device]:
    workspace_id, now = contact.workspace_id, now_ms()
    endings = await token_endings.of_contact(desk.store, workspace_id, contact.id)
    ended = {ending.token_id for ending in endings}
    everywhere = max((each.issued_before for each in endings if each.token_id in {"", EVERYWHERE}), default=0)
    issued = await entries.of_contact(desk.store, workspace_id, contact.id, before=2**62, most=MOST)
    attached = await attached_identities.of_contact(desk.store, workspace_id, contact.id, now=now, most=MOST)
    known = [_issued(desk, each) for each in issued if _is_issue(each)] + [_attached(each) for each in attached]
    unique = {device.id: device for device in reversed(known)}
    return [
        device
        for device in unique.values()
        if device.id not in ended and device.issued_at >= everywhere and (device.until is None or device.until > now)
    ]


def _is_issue(stored: StoredEntry) -> bool:
    entry = stored.entry
    return entry.kind is AuditKind.AUTHENTICATION and entry.outcome != REFUSED and is_id(entry.target)


def _issued(desk: Desk, stored: StoredEntry) -> Device:
    entry = stored.entry
    proven = entry.method != Method.UNVERIFIED
    return Device(
        id=entry.target,
        contact_id=entry.contact_id or "",
        method=entry.method,
        issued_at=entry.at,
        until=entry.at + desk.settings.contact_token_lifetime if proven else None,
        origin=entry.origin,
        address=entry.address or "",
    )


def _attached(row: AttachedRow) -> Device:
    return Device(
        id=row.token_id,
        contact_id=row.contact_id,
        method=Method.TOKEN_EXCHANGE.value,
        issued_at=row.created_at,
        until=row.expires_at,
        conversation_id=row.conversation_id,
    )
