"""`vestibule workspace apply`, `diff` and `export`: one file declares everything, twice changes nothing, every mistake
is told at once with its line, no secret stands in it or is shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.admin import Admin
from tests.fixtures.front_door import Installation, Workspace

FILE = """\
[workspace]
customer_id = "{customer_id}"
name = "Acme"

[rate_limits]
standard = 250

[widget]
poll_seconds = 5
[[widget.modes]]
id = "sales"
name = "Sales"

[responder]
kind = "openai"
url = "https://models.example.com/v1"
model = "large"
api_key = {{ env = "MODEL_KEY" }}
instructions = {{ file = "instructions.md" }}
timeout = "30s"

[[identity_providers]]
name = "Staff login"
issuer = "https://login.example.com"
client_ids = ["widget"]

[[identity_providers]]
name = "Customers"
issuer = "https://id.example.com"
client_ids = ["shop"]
accepts = ["id_token", "opaque_access_token"]
introspection_client = {{ client_id = "us", client_secret = {{ env = "INTROSPECTION_SECRET" }} }}

[[api_keys]]
name = "shop"
expires_in = "90d"

[policy]
send_assertion = true

[variables.headers]
authorization = {{ env = "SHOP_TOKEN" }}
x-plan = "gold"

[[actions]]
name = "look_up_order"
method = "GET"
url_template = "https://api.example.com/orders/{{id}}"
description = "Shows an order."
[[actions.parameters]]
location = "path"
name = "id"
required = true
schema = {{ type = "string" }}
"""
SECRETS = {
    "MODEL_KEY": "canary-model-key",
    "INTROSPECTION_SECRET": "canary-introspection",
    "SHOP_TOKEN": "env:canary-shop-token",  # looks like a reference, and is none
}


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def customer_id(workspace: Workspace) -> str:
    found: str = workspace.installation.cli("workspace", "show", workspace.id)["customer_id"]
    return found


def write(directory: Path, text: str, name: str = "workspace.toml") -> str:
    (directory / "instructions.md").write_text("Be kind.\n", encoding="utf-8")
    (directory / name).write_text(text, encoding="utf-8")
    return str(directory / name)


@pytest.fixture
def file(tmp_path: Path, customer_id: str) -> str:
    return write(tmp_path, FILE.format(customer_id=customer_id))


def problems(installation: Installation, path: str, *options: str) -> list[str]:
    refused = installation.command("workspace", "apply", path, *options, "--json")
    return refused.refused("invalid_declaration").split("; ")


class TestApplying:
    def test_makes_everything_true(self, workspace: Workspace, file: str) -> None:
        cli, own = workspace.installation.cli, ("-w", workspace.id)
        done = cli("workspace", "apply", file)
        assert (done["workspace_id"], done["created"]) == (workspace.id, False)
        shown = cli("workspace", "show", workspace.id)
        assert (shown["name"], shown["rate_limits"]["standard"]) == ("Acme", 250)
        assert cli("widget", "show", *own)["modes"] == [{"id": "sales", "name": "Sales", "slug": None}]
        responder = cli("responder", "show", *own)
        assert (responder["kind"], responder["instructions"], responder["timeout"]) == ("openai", "Be kind.", "30s")
        assert responder["api_key"] == "set"
        assert [each["name"] for each in cli("provider", "list", *own)["items"]] == ["Staff login", "Customers"]
        action = cli("action", "show", "look_up_order", *own)
        assert action["variables"] == {"headers": ["authorization", "x-plan"]}
        assert action["policy"]["send_assertion"]
        key = done["made"]["api_keys.shop"]
        answer = workspace.post(b'{"email":"ada@example.com"}', {"authorization": f"Bearer {key}"})
        assert answer.status_code == 200

    def test_twice_changes_nothing(self, workspace: Workspace, file: str) -> None:
        cli = workspace.installation.cli
        cli("workspace", "apply", file)
        rows = "SELECT seq FROM audit_entries WHERE workspace_id = $1 ORDER BY seq"
        before = workspace.installation.rows(rows, workspace.id)
        again = cli("workspace", "apply", file)
        assert (again["differences"], again["made"]) == ([], {})
        assert workspace.installation.rows(rows, workspace.id) == before, "nothing was written"
        assert cli("workspace", "diff", file)["differences"] == []

    def test_makes_a_workspace_that_is_not_there(self, installation: Installation, tmp_path: Path) -> None:
        path = write(tmp_path, '[workspace]\ncustomer_id = "brand-new"\nname = "New"\n[[api_keys]]\nname = "shop"\n')
        dry = installation.command("workspace", "diff", path, "--json").json
        assert (dry["created"], dry["workspace_id"], dry["made"]) == (True, None, {})
        made = installation.cli("workspace", "apply", path)
        assert made["created"]
        assert made["made"]["api_keys.shop"].startswith("vst_key_")
        assert installation.cli("workspace", "show", made["workspace_id"])["customer_id"] == "brand-new"
        assert installation.cli("workspace", "apply", path)["created"] is False
        installation.rows("DELETE FROM workspaces WHERE id = $1", made["workspace_id"])

    def test_what_the_file_does_not_mention_stays_unless_pruned(
        self, workspace: Workspace, file: str, tmp_path: Path, customer_id: str
    ) -> None:
        cli = workspace.installation.cli
        cli("workspace", "apply", file)
        fewer = write(
            tmp_path,
            f"""[workspace]
