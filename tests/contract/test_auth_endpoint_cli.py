"""`vestibule auth-endpoint`: what operators set, see and try."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.certificates import key_pem, made, pem
from tests.fixtures.fake_auth_endpoint import FakeAuthEndpoint, signed_in
from tests.fixtures.front_door import Installation, Printed, Workspace

TOKEN = "canary-header-token"


@pytest.fixture
def workspace(responding: Installation) -> Workspace:
    return responding.workspace()


@pytest.fixture
def fake() -> Iterator[FakeAuthEndpoint]:
    people = {"canary-user-token": {"id": 7, "name": "Ada", "phone_number": "0901234567", "country_code": "+84"}}
    with FakeAuthEndpoint(people) as running:
        yield running


def put(workspace: Workspace, *arguments: str, stdin: str = "") -> Printed:
    return workspace.installation.command("auth-endpoint", "set", "-w", workspace.id, *arguments, "--json", stdin=stdin)


def tried(workspace: Workspace, *arguments: str, token: str = "canary-user-token") -> Printed:
    given = ("auth-endpoint", "test", "-w", workspace.id, "--user-token", "-", *arguments)
    return workspace.installation.command(*given, stdin=f"{token}\n")


def basic(workspace: Workspace, fake: FakeAuthEndpoint) -> Printed:
    return put(workspace, "--url", f"{fake.url}/whoami?key=canary", "--header-token-file", "-", stdin=TOKEN)


class TestSettings:
    def test_are_shown_without_their_secrets(self, workspace: Workspace, fake: FakeAuthEndpoint) -> None:
        made = basic(workspace, fake).json
        assert made["url"] == f"{fake.url}/whoami?…"
        assert (made["header_token"], made["header_form"], made["secrets"]) == (True, "{token} Bearer", 1)
        assert made["secret"].startswith("whsec_")
        shown = workspace.installation.command("auth-endpoint", "show", "-w", workspace.id, "--json")
        assert "canary" not in shown.stdout
        assert "whsec_" not in shown.stdout
        assert shown.json["identity_method"] == "id"

    def test_what_is_not_given_stays(self, workspace: Workspace, fake: FakeAuthEndpoint) -> None:
        basic(workspace, fake)
        put(workspace, "--identity-method", "phone_number", "--country-code", "+84", "--field", "user_id")
        put(workspace, "--required-login", "--restrict-domains", "--domain", "Shop.Example", "--native-apps")
        put(workspace, "--cache", "5m", "--fallback", "guest", "--header-form", "Bearer {token}")
        shown = put(workspace, "--no-required-login").json
        assert "secret" not in shown
        assert (
            shown
            | {
                "identity_method": "phone_number",
                "country_code": "+84",
                "fields": ["user_id"],
                "required_login": False,
                "restrict_domains": True,
                "domains": ["shop.example"],
                "native_apps": True,
                "cache_seconds": 300,
                "fallback": "guest",
                "header_form": "Bearer {token}",
                "header_token": True,
            }
            == shown
        )

    def test_lie_sealed(self, workspace: Workspace, fake: FakeAuthEndpoint) -> None:
        basic(workspace, fake)
        rows = workspace.installation.rows(
            "SELECT sealed_document FROM workspace_settings WHERE workspace_id = $1", workspace.id
        )
        assert rows
        assert "canary" not in str(rows)
        assert "whoami" not in str(rows)

    @pytest.mark.parametrize(
        ("arguments", "stdin", "names"),
        [
            (("--header-token-file", "-"), "a\r\nX-Evil: 1", "header_token"),
            (("--header-token-file", "-"), "a\nb", "header_token"),
            (("--header-token-file", "-"), "t\u00f6ken", "header_token"),
            (("--header-token-file", "-"), "a\x00b", "header_token"),
            (("--header-token-file", "-"), "a" * 4097, "header_token"),
            (("--header-name", "Content-Length"), "", "header_name"),
            (("--header-name", "webhook-signature"), "", "header_name"),
            (("--header-name", "X Y"), "", "header_name"),
            (("--url", "https://user:pw@example.com/"), "", "url"),
            (("--url", "https://example.com/#x"), "", "url"),
            (("--domains-url", "file:///etc/passwd"), "", "domains_url"),
            (("--country-code", "+999"), "", "country_code"),
            (("--country-code", "xx"), "", "country_code"),
            (("--cache", "301s"), "", "cache_seconds"),
            (("--domain", "https://example.com"), "", "domains"),
            (("--settings", "-"), "ca = 'not PEM'", "ca"),
            (("--settings", "-"), "urll = 'x'", "urll"),
            (("--settings", "-"), "identity_method = 'name'", "enum"),
        ],
    )
    def test_what_cannot_be_used_is_refused(
        self, workspace: Workspace, arguments: tuple[str, ...], stdin: str, names: str
    ) -> None:
        printed = put(workspace, *arguments, stdin=stdin)
        assert printed.exit_code == 1
        assert names in printed.json["error"]["message"]
        assert "Evil" not in printed.stdout

    def test_certificates_are_read_when_they_are_set(
        self, workspace: Workspace, fake: FakeAuthEndpoint, tmp_path: Path
    ) -> None:
        certificate, key = made("vestibule")
        files = {"c.pem": pem(certificate), "k.pem": key_pem(key), "other.pem": key_pem(made("x")[1]), "no.pem": "-"}
        for name, text in files.items():
            (tmp_path / name).write_text(text)

        def given(**named: str) -> Printed:
            options = [text for name, file in named.items() for text in (f"--{name}", str(tmp_path / file))]
            return put(workspace, *(option.replace("_", "-") if "/" not in option else option for option in options))

        basic(workspace, fake)
        given(client_certificate="c.pem").refused("invalid_declaration", names="needs its client_key")
        given(client_certificate="c.pem", client_key="other.pem").refused("invalid_declaration", names="is not that of")
        given(client_certificate="c.pem", client_key="no.pem").refused("invalid_declaration", names="client_key")
        given(client_certificate="k.pem", client_key="k.pem").refused("invalid_declaration", names="client_certificate")
        given(ca="no.pem").refused("invalid_declaration", names="ca: must be certificates")
        shown = given(client_certificate="c.pem", client_key="k.pem", ca="c.pem")
        assert (shown.json["client_certificate"], shown.json["client_key"], shown.json["ca"]) == (True, True, True)
        assert "BEGIN" not in shown.stdout

    def test_a_header_token_stays_at_home(self, workspace: Workspace, fake: FakeAuthEndpoint) -> None:
        basic(workspace, fake)
        put(workspace, "--url", "https://elsewhere.example/").refused("invalid_field", names="header_token")
        put(workspace, "--domains-url", "https://elsewhere.example/").refused("invalid_field", names="header_token")
        told = put(workspace, "--url", "nonsense").refused("invalid_declaration")
        assert "url: may not be called" in told, "what is no URL is no other server"
        assert put(workspace, "--url", f"{fake.url}/other", "--domains-url", f"{fake.url}/domains").exit_code == 0

    @pytest.mark.parametrize(
        ("arguments", "token", "warning"),
        [
            ((), "Bearer abc", "has the word Bearer in it"),
            ((), "YWJj/ZGVm=", "proxies may drop"),
            (("--header-form", "Bearer {token}"), "YWJj/ZGVm=", None),
            ((), "abc", None),
        ],
    )
    def test_warn_of_what_is_unwise(
        self, workspace: Workspace, arguments: tuple[str, ...], token: str, warning: str | None
    ) -> None:
        given = ("--url", "https://a.example/", "--header-token-file", "-", *arguments)
        warnings = put(workspace, *given, stdin=token).json["warnings"]
        assert any(warning in found for found in warnings) if warning else not warnings

    def test_are_looked_over_by_doctor(self, workspace: Workspace, fake: FakeAuthEndpoint) -> None:
        basic(workspace, fake)
        put(workspace, "--rotate-secret", "--restrict-domains")
        items = workspace.installation.command("doctor", "--json").json["items"]
        told = [item["message"] for item in items if workspace.id in item["message"]]
        assert any("an old signing secret" in message for message in told)
        assert any("no page may open the chat" in message for message in told)

    def test_remove_forgets_all(self, workspace: Workspace, fake: FakeAuthEndpoint) -> None:
        basic(workspace, fake)
        contact = signed_in(workspace, "canary-user-token")["contact"]["id"]
        assert workspace.installation.cli("auth-endpoint", "remove", "-w", workspace.id)["removed"].endswith("?…")
        assert workspace.installation.cli("auth-endpoint", "show", "-w", workspace.id)["url"] == ""
        assert workspace.contact(contact)["name"] == "Ada"


class TestTrial:
    def test_shows_the_request_without_secrets_the_answer_and_the_contact(
        self, workspace: Workspace, fake: FakeAuthEndpoint
    ) -> None:
        basic(workspace, fake)
        put(workspace, "--field", "user_id", "--identity-method", "phone_number")
        before = workspace.contacts()
        printed = tried(workspace, "--page-field", "user_id=7", "--json")
        assert printed.exit_code == 0
        trial = printed.json
        assert trial["verdict"] == "accepted"
        assert trial["request"]["headers"]["Authorization"] == "<hidden> Bearer"
        assert json.loads(trial["request"]["body"]) == {"access_token": "<hidden>", "user_id": "7"}
        assert [attempt["status"] for attempt in trial["attempts"]] == [200]
        assert trial["keys"]["phone_number"] == "+84901234567"
        assert (trial["outcome"], trial["contact_id"]) == ("created", None)
        assert trial["fields"]["name"] == "accepted"
        assert "canary" not in printed.stdout
        assert workspace.contacts() == before == []
        contact = signed_in(workspace, "canary-user-token")["contact"]["id"]
        again = tried(workspace, "--json").json
        assert (again["outcome"], again["contact_id"]) == ("unchanged", contact)

    def test_says_why_not(self, workspace: Workspace, fake: FakeAuthEndpoint) -> None:
        basic(workspace, fake)
        fake.always({"status": False, "message": "session expired"})
        printed = tried(workspace, "--json")
        assert printed.exit_code == 1
        assert printed.json["error"] == "auth_rejected"
        assert "session expired" in printed.json["detail"]
        fake.always({"status": True, "data": {"name": "Ada"}})
        trial = tried(workspace, "--json").json
        assert (trial["verdict"], trial["error"], trial["step"]) == (
            "could_not_tell",
            "auth_identity_missing",
            "identity",
        )
        fake.always(b"{", 503)
        trial = tried(workspace, "--json").json
        assert [attempt["status"] for attempt in trial["attempts"]] == [503, 503]
        assert trial["error"] == "auth_unavailable"

    def test_speaks_to_people(self, workspace: Workspace, fake: FakeAuthEndpoint) -> None:
        basic(workspace, fake)
        printed = tried(workspace)
        assert printed.exit_code == 0
        assert "accepted" in printed.stdout
        assert "canary" not in printed.stdout

    def test_needs_an_endpoint_and_a_token(self, workspace: Workspace, fake: FakeAuthEndpoint) -> None:
        tried(workspace, "--json").refused("not_found")
        basic(workspace, fake)
        tried(workspace, "--json", token="%USER_TOKEN%").refused("invalid_field")
        tried(workspace, "--page-field", "role=admin", "--json").refused("invalid_option", exit_code=2)
