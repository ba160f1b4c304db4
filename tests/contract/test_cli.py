"""The command line as operators and scripts use it: one JSON object and nothing else, plain refusals, right exit codes,
and effects that a running server shows. Most commands run in this process, some as processes of their own."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fixtures.front_door import COMMAND, Installation, Printed, Workspace
from tests.fixtures.server import ServerFailed, clean_environment, free_port, run_cli
from vestibule.clock import DAY_MS
from vestibule.ids import new_id
from vestibule.storage.opening import SCHEMA_VERSION
from vestibule.tokens import signing_keys

NOBODY = new_id()
SERVERS = {"serve", "demo"}  # they run until they are told to stop
# Held by the files named for them, with what they need to work on.
ELSEWHERE = {
    "action",
    "auth-endpoint",
    "conversation",
    "provider",
    "queue",
    "responder",
    "retention",
    "webhook",
    "widget",
}


Cli = Callable[..., Printed]


@pytest.fixture
def cli(installation: Installation) -> Cli:
    """Runs a command on the installation; keywords are settings that differ from its own."""

    def run(*arguments: str, stdin: str = "", **settings: str) -> Printed:
        given = {f"VESTIBULE_{name.upper()}": value for name, value in settings.items()}
        return installation.command(*arguments, stdin=stdin, settings=given)

    return run


@pytest.fixture(autouse=True)
def nobody_elses_responders(installation: Installation) -> None:
    """Other files' tests set some up wrong on purpose, in workspaces of their own, and `doctor` looks at all."""
    installation.rows("DELETE FROM workspace_settings")


