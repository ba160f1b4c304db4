"""Reads, proves, exports and purges the audit for operators; it must not write an entry of its own accord."""

from __future__ import annotations

import asyncio
import csv
import io
import re
from collections.abc import AsyncIterator

import msgspec

from vestibule.administration import workspaces
from vestibule.administration.attempts import attempt
from vestibule.administration.desk import Desk
from vestibule.audit.chain import PURGED, Break, Verifier
from vestibule.audit.log import append_work
from vestibule.clock import DAY_MS, HOUR_MS, now_ms
from vestibule.errors import InvalidField, VestibuleError
from vestibule.identity.matching import Outcome
from vestibule.model.audit import (
    DONE,
    INSTALLATION,
    ISSUED,
    REFUSED,
    WARNED,
    AuditEntry,
    AuditKind,
    ChainHead,
    StoredEntry,
)
from vestibule.model.claims import Method
from vestibule.storage import audit as rows
from vestibule.storage import authentication_counts as counts
from vestibule.storage import unverified_counts
from vestibule.storage.audit import SCANNED, AuditFilter
from vestibule.storage.store import Work
from vestibule.tenancy import kept_for
from vestibule.times import rfc3339

LARGEST_PAGE = 500
# What an entry may say of what became of it, and of how somebody was proven, or of what they showed instead.
OUTCOMES = (ISSUED, *(outcome.value for outcome in Outcome), WARNED, REFUSED, DONE)
METHODS = (*(method.value for method in Method), "contact_token", "widget_token", "admin_key", "api_key")
_PIECE = 1_000
_DELETED_TOGETHER = 5_000
# Between two deletions, so that others' writes find their turn.
_BREATH_SECONDS = 0.05
# What a spreadsheet takes for the beginning of a formula (OWASP, CSV injection), tab and line ends among them.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
# Where commas are for decimals, spreadsheets cut at semicolons, quoted or not: there a value's middle begins a cell.
_FORMULA_INSIDE = re.compile(r"""((?:[;|]|(?!^)\t)[\s"']*)(?=[=+\-@])""")


class Page(msgspec.Struct, frozen=True):
    """The latest first. `following` is where the next page begins, None on the last one; a page may hold few entries,
    or none, and be followed."""

    entries: list[StoredEntry]
    following: int | None


class Proof(msgspec.Struct, frozen=True):
    """Whether the chain of a workspace holds. `head` (its last number and mac) can be noted elsewhere, and shown again
    later: a database that was put back to an earlier state does not have it any more."""

    workspace_id: str
    whole: bool
    entries: int
    first_seq: int
    erased: int
    head: str
    problem: str = ""
    at_seq: int | None = None


class Shown(msgspec.Struct, frozen=True):
    """An entry as operators read it, in the order of the columns of an export."""

    seq: int
    time: str
    kind: str
    action: str
    actor: str
    method: str
    outcome: str
    code: str
    step: str
    reason: str
    detail: str
    workspace_id: str
    contact_id: str | None
    erased: bool
    key_id: str
    provider_id: str
    target: str
    origin: str
    address: str | None
    request_id: str
    times: int


async def list_page(
    desk: Desk,
    workspace_id: str,
    wanted: AuditFilter | None = None,
    *,
    contact_id: str | None = None,
    before: int | None = None,
    most: int = 100,
) -> Page:
    """What is in the audit of a workspace, or of `INSTALLATION`; of one contact, if it is named, and then whatever else
    is asked. Raises NotFound."""
    await workspaces.require(desk, workspace_id)
    if before is None:
        before = (await rows.head(desk.store, workspace_id)).seq + 1
    if contact_id is not None:
        found = await rows.of_contact(desk.store, workspace_id, contact_id, before=before, most=most)
        return Page(found, found[-1].seq if len(found) == most else None)
    found = await rows.list_page(desk.store, workspace_id, wanted or AuditFilter(), before=before, most=most)
    if len(found) == most:
        return Page(found, found[-1].seq)
    return Page(found, before - SCANNED if before - SCANNED > 1 else None)


