"""The audit from outside: every decision and change is in it, without secrets; it proves itself; it forgets the erased;
crashes, floods and two nodes at once."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.front_door import Installation, Workspace, beside
from tests.fixtures.responding import eventually
from tests.fixtures.server import RunningServer
from vestibule.administration import audit, coverage
from vestibule.audit import log as audit_log
from vestibule.audit.chain import Verifier
from vestibule.audit.log import LOST, MOST_ORIGINS, OTHER_ORIGINS, AuditLog
from vestibule.clock import HOUR_MS, now_ms
from vestibule.errors import StorageUnavailable
from vestibule.model.audit import INSTALLATION, REFUSED, AuditEntry, AuditKind, StoredEntry
from vestibule.model.workspace import Scope
from vestibule.sealing import Sealer, parse_secret_key
from vestibule.storage import audit as rows
from vestibule.storage import authentication_counts
from vestibule.storage.opening import migrate, open_store
from vestibule.storage.store import Store

NEXT_FLUSH = audit_log.FLUSH_SECONDS + 1.5


def tail(workspace: Workspace, *options: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = workspace.installation.cli("audit", "tail", "-w", workspace.id, *options)["items"]
    return found


def decisions(workspace: Workspace, count: int, *options: str) -> list[dict[str, Any]]:
    """The latest authentications, once there are as many."""
    wanted = ("--kind", "authentication", "--limit", "100", *options)
    found: list[dict[str, Any]] = eventually(lambda: seen if len(seen := tail(workspace, *wanted)) >= count else None)
    return found


def proof(workspace: Workspace, *options: str) -> dict[str, Any]:
    printed = workspace.installation.command("audit", "verify", "-w", workspace.id, *options, "--json")
    assert printed.exit_code == (0 if printed.json["whole"] else 1)
    return printed.json


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

    def test_a_bad_key_is_in_the_installation_s_audit(self, workspace: Workspace) -> None:
        secret = workspace.api_key[:-1] + ("x" if workspace.api_key[-1] != "x" else "y")
        answer = workspace.post(b"{}", {"authorization": f"Bearer {secret}"})
        by_id = ("audit", "tail", "--request-id", answer.headers["x-request-id"])
        [entry] = eventually(lambda: workspace.installation.cli(*by_id)["items"] or None)
        assert (entry["workspace_id"], entry["code"], entry["step"]) == (INSTALLATION, "invalid_api_key", "form")
        assert secret[-20:] not in json.dumps(entry)

    def test_a_contact_token_that_is_refused(self, workspace: Workspace) -> None:
        answer = workspace.me("no.token.ofours")
        by_id = ("audit", "tail", "--request-id", answer.headers["x-request-id"])
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
            "contact.joined",
            "contact.unmerge",
            "contact.parted",
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
        cli = workspace.installation.cli
        new = cli("api-key", "rotate", workspace.key_id, "-w", workspace.id)["id"]
        workspace.sign_in()

        def used() -> Any:
            keys = {key["id"]: key for key in cli("coverage", "-w", workspace.id)["keys"]}
            return keys if keys[workspace.key_id]["succeeded"] == 1 else None

        keys = eventually(used)
        assert (keys[workspace.key_id]["replaced_and_used"], keys[new]["replaced_and_used"]) == (True, False)

    def test_a_span_that_is_none(self, workspace: Workspace) -> None:
        refused = workspace.installation.command("coverage", "-w", workspace.id, "--since", "400d", "--json")
        refused.refused("invalid_field", names="92 days")


@pytest.fixture(scope="module")
def store_url(module_database_url: str) -> str:
    migrate(module_database_url)
    return module_database_url


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    opened = await open_store(store_url, connections=4)
    yield opened
    await opened.close()


def entry(workspace_id: str, number: int = 0, **members: Any) -> AuditEntry:
    given = {"outcome": "created", "at": now_ms(), "request_id": f"r{number}", **members}
    return AuditEntry(workspace_id=workspace_id, kind=AuditKind.AUTHENTICATION, action="authenticate", **given)


class TestTheLog:
    SEALER = Sealer((parse_secret_key("A" * 43),))

    async def _entries(self, store: Store, workspace_id: str) -> list[StoredEntry]:
        return await rows.chain(store, workspace_id, after=0, to=2**62, most=1_000_000)

    async def test_nodes_that_append_at_once_make_one_chain(self, store: Store, store_url: str) -> None:
        others = [await open_store(store_url, connections=2) for _ in range(2)]
        logs = [AuditLog(each, self.SEALER) for each in (store, *others)]

        async def write(log: AuditLog) -> None:
            for number in range(100):
                log.note(entry("together", number))
                if number % 5 == 0:
                    await log.flush()
            await log.flush()

        await asyncio.gather(*(write(log) for log in logs))
        found = await self._entries(store, "together")
        assert [stored.seq for stored in found] == list(range(1, 301))
        verifier = Verifier(self.SEALER, await rows.head(store, "together"))
        verifier.take(found)
        verifier.finish()
        assert verifier.problem is None
        for other in others:
            await other.close()

    async def test_what_could_not_be_written_is_written_later_once_and_in_order(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        log = AuditLog(store, self.SEALER)
        log.note(entry("later", 1))
        log.note(entry("later", 2, outcome=REFUSED))

        async def away(_work: object) -> None:
            raise StorageUnavailable

        with monkeypatch.context() as broken:
            broken.setattr(store, "transact", away)
            with pytest.raises(StorageUnavailable):
                await log.flush()
            log.note(entry("later", 3, outcome=REFUSED))
        await log.flush()
        await log.flush()
        found = await self._entries(store, "later")
        assert [(stored.entry.request_id, stored.entry.times) for stored in found] == [("r1", 1), ("r2", 1), ("r3", 1)]

    async def test_memory_is_bounded_and_what_is_lost_is_told(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(audit_log, "MOST_WAITING", 10)
        log = AuditLog(store, self.SEALER)
        for number in range(25):
            log.note(entry("flood", number, detail=str(number), outcome=REFUSED))
        await log.flush()
        found = await self._entries(store, "flood")
        assert len(found) == 11
        assert (found[-1].entry.action, found[-1].entry.times) == (LOST, 15)
        log.note(entry("flood", 26))
        await log.flush()
        assert len(await self._entries(store, "flood")) == 12, "and there is room again"

    @pytest.mark.parametrize("text", ["a\0b", "a\ud800b", "a\nb", "a\u2028b", "a\x1b[2Jb"])
    async def test_no_text_keeps_others_from_being_written(self, store: Store, text: str) -> None:
        log = AuditLog(store, self.SEALER)
        workspace_id = f"text-{ord(text[1])}"
        log.note(entry(workspace_id, 1, outcome=REFUSED, detail=text, origin=text))
        log.note(entry(workspace_id, 2))
        await log.flush()
        found = await self._entries(store, workspace_id)
        assert [stored.entry.request_id for stored in found] == ["r1", "r2"]
        assert found[0].entry.detail == text.replace(text[1], "\ufffd")

    async def test_made_up_origins_do_not_fill_the_table(self, store: Store) -> None:
        log = AuditLog(store, self.SEALER)
        for number in range(MOST_ORIGINS + 50):
            log.note(entry("origins", number, origin=f"https://{number}.example"))
        await log.flush()
        hour = now_ms() // HOUR_MS
        found = await authentication_counts.list_all(
            store, "origins", since_hour=hour - 1, until_hour=hour + 1, most=1000
        )
        assert len(found) == MOST_ORIGINS + 1
        assert {key.origin: count for key, count in found}[OTHER_ORIGINS] == 50

    async def test_a_filter_that_finds_nothing_reads_no_more_than_a_page_may(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        log = AuditLog(store, self.SEALER)
        for number in range(50):
            log.note(entry("rare", number, code="wanted" if number == 3 else ""))
        await log.flush()
        monkeypatch.setattr(rows, "SCANNED", 20)
        wanted = rows.AuditFilter(code="wanted")
        first = await rows.list_page(store, "rare", wanted, before=51, most=10)
        third = await rows.list_page(store, "rare", wanted, before=11, most=10)
        assert (first, [stored.seq for stored in third]) == ([], [4])


class TestRestartsAndAge:
    def test_a_stopped_server_has_written_everything(self, installation: Installation, tmp_path: Path) -> None:
        workspace = installation.workspace()
        with beside(installation, tmp_path) as server:
            answers = [workspace.authenticate(email=f"s{n}@example.com", url=server.base_url) for n in range(20)]
        ids = {entry["request_id"] for entry in tail(workspace, "--kind", "authentication", "--limit", "100")}
        assert ids == {answer.headers["x-request-id"] for answer in answers}

    @pytest.mark.slow
    def test_a_crash_loses_half_a_second_at_the_most_and_the_chain_holds(
        self, installation: Installation, tmp_path: Path
    ) -> None:
        workspace = installation.workspace()
        server = beside(installation, tmp_path)
        server.start()
        early = workspace.authenticate(email="early@example.com", url=server.base_url).headers["x-request-id"]
        time.sleep(NEXT_FLUSH)
        workspace.authenticate(email="late@example.com", url=server.base_url)
        server.kill()
        assert early in {entry["request_id"] for entry in tail(workspace, "--kind", "authentication")}
        assert proof(workspace)["whole"]

    @pytest.mark.slow
    def test_what_is_too_old_goes_and_the_chain_holds(self, installation: Installation, tmp_path: Path) -> None:
        workspace = installation.workspace()
        workspace.sign_in()
        decisions(workspace, 1)
        before = proof(workspace)
        server: RunningServer = beside(installation, tmp_path, audit_retention="1s", purge_interval="1s")
        other = installation.workspace()
        with server:
            eventually(lambda: proof(workspace)["first_seq"] > 2 or None, within=15)
        after = proof(workspace)
        assert after["whole"]
        assert after["first_seq"] > before["entries"]
        assert proof(other)["whole"]
        assert tail(workspace)[-1]["action"] == "audit.purged"
        assert proof(workspace, "--noted-head", before["head"])["whole"], "too old to be looked for"