def leaves(command: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    found: dict[tuple[str, ...], Any] = {}
    for name, sub in getattr(command, "commands", {}).items():
        found |= leaves(sub, (*path, name)) or {(*path, name): sub}
    return found


COMMANDS = leaves(COMMAND)


def good_calls(workspace: Workspace) -> dict[tuple[str, ...], list[str]]:
    """A call of every command that must succeed, in an order in which they can."""
    _, contact_id = workspace.sign_in("ada@example.com", name="Ada")
    _, other_id = workspace.sign_in("lovelace@example.com")
    _, doomed_id = workspace.sign_in("doomed@example.com")
    key_id, _ = workspace.new_key()
    installation = workspace.installation
    # Not the one that signs: other tests' tokens would end with it.
    spare = installation.run(
        signing_keys.rotate(installation.desk.store, installation.desk.sealer, lifetime_ms=1, lead_ms=30 * DAY_MS)
    )
    of = ["-w", workspace.id]
    member = installation.cli("staff", "add", f"ada.{workspace.id}@example.com", *of)["id"]
    file = installation.server.directory / f"{workspace.id}.toml"
    file.write_text("[widget]\npoll_seconds = 5\n", encoding="utf-8")
    return {
        ("migrate",): [],
        ("doctor",): [],
        ("workspace", "create"): ["Acme"],
        ("workspace", "list"): [],
        ("workspace", "show"): [workspace.id],
        ("workspace", "limit"): [workspace.id, "--standard", "5"],
        ("workspace", "retention"): [workspace.id, "--audit", "400d"],
        ("workspace", "addresses"): [workspace.id, "--allow", "203.0.113.0/24"],
        ("workspace", "apply"): [str(file), "-w", workspace.id],
        ("workspace", "diff"): [str(file), "-w", workspace.id],
        ("workspace", "export"): [workspace.id],
        ("workspace", "disable"): [workspace.id],
        ("workspace", "enable"): [workspace.id],
        ("api-key", "create"): of,
        ("api-key", "list"): of,
        ("api-key", "rotate"): [key_id, *of],
        ("api-key", "revoke"): [key_id, *of],
        ("contact", "show"): [contact_id, *of],
        ("contact", "export"): [contact_id, *of],
        ("contact", "sign-out"): [contact_id, *of],
        ("contact", "merge"): [other_id, contact_id, *of],
        ("contact", "unmerge"): [other_id, *of],
        ("contact", "erase"): [doomed_id, *of, "--yes"],
        ("token", "inspect"): [workspace.sign_in("new@example.com")[0]],
        ("secret-key", "new"): [],
        ("secret-key", "reseal"): [],
        ("signing-keys", "list"): [],
        ("signing-keys", "rotate"): ["--lead", "30d"],
        ("signing-keys", "retire"): [spare.id],
        ("admin-key", "create"): of,
        ("admin-key", "list"): of,
        ("admin-key", "revoke"): [installation.cli("admin-key", "create", *of)["id"], *of],
        ("staff", "add"): [f"grace.{workspace.id}@example.com", *of],
        ("staff", "list"): of,
        ("staff", "role"): [member, "admin", *of],
        ("staff", "password"): [member, *of],
        ("staff", "sign-out"): [member, *of],
        ("staff", "disable"): [member, *of],
        ("staff", "enable"): [member, *of],
        ("staff", "remove"): [member, *of],
        ("audit", "tail"): of,
        ("audit", "export"): of,
        ("audit", "verify"): of,
        ("coverage",): of,
        ("enforcement", "show"): of,
        ("enforcement", "set"): ["warn", *of],
    }


class TestEveryCommand:
    def test_prints_one_json_object_and_nothing_else(self, cli: Cli, workspace: Workspace) -> None:
        calls = good_calls(workspace)
        assert {command for command in COMMANDS if command[0] not in SERVERS | ELSEWHERE} == calls.keys()
        for command, arguments in calls.items():
            if command in {("audit", "export"), ("workspace", "export")}:  # lines of their own
                continue
            as_json = [] if command == ("contact", "export") else ["--json"]
            outcome = cli(*command, *arguments, *as_json)
            assert outcome.exit_code == 0, (command, outcome.stdout, outcome.stderr)
            assert outcome.json, command

    def test_prints_something_for_people_without_json(self, cli: Cli, workspace: Workspace) -> None:
        for command, arguments in good_calls(workspace).items():
            outcome = cli(*command, *arguments)
            assert outcome.exit_code == 0, (command, outcome.stdout, outcome.stderr)
            assert outcome.stdout.strip(), command
            assert "Traceback" not in outcome.stderr

    def test_cuts_no_key_on_a_narrow_screen(self, cli: Cli, workspace: Workspace) -> None:
        for command in (("api-key", "create", "-w", workspace.id), ("admin-key", "create", "-w", workspace.id)):
            [line] = [line for line in cli(*command).stdout.splitlines() if re.match(r"(api|admin)_key ", line)]
            assert re.search(r"vst_(key|admin)_[0-9A-Za-z]{71}$", line.rstrip())

    def test_can_print_json(self) -> None:
        without = {
            command for command, made in COMMANDS.items() if "as_json" not in {each.name for each in made.params}
        }
        assert without == {("serve",), ("demo",), ("contact", "export"), ("audit", "export"), ("workspace", "export")}

    def test_has_help(self, cli: Cli) -> None:
        for command in COMMANDS:
            outcome = cli(*command, "--help")
            assert outcome.exit_code == 0
            assert "Usage" in outcome.stdout

    def test_refuses_what_is_not_there(self, cli: Cli, workspace: Workspace) -> None:
        of, nowhere = ["-w", workspace.id], ["-w", NOBODY]
        calls = [
            ("workspace", "show", NOBODY),
            ("workspace", "show", "' OR 1=1"),
            ("workspace", "limit", NOBODY),
            ("workspace", "retention", NOBODY),
            *(("staff", verb, NOBODY, *of) for verb in ("sign-out", "disable", "enable")),
            ("workspace", "disable", NOBODY),
            ("workspace", "enable", NOBODY),
            ("api-key", "create", *nowhere),
            ("api-key", "list", *nowhere),
            ("api-key", "rotate", NOBODY, *of),
            ("api-key", "revoke", NOBODY, *of),
            ("contact", "show", NOBODY, *of),
            ("contact", "show", "nobody@example.com", *of),
            ("contact", "erase", NOBODY, *of),
            ("contact", "sign-out", NOBODY, *of),
            ("contact", "merge", NOBODY, NOBODY, *of),
            ("contact", "unmerge", NOBODY, *of),
            ("signing-keys", "retire", "nobody"),
        ]
        for call in calls:
            cli(*call, "--json").refused("not_found")
        cli("contact", "export", NOBODY, *of).refused("not_found")

    def test_refuses_in_plain_words_without_json(self, cli: Cli) -> None:
        outcome = cli("workspace", "show", NOBODY)
        assert (outcome.exit_code, outcome.stdout) == (1, "")
        assert outcome.stderr == "vestibule: There is no such workspace. (not_found)\n"

    def test_refuses_a_duration_that_is_none(self, cli: Cli, workspace: Workspace) -> None:
        of = ["-w", workspace.id]
        for text in ("banana", "1", "-1h", "\uff11h"):
            for call in (
                ("api-key", "create", *of, "--expires-in", text),
                ("api-key", "rotate", workspace.key_id, *of, "--overlap", text),
                ("signing-keys", "rotate", "--lead", text),
            ):
                cli(*call, "--json").refused("invalid_option", exit_code=2)

    def test_explains_wrong_usage_on_standard_error(self, cli: Cli) -> None:
        for call in (
            ("workspace", "create"),
            ("api-key", "list"),
            ("nonsense",),
            ("doctor", "--nonsense"),
            ("workspace",),
        ):
            outcome = cli(*call)
            assert outcome.exit_code == 2
            assert outcome.stderr or "Usage" in outcome.stdout


class TestSettings:
    def test_that_are_wrong_are_all_told_at_once(self, cli: Cli) -> None:
        wrong = {
            "port": "x",
            "workers": "0",
            "log_level": "loud",
            "contact_token_lifetime": "1y",
            "secret_keys": "short",
        }
        message = cli("workspace", "list", "--json", **wrong).refused("invalid_settings", exit_code=2)
        for name in wrong:
            assert f"VESTIBULE_{name.upper()}" in message
        assert "short" not in message

    def test_of_a_file_are_read_and_checked(self, cli: Cli, tmp_path: Path) -> None:
        file = tmp_path / "vestibule.toml"
        file.write_text('port = "x"\nnonsense = 1\n', encoding="utf-8")
        message = cli("workspace", "list", "--json", workers="0", config=str(file)).refused(
            "invalid_settings", exit_code=2
        )
        assert "vestibule.toml: port" in message
        assert "vestibule.toml: nonsense" in message
        assert "VESTIBULE_WORKERS" in message

    def test_that_lead_nowhere_are_said_so_without_the_password(self, cli: Cli, tmp_path: Path) -> None:
        for url in ("postgresql://me:hunter2@127.0.0.1:1/x", f"sqlite:///{tmp_path}/no/such/folder/v.db"):
            outcome = cli("workspace", "list", "--json", database_url=url)
            outcome.refused("storage_unavailable")
            assert "hunter2" not in outcome.stdout

    def test_of_another_secret_key_open_nothing(self, cli: Cli) -> None:
        cli("workspace", "list", "--json", secret_keys="A" * 43).refused("invalid_settings", exit_code=2)

    def test_may_forbid_to_migrate(self, cli: Cli, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path}/new.db"
        message = cli("workspace", "list", "--json", database_url=url, auto_migrate="false").refused("wrong_schema")
        assert "vestibule migrate" in message
        assert cli("migrate", "--json", database_url=url, auto_migrate="false").json == {"schema": SCHEMA_VERSION}
        assert cli("migrate", "--json", database_url=url, auto_migrate="false").json == {"schema": SCHEMA_VERSION}


class TestWorkspaces:
    def test_are_made_as_they_are_shown(self, cli: Cli) -> None:
        made = cli("workspace", "create", " Acme & S\u00f6hne ", "--customer-id", f"a_{new_id()[:8]}", "--json").json
        assert made["name"] == "Acme & S\u00f6hne"
        assert made["widget_token"].startswith("vst_widget_")
        assert made["created_at"].endswith("Z")
        assert cli("workspace", "show", made["workspace_id"], "--json").json == made
        assert made in cli("workspace", "list", "--json").json["items"]

    def test_have_each_a_customer_id_of_their_own(self, cli: Cli) -> None:
        taken = cli("workspace", "create", "Acme", "--json").json["customer_id"]
        cli("workspace", "create", "Other", "--customer-id", taken, "--json").refused("already_exists")

    def test_have_a_name_that_can_be_printed(self, cli: Cli) -> None:
        for name in ("", " ", "a\nb", "a\x1b[31m", "x" * 201, "\u202e"):
            cli("workspace", "create", name, "--json").refused("invalid_field", names="name")
        for customer_id in ("", "-a", "a b", "a/b", "x" * 26, "\u00e4"):
            cli("workspace", "create", "A", "--customer-id", customer_id, "--json").refused(
                "invalid_field", names="customer_id"
            )

    def test_take_limits_and_give_them_up_again(self, cli: Cli, workspace: Workspace) -> None:
        limited = cli("workspace", "limit", workspace.id, "--standard", "5", "--streaming", "6", "--json").json
        assert limited["rate_limits"] == {"standard": 5, "streaming": 6}
        freed = cli("workspace", "limit", workspace.id, "--json").json
        assert freed["rate_limits"] == {"standard": None, "streaming": None}
        assert cli("workspace", "limit", workspace.id, "--standard", "0", "--json").exit_code == 2

    def test_are_refused_while_they_are_disabled(self, cli: Cli, workspace: Workspace) -> None:
        assert cli("workspace", "disable", workspace.id, "--json").json["disabled_at"]
        _, key = workspace.new_key()
        answer = workspace.post(b'{"email":"a@b.de"}', {"authorization": f"Bearer {key}"})
        assert answer.status_code == 403
        assert cli("workspace", "enable", workspace.id, "--json").json["disabled_at"] is None


class TestApiKeys:
    def test_are_shown_once_and_then_by_a_hint(self, cli: Cli, workspace: Workspace) -> None:
        made = cli(
            "api-key", "create", "-w", workspace.id, "--scope", "widget:authenticate", "--scope", "contacts:read",
            "--name", "shop", "--expires-in", "90d", "--rate-limit", "7", "--streaming-rate-limit", "8", "--json",
        ).json  # fmt: skip
        assert made["scopes"] == ["contacts:read", "widget:authenticate"]
        assert (made["name"], made["rate_limits"]) == ("shop", {"standard": 7, "streaming": 8})
        assert made["expires_at"] == made["ends_at"]
        answer = workspace.post(b'{"email":"a@b.de"}', {"authorization": f"Bearer {made['api_key']}"})
        assert answer.headers["ratelimit-limit"] == "7"

        listed = cli("api-key", "list", "-w", workspace.id, "--json")
        [item] = [item for item in listed.json["items"] if item["id"] == made["id"]]
        assert (item["state"], item["hint"]) == ("active", made["hint"])
        assert made["api_key"] not in listed.stdout
        assert made["hint"].split("\u2026")[1] in made["api_key"]

    def test_have_known_scopes(self, cli: Cli, workspace: Workspace) -> None:
        for scope in ("everything", "", "Widget:Authenticate", "*"):
            cli("api-key", "create", "-w", workspace.id, "--scope", scope, "--json").refused(
                "invalid_field", names="scope"
            )

    def test_of_another_workspace_are_not_there(
        self, cli: Cli, workspace: Workspace, installation: Installation
    ) -> None:
        other = installation.workspace()
        cli("api-key", "revoke", other.key_id, "-w", workspace.id, "--json").refused("not_found")
        cli("api-key", "rotate", other.key_id, "-w", workspace.id, "--json").refused("not_found")
        assert other.authenticate(email="a@b.de").status_code == 200

    def test_take_over_from_one_another(self, cli: Cli, workspace: Workspace) -> None:
        old_id, _ = workspace.new_key()
        new = cli("api-key", "rotate", old_id, "-w", workspace.id, "--overlap", "1h", "--json").json
        assert new["replaces"] == old_id
        assert workspace.post(b'{"email":"a@b.de"}', {"authorization": f"Bearer {new['api_key']}"}).status_code == 200
        states = {item["id"]: item for item in cli("api-key", "list", "-w", workspace.id, "--json").json["items"]}
        assert (states[old_id]["state"], states[old_id]["replaced_by"]) == ("ending", new["id"])
        revoked = cli("api-key", "revoke", old_id, "-w", workspace.id, "--json").json
        assert revoked["revoked_at"] == revoked["ends_at"]
        assert "api_key" not in revoked


class TestContacts:
    def test_are_found_by_id_and_by_verified_email(self, cli: Cli, workspace: Workspace) -> None:
        _, contact_id = workspace.sign_in("Ada@example.com", name="Ada", phone="+49 30 901820")
        by_id = cli("contact", "show", contact_id, "-w", workspace.id, "--json").json
        assert by_id["identities"] == {"email": "ada@example.com", "phone": "+4930901820", "external_id": None}
        assert by_id["provenance"]["name"]["source"] == "server_to_server"
        for spelling in ("ada@example.com", "ADA@EXAMPLE.COM"):
            assert cli("contact", "show", spelling, "-w", workspace.id, "--json").json == by_id
        cli("contact", "show", "a@", "-w", workspace.id, "--json").refused("invalid_field", names="email")

    def test_of_another_workspace_are_not_there(
        self, cli: Cli, workspace: Workspace, installation: Installation
    ) -> None:
        other = installation.workspace()
        _, contact_id = other.sign_in("ada@example.com")
        for call in (("show", contact_id), ("show", "ada@example.com"), ("erase", contact_id), ("unmerge", contact_id)):
            cli("contact", *call, "-w", workspace.id, "--json").refused("not_found")
        assert len(other.contacts()) == 1

    def test_that_are_erased_are_gone_with_their_tokens(self, cli: Cli, workspace: Workspace) -> None:
        token, contact_id = workspace.sign_in("ada@example.com", name="Ada")
        merged_token, merged_id = workspace.sign_in("merged@example.com")
        cli("contact", "merge", merged_id, contact_id, "-w", workspace.id, "--json")
        assert workspace.me(token).status_code == workspace.me(merged_token).status_code == 200

        erased = cli("contact", "erase", contact_id, "-w", workspace.id, "--json").json["erased"]

        assert sorted(erased) == sorted([contact_id, merged_id])
        assert workspace.contacts() == []
        assert workspace.me(token).status_code == workspace.me(merged_token).status_code == 401
        assert workspace.sign_in("ada@example.com")[1] != contact_id

    def test_are_not_erased_unless_it_is_meant(self, cli: Cli, workspace: Workspace) -> None:
        _, contact_id = workspace.sign_in("ada@example.com")
        assert cli("contact", "erase", contact_id, "-w", workspace.id, stdin="n\n").exit_code != 0
        assert len(workspace.contacts()) == 1
        assert cli("contact", "erase", contact_id, "-w", workspace.id, stdin="y\n").exit_code == 0
        assert workspace.contacts() == []

    def test_that_are_merged_are_one_person_by_either_email(self, cli: Cli, workspace: Workspace) -> None:
        token, first = workspace.sign_in("first@example.com", name="First")
        _, second = workspace.sign_in("second@example.com", name="Second")
        merged = cli("contact", "merge", first, second, "-w", workspace.id, "--json").json
        assert merged["merged_into"] == second

        assert workspace.me(token).json()["id"] == second
        assert workspace.me(token).json()["name"] == "Second"
        for email in ("first@example.com", "second@example.com"):
            assert cli("contact", "show", email, "-w", workspace.id, "--json").json["id"] == second
            assert workspace.sign_in(email)[1] == second
        exported = cli("contact", "export", second, "-w", workspace.id).json
        assert [contact["id"] for contact in exported["merged"]] == [first]
        assert exported["merged"][0]["name"] == "First"

        cli("contact", "unmerge", first, "-w", workspace.id, "--json")
        assert workspace.me(token).json()["name"] == "First"
        assert workspace.sign_in("first@example.com")[1] == first
        assert workspace.sign_in("second@example.com")[1] == second

    def test_that_cannot_be_one_are_not_merged(self, cli: Cli, workspace: Workspace) -> None:
        ids = [workspace.sign_in(f"{name}@example.com")[1] for name in "abc"]
        of = ("-w", workspace.id, "--json")
        cli("contact", "merge", ids[0], ids[0], *of).refused("conflict")
        cli("contact", "unmerge", ids[0], *of).refused("conflict")
        cli("contact", "merge", ids[0], ids[1], *of)
        cli("contact", "merge", ids[0], ids[2], *of).refused("conflict")
        cli("contact", "merge", ids[2], ids[0], *of).refused("conflict")
        cli("contact", "merge", ids[1], ids[2], *of).refused("conflict")  # others are merged into it
        cli("contact", "merge", ids[1], ids[0], *of).refused("conflict")  # a ring
        assert workspace.sign_in("a@example.com")[1] == ids[1]
        workspace.installation.rows(
            "UPDATE contacts SET verified = FALSE WHERE id = $1", workspace.sign_in("d@example.com")[1]
        )
        [(unverified,)] = workspace.installation.rows(
            "SELECT id FROM contacts WHERE workspace_id = $1 AND email_key = $2", workspace.id, "d@example.com"
        )
        cli("contact", "merge", unverified, ids[2], *of).refused("conflict", names="verified")

    def test_are_strangers_text_on_the_terminal(self, cli: Cli, workspace: Workspace) -> None:
        """Neither rich's markup nor escape sequences of a contact's name may work."""
        _, contact_id = workspace.sign_in(name="[red]x[/red]\x1b[31m\r\n\x07[link=http://e]y", chat_context="a\x9b2J")
        outcome = cli("contact", "show", contact_id, "-w", workspace.id)
        assert "[red]x[/red]" in outcome.stdout
        assert "[link=http://e]y" in outcome.stdout
        assert not {"\x1b", "\x07", "\x9b", "\r"} & set(outcome.stdout)


class TestTokens:
    CHECKS = ("form", "header", "signature", "claims", "exp", "contact")

    def test_that_are_good_pass_every_check(self, cli: Cli, workspace: Workspace) -> None:
        token, contact_id = workspace.sign_in()
        for outcome in (
            cli("token", "inspect", token, "--json"),
            cli("token", "inspect", "-", "--json", stdin=f"{token}\n"),
        ):
            assert outcome.exit_code == 0
            found = outcome.json
            assert found["valid"] is True
            assert [check["check"] for check in found["checks"]] == list(self.CHECKS)
            assert all(check["passed"] for check in found["checks"])
            assert found["claims"]["sub"] == contact_id
            assert 86_300 < found["claims"]["seconds_left"] <= 86_400

    def test_that_are_bad_say_where(self, cli: Cli, workspace: Workspace) -> None:
        token, contact_id = workspace.sign_in()
        head, payload, signature = token.split(".")
        wrong = {
            "form": ("a.b", "", "x" * 5_000, f"{token}.x"),
            "header": (f"{head[:-1]}.{payload}.{signature}", f"e30.{payload}.{signature}", f"..{signature}"),
            "signature": (
                f"{head}.{payload[:-1]}.{signature}",
                f"{head}.{payload}.{signature[:-1]}",
                f"{head}.{payload}.",
            ),
        }
        for step, texts in wrong.items():
            for text in texts:
                outcome = cli("token", "inspect", "-", "--json", stdin=text)
                assert outcome.exit_code == 1
                found = outcome.json
                assert found["valid"] is False
                assert [check["check"] for check in found["checks"] if not check["passed"]] == [step], text[:40]
        cli("contact", "erase", contact_id, "-w", workspace.id, "--json")
        found = cli("token", "inspect", token, "--json").json
        assert [check["check"] for check in found["checks"] if not check["passed"]] == ["contact"]
        foreign = cli("token", "inspect", token, "--json", public_url="https://other.example").json
        assert [check["check"] for check in foreign["checks"] if not check["passed"]] == ["claims"]


class TestDoctor:
    def test_finds_a_fresh_installation_well(self, cli: Cli) -> None:
        items = cli("doctor", "--json").json["items"]
        grades = {item["check"]: item["grade"] for item in items}
        assert grades["secret_keys"] == grades["signing_keys"] == grades["public_url"] == "good"
        assert "bad" not in grades.values()

    def test_finds_what_is_bad(self, cli: Cli) -> None:
        outcome = cli("doctor", "--json", public_url="http://chat.example.com")
        assert outcome.exit_code == 1
        [item] = [item for item in outcome.json["items"] if item["grade"] == "bad"]
        assert item["check"] == "public_url"

    def test_names_variables_that_are_no_settings(self, cli: Cli) -> None:
        items = cli("doctor", "--json", prot="1").json["items"]
        [item] = [item for item in items if item["check"] == "variables"]
        assert item["grade"] == "unwise"
        assert "VESTIBULE_PROT" in item["message"]

    def test_names_replaced_keys_that_are_still_called_with(self, cli: Cli, workspace: Workspace) -> None:
        old_id, _ = workspace.new_key()
        cli("api-key", "rotate", old_id, "-w", workspace.id, "--json")
        now = int(time.time() * 1000) + 1
        workspace.installation.rows(f"UPDATE api_keys SET last_used_at = {now} WHERE id = $1", old_id)  # noqa: S608
        items = cli("doctor", "--json").json["items"]
        assert any(item["check"] == "api_keys" and item["grade"] == "unwise" for item in items)


class TestProcesses:
    """What only a process of its own can show."""

    def test_print_to_their_own_streams(self, installation: Installation) -> None:
        with pytest.raises(ServerFailed, match="exit code 1") as caught:
            run_cli("workspace", "show", NOBODY, env=installation.server.settings)
        assert '"not_found"' in str(caught.value)

    def test_do_not_serve_with_bad_settings(self, tmp_path: Path) -> None:
        done = self.serve(tmp_path, VESTIBULE_PORT="x", VESTIBULE_SECRET_KEYS="short")
        assert done.returncode == 2
        assert "VESTIBULE_PORT" in done.stderr
        assert "VESTIBULE_SECRET_KEYS" in done.stderr
        assert "Traceback" not in done.stderr

    def test_do_not_serve_without_a_database(self, tmp_path: Path) -> None:
        done = self.serve(tmp_path, VESTIBULE_DATABASE_URL="postgresql://me:hunter2@127.0.0.1:1/x")
        assert done.returncode == 1
        assert "storage_unavailable" in done.stderr
        assert "hunter2" not in done.stderr
        assert "Traceback" not in done.stderr

    def test_of_the_installed_command_are_as_many_as_one_wants(self, tmp_path: Path) -> None:
        """Worker processes read the command's own file again, and must not run it again."""
        port = free_port()
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen(
                [Path(sys.executable).parent / "vestibule", "serve", "--workers", "2", "--port", str(port)],
                env=clean_environment({}, tmp_path),
                cwd=tmp_path,
                stdin=subprocess.DEVNULL,
                stderr=log,
            )
        try:
            ready_by = time.monotonic() + 30
            while True:
                assert time.monotonic() < ready_by, (tmp_path / "log").read_text()
                with suppress(httpx.HTTPError):
                    if httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False).status_code == 200:
                        break
                time.sleep(0.2)
        finally:
            process.terminate()
            process.wait(30)
        assert "Traceback" not in (tmp_path / "log").read_text()

    @staticmethod
    def serve(directory: Path, **settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "vestibule", "serve"],
            env=clean_environment(settings, directory),
            cwd=directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )


def test_serving_does_not_load_the_command_line() -> None:
    """A server would carry its libraries for as long as it lives."""
    from vestibule.server.plain_start import flags_of  # noqa: PLC0415 - beside what it is compared with

    assert flags_of(["serve"]) == {"host": None, "port": None, "workers": None}
    assert flags_of(["serve", "--port", "80", "--host=::1"]) == {"host": "::1", "port": "80", "workers": None}
    for explained in (
        ["serve", "--help"],
        ["serve", "--port"],
        ["serve", "--bogus", "1"],
        ["serve", "x"],
        ["doctor"],
        [],
    ):
        assert flags_of(explained) is None
    loaded = "import sys, vestibule.server.plain_start; print({'typer', 'rich', 'pydantic'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