async def newer(desk: Desk, workspace_id: str, *, after: int, most: int = LARGEST_PAGE) -> list[StoredEntry]:
    """What came after an entry, in order; for following. Raises NotFound."""
    return await rows.chain(desk.store, workspace_id, after=after, to=2**62, most=most)


async def walk(desk: Desk, workspace_id: str) -> AsyncIterator[list[StoredEntry]]:
    """All entries up to now, in order, piece by piece. Raises NotFound."""
    await workspaces.require(desk, workspace_id)
    head = await rows.head(desk.store, workspace_id)
    after = head.purged_seq
    while piece := await rows.chain(desk.store, workspace_id, after=after, to=head.seq, most=_PIECE):
        yield piece
        after = piece[-1].seq
        await _breathe()


async def verify(desk: Desk, workspace_id: str, *, noted: str | None = None) -> Proof:
    """Walks the chain of a workspace from its first entry to its last. `noted` is a head from an earlier proof. Raises
    NotFound, InvalidField."""
    await workspaces.require(desk, workspace_id)
    # The head first: what is appended meanwhile is the next walk's.
    head = await rows.head(desk.store, workspace_id)
    verifier = Verifier(desk.sealer, head)
    expected = _read_head(noted) if noted is not None else None
    if expected is not None and not await _has(desk, workspace_id, head, expected):
        verifier.problem = Break(expected[0], "the noted head is not in this chain")
    after = head.purged_seq
    while piece := await rows.chain(desk.store, workspace_id, after=after, to=head.seq, most=_PIECE):
        verifier.take(piece)
        after = piece[-1].seq
        await _breathe()
    verifier.finish()
    beyond = await rows.chain(desk.store, workspace_id, after=head.seq, to=2**62, most=1)
    # Read after what lies beyond the first: whoever appended it has moved the head as well.
    now = await rows.head(desk.store, workspace_id)
    if beyond and now.seq < beyond[0].seq and verifier.problem is None:
        verifier.problem = Break(beyond[0].seq, "there are entries beyond the end of the chain")
    if now.purged_seq > head.purged_seq:
        return await verify(desk, workspace_id, noted=noted)  # purged while we walked
    problem = verifier.problem
    return Proof(
        workspace_id=workspace_id,
        whole=problem is None,
        entries=verifier.entries,
        first_seq=head.purged_seq + 1,
        erased=verifier.erased,
        head=f"{head.seq}:{head.mac}",
        problem=problem.problem if problem is not None else "",
        at_seq=problem.seq if problem is not None else None,
    )


async def purge(desk: Desk) -> int:
    """Deletes what is older than a workspace keeps its audit, up to a day later than it might; how many entries. The
    chain tells of it, and so does not read as cut."""
    kept = {INSTALLATION: desk.settings.audit_retention}
    kept |= {each.id: kept_for(desk.settings, each.retention).audit for each in await workspaces.list_all(desk)}
    total = 0
    for workspace_id, retention in kept.items():
        await _breathe()
        total += await attempt("a workspace's old audit entries", _purge_one(desk, workspace_id, retention)) or 0
    return total


def shown(stored: StoredEntry) -> Shown:
    entry = stored.entry
    members = {name: getattr(entry, name) for name in Shown.__struct_fields__ if hasattr(entry, name)}
    members |= {"seq": stored.seq, "time": rfc3339(entry.at), "kind": entry.kind.value, "erased": stored.erased}
    return Shown(**members)


def codes(family: type[VestibuleError] = VestibuleError) -> set[str]:
    """Of every refusal that there is."""
    return {family.code}.union(*(codes(below) for below in family.__subclasses__()))


def csv_header() -> str:
    return _csv_line(Shown.__struct_fields__)


def csv_line(stored: StoredEntry) -> str:
    """One line of RFC 4180 that no spreadsheet takes for a formula: strangers choose origins, and parts of details."""
    return _csv_line([_harmless(value) for value in msgspec.structs.astuple(shown(stored))])