customer_id = "{customer_id}"
[[identity_providers]]
name = "Customers"
issuer = "https://id.example.com"
client_ids = ["shop"]
[[actions]]
name = "other"
method = "GET"
url_template = "https://api.example.com/"
""",
            "fewer.toml",
        )
        done = cli("workspace", "apply", fewer)
        assert done["kept"] == ["identity_providers.Staff login", "actions.look_up_order"]
        own = ("-w", workspace.id)
        assert len(cli("provider", "list", *own)["items"]) == 2
        assert cli("responder", "show", *own)["kind"] == "openai", "a section that is not there is left alone"
        pruned = cli("workspace", "apply", fewer, "--prune")
        assert pruned["kept"] == []
        assert [each["name"] for each in cli("provider", "list", *own)["items"]] == ["Customers"]
        assert [each["name"] for each in cli("action", "list", *own)["items"]] == ["other"]
        keys = cli("api-key", "list", *own)["items"]
        assert [each["name"] for each in keys if each["state"] == "active"] == ["", "shop"]
        assert cli("workspace", "apply", fewer, "--prune")["differences"] == []

    def test_providers_come_to_stand_in_the_file_s_order(
        self, workspace: Workspace, file: str, tmp_path: Path, customer_id: str
    ) -> None:
        cli = workspace.installation.cli
        cli("workspace", "apply", file)
        head, first, rest = FILE.format(customer_id=customer_id).partition('[[identity_providers]]\nname = "Staff')
        staff, _, after = (first + rest).partition("\n\n[[identity_providers]]")
        customers, _, tail = ("[[identity_providers]]" + after).partition("\n\n[[api_keys]]")
        swapped = write(tmp_path, f"{head}{customers}\n\n{staff}\n\n[[api_keys]]{tail}", "swapped.toml")
        done = cli("workspace", "apply", swapped)
        assert [each["place"] for each in done["differences"]] == ["provider_order"]
        own = ("-w", workspace.id)
        assert [each["name"] for each in cli("provider", "list", *own)["items"]] == ["Customers", "Staff login"]
        assert cli("workspace", "apply", swapped)["differences"] == []

    def test_a_webhook_s_secret_is_made_once_and_kept(
        self, workspace: Workspace, tmp_path: Path, customer_id: str
    ) -> None:
        text = f'[workspace]\ncustomer_id = "{customer_id}"\n[responder]\nkind = "webhook"\n'
        path = write(tmp_path, text + 'url = "https://bot.example.com"\n')
        made = workspace.installation.cli("workspace", "apply", path)
        assert made["made"]["responder.secrets"].startswith("whsec_")
        again = workspace.installation.cli("workspace", "apply", path)
        assert (again["made"], again["differences"]) == ({}, [])


class TestDiff:
    def test_tells_and_changes_nothing(self, workspace: Workspace, file: str) -> None:
        printed = workspace.installation.command("workspace", "diff", file, "--json")
        assert printed.exit_code == 1
        places = {each["place"]: each["after"] for each in printed.json["differences"]}
        assert places["rate_limits.standard"] == 250
        assert places["workspace.name"] == "Acme"
        assert places["responder.api_key"] == places["variables.headers.authorization"] == "(secret)"
        assert workspace.installation.cli("workspace", "show", workspace.id)["name"] == "test"

    def test_a_changed_secret_shows_as_changed_and_no_more(
        self, workspace: Workspace, file: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        workspace.installation.cli("workspace", "apply", file)
        monkeypatch.setenv("MODEL_KEY", "canary-another")
        printed = workspace.installation.command("workspace", "diff", file, "--json")
        assert printed.json["differences"] == [
            {"place": "responder.api_key", "before": "(secret)", "after": "(secret)"}
        ]

    def test_no_secret_is_printed_or_kept_in_the_audit(self, workspace: Workspace, file: str) -> None:
        command = workspace.installation.command
        printed = [command("workspace", each, file, *how) for each in ("diff", "apply") for how in ((), ("--json",))]
        audit = workspace.installation.cli("audit", "tail", "-w", workspace.id, "--limit", "100")
        exported = command("workspace", "export", workspace.id).stdout
        assert "canary" not in "".join(each.stdout + each.stderr for each in printed) + json.dumps(audit) + exported


class TestExport:
    def test_is_a_file_that_changes_nothing(
        self, workspace: Workspace, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cli = workspace.installation.cli
        cli("workspace", "apply", file)
        target = tmp_path / "exported.toml"
        printed = workspace.installation.command("workspace", "export", workspace.id, "--output", str(target))
        assert printed.exit_code == 0
        monkeypatch.setenv("RESPONDER_API_KEY", SECRETS["MODEL_KEY"])
        monkeypatch.setenv("VARIABLES_HEADERS_AUTHORIZATION", SECRETS["SHOP_TOKEN"])
        monkeypatch.setenv("VARIABLES_HEADERS_X_PLAN", "gold")
        name = "IDENTITY_PROVIDERS_1_INTROSPECTION_CLIENT_CLIENT_SECRET"
        monkeypatch.setenv(name, SECRETS["INTROSPECTION_SECRET"])
        assert cli("workspace", "apply", str(target))["differences"] == []

    def test_moves_to_another_workspace(self, workspace: Workspace, tmp_path: Path) -> None:
        cli = workspace.installation.cli
        cli("widget", "set", "-w", workspace.id, "--poll-seconds", "7")
        text = workspace.installation.command("workspace", "export", workspace.id).stdout
        other = workspace.installation.workspace()
        without = "\n".join(line for line in text.splitlines() if not line.startswith("customer_id"))
        cli("workspace", "apply", write(tmp_path, without), "-w", other.id)
        assert cli("widget", "show", "-w", other.id)["poll_seconds"] == 7


class TestMistakes:
    def test_are_all_told_at_once_each_with_its_line(self, installation: Installation, tmp_path: Path) -> None:
        path = write(
            tmp_path,
            """[workspace]
