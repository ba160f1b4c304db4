"""Forgets unverified contacts whose time is over, with everything of theirs, and conversations that were closed long
ago; it must not touch a verified contact.

Their tokens are not ended: the widget keeps them for ever and would never ask for another (contracts/opencx.md section
0.6). Who comes back is a visitor without a past.
"""

from __future__ import annotations

import asyncio
import logging
import random

import msgspec

from vestibule.administration import audit, workspaces
from vestibule.administration.attempts import attempt
from vestibule.administration.desk import Desk
from vestibule.clock import SECOND_MS, SteadyClock, now_ms
from vestibule.conversations.files import delete_attached, delete_files_of
from vestibule.model.audit import INSTALLATION
from vestibule.model.workspace import Retention
from vestibule.storage import erasure
from vestibule.storage.erasure import Expired
from vestibule.tenancy import kept_for

_BATCH = 50
# Between two batches, so that visitors' own writes find their turn.
_BREATH_SECONDS = 0.2
_JITTER = 0.3
_log = logging.getLogger(__name__)


class Purged(msgspec.Struct, frozen=True):
    """What was forgotten; conversations with their contacts, or because they were closed long ago. `kept`: contacts
    whose time would be over, but somebody has written since."""

    contacts: int = 0
    conversations: int = 0
    files: int = 0
    kept: int = 0

    def __add__(self, other: Purged) -> Purged:
        return Purged(
            self.contacts + other.contacts,
            self.conversations + other.conversations,
            self.files + other.files,
            self.kept + other.kept,
        )


async def purge(desk: Desk, *, dry_run: bool = False) -> Purged:
    """Forgets everything whose time is over now; a dry run only counts. What cannot be deleted is logged, and
    keeps nothing else. Raises StorageUnavailable."""
    now = now_ms()
    kept = {each.id: kept_for(desk.settings, each.retention) for each in await workspaces.list_all(desk)}
    total, last = Purged(), None
    while batch := await erasure.expired(desk.store, now, last, _BATCH):
        for found in batch:
            own = kept.get(found.workspace_id, kept_for(desk.settings, Retention()))
            purging = _purge_one(desk, found, now, own.unverified_contacts, dry_run=dry_run)
            total += await attempt(f"contact {found.contact_id}", purging) or Purged()
        last = batch[-1]
        await asyncio.sleep(0 if dry_run else _BREATH_SECONDS)
    for workspace_id, own in kept.items():
        if own.closed_conversations:
            total += await _purge_closed(desk, workspace_id, now - own.closed_conversations, dry_run=dry_run)
    if not dry_run and (total.contacts or total.conversations):
        detail = f"{total.contacts} contacts, {total.conversations} conversations"
        await desk.record("retention.purge", INSTALLATION, detail=detail)
    return total


async def run(desk: Desk) -> None:
    """Purges again and again until cancelled. Every process does; what one has deleted, the others do not find."""
    clock = SteadyClock()
    while True:
        # Never at the same moment as the other processes of an installation, which were started together.
        await asyncio.sleep(desk.settings.purge_interval / SECOND_MS * random.uniform(1 - _JITTER, 1 + _JITTER))  # noqa: S311
        if not clock.is_steady():
            _log.warning("the clock has jumped: for a day nothing is purged")
            continue
        await attempt("expired contacts", _purge_and_tell(desk))
        await attempt("old audit entries", audit.purge(desk))


async def _purge_and_tell(desk: Desk) -> None:
    purged = await purge(desk)
    if purged.contacts or purged.conversations:
        _log.info("purged %s contacts with %s conversations", purged.contacts, purged.conversations)


async def _purge_closed(desk: Desk, workspace_id: str, before: int, *, dry_run: bool) -> Purged:
    total, last = Purged(), None
    while batch := await erasure.closed(desk.store, workspace_id, before, last, _BATCH):
        for _, conversation_id in batch:
            if dry_run:
                total += Purged(conversations=1)
                continue
            purging = _purge_chat(desk, workspace_id, conversation_id, before)
            total += await attempt(f"conversation {conversation_id}", purging) or Purged()
        last = batch[-1]
        await asyncio.sleep(0 if dry_run else _BREATH_SECONDS)
    return total


async def _purge_chat(desk: Desk, workspace_id: str, conversation_id: str, before: int) -> Purged:
    erased = await desk.store.transact(lambda: erasure.erase_closed(workspace_id, conversation_id, before))
    if erased is None:  # somebody has written meanwhile
        return Purged()
    contact_id, links = erased
    # Files last: a chat that goes on keeps what it shows. What is cut short here goes with the contact.
    files = 0
    if links:
        people = await _same_person(desk, workspace_id, contact_id)
        files = await delete_attached(desk.store, desk.files, workspace_id, links, people)
    return Purged(conversations=1, files=files)


async def _same_person(desk: Desk, workspace_id: str, contact_id: str) -> list[str]:
    """The ids of all whose uploads the contact may attach, and who may attach theirs."""
    lead = await desk.contacts.find_leading(workspace_id, contact_id)
    if lead is None:
        return [contact_id]
    return [lead.id, *(other.id for other in await desk.contacts.merged_into(workspace_id, lead.id))]


async def _purge_one(desk: Desk, found: Expired, now: int, retention: int, *, dry_run: bool) -> Purged:
    workspace_id, contact_id = found.workspace_id, found.contact_id
    people = await erasure.people(desk.store, workspace_id, contact_id)
    active = max([await erasure.last_activity(desk.store, workspace_id, person) for person in people])
    if active + retention > now:
        # A reply of ours does not wind the visitor's clock, and is a reason to keep what it replies to.
        if not dry_run:
            await desk.contacts.extend(workspace_id, contact_id, active + retention, active + retention)
        return Purged(kept=1)
    if dry_run:
        return Purged(contacts=len(people))
    # Files first: what is cut short is found again.
    files = sum([await delete_files_of(desk.store, desk.files, workspace_id, person) for person in people])
    conversations = await desk.store.transact(lambda: erasure.erase_if_expired(workspace_id, people, now))
    if conversations is None:  # somebody has come back or was merged meanwhile
        return Purged(kept=1)
    return Purged(contacts=len(people), conversations=conversations, files=files)
