"""One file declares the whole of a workspace: applied twice it changes nothing, and exported it makes the same
elsewhere."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.admin import Admin
from tests.fixtures.certificates import key_pem, made, pem
from tests.fixtures.front_door import Installation, Printed, Workspace
from tests.fixtures.staff import browser

FILE = """\
[workspace]
customer_id = "{customer_id}"
name = "Acme"

[rate_limits]
standard = 250

[retention]
unverified_contacts = "30d"
closed_conversations = "365d"
audit = "36h"

[widget]
allowed_origins = ["https://shop.example.com"]

[visitor_sessions]
allowed_addresses = ["192.0.2.0/24"]

[responder]
kind = "webhook"
url = "https://bot.example.com/?token=canary-url"

[auth_endpoint]
url = {{ env = "AUTH_URL" }}
header_token = {{ env = "AUTH_TOKEN" }}
header_form = "Bearer {{token}}"
fields = ["user_id", "email"]
identity_method = "email"
restrict_domains = true
domains = ["Example.com", "*.example.org"]
client_certificate = {{ file = "client.pem" }}
client_key = {{ file = "client.key" }}
cache_seconds = 30

[[identity_providers]]
name = "Customers"
issuer = "https://id.example.com"
client_ids = ["shop"]

[[queues]]
key = "sales"
name = "Sales"
identified_only = true
hours = ["mon-fri 09:00-17:00"]
time_zone = "Europe/Oslo"

[[queues]]
key = "support"

[[webhooks]]
name = "crm"
url = "https://crm.example.com/events"
events = ["contact.erased", "conversation.closed"]
names = "opencx"
secrets = [{{ env = "CRM_SECRET" }}]

[[webhooks]]
name = "everything"
url = {{ env = "EVENTS_URL" }}

[[staff]]
email = "grace@{customer_id}.example.com"
name = "Grace"
role = "owner"

[[staff]]
email = "alan@{customer_id}.example.com"
disabled = true

[[api_keys]]
name = "shop"
expires_in = "90d"

[policy]
send_assertion = true

[variables.headers]
authorization = {{ env = "SHOP_TOKEN" }}