nam = "x"
[rate_limits]
standard = "many"
[widget]
poll_seconds = 0.1
[responder]
kind = "oracle"
api_key = "in-the-clear-canary"
[responders]
[[identity_providers]]
name = "A"
issuer = "ftp://login.example.com"
client_ids = [3]
[[identity_providers]]
issuer = "https://x.example.com"
introspection_client = { client_id = "us", client_secret = { env = "NOT_THERE" } }
[[api_keys]]
name = "shop"
scopes = ["everything"]
[variables.headers]
host = "x"
authorization = { file = "nowhere" }
[[actions]]
name = "Bad Name"
method = "GET"
url_template = "https://api.example.com/"
""",
        )
        found = problems(installation, path)
        starts = {line.split(":", 2)[0] + ":" + line.split(":", 2)[1] for line in found if line.startswith("line ")}
        assert starts == {
            "line 2: workspace.nam",
            "line 4: rate_limits.standard",
            "line 6: widget.poll_seconds",
            "line 8: responder.kind",
            "line 9: responder.api_key",
            "line 10: responders",
            "line 14: identity_providers[0].client_ids[0]",
            "line 15: identity_providers[1].name",
            "line 17: identity_providers[1].introspection_client.client_secret",
            "line 20: api_keys[0].scopes[0]",
            "line 22: variables.headers.host",
            "line 23: variables.headers.authorization",
            "line 24: actions[0] (Bad Name)",
        }
        assert "canary" not in " ".join(found)

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("[workspace\n", "at line 1"),
            ("[workspace]\nname = \n", "at line 2"),
            ("a = 1\na = 2\n", "at line 2"),
            ("workspace = 3\n", "line 1: workspace: must be a table"),
            ("identity_providers = 3\n", "line 1: identity_providers: must be tables"),
            ('[workspace]\nname = "x"\n', "customer_id"),
            ('[workspace]\ncustomer_id = "nobody-here"\n', "name: is required"),
        ],
    )
    def test_of_toml_and_of_the_whole(self, installation: Installation, tmp_path: Path, text: str, told: str) -> None:
        assert told in " ".join(problems(installation, write(tmp_path, text)))

    def test_rules_of_the_whole(self, workspace: Workspace, tmp_path: Path, customer_id: str) -> None:
        twice = '[[identity_providers]]\nname = "{}"\nissuer = "https://x.example.com"\nclient_ids = ["a"]\n'
        head = f'[workspace]\ncustomer_id = "{customer_id}"\n'
        installation = workspace.installation
        same = problems(installation, write(tmp_path, head + twice.format("a") + twice.format("a")))
        assert same == ["line 8: identity_providers[1].name: is another one's, too"]
        clash = problems(installation, write(tmp_path, head + twice.format("a") + twice.format("b")))
        assert "takes the same kind of tokens" in " ".join(clash)
        other = f'[workspace]\ncustomer_id = "{customer_id}x"\n'
        assert "never changes" in " ".join(problems(installation, write(tmp_path, other), "-w", workspace.id))

    def test_nothing_is_changed_where_there_is_one(
        self, workspace: Workspace, tmp_path: Path, customer_id: str
    ) -> None:
        text = f'[workspace]\ncustomer_id = "{customer_id}"\nname = "Changed"\n[widget]\npoll_seconds = 0\n'
        problems(workspace.installation, write(tmp_path, text))
        assert workspace.installation.cli("workspace", "show", workspace.id)["name"] == "test"

    def test_come_in_the_order_of_their_lines_and_each_once(self, installation: Installation, tmp_path: Path) -> None:
        path = write(
            tmp_path,
            """[[webhooks]]
