"""Every refusal has a sentence that says what helps, and docs/problems.md says the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.test_errors_tree import TREE
from vestibule.administration.dry_run import PLANS
from vestibule.administration.fixes import FIXES, OF_CHECKS, fix_of

PROBLEMS = (Path(__file__).parent.parent.parent / "docs" / "problems.md").read_text(encoding="utf-8")
# Families that are never refused with by themselves, and the root.
FAMILIES = {"not_authenticated", "upstream", "unavailable"}


def documented() -> dict[str, str]:
    """By code, the cells "what to do", without links."""
    rows = re.findall(r"^\| ((?:`[a-z_]+`(?:, )?)+) \| \d{3} \| .*? \| ?(.*?) ?\|$", PROBLEMS, re.MULTILINE)
    found = {code: what for codes, what in rows for code in re.findall(r"`([a-z_]+)`", codes) if what}
    return {code: re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", what) for code, what in found.items()}


@pytest.mark.parametrize("code", sorted({kind.code for kind in TREE} - FAMILIES))
def test_every_code_that_can_occur_has_a_fix(code: str) -> None:
    assert fix_of(code).endswith("."), code


def test_the_documents_say_the_same() -> None:
    assert documented() == FIXES


def test_no_code_that_does_not_exist_has_one() -> None:
    assert set(FIXES) <= {kind.code for kind in TREE} | {"internal_error"}


def test_the_checks_of_every_token_are_known_by_name() -> None:
    steps = {step for plan in PLANS.values() for step in plan}
    # What both say the same about: the code's sentence is enough.
    assert steps - set(OF_CHECKS) <= {"subject", "complete", "sub"}
    assert fix_of("invalid_token", "sub") == FIXES["invalid_token"]
    assert fix_of("invalid_token", "exp") != FIXES["invalid_token"]
    assert fix_of("") == ""
