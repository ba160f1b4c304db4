"""The commands for workspaces, API keys, contacts and tokens, and what a running server shows of them."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from tests.fixtures.command_line import Cli
from tests.fixtures.fake_provider import FakeProvider
from tests.fixtures.front_door import Installation, Workspace
from tests.fixtures.puzzel import Front
from tests.fixtures.responding import eventually
from tests.fixtures.widget import claiming, unverified_token
from vestibule.clock import now_ms
from vestibule.ids import new_id
from vestibule.surfaces.native.token import EXCHANGE, ID_TOKEN

FORM = {"content-type": "application/x-www-form-urlencoded"}


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

    def test_are_not_over_before_they_begin(self, cli: Cli, workspace: Workspace) -> None:
        for command in ("api-key", "admin-key"):
            refused = cli(command, "create", "-w", workspace.id, "--expires-in", "0s", "--json")
            refused.refused("invalid_field", names="lifetime")

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

    def test_that_are_merged_come_back_by_either_email_with_the_number_of_one(
        self, cli: Cli, workspace: Workspace
    ) -> None:
        number = "+4930901820"
        _, first = workspace.sign_in("first@example.com", phone=number)
        _, second = workspace.sign_in("second@example.com")
        cli("contact", "merge", first, second, "-w", workspace.id, "--json")
        for email in ("second@example.com", "first@example.com", "second@example.com"):
            assert workspace.sign_in(email, phone=number)[1] == second
        keys = [workspace.contact(each)["phone_key"] for each in (first, second)]
        assert keys == [number, None], "undoing the merge undoes it"

    def test_that_are_merged_are_signed_out_together_and_erased_by_the_one_that_leads(
        self, cli: Cli, workspace: Workspace
    ) -> None:
        (_, first), (_, second) = workspace.sign_in("first@example.com"), workspace.sign_in("second@example.com")
        of = ("-w", workspace.id, "--json")
        cli("contact", "merge", first, second, *of)
        assert cli("contact", "sign-out", first, *of).json == {"signed_out": [second, first]}
        assert cli("contact", "export", first, "-w", workspace.id).json["contact"]["id"] == second
        assert cli("contact", "show", first, *of).json["id"] == first
        cli("contact", "erase", first, *of).refused("conflict", names=second)
        assert cli("contact", "erase", second, *of).json == {"erased": [second, first]}

    def test_that_are_merged_make_no_chains(self, cli: Cli, workspace: Workspace) -> None:
        ids = [workspace.sign_in(f"{name}@example.com")[1] for name in ("one", "two", "three")]
        of = ("-w", workspace.id, "--json")
        assert cli("contact", "merge", ids[0], ids[1], *of).exit_code == 0
        cli("contact", "merge", ids[1], ids[2], *of).refused("conflict", names="merged into this contact")
        store, now = workspace.installation.desk.contacts, now_ms()
        merged = workspace.installation.run(store.merge(workspace.id, ids[1], ids[2], now))
        assert not merged, "nor where both are merged at the same moment"
        assert cli("contact", "merge", ids[2], ids[1], *of).exit_code == 0

    def test_that_cannot_be_one_are_not_merged(self, cli: Cli, workspace: Workspace) -> None:
        ids = [workspace.sign_in(f"{name}@example.com")[1] for name in "abc"]
        of = ("-w", workspace.id, "--json")
        cli("contact", "merge", ids[0], ids[0], *of).refused("conflict")
        cli("contact", "unmerge", ids[0], *of).refused("conflict")
        cli("contact", "merge", ids[0], ids[1], *of)
        cli("contact", "merge", ids[0], ids[2], *of).refused("conflict")
        cli("contact", "merge", ids[2], ids[0], *of).refused("conflict")
        cli("contact", "merge", ids[1], ids[2], *of).refused("conflict")  # others are merged into it
        guest, store = claiming(workspace, "g@example.com"), workspace.installation.desk.contacts
        guest.say(guest.start(), "hello")
        cli("contact", "merge", guest.contact_id, ids[1], *of).refused("conflict", names="verified")
        merged = workspace.installation.run(store.merge(workspace.id, guest.contact_id, ids[1], now_ms()))
        assert not merged, "nor where one is proven at the same moment"
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
        """Neither rich's markup nor escape sequences may work in a contact's name or in the name of a member."""
        name = r"[red]x[/red]\[blue]z\[/]" + "\x1b[31m\r\n\x07[link=http://e]y:boom:"
        custom = {"\x1b]0;owned\x07[bold]k\\": "v"}
        _, contact_id = workspace.sign_in(name=name, chat_context="a\x9b2J", custom_data=custom)
        outcome = cli("contact", "show", contact_id, "-w", workspace.id)
        assert r"[red]x[/red]\[blue]z\[/]" in outcome.stdout
        assert "[link=http://e]y:boom:" in outcome.stdout
        assert "\ufffd]0;owned\ufffd[bold]k\\=v" in outcome.stdout
        assert not {"\x1b", "\x07", "\x9b", "\r"} & set(outcome.stdout)


class TestTokens:
    CHECKS = ("form", "header", "signature", "claims", "exp", "ended", "contact")

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
        foreign = cli("token", "inspect", token, "--json", public_url="https://other.example").json
        assert failed(foreign) == ["claims"]
        sql = "DELETE FROM contacts WHERE workspace_id = $1 AND id = $2"
        workspace.installation.rows(sql, workspace.id, contact_id)
        assert failed(cli("token", "inspect", token, "--json").json) == ["contact"]

    def test_that_were_ended_say_so(self, cli: Cli, workspace: Workspace) -> None:
        (mine, _), (everywhere, ada), (gone, bob) = (
            workspace.sign_in("own@example.com"),
            workspace.sign_in(),
            workspace.sign_in("bob@example.com"),
        )
        headers = {"authorization": f"Bearer {mine}"}
        assert workspace.installation.http.post("/v1/me/sign-out", headers=headers).status_code == 204
        cli("contact", "sign-out", ada, "-w", workspace.id, "--json")
        cli("contact", "erase", bob, "-w", workspace.id, "--json")
        for token in (mine, everywhere, gone):
            outcome = cli("token", "inspect", token, "--json")
            assert outcome.exit_code == 1
            assert failed(outcome.json) == ["ended"]
        again, _ = workspace.sign_in()
        assert cli("token", "inspect", again, "--json").exit_code == 0

    def test_that_ended_at_the_provider_are_those_that_the_door_refuses(self, front: Front, fake: FakeProvider) -> None:
        sessions: list[dict[str, Any]] = [{"sid": "s-1"}, {"sid": "s-2"}, {}]
        tokens = [exchanged(front, fake.id_token(**session)) for session in sessions]
        vouched, _ = front.workspace.sign_in()
        content = urlencode({"logout_token": fake.logout_token(sid="s-1")}).encode()
        answer = front.call("POST", f"/v1/backchannel-logout/{front.customer_id}", content, headers=FORM)
        assert answer.status_code == 200, answer.text
        eventually(lambda: front.workspace.me(tokens[0]).status_code == 401, within=5)
        for token in (*tokens, vouched):
            outcome = front.workspace.installation.command("token", "inspect", token, "--json")
            refused = front.workspace.me(token).status_code == 401
            assert (outcome.exit_code, failed(outcome.json)) == ((1, ["ended"]) if refused else (0, []))
        assert [front.workspace.me(token).status_code for token in tokens] == [401, 200, 401]

    def test_of_a_visitor_who_has_not_written_are_good(self, cli: Cli, workspace: Workspace) -> None:
        token = unverified_token(workspace)
        outcome = cli("token", "inspect", token, "--json")
        assert (outcome.exit_code, failed(outcome.json)) == (0, [])
        assert workspace.contacts() == []
        headers = {"authorization": f"Bearer {token}"}
        assert workspace.installation.http.post("/v1/me/sign-out", headers=headers).status_code == 204
        assert failed(cli("token", "inspect", token, "--json").json) == ["ended"]


def failed(found: dict[str, Any]) -> list[str]:
    return [check["check"] for check in found["checks"] if not check["passed"]]


def exchanged(front: Front, token: str) -> str:
    """The contact token that a provider's is exchanged for."""
    form = {
        "grant_type": EXCHANGE,
        "client_id": front.customer_id,
        "subject_token": token,
        "subject_token_type": ID_TOKEN,
    }
    answer = front.call("POST", "/v1/token", urlencode(form).encode(), headers=FORM)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])
