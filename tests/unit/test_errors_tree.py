"""Every refusal has a stable code, a place in the drawn tree, a status and a line in docs/problems.md."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from vestibule import errors
from vestibule.edge.problem import headers_of, problem, status_of
from vestibule.errors import VestibuleError

ROOT = Path(__file__).parent.parent.parent


def below(family: type[VestibuleError]) -> Iterator[type[VestibuleError]]:
    for leaf in family.__subclasses__():
        if leaf.__module__.startswith(f"{errors.__name__}."):
            yield leaf
            yield from below(leaf)


TREE = list(below(VestibuleError))


def make(kind: type[VestibuleError]) -> VestibuleError:
    arguments: dict[type[VestibuleError], tuple[object, ...]] = {
        errors.InvalidField: ("name", "is wrong"),
        errors.InvalidDeclaration: (["port is wrong"],),
        errors.MethodNotAllowed: (("GET",),),
        errors.InsufficientScope: ("widget:authenticate",),
        errors.RateLimited: (100, 7),
        errors.RoleRequired: ("admin",),
    }
    return kind(*arguments.get(kind, ()))  # type: ignore[arg-type]


def test_codes_are_unique_and_of_one_form() -> None:
    codes = [kind.code for kind in TREE]
    # One code for two: a contact's token and a provider's are never asked for at the same place, and both callers do
    # the same about it.
    codes.remove("invalid_token")
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", code) for code in codes)


def test_the_drawn_tree_is_the_real_one() -> None:
    drawn = re.findall(r"^\s*[│├└─ ]*[├└]── (\w+)\s*(.*)$", errors.__doc__ or "", re.MULTILINE)
    assert [name for name, _ in drawn] == [kind.__name__ for kind in TREE] or {name for name, _ in drawn} == {
        kind.__name__ for kind in TREE
    }
    for name, rest in drawn:
        kind = getattr(errors, name)
        if not kind.__subclasses__():
            assert rest.split()[0] == kind.code, name


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
def test_every_error_has_a_status_a_sentence_and_its_headers(kind: type[VestibuleError]) -> None:
    error = make(kind)
    status = status_of(error)
    names = {name for name, _ in headers_of(error)}
    assert 400 <= status < 500 or status in {502, 503, 504}
    assert error.message.endswith((".", "wrong", "token>"))
    assert ("www-authenticate" in str(names)) is (status == 401 or kind is errors.InsufficientScope)
    assert (b"allow" in names) is (status == 405)
    assert (b"retry-after" in names) is (status in {429, 503})


def test_private_detail_never_reaches_the_answer() -> None:
    error = errors.InvalidApiKey(detail="canary-detail", step="canary-step")
    assert b"canary" not in problem(error).body
    assert "canary" not in str(error)


def test_the_documents_list_every_code() -> None:
    text = (ROOT / "docs" / "problems.md").read_text(encoding="utf-8")
    missing = [kind.code for kind in TREE if f"`{kind.code}`" not in text]
    assert not missing
