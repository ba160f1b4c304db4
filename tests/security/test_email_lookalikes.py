"""Two addresses are one key only if they are one address: what merely looks alike is refused or is another person, and
the published pattern, which backtracks, decides without doing so."""

from __future__ import annotations

import json
import re
import string
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml  # type: ignore[import-untyped]  # no annotations are shipped
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.fixtures.front_door import Workspace, refused
from vestibule.errors import InvalidField
from vestibule.identity.email import email_key

TESTS = Path(__file__).parents[1]
VECTORS = TESTS / "vectors"
SEED = TESTS / "contract" / "vendors" / "opencx" / "authenticate-user.openapi.yaml"
OPENAPI = yaml.safe_load(SEED.read_text(encoding="utf-8"))
EMAIL = OPENAPI["components"]["schemas"]["AuthenticateUserPayloadDto"]["properties"]["email"]
# ECMAScript's `$` is the very end (Python's is before a last line feed, too), and its `.` matches no line terminator.
PUBLISHED = re.compile(EMAIL["pattern"].replace("$", r"\Z").replace(".*", r"[^\n\r\u2028\u2029]*"))


INVISIBLE = "\u00a0\u00ad\u034f\u061c\u180e\u200b\u200c\u200d\u200e\u202e\u2060\u2066\ufe0f\ufeff\U000e0061"
INVISIBLE += "\t\n\r\x0b\x0c\x7f \0"


