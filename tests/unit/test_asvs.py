"""The list of security requirements and the threat model name tests and files that exist, and say of each row
whether it holds, or what shows it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SECURITY = ROOT / "docs" / "security"
ASVS, THREATS = [(SECURITY / name).read_text(encoding="utf-8") for name in ("asvs.md", "threat-model.md")]
NOTHING = "\N{EN DASH}"
ROWS = [line for line in ASVS.splitlines() if re.match(r"\| \d", line)]
# Of the table of attacks: its rows, the headings between, and the line below its head.
ATTACKS = [line for line in THREATS.partition("| attack | defence | test |")[2].splitlines() if line.endswith(" |")]
PATH = r"`((?:deploy|docs|examples|scripts|src|tests)/[\w./-]+)"
NAMED = sorted(set(re.findall(PATH + r"::([\w:]+)`", ASVS + THREATS)))


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


@pytest.mark.parametrize("page", [ASVS, THREATS], ids=["asvs", "threat-model"])
def test_every_path_that_is_named_exists(page: str) -> None:
    named = sorted(set(re.findall(PATH, page)))
    assert len(named) > 20
    assert not [path for path in named if not (ROOT / path).exists()]


def test_every_row_says_whether_it_holds_and_what_shows_it() -> None:
    for row in ROWS:
        _, number, level, matter, holds, shown, _ = (cell.strip() for cell in row.split("|"))
        assert number, row
        assert re.fullmatch(rf"[123]({NOTHING}[123])?\+?", level), row
        assert matter, row
        assert re.match(r"(yes|part|no|set-up)\b", holds), row
        assert shown != NOTHING or not holds.startswith("yes"), row
        assert not re.search(r"`tests/[\w/]+\.py`", shown), f"a whole file shows nothing: {row}"


def test_what_holds_in_part_or_not_is_told_at_the_top_with_its_level_and_its_reason() -> None:
    cells = [[cell.strip() for cell in row.split("|")] for row in ROWS]
    in_part = {cell[1]: cell[2].rstrip("+") for cell in cells if re.match(r"(part|no)\b", cell[4])}
    told = re.findall(r"^- \*\*([^*]+)\*\* \(level ([^)]+)\) ", ASVS, re.MULTILINE)
    assert len(told) == len(in_part) > 0
    assert dict(told) == in_part


def test_no_requirement_stands_twice() -> None:
    numbers = [number.strip() for row in ROWS for number in row.split("|")[1].split(",")]
    assert len(numbers) == len(set(numbers))


def test_every_attack_names_its_tests_or_says_that_it_is_open() -> None:
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in ATTACKS]
    attacks = [row for row in rows if any(row[1:]) and "---" not in row[0]]
    assert len(attacks) > 100
    for attack, defence, shown in attacks:
        assert shown.startswith("`tests/") or (shown == NOTHING and "**" in defence), attack
        assert not re.search(r"`tests/[\w/]+\.py`", shown), f"a whole file shows nothing: {attack}"
