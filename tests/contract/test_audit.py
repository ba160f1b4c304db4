"""The audit from outside: every decision and change is in it, without secrets; it proves itself; it forgets the erased;
crashes, floods and two nodes at once."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.admin import Admin
from tests.fixtures.auditing import decisions, proof, tail
from tests.fixtures.auditing import entry as noted
from tests.fixtures.front_door import Installation, Workspace
from tests.fixtures.responding import eventually
from tests.fixtures.server import clean_environment
from vestibule.administration import audit, contacts, coverage
from vestibule.errors import NotFound
from vestibule.model.audit import INSTALLATION, AuditEntry, AuditKind, StoredEntry
from vestibule.model.workspace import Scope
from vestibule.storage import audit as rows
from vestibule.storage import erasure


class TestDecisions:
    def test_a_success_tells_who_how_and_when(self, workspace: Workspace) -> None:
        before = time.time()
        answer = workspace.authenticate(email="ada@example.com")
        [entry] = decisions(workspace, 1)
        assert entry["request_id"] == answer.headers["x-request-id"]
        assert (entry["method"], entry["outcome"], entry["code"]) == ("server_to_server", "created", "")
        assert (entry["contact_id"], entry["key_id"]) == (answer.json()["contact"]["id"], workspace.key_id)
        assert (entry["action"], entry["address"], entry["times"]) == ("authenticate", "127.0.0.0/24", 1)
        assert before - 1 < time.time() < before + 60
        assert entry["time"].endswith("Z")

    def test_each_outcome_has_its_word(self, workspace: Workspace) -> None:
        for name in ("Ada", "Ada", "Ada L."):
            workspace.sign_in(name=name)
        assert [entry["outcome"] for entry in decisions(workspace, 3)] == ["created", "unchanged", "updated"]

    def test_a_refusal_tells_the_caller_s_reason_and_ours(self, workspace: Workspace) -> None:
        key_id, key = workspace.new_key([Scope.CONTACTS_READ])
        workspace.post(b'{"email":"ada@example.com"}', {"authorization": f"Bearer {key}"})
        workspace.authenticate(email="not-an-address")
        scope, email = decisions(workspace, 2)
        assert (scope["outcome"], scope["code"], scope["key_id"]) == ("refused", "insufficient_scope", key_id)
        assert (email["outcome"], email["code"]) == ("refused", "invalid_field")
        assert email["reason"].startswith("email: ")
        assert "not-an-address" not in json.dumps([scope, email])
        table = workspace.installation.command("audit", "tail", "-w", workspace.id).stdout
        assert email["reason"] in table, "why somebody was refused is what a reader looks for"

    def test_a_bad_key_is_in_the_installation_s_audit(self, workspace: Workspace) -> None:
        secret = workspace.api_key[:-1] + ("x" if workspace.api_key[-1] != "x" else "y")
        answer = workspace.post(b"{}", {"authorization": f"Bearer {secret}"})
        by_id = ("audit", "tail", "--request-id", answer.headers["x-request-id"])
        [entry] = eventually(lambda: workspace.installation.cli(*by_id)["items"] or None)
        assert (entry["workspace_id"], entry["code"], entry["step"]) == (INSTALLATION, "invalid_api_key", "form")
        assert secret[-20:] not in json.dumps(entry)

    def test_a_contact_token_that_is_refused(self, workspace: Workspace) -> None:
        answer = workspace.me("no.token.ofours")
        by_id = ("audit", "tail", "--method", "contact_token", "--request-id", answer.headers["x-request-id"])
        [entry] = eventually(lambda: workspace.installation.cli(*by_id)["items"] or None)
        assert (entry["method"], entry["action"], entry["outcome"]) == (
            "contact_token",
            "present_credential",
            "refused",
        )

    def test_a_good_token_s_use_is_no_decision(self, workspace: Workspace) -> None:
        token, _ = workspace.sign_in()
        for _ in range(3):
            assert workspace.me(token).status_code == 200
        workspace.sign_in("next@example.com")
        assert len(decisions(workspace, 2)) == 2

    def test_an_unverified_visitor(self, workspace: Workspace) -> None:
        widget_token = workspace.installation.cli("workspace", "show", workspace.id)["widget_token"]
        answer = workspace.installation.http.post(
            "/backend/widget/v2/contact/create-unverified",
            json={"email": "v@example.com"},
            headers={"x-bot-token": widget_token, "origin": "https://shop.example"},
        )
        assert answer.status_code == 200
        [entry] = decisions(workspace, 1)
        assert (entry["method"], entry["outcome"], entry["origin"]) == ("unverified", "issued", "https://shop.example")

    def test_equal_refusals_of_a_moment_are_one_row(self, workspace: Workspace) -> None:
        for _ in range(30):
            workspace.authenticate(email="not-an-address")
        eventually(lambda: sum(entry["times"] for entry in tail(workspace, "--outcome", "refused")) == 30 or None)
        assert len(tail(workspace, "--outcome", "refused")) < 15

    def test_filters(self, workspace: Workspace) -> None:
        _, contact_id = workspace.sign_in()
        workspace.sign_in("bob@example.com")
        workspace.authenticate(email="x")
        decisions(workspace, 3)
        assert [entry["code"] for entry in tail(workspace, "--code", "invalid_field")] == ["invalid_field"]
        assert len(tail(workspace, "--outcome", "created")) == 2
        assert {entry["contact_id"] for entry in tail(workspace, "--contact", contact_id)} == {contact_id}
        assert not tail(workspace, "--method", "token_exchange")
        assert {entry["kind"] for entry in tail(workspace, "--kind", "administration")} == {"administration"}

    def test_look_as_far_back_as_it_takes(self, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
        workspace.authenticate(email="x")
        decisions(workspace, 1)
        for number in range(5):
            workspace.sign_in(f"p{number}@example.com")
        decisions(workspace, 6)
        for module in (rows, audit):  # how many entries one look is at
            monkeypatch.setattr(module, "SCANNED", 2)
        assert [entry["code"] for entry in tail(workspace, "--outcome", "refused")] == ["invalid_field"]
        assert len(tail(workspace, "--outcome", "created", "--limit", "3")) == 3
        assert len(tail(workspace, "--outcome", "created")) == 5
        nothing = ("audit", "tail", "-w", workspace.id, "--code", "rate_limited")
        assert "No entry passes." in workspace.installation.command(*nothing).stderr

    @pytest.mark.parametrize("wanted", [("--outcome", "refused"), ("--contact", "ada")], ids=["outcome", "contact"])
    def test_filters_hold_for_what_is_followed(
        self, workspace: Workspace, tmp_path: Path, wanted: tuple[str, str]
    ) -> None:
        option, value = wanted
        _, ada = workspace.sign_in("ada@example.com")
        seen = tmp_path / "seen"

        def found() -> list[str]:
            workspace.authenticate(email="not-an-address")
            for name in ("bob", "ada"):
                workspace.sign_in(f"{name}@example.com")
            return seen.read_text().splitlines()[2:]

        tail_of = ("audit", "tail", "--follow", "-w", workspace.id, option, ada if value == "ada" else value)
        with (
            seen.open("w") as target,
            subprocess.Popen(
                [sys.executable, "-m", "vestibule", *tail_of],
                env=clean_environment(workspace.installation.server.settings, tmp_path),
                cwd=tmp_path,
                stdout=target,
            ) as following,
        ):
            try:
                eventually(found)
            finally:
                following.kill()
        lines = seen.read_text().splitlines()
        shown = {(entry["outcome"] == "refused", entry["contact_id"]) for entry in map(json.loads, lines)}
        assert shown == ({(True, None)} if value == "refused" else {(False, ada)})


class TestChanges:
    def test_a_change_tells_who_made_it_and_what(self, workspace: Workspace) -> None:
        workspace.installation.cli("workspace", "limit", workspace.id, "--standard", "5")
        entry = tail(workspace)[-1]
        assert (entry["kind"], entry["action"], entry["detail"]) == (
            "administration",
            "workspace.change",
            "rate_limits",
        )
        assert entry["actor"].startswith("cli:")

    def test_every_command_that_changes_something_is_there(self, workspace: Workspace, tmp_path: Path) -> None:
        cli, own = workspace.installation.cli, ("-w", workspace.id)
        token, first = workspace.sign_in()
        _, second = workspace.sign_in("bob@example.com")
        made = cli("api-key", "create", *own)["id"]
        rotated = cli("api-key", "rotate", made, *own)["id"]
        cli("api-key", "revoke", rotated, *own)
        cli("widget", "set", *own, "--poll-seconds", "5")
        cli("responder", "set", *own, "--instructions", "Be kind.")
        actions = tmp_path / "actions.toml"
        actions.write_text(
            '[[actions]]\nname = "look"\nmethod = "GET"\nurl_template = "https://api.example.com/orders"\n'
            '[variables.headers]\nauthorization = "text:Bearer canary-of-variables"\n'
        )
        cli("action", "apply", str(actions), *own)
        workspace.installation.command("contact", "export", first, *own)
        cli("contact", "merge", first, second, *own)
        cli("contact", "unmerge", first, *own)
        cli("contact", "sign-out", first, *own)
        cli("contact", "erase", first, *own)
        everything = tail(workspace, "--kind", "administration", "--limit", "100")
        assert [entry["action"] for entry in everything][2:] == [
            "api_key.create",
            "api_key.rotate",
            "api_key.revoke",
            "widget.change",
            "responder.change",
            "action.change",
            "action_variables.change",
            "contact.export",
            "contact.merge",
            "contact.merge.into",
            "contact.unmerge",
            "contact.unmerge.into",
            "contact.sign_out",
            "contact.erase",
        ]
        assert "canary" not in json.dumps(everything)
        assert token not in json.dumps(everything)
        assert everything[-1]["target"] == first, "the receipt stays"


class TestProof:
    def test_holds_and_counts(self, workspace: Workspace) -> None:
        for number in range(40):  # more than go in one statement
            workspace.sign_in(f"p{number}@example.com")
        decisions(workspace, 40)
        found = proof(workspace)
        assert (found["whole"], found["first_seq"], found["problem"]) == (True, 1, "")
        assert found["entries"] >= 42

    @pytest.mark.parametrize(
        "attack",
        [
            "UPDATE audit_entries SET outcome = 'created' WHERE workspace_id = $1 AND seq = 3",
            "UPDATE audit_entries SET contact_id = 'somebody' WHERE workspace_id = $1 AND seq = 3",
            "UPDATE audit_entries SET document = '{}' WHERE workspace_id = $1 AND seq = 3",
            "DELETE FROM audit_entries WHERE workspace_id = $1 AND seq = 3",
            "DELETE FROM audit_entries WHERE workspace_id = $1 AND seq >= 4",
            "DELETE FROM audit_entries WHERE workspace_id = $1",
            "DELETE FROM audit_chains WHERE workspace_id = $1",
        ],
    )
    def test_finds_what_was_done_to_the_database(self, workspace: Workspace, attack: str) -> None:
        workspace.authenticate(email="x")
        workspace.sign_in()
        decisions(workspace, 2)
        assert proof(workspace)["whole"]
        workspace.installation.rows(attack, workspace.id)
        assert not proof(workspace)["whole"]

    def test_a_noted_head_finds_a_database_put_back(self, workspace: Workspace) -> None:
        early = proof(workspace)["head"]
        workspace.sign_in()
        decisions(workspace, 1)
        late = proof(workspace)["head"]
        assert proof(workspace, "--noted-head", early)["whole"]
        seq, mac = early.split(":")
        delete = "DELETE FROM audit_entries WHERE workspace_id = $1 AND seq > CAST($2 AS BIGINT)"
        back = "UPDATE audit_chains SET seq = CAST($2 AS BIGINT), mac = $3 WHERE workspace_id = $1"
        workspace.installation.rows(
            delete, workspace.id, seq if workspace.installation.engine == "sqlite" else int(seq)
        )
        workspace.installation.rows(
            back, workspace.id, seq if workspace.installation.engine == "sqlite" else int(seq), mac
        )
        assert proof(workspace)["whole"], "which a chain alone cannot tell"
        assert not proof(workspace, "--noted-head", late)["whole"]

    def test_an_erased_contact_is_gone_from_it_and_it_holds(self, workspace: Workspace) -> None:
        _, contact_id = workspace.sign_in()
        workspace.sign_in()
        decisions(workspace, 2)
        workspace.installation.cli("contact", "erase", contact_id, "-w", workspace.id)
        found = proof(workspace)
        assert (found["whole"], found["erased"]) == (True, 2)
        assert not tail(workspace, "--contact", contact_id)
        erased = [entry for entry in tail(workspace, "--kind", "authentication") if entry["erased"]]
        assert [(entry["contact_id"], entry["address"]) for entry in erased] == [(None, None)] * 2
        sql = "SELECT COUNT(*) FROM audit_entries WHERE workspace_id = $1 AND contact_id = $2"
        assert workspace.installation.rows(sql, workspace.id, contact_id) == [(0,)]

    @pytest.mark.parametrize("by", ["the server that noted it", "another process"])
    def test_what_is_noted_of_whom_is_being_erased_does_not_come_after(
        self, workspace: Workspace, admin: Admin, by: str
    ) -> None:
        """A decision is written within half a second, which is time enough to be erased in."""
        _, contact_id = workspace.sign_in()
        if by == "another process":
            workspace.installation.run(contacts.erase(workspace.installation.desk, workspace.id, contact_id))
        else:
            admin.do("DELETE", f"contacts/{contact_id}")
        [decision] = decisions(workspace, 1)
        assert (decision["erased"], decision["contact_id"], decision["address"]) == (True, None, None)
        assert proof(workspace)["whole"]

    def test_an_erasure_that_was_cut_short_before_that_is_finished_by_another(self, workspace: Workspace) -> None:
        _, contact_id = workspace.sign_in()
        decisions(workspace, 1)
        run, desk = workspace.installation.run, workspace.installation.desk
        run(desk.store.transact(lambda: erasure.erase_all(workspace.id, [contact_id])))
        run(desk.audit.record(noted(workspace.id, contact_id=contact_id, address="192.0.2.0/24")))
        with pytest.raises(NotFound):
            run(contacts.erase(desk, workspace.id, contact_id))
        found = decisions(workspace, 2)
        assert [(each["erased"], each["contact_id"], each["address"]) for each in found] == [(True, None, None)] * 2
        assert proof(workspace)["whole"]

    def test_another_workspace_s_does_not_exist(self, installation: Installation) -> None:
        nobody = "01a1fe9a-bfae-7803-87f1-bfd5aefe77fb"
        installation.command("audit", "verify", "-w", nobody, "--json").refused("not_found")
        installation.command("audit", "tail", "-w", nobody, "--json").refused("not_found")


class TestExport:
    def test_as_json_lines_and_csv(self, workspace: Workspace) -> None:
        workspace.sign_in()
        decisions(workspace, 1)
        own = ("audit", "export", "-w", workspace.id)
        lines = [json.loads(line) for line in workspace.installation.command(*own).stdout.splitlines()]
        table = list(csv.DictReader(io.StringIO(workspace.installation.command(*own, "--format", "csv").stdout)))
        assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
        assert [row["request_id"] for row in table] == [line["request_id"] for line in lines]
        assert table[-1]["method"] == "server_to_server"
        assert (lines[-1]["erased"], table[-1]["erased"]) == (False, "false"), "one word in both"

    @pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", "\r="])
    def test_formulas_are_neutralised(self, start: str) -> None:
        entry = AuditEntry(
            workspace_id="w",
            kind=AuditKind.AUTHENTICATION,
            action="a",
            outcome="o",
            at=0,
            origin=f"{start}cmd|' /C'!A0",
        )
        stored = StoredEntry(entry, 1, "", "", None)
        [row] = csv.reader(io.StringIO(audit.csv_line(stored), newline=""))
        assert f"'{start}cmd|' /C'!A0" in row

    def test_to_a_file_that_is_not_there_yet(self, workspace: Workspace, tmp_path: Path) -> None:
        target = tmp_path / "audit.csv"
        own = ("audit", "export", "-w", workspace.id, "--format", "csv", "--output", str(target))
        assert workspace.installation.command(*own).exit_code == 0
        assert target.read_text(encoding="utf-8").startswith("seq,time,kind")
        assert workspace.installation.command(*own).exit_code == 2


class TestCounts:
    def test_by_method_outcome_code_origin_and_key(self, workspace: Workspace) -> None:
        workspace.sign_in()
        workspace.sign_in()
        headers = {"origin": "https://shop.example"}
        workspace.post(b'{"email":"x"}', headers)
        installation = workspace.installation

        def all_there() -> Any:
            found = installation.run(coverage.counts(installation.desk, workspace.id))
            return found if sum(count.count for count in found) == 3 else None

        found = {(c.method, c.outcome, c.code, c.origin, c.key_id): c.count for c in eventually(all_there)}
        key = workspace.key_id
        assert found == {
            ("server_to_server", "created", "", "", key): 1,
            ("server_to_server", "unchanged", "", "", key): 1,
            ("server_to_server", "refused", "invalid_field", "https://shop.example", key): 1,
        }
        shown = installation.cli("coverage", "-w", workspace.id)
        assert (shown["issued"], shown["verified"], shown["refused"]) == (2, 2, 1)
        assert shown["refusals_by_code"] == {"invalid_field": 1}

    def test_who_still_uses_a_replaced_key(self, workspace: Workspace) -> None:
        new = workspace.installation.cli("api-key", "rotate", workspace.key_id, "-w", workspace.id)["id"]
        workspace.sign_in()
        keys = eventually(lambda: of_keys(workspace, workspace.key_id, "replaced_and_used"))
        assert (keys[workspace.key_id]["succeeded"], keys[new]["replaced_and_used"]) == (1, False)

    def test_what_came_before_a_key_was_replaced_says_nothing_of_who_uses_it(self, workspace: Workspace) -> None:
        workspace.sign_in()
        eventually(lambda: of_keys(workspace, workspace.key_id, "succeeded"))
        made = workspace.installation.cli("api-key", "rotate", workspace.key_id, "-w", workspace.id)
        workspace.api_key = made["api_key"]
        workspace.sign_in()
        keys = eventually(lambda: of_keys(workspace, made["id"], "succeeded"))
        old, new = keys[workspace.key_id], keys[made["id"]]
        assert [(key["succeeded"], key["replaced_and_used"]) for key in (old, new)] == [(1, False), (1, False)]
        # As it is counted where the old key comes in a later hour, whenever its use is written down.
        sql = "UPDATE api_keys SET created_at = created_at - 7200000 WHERE workspace_id = $1 AND id = $2"
        workspace.installation.rows(sql, workspace.id, made["id"])
        assert of_keys(workspace, workspace.key_id, "replaced_and_used")

    def test_a_span_that_is_none(self, workspace: Workspace) -> None:
        refused = workspace.installation.command("coverage", "-w", workspace.id, "--since", "400d", "--json")
        refused.refused("invalid_field", names="92 days")


def of_keys(workspace: Workspace, key_id: str, member: str) -> dict[str, Any] | None:
    """What coverage says of each key, once it says this of one."""
    keys = {key["id"]: key for key in workspace.installation.cli("coverage", "-w", workspace.id)["keys"]}
    return keys if keys[key_id][member] else None
