"""Every refusal has a sentence that says what helps, and docs/problems.md says the same; a recorded one gets the right
one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.test_errors_tree import TREE
from vestibule.administration.dry_run import PLANS
from vestibule.administration.fixes import FIXES, OF_CHECKS, REFINED, fix_of
from vestibule.administration.replay import steps_of
from vestibule.model.audit import REFUSED, AuditEntry, AuditKind
from vestibule.model.claims import Method

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
    assert steps - set(OF_CHECKS) <= {"subject", "complete", "sub", "binding", "contact"}
    assert fix_of("invalid_token", "sub") == FIXES["invalid_token"]
    assert fix_of("invalid_token", "exp") != FIXES["invalid_token"]
    assert fix_of("") == ""


def test_each_check_s_sentence_is_for_some_code() -> None:
    assert set(REFINED) <= set(FIXES)
    assert {check for checks in REFINED.values() for check in checks} == set(OF_CHECKS)


@pytest.mark.parametrize(
    ("code", "check"),
    [
        ("contact_busy", "contact"),
        ("identity_conflict", "contact"),
        ("invalid_token", "contact"),  # the contact of a pasted token is gone
        ("invalid_token", "body"),
        ("workspace_disabled", "limits"),
        ("storage_unavailable", "body"),
        ("storage_unavailable", "keys"),
        ("no_signing_key", "body"),
        ("stopping", "body"),
        ("internal_error", "body"),
        ("malformed_body", "body"),
        ("invalid_grant", "body"),
        ("not_found", "body"),
        ("provider_required", "provider"),
        ("opaque_token_not_supported", "introspection"),
        ("encrypted_token_not_supported", "form"),
        ("bound_token_not_supported", "binding"),
        ("upstream_redirect", "keys"),
        ("auth_rejected", "answer"),
    ],
)
def test_a_check_says_nothing_of_what_came_up_there_and_is_not_its_matter(code: str, check: str) -> None:
    assert fix_of(code, check) == FIXES[code]


@pytest.mark.parametrize(
    ("method", "code", "step", "check"),
    [
        (Method.TOKEN_EXCHANGE, "not_found", "provider", "provider"),
        (Method.TOKEN_EXCHANGE, "not_found", "queue", "body"),
        (Method.TOKEN_EXCHANGE, "invalid_grant", "code_verifier", "body"),
        (Method.TOKEN_EXCHANGE, "contact_busy", "resolve", "contact"),
        (Method.TOKEN_EXCHANGE, "provider_unavailable", "connect", "keys"),
        (Method.AUTH_ENDPOINT, "auth_unavailable", "connect", "call"),
        (Method.SERVER_TO_SERVER, "invalid_field", "", "body"),
        (Method.UNVERIFIED, "workspace_disabled", "guard", "limits"),
    ],
)
def test_a_recorded_refusal_fails_at_the_check_that_it_is_about(
    method: Method, code: str, step: str, check: str
) -> None:
    steps = steps_of(recorded(method, code, step), None)
    assert [each.name for each in steps if each.passed is False] == [check]


@pytest.mark.parametrize("method", [Method.TOKEN_EXCHANGE, Method.AUTH_ENDPOINT, Method.SERVER_TO_SERVER])
@pytest.mark.parametrize(
    "code", ["storage_unavailable", "no_signing_key", "stopping", "out_of_memory", "internal_error"]
)
def test_a_fault_of_the_service_is_no_check_of_the_visitor_s(method: Method, code: str) -> None:
    """Nor does it tell of any that it was passed: how far the request came is not recorded."""
    first, *others = steps_of(recorded(method, code, "commit"), None)
    assert (first.name, first.passed) == ("service", False)
    assert {each.passed for each in others} == {None}
    assert fix_of(code, "service") == FIXES[code]


def recorded(method: Method, code: str, step: str) -> AuditEntry:
    return AuditEntry(
        workspace_id="w",
        kind=AuditKind.AUTHENTICATION,
        action="authenticate",
        outcome=REFUSED,
        at=0,
        method=method.value,
        code=code,
        step=step,
    )