[[actions]]
name = "look"
method = "GET"
url_template = "https://api.example.com/orders"
"""
SECRETS = {
    "AUTH_URL": "https://auth.example.com/who?key=canary-auth-url",
    "AUTH_TOKEN": "canary-auth-token",
    "CRM_SECRET": "whsec_Y2FuYXJ5LWNybS1zZWNyZXQtY2FuYXJ5LWNybS1zZWNyZXQ=",
    "EVENTS_URL": "https://api.example.com/events?token=canary-events",
    "SHOP_TOKEN": "canary-shop-token",
}


_BOTH: tuple[tuple[str, ...], ...] = ((), ("--json",))


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def file(workspace: Workspace, tmp_path: Path) -> Path:
    customer_id = workspace.installation.cli("workspace", "show", workspace.id)["customer_id"]
    certificate, key = made("client")
    (tmp_path / "client.pem").write_text(pem(certificate), encoding="utf-8")
    (tmp_path / "client.key").write_text(key_pem(key), encoding="utf-8")
    (tmp_path / "workspace.toml").write_text(FILE.format(customer_id=customer_id), encoding="utf-8")
    return tmp_path / "workspace.toml"


def changed(file: Path, before: str, after: str) -> str:
    text = file.read_text(encoding="utf-8")
    assert before in text
    other = file.with_name("changed.toml")
    other.write_text(text.replace(before, after), encoding="utf-8")
    return str(other)


def entries(workspace: Workspace) -> list[Any]:
    sql = "SELECT seq FROM audit_entries WHERE workspace_id = $1 ORDER BY seq"
    return workspace.installation.rows(sql, workspace.id)


class TestApplying:
    def test_makes_everything_true_and_the_second_time_changes_nothing(self, workspace: Workspace, file: Path) -> None:
        cli, admin = workspace.installation.cli, Admin(workspace.installation, workspace.id)
        done = cli("workspace", "apply", str(file))
        name = f"grace@{cli('workspace', 'show', workspace.id)['customer_id']}.example.com".lower()
        assert set(done["made"]) == {
            "responder.secrets",
            "auth_endpoint.secrets",
            "webhooks.everything",
            f"staff.{name}",
            "api_keys.shop",
        }
        assert admin.get("")["retention"] == {
            "unverified_contacts": 30 * 86_400,
            "closed_conversations": 365 * 86_400,
            "audit": 36 * 3_600,
        }
        endpoint = admin.get("auth-endpoint")
        assert (endpoint["url"], endpoint["header_form"]) == ("https://auth.example.com/who?…", "Bearer {token}")
        assert (endpoint["domains"], endpoint["client_certificate"]) == (["example.com", "*.example.org"], True)
        assert [queue["key"] for queue in admin.get("queues")["items"]] == ["sales", "support"]
        crm, everything = sorted(admin.get("webhooks")["items"], key=lambda each: str(each["name"]))
        assert (crm["events"], crm["names"]) == (["contact.erased", "conversation.closed"], "opencx")
        assert len(everything["events"]) == 8
        people = {each["email"].partition("@")[0]: each for each in admin.get("staff")["items"]}
        assert (people["grace"]["role"], people["grace"]["name"]) == ("owner", "Grace")
        assert people["alan"]["disabled_at"] is not None
        assert cli("workspace", "addresses", workspace.id)["allowed_addresses"] == ["192.0.2.0/24"]
        link = done["made"][f"staff.{name}"].partition("link=")[2]
        assert browser(workspace.installation.base_url).get(f"/dashboard/welcome?link={link}").status_code == 200
        before = entries(workspace)
        again = cli("workspace", "apply", str(file))
        assert (again["differences"], again["made"], again["kept"]) == ([], {}, [])
        assert entries(workspace) == before, "nothing was written"

    def test_changes_what_differs_and_nothing_else(self, workspace: Workspace, file: Path) -> None:
        cli = workspace.installation.cli
        cli("workspace", "apply", str(file))
        others = changed(file, 'role = "owner"', 'role = "viewer"')
        other = changed(Path(others), 'names = "opencx"\n', "")
        done = cli("workspace", "apply", other)
        assert sorted(each["place"].rpartition(".")[2] for each in done["differences"]) == ["names", "role"]
        assert done["made"] == {}
        assert cli("workspace", "apply", other)["differences"] == []
        longer = cli("workspace", "apply", changed(file, 'audit = "36h"\n', ""))
        assert {"place": "retention.audit", "before": "36h", "after": None} in longer["differences"]

    def test_prune_removes_what_is_not_mentioned_and_shuts_staff_out(self, workspace: Workspace, file: Path) -> None:
        cli, admin = workspace.installation.cli, Admin(workspace.installation, workspace.id)
        admin.do("PUT", "queues/old", {"name": "Old"})
        old = admin.do("POST", "webhooks", {"url": "https://old.example.com/"})["id"]
        admin.do("POST", "staff", {"email": f"old.{workspace.id}@example.com"})
        done = cli("workspace", "apply", str(file))
        assert done["kept"] == ["queues.old", f"webhooks.{old}", f"staff.old.{workspace.id}@example.com"]
        pruned = cli("workspace", "apply", str(file), "--prune")
        assert pruned["kept"] == []
        assert [queue["key"] for queue in admin.get("queues")["items"]] == ["sales", "support"]
        assert len(admin.get("webhooks")["items"]) == 2
        [shut_out] = [each for each in admin.get("staff")["items"] if each["email"].startswith("old.")]
        assert shut_out["disabled_at"] is not None
        assert cli("workspace", "apply", str(file), "--prune")["differences"] == []

    def test_one_that_was_made_without_a_name_goes_by_its_id(self, workspace: Workspace, tmp_path: Path) -> None:
        admin = Admin(workspace.installation, workspace.id)
        found = admin.do("POST", "webhooks", {"url": "https://old.example.com/"})["id"]
        path = tmp_path / "a.toml"
        path.write_text(f'[[webhooks]]\nname = "{found}"\nurl = "https://new.example.com/"\n', encoding="utf-8")
        workspace.installation.cli("workspace", "apply", str(path), "-w", workspace.id)
        [shown] = admin.get("webhooks")["items"]
        assert (shown["id"], shown["address"]) == (found, "https://new.example.com/")

    def test_as_a_table_shows_a_certificate_s_first_words_only(self, workspace: Workspace, file: Path) -> None:
        table = workspace.installation.command("workspace", "diff", str(file)).stdout
        assert "-----BEGIN CERTIFICATE-----" in table
        assert "END CERTIFICATE" not in table
        assert {*table.partition("\n")[0].split()} == {"place", "before", "after"}

    def test_no_secret_is_printed_or_kept_in_the_audit(self, workspace: Workspace, file: Path) -> None:
        command = workspace.installation.command
        printed = [
            command("workspace", each, str(file), *how) for each in ("diff", "apply") for how in ((), ("--json",))
        ]
        other = changed(file, "cache_seconds = 30", "cache_seconds = 31")
        printed.append(command("workspace", "diff", other, "--json"))
        audit = workspace.installation.cli("audit", "tail", "-w", workspace.id, "--limit", "100")
        exported = command("workspace", "export", workspace.id).stdout
        text = "".join(each.stdout + each.stderr for each in printed) + json.dumps(audit) + exported
        assert "canary" not in text
        assert SECRETS["CRM_SECRET"] not in text
        assert "PRIVATE KEY" not in text


class TestExport:
    def test_makes_the_same_of_an_empty_installation(
        self, workspace: Workspace, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        installation = workspace.installation
        installation.cli("workspace", "apply", str(file))
        exported = installation.command("workspace", "export", workspace.id).stdout
        there = Elsewhere(installation, tmp_path)
        (tmp_path / "exported.toml").write_text(exported, encoding="utf-8")
        for name in re.findall(r'\{ env = "([A-Z0-9_]+)" \}', exported):
            monkeypatch.setenv(name, secret_for(name, tmp_path))
        made_there = there.run("workspace", "apply", str(tmp_path / "exported.toml"), "--json").json
        assert made_there["created"]
        again = there.run("workspace", "export", made_there["workspace_id"]).stdout
        assert again == exported
        assert there.run("workspace", "diff", str(tmp_path / "exported.toml"), "--json").json["differences"] == []
        sections = set(tomllib.loads(exported))
        assert sections == set(tomllib.loads(file.read_text(encoding="utf-8")))


class TestMistakes:
    def test_of_every_section_are_told_at_once_each_with_its_line(
        self, installation: Installation, tmp_path: Path
    ) -> None:
        path = tmp_path / "wrong.toml"
        path.write_text(
            """\
