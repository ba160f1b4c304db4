"""Sealing at rest: what opens, what does not, and what never shows."""

from __future__ import annotations

import os

import pytest

from vestibule.errors import CannotUnseal
from vestibule.sealing import Sealer, new_secret_key, parse_secret_key


def test_a_sealed_text_opens_in_its_context_only() -> None:
    sealer = Sealer((os.urandom(32),))
    sealed = sealer.seal("s3cret ü", "contacts:1")
    assert sealer.unseal(sealed, "contacts:1") == "s3cret ü"
    assert "s3cret" not in sealed
    with pytest.raises(CannotUnseal):
        sealer.unseal(sealed, "contacts:2")


def test_the_same_text_is_sealed_differently_each_time() -> None:
    sealer = Sealer((os.urandom(32),))
    assert sealer.seal("a", "x") != sealer.seal("a", "x")


def test_a_new_key_in_front_seals_and_the_old_one_goes_on_opening() -> None:
    old, new = os.urandom(32), os.urandom(32)
    sealed = Sealer((old,)).seal("kept", "x")
    both = Sealer((new, old))
    assert both.unseal(sealed, "x") == "kept"
    assert Sealer((new,)).unseal(both.seal("fresh", "x"), "x") == "fresh"
    with pytest.raises(CannotUnseal):
        Sealer((new,)).unseal(sealed, "x")


@pytest.mark.parametrize("damage", ["", "v1", "v1..", "v1.a.b", "v2.{key}.AAAA", "v1.{key}.!!!", "v1.{key}."])
def test_damaged_texts_do_not_open(damage: str) -> None:
    sealer = Sealer((os.urandom(32),))
    with pytest.raises(CannotUnseal):
        sealer.unseal(damage.format(key=sealer.fingerprints[0]), "x")


def test_one_changed_character_is_noticed() -> None:
    sealer = Sealer((os.urandom(32),))
    sealed = sealer.seal("text", "x")
    for index in range(sealed.rindex(".") + 1, len(sealed), 7):
        changed = sealed[:index] + ("A" if sealed[index] != "A" else "B") + sealed[index + 1 :]
        with pytest.raises(CannotUnseal):
            sealer.unseal(changed, "x")


@pytest.mark.parametrize("text", ["", "short", "a" * 44, "!" * 43, "é" * 43])
def test_a_bad_secret_key_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="43 characters") as refusal:
        parse_secret_key(text)
    assert not text or text not in str(refusal.value)


def test_a_made_key_is_read_back_and_no_key_shows_in_a_repr() -> None:
    text = new_secret_key()
    assert len(parse_secret_key(text)) == 32
    assert text not in repr(Sealer((parse_secret_key(text),)))