def items(path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((VECTORS / path).read_text(encoding="utf-8"))["items"]
    return found


def as_published(address: str) -> bool:
    """The published rule with the stricter ones of ours: lengths (RFC 5321 section 4.5.3.1), labels (RFC 1035 section
    2.3.1)."""
    if PUBLISHED.fullmatch(address) is None:
        return False
    local, _, domain = address.partition("@")
    return (
        len(address) <= 254
        and len(local) <= 64
        and all(len(label) <= 63 and not label.endswith("-") for label in domain.split("."))
    )


def accepted(address: str) -> bool:
    try:
        email_key(address)
    except InvalidField:
        return False
    return True


@pytest.mark.parametrize(
    "pair", [item for item in items("identity/pairs.json") if isinstance(item["a"], str)], ids=lambda pair: pair["why"]
)
def test_pairs_are_the_same_different_or_refused(workspace: Workspace, pair: dict[str, Any]) -> None:
    first = workspace.authenticate(email=pair["a"])
    known = workspace.contacts()
    second = workspace.authenticate(email=pair["b"])

    ids = [answer.json()["contact"]["id"] if answer.status_code == 200 else None for answer in (first, second)]
    for answer in (first, second):
        if answer.status_code != 200:
            refused(answer, 400, "invalid_field", names="email")
    relation = pair["relation"]
    if relation == "same":
        assert ids[0] is not None
        assert ids[0] == ids[1]
    elif relation == "refuse-b":
        assert ids[0] is not None
        assert ids[1] is None
        assert workspace.contacts() == known
    elif relation == "same-or-refuse-a":
        assert ids[0] is None or ids[0] == ids[1]
    else:
        assert relation in {"different", "different-or-refuse-a", "different-or-refuse-b"}
        assert None in ids or relation != "different" or ids[0] != ids[1]
        assert ids[0] != ids[1] or ids == [None, None]


def test_addresses_that_are_none_by_rfc_5321_are_refused(workspace: Workspace) -> None:
    """https://github.com/dominicsayers/isemail: ISEMAIL_ERR always; the rest by the published pattern."""
    for item in items("email/isemail.json"):
        address = item["input"]
        answer = workspace.authenticate(email=address)
        assert answer.status_code == (200 if as_published(address) else 400), item
        if item["category"] == "ISEMAIL_ERR":
            refused(answer, 400, "invalid_field", names="email")


def test_addresses_of_other_validators_follow_the_published_pattern(workspace: Workspace) -> None:
    """https://github.com/JoshData/python-email-validator: international, quoted and display-name forms are refused."""
    for item in items("email/python-email-validator.json"):
        address = item["input"] if isinstance(item["input"], str) else item["input"][0]
        answer = workspace.authenticate(email=address)
        assert answer.status_code == (200 if as_published(address) else 400), item


def test_homoglyphs_are_refused_or_another_person(workspace: Workspace) -> None:
    """Unicode confusables, in the local part and in the domain."""
    _, ada = workspace.sign_in("ada1@example.com")
    for item in items("unicode/homoglyphs.json"):
        for lookalike in item["lookalikes"]:
            for address in (f"a{item['ascii']}z@example.com", f"az@e{item['ascii']}x.com"):
                spoofed = address.replace(item["ascii"], lookalike)
                answer = workspace.authenticate(email=spoofed)
                if spoofed.isascii() and as_published(spoofed):
                    assert answer.status_code == 200
                    assert answer.json()["contact"]["id"] != ada
                    assert workspace.contact(answer.json()["contact"]["id"])["email_key"] == spoofed.lower()
                else:
                    refused(answer, 400, "invalid_field", names="email")


def test_letters_that_fold_onto_ascii_are_refused(workspace: Workspace) -> None:
    """The Kelvin sign and the long s lower-case or case-fold onto `k` and `s`; that must not join two people."""
    folding = json.loads((VECTORS / "unicode" / "homoglyphs.json").read_text(encoding="utf-8"))["casefold_to_ascii"]
    strange = {
        character for entry in folding for character in json.dumps(entry, ensure_ascii=False) if not character.isascii()
    }
    assert {"\u212a", "\u017f"} & strange
    with workspace.unharmed():
        for character in sorted(strange | set("\u212a\u017f\u0130\u0131\u1e9e\u00df\ufb01\uff41\uff20\u3002\uff0e")):
            for address in (
                f"{character}@example.com",
                f"a{character}@example.com",
                f"a@{character}xample.com",
                f"a@b{character}com",
            ):
                refused(workspace.authenticate(email=address), 400, "invalid_field", names="email")


def test_invisible_characters_are_refused(workspace: Workspace) -> None:
    with workspace.unharmed():
        for character in INVISIBLE:
            for address in (
                f"good{character}@example.com",
                f"{character}good@example.com",
                f"good@example.com{character}",
                f"good@exam{character}ple.com",
            ):
                refused(workspace.authenticate(email=address), 400, "invalid_field", names="email")


atoms = st.text(alphabet=string.ascii_letters + string.digits + "_'+-.", min_size=1, max_size=70)
labels = st.text(alphabet=string.ascii_letters + string.digits + "-", max_size=70)
plausible = st.tuples(atoms, st.lists(labels, min_size=1, max_size=5)).map(
    lambda parts: f"{parts[0]}@{'.'.join(parts[1])}"
)
addresses = st.one_of(
    plausible,
    st.tuples(plausible, st.text(max_size=2), st.integers(0, 40)).map(
        lambda parts: parts[0][: parts[2]] + parts[1] + parts[0][parts[2] :]
    ),
    st.text(alphabet="aZ0@..--_'+ \n\u212a", max_size=40),
    st.text(),
)


@settings(max_examples=300, deadline=None)
@given(addresses)
@example("a@b.de\n")
@example("a" * 64 + "@example.com")
@example("a" * 65 + "@example.com")
@example("a@" + "b" * 63 + ".com")
@example("a@" + "b" * 64 + ".com")
@example("a@b-.com")
@example("a@b.c-d")
@example("a@-b.com")
@example("a@b." + "c" * 63)
@example("a@b." + "c" * 64)
@example("'@example.com")
@example("a'@example.com")
@example("'a@example.com")
@example("a.@example.com")
@example("a@b@c.com")
@example("a@b..com")
@example("a@" + "b." * 125 + "com")
def test_the_rule_is_the_published_pattern_and_no_more(address: str) -> None:
    assert accepted(address) == as_published(address)


@settings(max_examples=50, deadline=None)
@given(st.from_regex(r"[A-Za-z0-9_'+-]{0,9}[A-Za-z0-9_+-]@([A-Za-z0-9]{1,9}\.){1,3}[A-Za-z]{2,9}", fullmatch=True))
def test_the_key_is_the_address_in_lower_case_and_its_own_key(address: str) -> None:
    key = email_key(address)
    assert key == address.lower()
    assert key.isascii()
    assert email_key(key) == email_key(address.upper()) == key


HOSTILE = {
    "letters": "a" * 100_000,
    "dots": "." * 100_000,
    "at signs": "@" * 100_000,
    "labels": "a@" + "a." * 50_000,
    "labels without end": "a@" + "a." * 50_000 + "!",
    "hyphens": "a@" + "a-" * 50_000 + ".com!",
    "a long label": "a@" + "a" * 100_000,
    "a long local part": "a" * 100_000 + "@example.com!",
    "letters and dots": "a." * 50_000 + "@",
    "apostrophes": "'" * 100_000 + "@a.de",
    "labels of hyphens": "a@" + "a--." * 25_000 + "1",
    "addresses": "a@b.de," * 14_000,
}


@pytest.mark.parametrize("address", HOSTILE.values(), ids=HOSTILE.keys())
def test_no_address_costs_time(address: str) -> None:
    """OWASP ASVS 1.3.12: the published pattern has nested repeats, and a look-ahead that reads it all."""
    for hostile in (address, address[:254], address[:200]):
        began = time.process_time()
        assert not accepted(hostile)
        assert time.process_time() - began < 0.05


def test_no_address_costs_the_server_time(workspace: Workspace) -> None:
    """As long as the limit of a body lets it be."""
    server = psutil.Process(workspace.installation.server.pid)
    with workspace.unharmed():
        began = sum(server.cpu_times()[:2])
        for address in HOSTILE.values():
            refused(workspace.authenticate(email=address[:60_000]), 400, "invalid_field", names="email")
        assert sum(server.cpu_times()[:2]) - began < 0.05 * len(HOSTILE)
