"""Identity providers of a workspace's file beside those that are there: what cannot be is refused before anything is
changed, and what can be is reached whatever stands in between."""

from __future__ import annotations

from pathlib import Path

from tests.fixtures.admin import PROVIDER, Admin
from tests.fixtures.front_door import Workspace
from vestibule.administration.action_file import MOST_ACTIONS
from vestibule.administration.identity_providers import MOST_PROVIDERS


def provider(name: str, *clients: str) -> str:
    listed = ", ".join(f'"{client}"' for client in clients)
    return f'[[identity_providers]]\nname = "{name}"\nissuer = "https://id.example.com"\nclient_ids = [{listed}]\n'


def applied(workspace: Workspace, directory: Path, text: str) -> None:
    workspace.installation.cli("workspace", "apply", write(directory, text), "-w", workspace.id)


def write(directory: Path, text: str) -> str:
    (directory / "workspace.toml").write_text(text, encoding="utf-8")
    return str(directory / "workspace.toml")


def refused_whole(workspace: Workspace, directory: Path, text: str, *, names: str) -> None:
    """Holds that neither command takes the file, with a name and a bot that it would have set up first."""
    head = '[workspace]\nname = "Changed"\n[responder]\nkind = "webhook"\nurl = "https://bot.example.com/"\n'
    path, installation = write(directory, head + text), workspace.installation
    for command in ("diff", "apply"):
        printed = installation.command("workspace", command, path, "-w", workspace.id, "--json")
        printed.refused("invalid_declaration", names=names)
    assert installation.cli("workspace", "show", workspace.id)["name"] == "test"
    assert installation.cli("responder", "show", "-w", workspace.id)["kind"] == "none"


def clients(workspace: Workspace) -> dict[str, list[str]]:
    found = workspace.installation.cli("provider", "list", "-w", workspace.id)["items"]
    return {each["name"]: list(each["client_ids"]) for each in found}


def test_one_that_would_take_the_tokens_of_one_that_stays_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    applied(workspace, tmp_path, provider("a", "c"))
    refused_whole(workspace, tmp_path, provider("b", "c"), names="identity_providers[0]: takes the same kind of tokens")
    path = write(tmp_path, provider("b", "c"))
    workspace.installation.cli("workspace", "apply", path, "-w", workspace.id, "--prune")
    assert clients(workspace) == {"b": ["c"]}


def test_one_that_reads_subjects_of_the_same_issuer_from_another_claim_is_refused(
    workspace: Workspace, tmp_path: Path
) -> None:
    by_number, by_name = provider("a", "x"), provider("b", "y") + 'claims = { subject = "preferred_username" }\n'
    told = "identity_providers[0]: does not read this issuer's subjects from the same claim as "
    refused_whole(workspace, tmp_path, by_number + by_name, names=f"{told}b")
    applied(workspace, tmp_path, by_number)
    refused_whole(workspace, tmp_path, by_name, names=f"{told}a")
    assert clients(workspace) == {"a": ["x"]}


def test_a_client_moves_from_one_to_another_in_either_order(workspace: Workspace, tmp_path: Path) -> None:
    applied(workspace, tmp_path, provider("a", "x", "y") + provider("b", "z"))
    applied(workspace, tmp_path, provider("a", "x") + provider("b", "z", "y"))
    assert clients(workspace) == {"a": ["x"], "b": ["z", "y"]}
    applied(workspace, tmp_path, provider("a", "x", "y") + provider("b", "z"))
    assert clients(workspace) == {"a": ["x", "y"], "b": ["z"]}
    applied(workspace, tmp_path, provider("new", "y") + provider("b", "x") + provider("a", "z"))
    assert clients(workspace) == {"new": ["y"], "b": ["x"], "a": ["z"]}
    path = str(tmp_path / "workspace.toml")
    assert workspace.installation.cli("workspace", "diff", path, "-w", workspace.id)["differences"] == []


def test_more_than_there_may_be_with_those_that_stay_are_refused(workspace: Workspace, tmp_path: Path) -> None:
    admin = Admin(workspace.installation, workspace.id)
    admin.do("POST", "identity-providers", PROVIDER)
    many = "".join(provider(f"p{number}", f"c{number}") for number in range(MOST_PROVIDERS))
    refused_whole(workspace, tmp_path, many, names=f"identity_providers: must be at most {MOST_PROVIDERS}")
    admin.do("PUT", "actions/kept", {"name": "kept", "method": "GET", "url_template": "https://api.example.com/"})
    action = '[[actions]]\nname = "a{}"\nmethod = "GET"\nurl_template = "https://api.example.com/"\n'
    many = "".join(action.format(number) for number in range(MOST_ACTIONS))
    refused_whole(workspace, tmp_path, many, names=f"actions: must be at most {MOST_ACTIONS}")
