"""Chains the entries of a workspace, each to the one before, with a key that the database does not hold; pure.

    mac(n) = HMAC-SHA256(chain key, [format, n, the entry without the person's values, commitment, mac(n - 1)])

Whoever can write the database but has no secret key can neither alter, reorder, insert nor leave out an entry. What an
entry says of a person stands in the chain as a salted hash only, so erasing the person leaves the chain whole.
"""

from __future__ import annotations

import hashlib
import operator
import os
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from vestibule.model.audit import AuditEntry, ChainHead, StoredEntry
from vestibule.sealing import Sealer

_ENCODER = msgspec.json.Encoder()
_SALT_DIGITS = 32
# What a MAC covers, in this order, for ever: entries with another member need another format beside this one, or every
# chain in being would break.
_FORMAT = 1
MEMBERS = (
    "workspace_id",
    "kind",
    "action",
    "outcome",
    "at",
    "actor",
    "method",
    "code",
    "step",
    "reason",
    "detail",
    "key_id",
    "provider_id",
    "origin",
    "request_id",
    "target",
    "times",
)
_bare = operator.attrgetter(*MEMBERS)
PURGED: Final = "audit.purged"


class Break(msgspec.Struct, frozen=True):
    """The first place at which a chain does not hold."""

    seq: int
    problem: str


def link(sealer: Sealer, head: ChainHead, entries: Sequence[AuditEntry]) -> list[StoredEntry]:
    """The entries in their places behind `head`."""
    mac = head.mac
    salts = os.urandom(_SALT_DIGITS // 2 * len(entries)).hex()
    linked = []
    for index, entry in enumerate(entries):
        seq = head.seq + index + 1
        about_somebody = entry.contact_id is not None or entry.address is not None
        salt = salts[index * _SALT_DIGITS : (index + 1) * _SALT_DIGITS] if about_somebody else None
        commitment = _commitment(entry, salt) if salt is not None else ""
        mac = sealer.mac(_text(entry, seq, commitment, mac))
        linked.append(StoredEntry(entry, seq, mac, commitment, salt))
    return linked


class Verifier:
    """Walks a chain in order, in pieces of any size. `problem` is set at the first break, and stays."""

    def __init__(self, sealer: Sealer, head: ChainHead) -> None:
        self._sealer = sealer
        self._head = head
        self._purged_to = 0
        self.seq, self.mac = head.purged_seq, head.purged_mac
        self.entries = 0
        self.erased = 0
        self.problem: Break | None = None

    def take(self, stored: Iterable[StoredEntry]) -> None:
        for each in stored:
            if self.problem is None:
                self._take_one(each)

    def finish(self) -> None:
        """Compares the end with the head, and the beginning with what the chain itself says was purged."""
        if self.problem is None and (self.seq, self.mac) != (self._head.seq, self._head.mac):
            self.problem = Break(self.seq + 1, "the latest entries are missing")
        if self.problem is None and self._purged_to != self._head.purged_seq:
            self.problem = Break(self._head.purged_seq, "the earliest entries are missing, and were not purged by age")

    def _take_one(self, stored: StoredEntry) -> None:
        if stored.seq != self.seq + 1:
            self.problem = Break(self.seq + 1, "entries are missing here")
            return
        text = _text(stored.entry, stored.seq, stored.commitment, self.mac)
        if not self._sealer.is_mac(stored.mac, text):
            self.problem = Break(stored.seq, "this entry, or its place, was altered")
            return
        if stored.salt is not None and _commitment(stored.entry, stored.salt) != stored.commitment:
            self.problem = Break(stored.seq, "whom this entry is about was altered")
            return
        if stored.salt is None and (stored.entry.contact_id, stored.entry.address) != (None, None):
            self.problem = Break(stored.seq, "whom this entry is about was added")
            return
        if stored.entry.action == PURGED:
            self._purged_to = int(stored.entry.target)
        self.seq, self.mac = stored.seq, stored.mac
        self.entries += 1
        self.erased += stored.erased


def _text(entry: AuditEntry, seq: int, commitment: str, before: str) -> bytes:
    return _ENCODER.encode([_FORMAT, seq, _bare(entry), commitment, before])


def _commitment(entry: AuditEntry, salt: str) -> str:
    return hashlib.sha256(_ENCODER.encode([salt, entry.contact_id, entry.address])).hexdigest()
