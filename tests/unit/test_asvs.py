"""The list of security requirements names tests and documents that exist, and says of each row whether it holds."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "security" / "asvs.md").read_text(encoding="utf-8")
NOTHING = "\N{EN DASH}"
ROWS = [line for line in PAGE.splitlines() if re.match(r"\| \d", line)]
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::([\w:]+)`", PAGE)))


def names_in(path: Path) -> set[str]:
    """Names as pytest has them: `test_…` and `Test…::test_…`."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        inside = node.body if isinstance(node, ast.ClassDef) else [node]
        prefix = f"{node.name}::" if isinstance(node, ast.ClassDef) else ""
        found |= {prefix + each.name for each in inside if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}
    return found


@pytest.mark.parametrize("path", sorted({path for path, _ in NAMED}))
def test_every_test_that_is_named_exists(path: str) -> None:
    assert {name for file, name in NAMED if file == path} <= names_in(ROOT / path)


def test_every_row_says_whether_it_holds_and_what_shows_it() -> None:
    for row in ROWS:
        _, number, level, matter, holds, shown, _ = (cell.strip() for cell in row.split("|"))
        assert number, row
        assert re.fullmatch(rf"[123]({NOTHING}[123])?\+?", level), row
        assert matter, row
        assert re.match(r"(yes|part|no|set-up)\b", holds), row
        assert shown != NOTHING or not holds.startswith("yes"), row
        assert not re.search(r"`tests/[\w/]+\.py`", shown), f"a whole file shows nothing: {row}"


def test_no_requirement_stands_twice() -> None:
    numbers = [number.strip() for row in ROWS for number in row.split("|")[1].split(",")]
    assert len(numbers) == len(set(numbers))
