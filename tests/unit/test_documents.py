"""Documents that list things list all of them, as the code has them."""

from __future__ import annotations

import inspect
import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer.main

from tests.unit.test_visibility import UNSCOPED
from vestibule.administration.auth_endpoint_trial import AuthTrial
from vestibule.auth_endpoint import calls
from vestibule.cli import app
from vestibule.cli.conversations import shown
from vestibule.model.identity_provider import SIGNATURES, ClientAuth, ProviderSettings, TokenKind, UserinfoUse
from vestibule.oidc.key_set import MOST_KEYS
from vestibule.oidc.remembered import Pace
from vestibule.oidc.strict_jws import LONGEST_TOKEN
from vestibule.outbound import circuit
from vestibule.outbound.client import AT_ONCE, Outbound
from vestibule.settings import PREFIX, Settings
from vestibule.storage.opening import SCHEMA_VERSION

ROOT = Path(__file__).parent.parent.parent
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
CLI = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
SECURITY = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


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


def section(command: str) -> str:
    return CLI.partition(f"\n### `{command}`\n")[2].partition("\n##")[0]


def sample(command: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(section(command).partition("```json\n")[2].partition("```")[0])
    return found


def test_cli_s_samples_have_each_member_that_is_printed() -> None:
    assert list(sample("vestibule conversation list")["items"][0]) == list(shown(UNSCOPED))
    members = [each.encode_name for each in msgspec.structs.fields(AuthTrial)]
    assert list(sample("vestibule auth-endpoint test")) == members


def replacing(command: object, path: str) -> list[tuple[str, str]]:
    """Each option of which its help says that it replaces what was there, behind its command."""
    subcommands: dict[str, object] = getattr(command, "commands", {})
    options: list[Any] = getattr(command, "params", [])
    found = [each for name, sub in subcommands.items() for each in replacing(sub, f"{path} {name}")]
    told = [option for option in options if "replaces all" in (getattr(option, "help", None) or "")]
    return [*found, *((path, option.opts[0]) for option in told)]


def test_cli_says_of_each_option_that_replaces_all_that_it_does() -> None:
    """Who adds one page by it would shut out every other."""
    options = replacing(typer.main.get_command(app), "vestibule")
    assert ("vestibule auth-endpoint set", "--domain") in options
    for command, option in options:
        rows_and_paragraphs = re.split(r"\n\n|\n(?=\|)", section(command))
        told = [" ".join(piece.split()) for piece in rows_and_paragraphs if f"`{option}`" in piece]
        assert any("replaces all" in piece for piece in told), f"{command} {option}"


def settings_of(kind: type[msgspec.Struct], place: str = "") -> dict[str, str]:
    """Each setting by its whole name, with its default as the document writes it."""
    found: dict[str, str] = {}
    for each in msgspec.structs.fields(kind):
        name = f"{place}{each.encode_name}"
        default = each.default if each.default_factory is msgspec.NODEFAULT else each.default_factory()
        if isinstance(default, msgspec.Struct):
            found |= settings_of(type(default), f"{name}.")
        elif default is None or default is msgspec.NODEFAULT:
            found[name] = "none" if default is None else "required"
        else:
            found[name] = f"`{msgspec.json.encode(default).decode().replace(',', ', ')}`"
    return found


def test_cli_lists_each_setting_of_an_identity_provider_with_its_default() -> None:
    table = CLI.partition("#### Settings of an identity provider")[2].partition("\n##")[0]
    listed = dict(re.findall(r"^\| `([a-z_.]+)` \| (.+?) \|", table, re.MULTILINE))
    in_words = {"accepts": "as far as set up", "algorithms": "all of these"}
    assert listed == settings_of(ProviderSettings) | in_words
    assert all(name in table for name in (*SIGNATURES, *TokenKind, *UserinfoUse, *ClientAuth))


def test_operations_lists_each_purpose_of_a_call_out() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "src" / "vestibule").rglob("*.py")))
    listed = OPERATIONS.partition("\n`purpose` is ")[2].partition(". ")[0]
    assert set(re.findall(r"`([^`]+)`", listed)) == set(re.findall(r'(?:PURPOSE = |purpose=f?)"([a-z_ -]+)', code))


def test_security_tells_what_cannot_be_set_about_providers_and_calls_out_as_it_is() -> None:
    pace, provider = Pace(), ProviderSettings(name="p", issuer="i")
    ages = f"{provider.leeway} s; {provider.oldest_iat // 3600} h; {provider.longest_life // 3600} h"
    lives = f"{pace.life // 60} min; {pace.shortest_life // 60} min; {pace.longest_life // 3600} h"
    call = inspect.signature(Outbound.request).parameters
    connect, whole, most = (call[name].default for name in ("connect_timeout", "timeout", "most_bytes"))
    expected = {
        "a provider's token": f"{LONGEST_TOKEN // 1024} KiB",
        "its leeway; oldest `iat`; longest life": ages,
        "a key set": f"{MOST_KEYS} keys",
        "a provider's keys and discovery are kept if it does not say how long; at least; at most": lives,
        "keys that are out of date serve while the provider is down": f"{pace.stale // 3600} h",
        "a provider is asked again after a failure": f"{pace.first_pause} s, doubling to {pace.longest_pause} s",
        "an unknown key id makes us ask a provider": f"once in {pace.cool_down} s",
        "a call to a provider: connecting; all of it; the answer": f"{connect:g} s; {whole:g} s; {most // 1024} KiB",
        "a call to an auth endpoint: connecting; one try; both; the answer": f"{calls.CONNECT_SECONDS:g} s; "
        f"{calls.CALL_SECONDS:g} s; {calls.OPERATION_SECONDS:g} s; {calls.MOST_BYTES // 1024} KiB",
        "a server is left alone after failures in a row, but for one call every": f"{circuit.FAILURES}; "
        f"{circuit.PROBE_SECONDS:g} s, an auth endpoint {calls.OPEN_SECONDS:g} s",
        "calls out of a workspace at once, in a process": f"{AT_ONCE}",
    }
    rows = dict(re.findall(r"^\| ([^|]+) \| ([^|]+) \|", SECURITY, re.MULTILINE))
    assert {matter: rows.get(matter) for matter in expected} == expected


def test_documents_show_this_release_s_schema_and_commands() -> None:
    assert f'"schema": "{SCHEMA_VERSION}"' in (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    listed = set(re.findall(r"`make ([a-z-]+)`", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")))
    assert targets - {"help"} <= listed
    commands = re.findall(r"^(\S*vestibule) ", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(commands) == {".venv/bin/vestibule"}, "as after `make setup`, in every block"


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("docs/**/*.md")), ids=lambda p: p.name)
def test_links_between_documents_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    broken = [
        target
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert not broken
