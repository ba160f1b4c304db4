"""The chain of the audit: what its verifier finds, and what erasing a person leaves of it."""

from __future__ import annotations

import secrets

import msgspec
import pytest

from vestibule.audit.chain import MEMBERS, PURGED, Verifier, link
from vestibule.model.audit import AuditEntry, AuditKind, ChainHead, StoredEntry
from vestibule.sealing import Sealer

SEALER = Sealer((secrets.token_bytes(32),))


def entry(number: int, **members: object) -> AuditEntry:
    usual = {"action": "authenticate", "contact_id": f"contact-{number}", "address": "192.0.2.0/24"}
    given = {**usual, **members}
    return AuditEntry(
        workspace_id="w",
        kind=AuditKind.AUTHENTICATION,
        outcome="created",
        at=1000 + number,
        **given,  # type: ignore[arg-type]
    )


def chain_of(count: int) -> tuple[list[StoredEntry], ChainHead]:
    stored = link(SEALER, ChainHead(), [entry(number) for number in range(count)])
    return stored, ChainHead(seq=count, mac=stored[-1].mac)


def verified(stored: list[StoredEntry], head: ChainHead, sealer: Sealer = SEALER) -> Verifier:
    verifier = Verifier(sealer, head)
    for each in stored:  # in pieces of one: as good as any
        verifier.take([each])
    verifier.finish()
    return verifier


def changed(stored: StoredEntry, **members: object) -> StoredEntry:
    return msgspec.structs.replace(stored, entry=msgspec.structs.replace(stored.entry, **members))


def test_a_chain_holds_in_whatever_pieces_it_was_made() -> None:
    stored, head = chain_of(5)
    more = link(SEALER, head, [entry(6), entry(7)])
    proof = verified([*stored, *more], ChainHead(seq=7, mac=more[-1].mac))
    assert (proof.problem, proof.entries, proof.erased) == (None, 7, 0)


@pytest.mark.parametrize(
    "change",
    [
        {"outcome": "refused"},
        {"at": 1},
        {"code": "x"},
        {"times": 2},
        {"contact_id": "somebody-else"},
        {"address": None},
        {"workspace_id": "another"},
        {"detail": "nothing to see"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_an_altered_entry_is_found(change: dict[str, object]) -> None:
    stored, head = chain_of(5)
    stored[2] = changed(stored[2], **change)
    problem = verified(stored, head).problem
    assert problem is not None
    assert problem.seq == 3
    assert "altered" in problem.problem


@pytest.mark.parametrize("gone", [0, 2, 4], ids=["first", "middle", "last"])
def test_a_missing_entry_is_found(gone: int) -> None:
    stored, head = chain_of(5)
    del stored[gone]
    problem = verified(stored, head).problem
    assert problem is not None
    assert "missing" in problem.problem


def test_closing_the_gap_needs_the_secret_key() -> None:
    """Who has the database alone numbers the rest anew, and chains it with a key of their own."""
    stored, _ = chain_of(5)
    forged = link(Sealer((secrets.token_bytes(32),)), ChainHead(), [each.entry for each in stored if each.seq != 3])
    problem = verified(forged, ChainHead(seq=4, mac=forged[-1].mac)).problem
    assert problem is not None
    assert problem.seq == 1


def test_swapped_entries_are_found() -> None:
    stored, head = chain_of(3)
    first, second = stored[0], stored[1]
    stored[0] = msgspec.structs.replace(second, seq=1)
    stored[1] = msgspec.structs.replace(first, seq=2)
    assert verified(stored, head).problem is not None


def test_an_erased_person_leaves_the_chain_whole() -> None:
    stored, head = chain_of(3)
    stored[1] = msgspec.structs.replace(changed(stored[1], contact_id=None, address=None), salt=None)
    proof = verified(stored, head)
    assert (proof.problem, proof.erased) == (None, 1)


def test_nobody_is_written_into_an_erased_entry() -> None:
    stored, head = chain_of(3)
    stored[1] = msgspec.structs.replace(changed(stored[1], contact_id="scapegoat"), salt=None)
    problem = verified(stored, head).problem
    assert problem is not None
    assert problem.seq == 2


def test_a_purged_beginning_must_be_told_by_the_chain_itself() -> None:
    stored, head = chain_of(5)
    purged = msgspec.structs.replace(head, purged_seq=2, purged_mac=stored[1].mac)
    problem = verified(stored[2:], purged).problem
    assert problem is not None, "whoever deletes the first rows and says that they were old"
    told = link(SEALER, head, [entry(6, action=PURGED, target="2")])
    honest = ChainHead(seq=6, mac=told[-1].mac, purged_seq=2, purged_mac=stored[1].mac)
    assert verified([*stored[2:], *told], honest).problem is None
    more = msgspec.structs.replace(honest, purged_seq=3, purged_mac=stored[2].mac)
    assert verified([*stored[3:], *told], more).problem is not None


def test_a_new_secret_key_goes_on_and_the_old_one_verifies() -> None:
    old, new = secrets.token_bytes(32), secrets.token_bytes(32)
    stored = link(Sealer((old,)), ChainHead(), [entry(0)])
    both = Sealer((new, old))
    more = link(both, ChainHead(1, stored[0].mac), [entry(1)])
    head = ChainHead(2, more[0].mac)
    assert verified([*stored, *more], head, both).problem is None
    assert verified([*stored, *more], head, Sealer((new,))).problem is not None


def test_a_mac_is_its_text_s_alone() -> None:
    mac = SEALER.mac(b"text")
    assert SEALER.is_mac(mac, b"text")
    for other in ("", "x.y", mac + "0", mac[:-1], mac.replace(".", ""), "é." + mac):
        assert not SEALER.is_mac(other, b"text")
    assert not SEALER.is_mac(mac, b"other")


def test_every_member_is_covered() -> None:
    """A new member of an entry needs a new format of the chain, beside the one in use."""
    assert {*MEMBERS, "contact_id", "address"} == set(AuditEntry.__struct_fields__)
