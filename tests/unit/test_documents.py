"""Documents that list things list all of them, as the code has them."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
import typer.main

from vestibule.cli import app
from vestibule.settings import PREFIX, Settings

ROOT = Path(__file__).parent.parent.parent
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
CLI = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [entry.name for entry in fields(Settings)])
def test_configuration_lists_each_setting_with_its_default(name: str) -> None:
    entry = next(entry for entry in fields(Settings) if entry.name == name)
    default = entry.metadata["default"] or '""'
    row = rf"\| `{PREFIX}{name.upper()}` \| `{name}` \| `{re.escape(default)}` \|"
    assert re.search(row, CONFIGURATION), f"docs/configuration.md has no row for {name} with default {default}"


def test_configuration_lists_no_other_setting() -> None:
    listed = set(re.findall(rf"^\| `{PREFIX}(\w+)`", CONFIGURATION, re.MULTILINE)) - {"CONFIG"}
    assert listed == {entry.name.upper() for entry in fields(Settings)}


def commands(command: object, path: str) -> list[str]:
    subcommands: dict[str, object] = getattr(command, "commands", {})
    return [found for name, sub in subcommands.items() for found in commands(sub, f"{path} {name}")] or [path]


def test_cli_lists_each_command_and_no_other() -> None:
    known = commands(typer.main.get_command(app), "vestibule")
    listed = re.findall(r"^#+ `(vestibule [a-z -]+)", CLI, re.MULTILINE)
    assert sorted(entry.strip() for entry in listed) == sorted(known)


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("docs/**/*.md")), ids=lambda p: p.name)
def test_links_between_documents_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    broken = [
        target
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert not broken
