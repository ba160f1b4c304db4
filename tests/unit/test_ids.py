"""Identifiers: unique, ordered in time, of one form (RFC 9562 section 5.7)."""

from __future__ import annotations

import uuid
from collections import Counter

import pytest

from vestibule.ids import BASE62, is_id, long_id, new_id, random_base62, short_id, to_base62


def test_ids_are_version_7_and_unique_and_grow_with_time() -> None:
    made = [new_id() for _ in range(2000)]
    assert len(set(made)) == 2000
    assert all(is_id(text) and uuid.UUID(text).version == 7 for text in made)
    assert uuid.UUID(made[0]).variant == uuid.RFC_4122
    assert made[0][:13] <= made[-1][:13]


@pytest.mark.parametrize(
    "text", ["", "x", "01A1FE9B-2425-7C01-8107-DE4BF552A514", "01a1fe9b24257c018107de4bf552a514", "\0"]
)
def test_other_forms_are_no_ids(text: str) -> None:
    assert not is_id(text)


def test_base62() -> None:
    assert to_base62(0, 3) == "000"
    assert to_base62(61, 2) == "0z"
    assert len(random_base62(43)) == 43


def test_random_texts_have_each_character_as_often() -> None:
    found = Counter(random_base62(62_000))
    assert set(found) == set(BASE62)
    assert max(found.values()) < 1.3 * min(found.values())  # 1,000 each; the difference is of seven deviations at most


def test_an_id_in_short_is_the_same_id() -> None:
    for identifier in (new_id(), "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"):
        assert len(short_id(identifier)) == 22
        assert long_id(short_id(identifier)) == identifier
    assert long_id("z" * 22) is None
