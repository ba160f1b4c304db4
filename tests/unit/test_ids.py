"""Identifiers: unique, ordered in time, of one form (RFC 9562 section 5.7)."""

from __future__ import annotations

import re
import uuid
from collections import Counter
from pathlib import Path

import pytest

import vestibule
from vestibule.ids import BASE62, is_id, is_own_secret, long_id, new_id, random_base62, short_id, to_base62


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


def test_every_kind_of_secret_that_is_made_here_is_known_again() -> None:
    """Whoever shows one elsewhere by mistake is refused here, and it is not sent on."""
    sources = Path(vestibule.__file__).parent.rglob("*.py")
    prefixes = {found for path in sources for found in re.findall(r'"(vst_[a-z]+_|usr_)"', path.read_text("utf-8"))}
    assert len(prefixes) >= 7
    for prefix in prefixes - {"vst_widget_"}:  # which stands in pages
        for length in (65, 71):  # workspace and secret; a checksum with it
            assert is_own_secret(f" {prefix}{random_base62(length)}"), prefix
    assert not is_own_secret("vst_widget_" + random_base62(22))
