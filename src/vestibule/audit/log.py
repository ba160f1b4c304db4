"""Takes entries in while requests are answered, and brings them to the database in groups; it must not read them.

A request costs an append to a list. Half a second later at the most everything that came in goes to the database, one
transaction a workspace, in which the chain is continued. A change that an operator makes is brought there before they
are answered. What a crash may lose is in docs/decisions/0023.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

import msgspec

from vestibule.audit.chain import link
from vestibule.clock import HOUR_MS, now_ms
from vestibule.errors import StorageUnavailable
from vestibule.model.audit import REFUSED, AuditEntry, AuditKind, ChainHead
from vestibule.sealing import Sealer
from vestibule.storage import audit as rows
from vestibule.storage import authentication_counts as counts
from vestibule.storage import unverified_counts
from vestibule.storage.authentication_counts import CountKey
from vestibule.storage.store import Store, Work
from vestibule.storage.unverified_counts import UnverifiedKey

FLUSH_SECONDS = 0.5
# At some 700 bytes an entry: what a database that is away for long may cost in memory.
MOST_WAITING = 50_000
# A transaction holds its workspace's turn; others wait for it no longer than this many take.
_GROUP = 1_024
# Pages that a workspace's visitors come from are few; whoever makes names up shall not fill the table.
MOST_ORIGINS = 100
OTHER_ORIGINS = "(other)"
LOST = "audit.lost"
# What may hold something that a stranger has sent.
_TEXTS = ("actor", "step", "reason", "detail", "key_id", "provider_id", "origin", "target")
_log = logging.getLogger(__name__)


class _Waiting:
    __slots__ = ("entry", "times")

    def __init__(self, entry: AuditEntry) -> None:
        self.entry = entry
        self.times = entry.times

    def finished(self) -> AuditEntry:
        if self.times == self.entry.times:
            return self.entry
        return msgspec.structs.replace(self.entry, times=self.times)


class AuditLog:
    """The audit of an installation, as one process writes it."""

    def __init__(self, store: Store, sealer: Sealer) -> None:
        self._store = store
        self._sealer = sealer
        self._waiting: dict[str, list[_Waiting]] = {}
        self._repeated: dict[str, dict[AuditEntry, _Waiting]] = {}  # of what waits, by workspace
        self._size = 0
        self._lost: dict[str, int] = {}
        self._counts: dict[CountKey, int] = {}
        self._unverified: dict[UnverifiedKey, int] = {}
        self._origins: dict[tuple[str, int], set[str]] = {}
        self._origins_of_day: dict[tuple[str, int], set[str]] = {}
        self._flushing = asyncio.Lock()
        self._flushes: set[asyncio.Task[None]] = set()

    def note(self, entry: AuditEntry) -> None:
        """Takes an entry in; it is in the database within `FLUSH_SECONDS`. Never waits, never fails."""
        if entry.outcome == REFUSED or entry.kind is AuditKind.ADMINISTRATION:
            entry = _storable(entry)
        if entry.kind is AuditKind.AUTHENTICATION:
            self._count(entry)
        waiting = _Waiting(entry)
        if entry.outcome == REFUSED:
            # Guesses come in floods, and a flood of equal ones shall not become one of rows.
            same = msgspec.structs.replace(entry, at=0, request_id="")
            repeated = self._repeated.setdefault(entry.workspace_id, {})
            if same in repeated:
                repeated[same].times += 1
                return
            if self._size < MOST_WAITING:
                repeated[same] = waiting
        if self._size >= MOST_WAITING:
            self._lost[entry.workspace_id] = self._lost.get(entry.workspace_id, 0) + 1
            return
        self._waiting.setdefault(entry.workspace_id, []).append(waiting)
        self._size += 1

    def count_unverified(self, workspace_id: str, surface: str, step: str, reason: str, origin: str) -> None:
        """Counts that somebody without proof came in, went on or was refused. Never waits, never fails."""
        hour = now_ms() // HOUR_MS
        key = UnverifiedKey(
            workspace_id, hour, surface, step, reason, _bounded(self._origins, workspace_id, hour, origin)
        )
        self._unverified[key] = self._unverified.get(key, 0) + 1

    async def record(self, entry: AuditEntry) -> None:
        """Takes an entry in and returns once it is in the database. Raises StorageUnavailable."""
        self.note(entry)
        await self.flush()

    async def run(self) -> None:
        """Brings what came in to the database until cancelled."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            try:
                with contextlib.suppress(StorageUnavailable):  # the entries stay
                    await self.flush()
            except Exception:
                _log.exception("the audit cannot be written")

    async def flush(self) -> None:
        """Raises StorageUnavailable; what was not written by then is written the next time."""
        # By itself: of a transaction whose flush is cancelled nobody knows whether it is to be written again.
        flush = asyncio.create_task(self._flush())
        self._flushes.add(flush)
        flush.add_done_callback(self._flushes.discard)
        await asyncio.shield(flush)

    async def _flush(self) -> None:
        async with self._flushing:
            for workspace_id in {*self._waiting, *self._lost}:
                await self._append(workspace_id)
            await self._add_counts()

    async def _append(self, workspace_id: str) -> None:
        waiting = self._waiting.pop(workspace_id, [])
        self._repeated.pop(workspace_id, None)  # what is on its way to the database is not added to any more
        lost = self._lost.pop(workspace_id, 0)
        if lost:
            waiting.append(_Waiting(_loss(workspace_id, lost)))
            self._size += 1
        while waiting:
            group = [each.finished() for each in waiting[:_GROUP]]

            def work(group: list[AuditEntry] = group) -> Work[ChainHead]:
                return append_work(self._sealer, workspace_id, group)

            try:
                await self._store.transact(work)
            except BaseException:
                # Those that came in meanwhile stand behind them.
                self._waiting[workspace_id] = [*waiting, *self._waiting.get(workspace_id, [])]
                raise
            self._size -= len(group)
            del waiting[:_GROUP]

    async def _add_counts(self) -> None:
        taken, self._counts = self._counts, {}
        unverified, self._unverified = self._unverified, {}
        hour = now_ms() // HOUR_MS
        days = self._of_days(taken)
        self._origins = {key: found for key, found in self._origins.items() if key[1] >= hour}
        today = hour // counts.DAY_HOURS
        self._origins_of_day = {key: found for key, found in self._origins_of_day.items() if key[1] >= today}
        try:
            if taken or unverified:
                await self._store.transact(lambda: _add_work(taken, days, unverified))
        except BaseException:
            for key, count in taken.items():
                self._counts[key] = self._counts.get(key, 0) + count
            for other, count in unverified.items():
                self._unverified[other] = self._unverified.get(other, 0) + count
            raise

    def _count(self, entry: AuditEntry) -> None:
        hour = entry.at // HOUR_MS
        origin = _bounded(self._origins, entry.workspace_id, hour, entry.origin)
        key = CountKey(entry.workspace_id, hour, entry.method, entry.outcome, entry.code, origin, entry.key_id)
        self._counts[key] = self._counts.get(key, 0) + entry.times

    def _of_days(self, taken: dict[CountKey, int]) -> dict[CountKey, int]:
        """The same to be added by day, where pages are few as well: each hour may have named others."""
        days: dict[CountKey, int] = {}
        for key, count in taken.items():
            day = key.hour // counts.DAY_HOURS
            of_day = key._replace(origin=_bounded(self._origins_of_day, key.workspace_id, day, key.origin))
            days[of_day] = days.get(of_day, 0) + count
        return days


