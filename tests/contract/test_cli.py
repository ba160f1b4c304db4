"""The command line as operators and scripts use it: one JSON object and nothing else, plain refusals, right exit codes,
and effects that a running server shows. Most commands run in this process, some as processes of their own."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fixtures.command_line import Cli
from tests.fixtures.front_door import COMMAND, Installation, Workspace
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

    def test_of_a_database_file_that_is_none_say_so(self, cli: Cli, tmp_path: Path) -> None:
        (tmp_path / "noise.db").write_bytes(bytes(range(1, 256)) * 64)
        for path, told in ((tmp_path, "is a directory"), (tmp_path / "noise.db", "is not a database")):
            cli("workspace", "list", "--json", database_url=f"sqlite:///{path}").refused(
                "storage_unavailable", names=told
            )

    def test_of_another_secret_key_open_nothing(self, cli: Cli) -> None:
        cli("workspace", "list", "--json", secret_keys="A" * 43).refused("invalid_settings", exit_code=2)

    def test_may_forbid_to_migrate(self, cli: Cli, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path}/new.db"
        message = cli("workspace", "list", "--json", database_url=url, auto_migrate="false").refused("wrong_schema")
        assert "vestibule migrate" in message
        assert cli("migrate", "--json", database_url=url, auto_migrate="false").json == {"schema": SCHEMA_VERSION}
        assert cli("migrate", "--json", database_url=url, auto_migrate="false").json == {"schema": SCHEMA_VERSION}


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

    @pytest.mark.parametrize(
        "command", [("workspace", "list", "--json"), ("audit", "export", "--format", "csv"), ("doctor",)]
    )
    def test_say_that_the_disk_is_full(self, installation: Installation, command: tuple[str, ...]) -> None:
        with Path("/dev/full").open("wb") as full:
            done = subprocess.run(
                [sys.executable, "-m", "vestibule", *command],
                env=clean_environment(installation.server.settings, installation.server.directory),
                cwd=installation.server.directory,
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                timeout=60,
                check=False,
            )
        told = "vestibule: standard output cannot be written: No space left on device\n"
        assert (done.returncode, done.stderr) == (1, told)

    def test_do_not_serve_with_bad_settings(self, tmp_path: Path) -> None:
        done = self.serve(tmp_path, VESTIBULE_PORT="x", VESTIBULE_SECRET_KEYS="short")
        assert done.returncode == 2
        assert "VESTIBULE_PORT" in done.stderr
        assert "VESTIBULE_SECRET_KEYS must be 43 characters" in done.stderr
        assert "Traceback" not in done.stderr

    def test_do_not_serve_without_a_database(self, tmp_path: Path) -> None:
        done = self.serve(tmp_path, VESTIBULE_DATABASE_URL="postgresql://me:hunter2@127.0.0.1:1/x")
        assert done.returncode == 1
        assert "storage_unavailable" in done.stderr
        assert "hunter2" not in done.stderr
        assert "Traceback" not in done.stderr

    @pytest.mark.parametrize("workers", ["1", "2"])
    def test_do_not_greet_where_they_cannot_listen(self, tmp_path: Path, workers: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            done = self.serve(tmp_path, VESTIBULE_PORT=port, VESTIBULE_WORKERS=workers)
        told = f"vestibule: port {port} is taken by another program; choose another with --port (cannot_listen)\n"
        assert (done.returncode, done.stdout, done.stderr) == (1, "", told)
        elsewhere = self.serve(tmp_path, VESTIBULE_PORT=port, VESTIBULE_HOST="192.0.2.1", VESTIBULE_WORKERS=workers)
        assert (elsewhere.returncode, elsewhere.stdout) == (1, "")
        assert elsewhere.stderr.startswith("vestibule: host 192.0.2.1 is no address of this machine")

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
