"""The audit as rows, a chain a workspace; it must not compute or judge a chain."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Sequence

import msgspec

from vestibule.model.audit import AuditEntry, AuditKind, ChainHead, StoredEntry
from vestibule.storage.json_columns import from_json, to_json
from vestibule.storage.statement import statement
from vestibule.storage.store import Query, Row, Store, Value, Work, query

_COLUMNS = (
    "workspace_id, seq, at, kind, action, method, outcome, code, key_id, request_id, contact_id, address, salt,"
    " commitment, document, mac"
)
_WIDTH = 16
# So many rows go in one statement, for a statement of its own for each costs a round trip each. The largest text is
# still among those that asyncpg keeps prepared.
_SIZES = (128, 32, 8, 2, 1)
# A filter that finds little must not read a year: a page looks at so many entries, and tells where to go on.
SCANNED = 20_000


def _rows_of(count: int) -> str:
    rows = (", ".join(f"${row * _WIDTH + column + 1}" for column in range(_WIDTH)) for row in range(count))
    return ", ".join(f"({row})" for row in rows)


# Takes turns, as storage/signing_keys.py does: the row is locked until the unit of work is committed.
TAKE_TURN = statement(
    "audit_chains.take_turn",
    """
    INSERT INTO audit_chains (workspace_id, seq, mac, purged_seq, purged_mac) VALUES ($1, 0, '', 0, '')
    ON CONFLICT (workspace_id) DO UPDATE SET seq = audit_chains.seq RETURNING seq, mac, purged_seq, purged_mac
    """,
)
HEAD = statement(
    "audit_chains.head", "SELECT seq, mac, purged_seq, purged_mac FROM audit_chains WHERE workspace_id = $1"
)
ADVANCE = statement(
    "audit_chains.advance",
    "UPDATE audit_chains SET seq = $2, mac = $3, purged_seq = $4, purged_mac = $5 WHERE workspace_id = $1",
)
INSERT = {
    size: statement(f"audit_entries.insert_{size}", f"INSERT INTO audit_entries ({_COLUMNS}) VALUES {_rows_of(size)}")
    for size in _SIZES
}
CHAIN = statement(
    "audit_entries.chain",
    f"SELECT {_COLUMNS} FROM audit_entries WHERE workspace_id = $1 AND seq > $2 AND seq <= $3 ORDER BY seq LIMIT $4",
)
LIST = statement(
    "audit_entries.list",
    f"""
    SELECT {_COLUMNS} FROM audit_entries
    WHERE workspace_id = $1 AND seq < $2 AND seq >= $3 AND ($4 = '' OR kind = $4) AND ($5 = '' OR method = $5)
        AND ($6 = '' OR outcome = $6) AND ($7 = '' OR code = $7) AND ($8 = '' OR key_id = $8)
        AND ($9 = '' OR request_id = $9) AND ($10 = '' OR action = $10) AND at >= $11 AND at < $12
    ORDER BY seq DESC LIMIT $13
    """,
)
OF_CONTACT = statement(
    "audit_entries.of_contact",
    f"""
    SELECT {_COLUMNS} FROM audit_entries WHERE workspace_id = $1 AND contact_id = $2 AND seq < $3
    ORDER BY seq DESC LIMIT $4
    """,
)
CHANGES_OF_CONTACT = statement(
    "audit_entries.changes_of_contact",
    f"""
    SELECT {_COLUMNS} FROM audit_entries WHERE workspace_id = $1 AND contact_id = $2 AND kind = 'administration'
    ORDER BY seq DESC LIMIT $3
    """,
)
PURGE = statement("audit_entries.purge", "DELETE FROM audit_entries WHERE workspace_id = $1 AND seq <= $2")


class AuditFilter(msgspec.Struct, frozen=True):
    """What to look for; empty: anything. `since` and `until` are epoch milliseconds, the end not included. The members
    are in the order of `LIST`."""

    kind: str = ""
    method: str = ""
    outcome: str = ""
    code: str = ""
    key_id: str = ""
    request_id: str = ""
    action: str = ""
    since: int = 0
    until: int = 2**62


class _Rest(msgspec.Struct, frozen=True, omit_defaults=True):
    """What nobody looks for."""

    actor: str = ""
    step: str = ""
    reason: str = ""
    detail: str = ""
    provider_id: str = ""
    origin: str = ""
    target: str = ""
    times: int = 1


_rest_of = operator.attrgetter(*_Rest.__struct_fields__)


def take_turn(workspace_id: str) -> Work[ChainHead]:
    rows = yield query(TAKE_TURN, workspace_id)
    return ChainHead(*rows[0])


def insert(entries: Sequence[StoredEntry]) -> Work[None]:
    """Only inside a unit of work that has the turn."""
    start = 0
    for size in _SIZES:
        while len(entries) - start >= size:
            yield query(INSERT[size], *itertools.chain.from_iterable(map(_row, entries[start : start + size])))
            start += size


def advance(workspace_id: str, head: ChainHead) -> Work[None]:
    yield query(ADVANCE, workspace_id, head.seq, head.mac, head.purged_seq, head.purged_mac)


def purge(workspace_id: str, to_seq: int) -> Query:
    return query(PURGE, workspace_id, to_seq)


async def head(store: Store, workspace_id: str) -> ChainHead:
    rows = await store.read(HEAD, workspace_id)
    return ChainHead(*rows[0]) if rows else ChainHead()


async def chain(store: Store, workspace_id: str, *, after: int, to: int, most: int) -> list[StoredEntry]:
    """Entries in their order."""
    return [_from_row(row) for row in await store.read(CHAIN, workspace_id, after, to, most)]


async def list_page(
    store: Store, workspace_id: str, wanted: AuditFilter, *, before: int, most: int
) -> list[StoredEntry]:
    """The latest first, among the `SCANNED` entries before `before`."""
    values = msgspec.structs.astuple(wanted)
    rows = await store.read(LIST, workspace_id, before, before - SCANNED, *values, most)
    return [_from_row(row) for row in rows]


async def of_contact(store: Store, workspace_id: str, contact_id: str, *, before: int, most: int) -> list[StoredEntry]:
    """The latest first."""
    return [_from_row(row) for row in await store.read(OF_CONTACT, workspace_id, contact_id, before, most)]


async def changes_of_contact(store: Store, workspace_id: str, contact_id: str, *, most: int) -> list[StoredEntry]:
    """What operators did about a contact, the latest first."""
    return [_from_row(row) for row in await store.read(CHANGES_OF_CONTACT, workspace_id, contact_id, most)]


def _row(stored: StoredEntry) -> tuple[Value, ...]:
    entry = stored.entry
    return (
        entry.workspace_id,
        stored.seq,
        entry.at,
        entry.kind.value,
        entry.action,
        entry.method,
        entry.outcome,
        entry.code,
        entry.key_id,
        entry.request_id,
        entry.contact_id,
        entry.address,
        stored.salt,
        stored.commitment,
        to_json(_Rest(*_rest_of(entry))),
        stored.mac,
    )


def _from_row(row: Row) -> StoredEntry:
    rest = from_json(row[14], _Rest)
    entry = AuditEntry(
        workspace_id=row[0],
        at=row[2],
        kind=AuditKind(row[3]),
        action=row[4],
        method=row[5],
        outcome=row[6],
        code=row[7],
        key_id=row[8],
        request_id=row[9],
        contact_id=row[10],
        address=row[11],
        **{name: getattr(rest, name) for name in _Rest.__struct_fields__},
    )
    return StoredEntry(entry, row[1], row[15], row[13], row[12])
