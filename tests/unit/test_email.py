"""The published e-mail rule: agreement with the seed's pattern, and what is stricter; no server."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vestibule.errors import InvalidField
from vestibule.identity.email import email_key

# The seed's own pattern (opencx-authenticate-user.openapi.md). Python's `$` also matches before a final newline.
PUBLISHED = re.compile(
    r"^(?!\.)(?!.*\.\.)([A-Za-z0-9_'+\-\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\-]*\.)+[A-Za-z]{2,}\Z"
)


def accepted(address: str) -> bool:
    try:
        email_key(address)
    except InvalidField:
        return False
    return True


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("john@doe.com", "john@doe.com"),
        ("John.Doe@Example.COM", "john.doe@example.com"),
        ("o'hara+tag@sub.example-1.org", "o'hara+tag@sub.example-1.org"),
        ("_@a.bc", "_@a.bc"),
    ],
)
def test_key_is_lower_cased_ascii(address: str, key: str) -> None:
    assert email_key(address) == key


@pytest.mark.parametrize(
    "address",
    [
        "",
        "@",
        "a@",
        "@b.co",
        ".a@b.co",
        "a..b@c.de",
        "a.@b.co",
        "a'@b.co",
        "a@b",
        "a@b.c",
        "a@-b.co",
        "a@b-.co",
        "a@b..co",
        "a@b.co.",
        "a b@c.de",
        "a@b.co\n",
        "\ufb01na@example.org",
        "\u212a@example.org",
        "a@b.co,c@d.ef",
        "a@[1.2.3.4]",
        "x" * 65 + "@example.org",
        "a@" + "x" * 64 + ".org",
        "a@" + "x." * 130 + "org",
    ],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(InvalidField) as refusal:
        email_key(address, "data.email")
    assert refusal.value.field == "data.email"


@settings(max_examples=400, deadline=None)
@given(st.from_regex(PUBLISHED, fullmatch=True))
def test_accepts_what_the_published_pattern_accepts_but_over_long_parts_and_hyphens_at_a_label_s_end(
    address: str,
) -> None:
    local, _, domain = address.partition("@")
    labels = domain.split(".")
    stricter = len(address) > 254 or len(local) > 64 or any(len(label) > 63 or label.endswith("-") for label in labels)
    assert accepted(address) is not stricter


@settings(max_examples=400, deadline=None)
@given(st.text(alphabet="ab.@-_'+1\n é", max_size=24))
def test_never_accepts_what_the_published_pattern_refuses(address: str) -> None:
    if accepted(address):
        assert PUBLISHED.match(address)


@pytest.mark.parametrize("attack", ["a." * 50_000, "a@" + "a-" * 50_000, "a@" + "a." * 50_000 + "!", "'" * 100_000])
def test_hostile_addresses_cost_nothing(attack: str) -> None:
    """Seed's pattern has nested repeats; ASVS 1.3.12."""
    began = time.process_time()
    assert not accepted(attack)
    assert time.process_time() - began < 0.05
