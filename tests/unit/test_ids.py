"""Identifiers: unique, ordered in time, of one form (RFC 9562 section 5.7)."""

from __future__ import annotations

import uuid

import pytest

from vestibule.ids import is_id, new_id, random_base62, to_base62


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