def append_work(sealer: Sealer, workspace_id: str, entries: list[AuditEntry]) -> Work[ChainHead]:
    """Continues the workspace's chain, as part of a unit of work. Two nodes that do so at once take turns."""
    head = yield from rows.take_turn(workspace_id)
    linked = link(sealer, head, entries)
    yield from rows.insert(linked)
    head = msgspec.structs.replace(head, seq=linked[-1].seq, mac=linked[-1].mac)
    yield from rows.advance(workspace_id, head)
    return head


def _bounded(seen: dict[tuple[str, int], set[str]], workspace_id: str, when: int, origin: str) -> str:
    if not origin:
        return ""
    known = seen.setdefault((workspace_id, when), set())
    if origin not in known and len(known) >= MOST_ORIGINS:
        return OTHER_ORIGINS
    known.add(origin)
    return origin


def _add_work(
    taken: dict[CountKey, int], days: dict[CountKey, int], unverified: dict[UnverifiedKey, int]
) -> Work[None]:
    yield from counts.add_work(taken, days)
    yield from unverified_counts.add_work(unverified)


def _storable(entry: AuditEntry) -> AuditEntry:
    """With no character that a database would not take, or that would write lines of its own: one entry that cannot be
    written would keep all that come after it waiting."""
    texts = {name: getattr(entry, name) for name in _TEXTS}
    changed = {name: _printable(text) for name, text in texts.items() if not text.isprintable()}
    return msgspec.structs.replace(entry, **changed) if changed else entry


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def _loss(workspace_id: str, lost: int) -> AuditEntry:
    return AuditEntry(
        workspace_id=workspace_id,
        kind=AuditKind.ADMINISTRATION,
        action=LOST,
        outcome=REFUSED,
        at=now_ms(),
        actor="service",
        reason="More came in than could be kept while the database was away.",
        times=lost,
    )