[retention]
audit = "soon"
closed_conversations = "99999d"
[visitor_sessions]
allowed_addresses = ["here"]
[auth_endpoint]
url = "http://10.0.0.1/"
header_token = "canary-in-the-clear"
identity_method = "name"
domains = ["https://example.com"]
[[queues]]
key = "a"
hours = ["sometimes"]
[[queues]]
key = "a"
time_zone = "Mars/Olympus"
[[staff]]
email = "nobody"
role = "king"
[[staff]]
name = "No e-mail"
[[webhooks]]
name = "crm"
url = "http://crm.example.com/?canary"
events = ["contact.born"]
[[webhooks]]
name = "other"
url = "https://10.0.0.1/"
secrets = ["whsec_canary"]
[[webhooks]]
name = "third"
url = { env = "NOT_THERE" }
events = []
""",
            encoding="utf-8",
        )
        told = installation.command("workspace", "apply", str(path), "--json").refused("invalid_declaration")
        found = told.split("; ")
        assert {int(match[1]) for line in found if (match := re.match(r"line (\d+):", line))} >= {
            2,
            3,
            5,
            8,
            9,
            13,
            15,
            16,
            19,
            20,
            25,
            28,
            29,
            32,
            33,
        }, found
        assert all(line.startswith("line ") for line in found), found
        assert "canary" not in told

    def test_what_would_be_refused_halfway_is_refused_before_anything_is_changed(
        self, workspace: Workspace, tmp_path: Path
    ) -> None:
        installation = workspace.installation
        other = Admin(installation, installation.workspace().id)
        email = f"taken.{workspace.id}@example.com"
        other.do("POST", "staff", {"email": email})
        many = "".join(f'[[webhooks]]\nname = "w{n}"\nurl = "https://a.example.com/"\n' for n in range(21))
        path = tmp_path / "taken.toml"
        path.write_text(f'[workspace]\nname = "Changed"\n[[staff]]\nemail = "{email}"\n{many}', encoding="utf-8")
        printed = installation.command("workspace", "apply", str(path), "-w", workspace.id, "--json")
        told = printed.refused("invalid_declaration")
        assert "another workspace" in told
        assert "webhooks: must be at most 20" in told
        assert installation.cli("workspace", "show", workspace.id)["name"] == "test"


class Elsewhere:
    """Another installation, with a database and a secret key of its own."""

    def __init__(self, installation: Installation, directory: Path) -> None:
        self._installation = installation
        self._settings = {
            "VESTIBULE_DATABASE_URL": f"sqlite:///{directory}/elsewhere.db",
            "VESTIBULE_FILES_DIRECTORY": str(directory / "files"),
        }
        assert self.run("migrate").exit_code == 0

    def run(self, *arguments: str) -> Printed:
        return self._installation.command(*arguments, settings=self._settings)


def secret_for(name: str, directory: Path) -> str:
    """What an operator would set: of the form that its place asks for."""
    if name == "AUTH_ENDPOINT_CLIENT_KEY":
        return (directory / "client.key").read_text(encoding="utf-8")
    return "https://somewhere.example.com/?a=1" if name.endswith("URL") else "a-secret-of-some-length"