name = "crm"
url = "https://crm.example.com/"
secrets = [{ env = "NOT_THERE" }]
[responder]
kind = "webhook"
url = { env = "NOT_THERE" }
[rate_limits]
standard = 0
[[webhooks]]
name = "short"
url = "https://crm.example.com/"
secrets = [{ file = "instructions.md" }]
""",
        )
        assert problems(installation, path) == [
            "line 4: webhooks[0].secrets[0]: the environment has no NOT_THERE",
            "line 7: responder.url: the environment has no NOT_THERE",
            "line 9: rate_limits.standard: must be 1 to 1000000000",
            "line 13: webhooks[1].secrets: must be whsec_ and base64 of at least 24 bytes",
        ]

    def test_a_file_that_is_not_there(self, installation: Installation, tmp_path: Path) -> None:
        assert "cannot be read" in problems(installation, str(tmp_path / "nowhere.toml"))[0]


def test_the_api_shows_what_the_file_declared(workspace: Workspace, file: str) -> None:
    workspace.installation.cli("workspace", "apply", file)
    admin = Admin(workspace.installation, workspace.id)
    shown: dict[str, Any] = admin.get("identity-providers")["items"][1]
    assert (shown["name"], shown["introspection_client"]["has_secret"]) == ("Customers", True)
