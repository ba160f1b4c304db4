"""Options that are missing, unknown or wrong are told plainly, to people as text and to scripts as JSON; the help names
every option whole."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.fixtures.command_line import Cli
from tests.fixtures.front_door import COMMAND, Workspace
from vestibule import __version__

TOP: Any = COMMAND
COMMANDS: dict[tuple[str, ...], Any] = {
    path: made
    for name, group in TOP.commands.items()
    for path, made in (
        [((name, below), made) for below, made in group.commands.items()]
        if hasattr(group, "commands")
        else [((name,), group)]
    )
}


def test_help_names_every_option_whole_at_80_columns(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for command, made in COMMANDS.items():
        told = cli(*command, "--help").stdout
        for option in (option for each in made.params for option in each.opts if option.startswith("-")):
            assert option in told.split() or f"{option}," in told.split(), (command, option)
        assert "…" not in told
        assert "<bool>" not in told


def test_the_release_is_told(cli: Cli) -> None:
    told = cli("--version")
    assert (told.exit_code, told.stdout, told.stderr) == (0, f"vestibule {__version__}\n", "")


@pytest.mark.parametrize(
    "arguments",
    [
        ("workspace", "limit", "x", "--standard", "0"),
        ("workspace", "show"),
        ("workspace", "nonsense"),
        ("nonsense",),
        ("audit", "tail", "--limit", "0"),
        ("audit", "tail", "--limit", "many"),
        ("audit", "tail", "--bogus"),
        ("conversation", "list", "-w", "x", "--status", "x"),
        ("conversation", "list"),
    ],
)
def test_what_is_not_understood_is_json_where_that_is_asked_for(cli: Cli, arguments: tuple[str, ...]) -> None:
    message = cli(*arguments, "--json").refused("invalid_option", exit_code=2)
    for_people = cli(*arguments)
    assert (for_people.exit_code, for_people.stdout) == (2, "")
    assert message in for_people.stderr


def test_an_audit_s_filter_that_fits_nothing_is_refused(cli: Cli, workspace: Workspace) -> None:
    for option, wrong, near in (
        ("--outcome", "refusd", "refused"),
        ("--method", "token-exchange", "token_exchange"),
        ("--code", "identity_conflicts", "identity_conflict"),
        ("--outcome", "nonsense", "created"),
    ):
        cli("audit", "tail", option, wrong, "--json").refused("invalid_option", exit_code=2, names=near)
        found = cli("audit", "tail", "-w", workspace.id, option, near, "--json")
        assert json.loads(found.stdout)["items"] == []
