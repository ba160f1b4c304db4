"""What `vestibule doctor` says of keys that end by themselves; the rest is in test_cli.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fixtures.command_line import Cli
from tests.fixtures.front_door import Workspace


def unwise(cli: Cli, check: str) -> str:
    """All of it, also what it says of other tests' workspaces."""
    items = cli("doctor", "--json").json["items"]
    return "\n".join(item["message"] for item in items if (item["check"], item["grade"]) == (check, "unwise"))


@pytest.fixture(params=["api-key of a workspace", "admin-key of a workspace", "admin-key"])
def keys(request: pytest.FixtureRequest, cli: Cli, workspace: Workspace) -> Iterator[dict[str, str]]:
    """By how long they are good: the hints of keys of one kind."""
    kind, _, place = request.param.partition(" ")
    of = ["-w", workspace.id] if place else []
    made = {span: cli(kind, "create", "--expires-in", span, *of, "--json").json for span in ("1d", "2d", "15d")}
    cli(kind, "revoke", made["2d"]["id"], *of, "--json")
    yield {"check": f"{kind.replace('-', '_')}s", **{span: key["hint"] for span, key in made.items()}}
    for key in made.values():
        cli(kind, "revoke", key["id"], *of, "--json")


def test_keys_that_end_soon_are_named_before_they_do(keys: dict[str, str], cli: Cli) -> None:
    told = unwise(cli, keys["check"])
    assert keys["1d"] in told
    assert keys["2d"] not in told, "it is revoked"
    assert keys["15d"] not in told, "there is time"
