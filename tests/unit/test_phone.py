"""Phone numbers as keys, by libphonenumber's examples and by the table of contracts/puzzel-and-cxgenie.md Q26."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vestibule.identity.phone import phone_key

VECTORS = Path(__file__).parent.parent / "vectors" / "phone" / "libphonenumber_examples.json"


@pytest.mark.parametrize(
    ("number", "country_code", "key"),
    [
        ("0901234567", "+84", "+84901234567"),
        ("84901234567", "+84", "+84901234567"),
        ("+84901234567", "+47", "+84901234567"),  # a leading plus wins
        ("0612345678", "+39", "+390612345678"),  # Italy keeps the zero
        ("8 912 345-67-89", "+7", "+79123456789"),
        ("113", "+84", None),
        ("090XXXXXXX", "+84", None),  # the seed's own placeholder: letters are never digits of a key
        ("+1 800 FLOWERS", None, None),
        ("0901234567", None, None),
        ("0901234567", "+999", None),
        ("", "+84", None),
        ("+", None, None),
        ("+49\u0663\u0660123456", None, None),  # digits of other scripts
        ("+1 202 555 0123 ext. 5", None, None),
    ],
)
def test_key_of_a_written_number(number: str, country_code: str | None, key: str | None) -> None:
    assert phone_key(number, country_code) == key


def test_every_region_s_examples_become_their_e164_form_in_every_notation() -> None:
    wrong: list[tuple[object, ...]] = []
    items = json.loads(VECTORS.read_text(encoding="utf-8"))["items"]
    for item in items:
        if item["kind"] == "invalid":
            wrong += [(item["input"], key) for key in [phone_key(item["input"])] if key is not None]
            continue
        written = [
            (item["international"], None),
            (item["e164"], None),
            (item["national_digits"], item["country_code"]),
            (item["national_formatted"], item["country_code"]),
        ]
        wrong += [(item["e164"], *given, key) for given in written if (key := phone_key(*given)) != item["e164"]]
    assert len(items) > 100
    assert not wrong