def _csv_line(values: object) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(values)  # type: ignore[arg-type]
    return line.getvalue()


def _harmless(value: object) -> object:
    if not isinstance(value, str):
        return str(value).lower() if isinstance(value, bool) else value
    inside = _FORMULA_INSIDE.sub(r"\1'", value)
    return f"'{inside}" if inside.startswith(_FORMULA) else inside


async def _purge_one(desk: Desk, workspace_id: str, retention: int) -> int:
    before = now_ms() - retention
    # Seldom, for each purge is an entry itself.
    if not await _has_older(desk, workspace_id, before - min(DAY_MS, retention // 10)):
        return 0
    total = 0
    while end := await _end_of_old(desk, workspace_id, before):
        total += await _purge_to(desk, workspace_id, end)
        await asyncio.sleep(_BREATH_SECONDS)
    await counts.purge(desk.store, workspace_id, before // HOUR_MS)
    await unverified_counts.purge(desk.store, workspace_id, before // HOUR_MS)
    return total


async def _end_of_old(desk: Desk, workspace_id: str, before: int) -> StoredEntry | None:
    """The last entry that is too old, or of the first ones if they are many: what is deleted at once must be little
    enough for a transaction that may last as long as a statement."""
    head = await rows.head(desk.store, workspace_id)
    last, after = None, head.purged_seq
    most = after + _DELETED_TOGETHER
    while piece := await rows.chain(desk.store, workspace_id, after=after, to=min(head.seq, most), most=_PIECE):
        # Up to the first that is young enough: clocks of two nodes differ a little, and no gap may come about.
        old = piece[: _first_young(piece, before)]
        last = old[-1] if old else last
        if len(old) < len(piece):
            break
        after = piece[-1].seq
        await _breathe()
    return last


async def _purge_to(desk: Desk, workspace_id: str, end: StoredEntry) -> int:
    entry = AuditEntry(
        workspace_id=workspace_id,
        kind=AuditKind.ADMINISTRATION,
        action=PURGED,
        outcome=DONE,
        at=now_ms(),
        actor=str(desk.actor),
        target=str(end.seq),
    )

    def work() -> Work[int]:
        current = yield from rows.take_turn(workspace_id)
        if current.purged_seq >= end.seq:  # another node was faster
            return 0
        purged = end.seq - current.purged_seq
        current = yield from append_work(desk.sealer, workspace_id, [entry])
        yield from rows.advance(workspace_id, msgspec.structs.replace(current, purged_seq=end.seq, purged_mac=end.mac))
        yield rows.purge(workspace_id, end.seq)
        return purged

    return await desk.store.transact(work)


def _first_young(piece: list[StoredEntry], before: int) -> int:
    return next((index for index, stored in enumerate(piece) if stored.entry.at >= before), len(piece))


async def _has_older(desk: Desk, workspace_id: str, before: int) -> bool:
    head = await rows.head(desk.store, workspace_id)
    first = await rows.chain(desk.store, workspace_id, after=head.purged_seq, to=head.seq, most=1)
    return bool(first) and first[0].entry.at < before


async def _has(desk: Desk, workspace_id: str, head: ChainHead, noted: tuple[int, str]) -> bool:
    seq, mac = noted
    if seq <= head.purged_seq:  # too old to be looked for
        return seq < head.purged_seq or mac == head.purged_mac
    found = await rows.chain(desk.store, workspace_id, after=seq - 1, to=seq, most=1)
    return bool(found) and found[0].mac == mac


def _read_head(text: str) -> tuple[int, str]:
    seq, colon, mac = text.partition(":")
    if not colon or not seq.isascii() or not seq.isdigit() or len(seq) > 16 or not mac:
        raise InvalidField("noted", "must be a head that `audit verify` has printed")
    return int(seq), mac


async def _breathe() -> None:
    """SQLite reads on the event loop: between two pieces, requests have their turn."""
    await asyncio.sleep(0)
