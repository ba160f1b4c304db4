"""The short form of `make fuzz`: every target on every seed, and on some thousands of mutants of them."""

from __future__ import annotations

import itertools
import random

import pytest

from tests.fuzz.mutation import mutants
from tests.fuzz.targets import targets

TARGETS = targets()
# Always the same, so that a failure is one of the change at hand; `make fuzz` looks further.
SEED = 20_260_701
MUTANTS = 5_000


@pytest.mark.parametrize("name", TARGETS)
def test_every_seed(name: str) -> None:
    target = TARGETS[name]
    assert len(target.seeds) >= 3, "looked in the wrong place"
    for seed in target.seeds:
        target.check(seed)


@pytest.mark.parametrize("name", TARGETS)
def test_mutants_of_them(name: str) -> None:
    target = TARGETS[name]
    for octets in itertools.islice(target.mutants(random.Random(SEED)), MUTANTS):
        try:
            target.check(octets)
        except Exception as error:
            raise AssertionError(f"{name}: {octets!r}") from error


def test_a_target_that_is_wrong_is_found() -> None:
    """The mutator gets to where a fault could be."""
    seen = itertools.islice(mutants([b"https://example.com/"], [b"@"], random.Random(SEED)), 500)
    assert any(b"@" in octets for octets in seen)
