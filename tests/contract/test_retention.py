"""What is forgotten, and when: expired visitors, erased people, ended tokens; and what is kept."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.fixtures.fake_bot import FakeBot
from tests.fixtures.front_door import Installation, Workspace, refused
from tests.fixtures.responding import RESPONDING_SETTINGS, answered_by_bot, cli, cli_refuses, eventually
from tests.fixtures.server import RunningServer
from tests.fixtures.widget import Device, anonymous, claiming, reply, verified
from vestibule.administration import audit, contacts, retention
from vestibule.audit.log import AuditLog
from vestibule.cli import app
from vestibule.clock import DAY_MS, now_ms
from vestibule.errors import StorageUnavailable
from vestibule.model.audit import AuditEntry

TABLES = ("contacts", "conversations", "messages", "responder_jobs", "device_scopes", "files")


def counts(workspace: Workspace) -> dict[str, int]:
    """How many rows the workspace has in each table that holds something of visitors."""
    found = {}
    for table in TABLES:
        sql = f"SELECT COUNT(*) FROM {table} WHERE workspace_id = $1"  # noqa: S608 - a name from above
        [(found[table],)] = workspace.installation.rows(sql, workspace.id)
    return found


def let_expire(device: Device, *, quiet_for: int = 100 * DAY_MS) -> None:
    """As if nobody had written for so long, in milliseconds; also where somebody purges meanwhile."""
    rows, then = device.workspace.installation.rows, now_ms() - quiet_for
    of_contact = "WHERE workspace_id = $1 AND contact_id = $2"
    given = (device.workspace.id, device.contact_id)
    rows(f"UPDATE conversations SET updated_at = $3 {of_contact}", *given, then)  # noqa: S608
    rows("UPDATE contacts SET expires_at = $3 WHERE workspace_id = $1 AND id = $2", *given, then + 90 * DAY_MS)


def upload(device: Device) -> str:
    """The address of an uploaded picture."""
    picture = bytes.fromhex(
        "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000050001"
        "a5f645400000000049454e44ae426082"
    )
    headers = {name: value for name, value in device.headers().items() if name in {"x-bot-token", "authorization"}}
    answer = device.workspace.installation.http.post(
        "/backend/widget/v2/upload", files={"file": ("dot.png", picture, "image/png")}, headers=headers
    )
    assert answer.status_code < 300, answer.text
    return str(answer.json()["fileUrl"])


def chat(device: Device, content: str = "hello") -> str:
    session_id = device.start()
    device.say(session_id, content)
    return session_id


class Unwritable(AuditLog):
    """An audit whose database is down whenever somebody waits for an entry."""

    refused = 0

    async def record(self, entry: AuditEntry) -> None:
        self.refused += 1
        raise StorageUnavailable(detail=entry.action)


class TestPurge:
    def test_forgets_an_expired_visitor_with_everything(self, shop_front: Workspace) -> None:
        gone, stays = anonymous(shop_front), anonymous(shop_front)
        chat(gone)
        chat(gone)
        url = upload(gone)
        assert shop_front.installation.http.get(url).status_code == 200
        before = {**counts(shop_front)}
        kept = chat(stays)
        let_expire(gone)
        tried = cli(shop_front, "retention", "purge", "--dry-run")
        assert tried == {"dry_run": True, "contacts": 1, "conversations": 0, "files": 0, "kept": 0}
        assert counts(shop_front)["contacts"] == before["contacts"] + 1

        done = cli(shop_front, "retention", "purge")
        assert done == {"dry_run": False, "contacts": 1, "conversations": 2, "files": 1, "kept": 0}
        assert counts(shop_front) == {
            "contacts": 1,
            "conversations": 1,
            "messages": 1,
            "responder_jobs": 0,
            "device_scopes": 1,
            "files": 0,
        }
        assert shop_front.installation.http.get(url).status_code == 404
        assert [text for _, text in stays.texts(kept)] == ["hello"]
        assert cli(shop_front, "retention", "purge")["contacts"] == 0

    def test_leaves_the_browser_usable(self, shop_front: Workspace) -> None:
        device = anonymous(shop_front)
        old = chat(device)
        let_expire(device)
        cli(shop_front, "retention", "purge")
        assert device.listed() == []
        refused(device.poll(old), 404, "not_found")
        refused(device.send(old), 404, "not_found")
        fresh = chat(device, "I am back")
        assert device.listed() == [fresh]

    def test_keeps_whom_somebody_has_written_to_since(self, shop_front: Workspace) -> None:
        device = anonymous(shop_front)
        session_id = chat(device)
        let_expire(device)
        reply(shop_front, session_id, "Are you still there?")
        assert cli(shop_front, "retention", "purge") == {
            "dry_run": False,
            "contacts": 0,
            "conversations": 0,
            "files": 0,
            "kept": 1,
        }
        [(expires_at,)] = shop_front.installation.rows(
            "SELECT expires_at FROM contacts WHERE workspace_id = $1", shop_front.id
        )
        assert expires_at > now_ms() + 89 * DAY_MS
        assert cli(shop_front, "retention", "purge")["kept"] == 0

    def test_never_takes_a_verified_contact(self, shop_front: Workspace) -> None:
        device = verified(shop_front)
        chat(device)
        let_expire(device)
        shop_front.installation.rows("UPDATE contacts SET expires_at = 1 WHERE workspace_id = $1", shop_front.id)
        assert cli(shop_front, "retention", "purge")["contacts"] == 0
        assert counts(shop_front)["messages"] == 1

    def test_takes_what_was_merged_into_a_visitor_with_it_and_not_before(self, shop_front: Workspace) -> None:
        one, other = anonymous(shop_front), anonymous(shop_front)
        chat(one)
        chat(other)
        cli(shop_front, "contact", "merge", other.contact_id, one.contact_id, "-w", shop_front.id)
        let_expire(other)
        assert cli(shop_front, "retention", "purge")["contacts"] == 0
        let_expire(one)
        assert cli(shop_front, "retention", "purge")["contacts"] == 2
        assert set(counts(shop_front).values()) == {0}

    def test_every_message_winds_the_clock(self, shop_front: Workspace) -> None:
        device = anonymous(shop_front)
        session_id = chat(device)
        soon = now_ms() + DAY_MS
        shop_front.installation.rows("UPDATE contacts SET expires_at = $2 WHERE workspace_id = $1", shop_front.id, soon)
        device.say(session_id, "again")
        [(expires_at,)] = shop_front.installation.rows(
            "SELECT expires_at FROM contacts WHERE workspace_id = $1", shop_front.id
        )
        assert expires_at > now_ms() + 89 * DAY_MS

    def test_is_done_by_the_server_itself(
        self, responding: Installation, shop_front: Workspace, tmp_path: Path
    ) -> None:
        device = anonymous(shop_front)
        chat(device)
        let_expire(device)
        settings = {name: value for name, value in responding.server.settings.items() if name != "VESTIBULE_INSTANCE"}
        with RunningServer({**settings, "VESTIBULE_PURGE_INTERVAL": "1s"}, tmp_path):
            eventually(lambda: set(counts(shop_front).values()) == {0})

    def test_goes_on_after_one_that_could_not_be_noted(self, shop_front: Workspace) -> None:
        installation = shop_front.installation
        audit_log = Unwritable(installation.desk.store, installation.desk.sealer)
        often = replace(installation.desk.settings, purge_interval=100)
        desk = replace(installation.desk, settings=often, audit=audit_log)

        async def begin() -> asyncio.Task[None]:
            return asyncio.create_task(retention.run(desk))

        async def end(running: asyncio.Task[None]) -> None:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

        running = installation.run(begin())
        try:
            for times in (1, 2):
                device = anonymous(shop_front)
                chat(device)
                let_expire(device)
                eventually(lambda: audit_log.refused >= times)  # noqa: B023 - looked at before it changes
        finally:
            installation.run(end(running))
        assert set(counts(shop_front).values()) == {0}


class TestAWorkspaceSOwn:
    """Each workspace may say how long it keeps what it has."""

    def test_a_shorter_time_counts_for_who_is_there_already(self, shop_front: Workspace) -> None:
        other = shop_front.installation.workspace()
        mine, theirs = anonymous(shop_front), anonymous(other)
        for device in (mine, theirs):
            chat(device)
            let_expire(device, quiet_for=40 * DAY_MS)
        assert cli(shop_front, "retention", "purge")["contacts"] == 0
        cli(shop_front, "workspace", "retention", shop_front.id, "--unverified-contacts", "30d")
        assert cli(shop_front, "retention", "purge")["contacts"] == 1
        assert (counts(shop_front)["messages"], counts(other)["messages"]) == (0, 1)

    def test_a_longer_one_keeps_them_and_taking_it_back_lets_them_go(self, shop_front: Workspace) -> None:
        device = anonymous(shop_front)
        chat(device)
        let_expire(device)
        cli(shop_front, "workspace", "retention", shop_front.id, "--unverified-contacts", "365d")
        assert cli(shop_front, "retention", "purge")["contacts"] == 0
        cli(shop_front, "workspace", "retention", shop_front.id)
        assert cli(shop_front, "retention", "purge")["contacts"] == 1

    def test_who_comes_from_then_on_has_it_from_the_first_message(self, shop_front: Workspace) -> None:
        cli(shop_front, "workspace", "retention", shop_front.id, "--unverified-contacts", "2d")

        def life() -> int:
            device = anonymous(shop_front)
            chat(device)
            sql = "SELECT expires_at FROM contacts WHERE workspace_id = $1 AND id = $2"
            [(expires_at,)] = shop_front.installation.rows(sql, shop_front.id, device.contact_id)
            return int(expires_at) - now_ms()

        # Workers know within two seconds.
        eventually(lambda: life() <= 2 * DAY_MS)

    def test_closed_conversations_go_and_open_ones_stay(self, shop_front: Workspace) -> None:
        ada = verified(shop_front)
        closed, fresh, still_open = chat(ada), chat(ada), chat(ada)
        url = upload(ada)
        file = {"id": "a", "name": "dot.png", "size": 1, "type": "image/png", "url": url}
        ada.say(closed, attachments=[file])
        for each in (closed, fresh):
            assert ada.resolve(each).status_code == 200
        sql = "UPDATE conversations SET updated_at = $3 WHERE workspace_id = $1 AND id = $2"
        for each in (closed, still_open):
            shop_front.installation.rows(sql, shop_front.id, each, now_ms() - 31 * DAY_MS)
        assert cli(shop_front, "retention", "purge")["conversations"] == 0, "kept as long as the contact"
        cli(shop_front, "workspace", "retention", shop_front.id, "--closed-conversations", "30d")
        tried = cli(shop_front, "retention", "purge", "--dry-run")
        assert (tried["contacts"], tried["conversations"]) == (0, 1)
        done = cli(shop_front, "retention", "purge")
        assert done == {"dry_run": False, "contacts": 0, "conversations": 1, "files": 1, "kept": 0}
        assert sorted(ada.listed()) == sorted([fresh, still_open])
        assert shop_front.installation.http.get(url).status_code == 404
        assert counts(shop_front)["contacts"] == 1
        refused(ada.poll(closed), 404, "not_found")

    def test_a_file_that_an_open_conversation_shows_stays_until_that_goes_as_well(self, shop_front: Workspace) -> None:
        ada = verified(shop_front)
        closed, still_open, url = chat(ada), chat(ada), upload(ada)
        for each in (closed, still_open):
            ada.say(each, attachments=[{"id": "a", "name": "dot.png", "size": 1, "type": "image/png", "url": url}])
        cli(shop_front, "workspace", "retention", shop_front.id, "--closed-conversations", "30d")
        sql = "UPDATE conversations SET updated_at = $3 WHERE workspace_id = $1 AND id = $2"
        for each, status, files in ((closed, 200, 0), (still_open, 404, 1)):
            assert ada.resolve(each).status_code == 200
            shop_front.installation.rows(sql, shop_front.id, each, now_ms() - 31 * DAY_MS)
            done = cli(shop_front, "retention", "purge")
            assert (done["conversations"], done["files"]) == (1, files)
            assert shop_front.installation.http.get(url).status_code == status

    def test_the_audit_of_one_is_cut_and_still_whole(self, shop_front: Workspace) -> None:
        other, installation = shop_front.installation.workspace(), shop_front.installation
        for each in (shop_front, other):
            each.sign_in()
            cli(each, "audit", "tail", "-w", each.id)
        cli(shop_front, "workspace", "retention", shop_front.id, "--audit", "1s")
        time.sleep(1.5)
        installation.run(audit.purge(installation.desk))
        left = [entry["action"] for entry in cli(shop_front, "audit", "tail", "-w", shop_front.id)["items"]]
        assert "audit.purge" in " ".join(left)
        assert "authenticate" not in left
        assert "authenticate" in [e["action"] for e in cli(other, "audit", "tail", "-w", other.id)["items"]]
        assert cli(shop_front, "audit", "verify", "-w", shop_front.id)["whole"]


class TestErase:
    def test_deletes_chats_files_devices_and_work_that_is_owed(self, shop_front: Workspace) -> None:
        ada, eve = verified(shop_front, "ada@example.com"), verified(shop_front, "eve@example.com")
        url, session_id, hers = upload(ada), chat(ada), chat(eve)
        shop_front.installation.rows(
            "INSERT INTO responder_jobs (workspace_id, conversation_id, seq, sealed_input, owner, leased_until,"
            " attempts, created_at) VALUES ($1, $2, 99, '', 'nobody', $3, 1, 0)",
            shop_front.id,
            session_id,
            now_ms() + DAY_MS,
        )
        erased = cli(shop_front, "contact", "erase", ada.contact_id, "-w", shop_front.id)
        assert erased == {"erased": [ada.contact_id]}
        assert counts(shop_front) == {
            "contacts": 1,
            "conversations": 1,
            "messages": 1,
            "responder_jobs": 0,
            "device_scopes": 0,
            "files": 0,
        }
        assert shop_front.installation.http.get(url).status_code == 404
        refused(ada.sessions(), 401, "invalid_token")
        assert eve.poll(hers).status_code == 200
        cli_refuses(shop_front, "contact", "erase", ada.contact_id, "-w", shop_front.id)

    def test_in_mid_answer_leaves_nothing_behind(self, shop_front: Workspace, bot: FakeBot) -> None:
        answered_by_bot(shop_front, bot)
        device = verified(shop_front)
        session_id = device.start()
        with ThreadPoolExecutor(1) as pool, bot.held():
            sent = pool.submit(device.send, session_id)
            bot.wait_for(1)
            cli(shop_front, "contact", "erase", device.contact_id, "-w", shop_front.id)
            bot.gate.set()
            assert sent.result().status_code in {201, 401, 404}
        assert set(counts(shop_front).values()) == {0}

    def test_ends_a_visitors_tokens_too(self, shop_front: Workspace) -> None:
        device = claiming(shop_front, "eve@example.com")
        chat(device)
        cli(shop_front, "contact", "erase", device.contact_id, "-w", shop_front.id)
        eventually(lambda: device.sessions().status_code == 401, within=5)
        assert set(counts(shop_front).values()) == {0}

    def test_can_be_preceded_by_an_export_of_everything(self, shop_front: Workspace) -> None:
        device = verified(shop_front, name="Ada")
        session_id = chat(device, "my words")
        exported = cli_export(shop_front, device.contact_id)
        [thread] = exported["contact"]["conversations"]
        assert (thread["id"], [row["text"] for row in thread["messages"]]) == (session_id, ["my words"])


class TestSignOut:
    def test_is_seen_by_every_worker_within_five_seconds(self, shop_front: Workspace, second_server: str) -> None:
        device = verified(shop_front)
        elsewhere = Device(shop_front, device.token, base_url=second_server)
        other = verified(shop_front, "eve@example.com")
        assert [one.sessions().status_code for one in (device, elsewhere, other)] == [200, 200, 200]
        done = cli(shop_front, "contact", "sign-out", "ada@example.com", "-w", shop_front.id)
        assert done == {"signed_out": [device.contact_id]}
        began = time.monotonic()
        eventually(lambda: device.sessions().status_code == 401, within=5.5)
        eventually(lambda: elsewhere.sessions().status_code == 401, within=5.5)
        assert time.monotonic() - began < 5.5
        assert other.sessions().status_code == 200

    def test_is_none_for_who_signs_in_again_as_soon_as_it_is_answered(self, shop_front: Workspace) -> None:
        """A token says in whole seconds when it was issued."""
        device, installation = verified(shop_front), shop_front.installation
        time.sleep(1 - time.time() % 1)
        installation.run(contacts.sign_out(installation.desk, shop_front.id, device.contact_id))
        again = verified(shop_front)
        eventually(lambda: device.sessions().status_code == 401, within=5.5)
        assert again.sessions().status_code == 200

    def test_ends_the_tokens_of_merged_contacts_and_outlives_a_restart(
        self, own_server: RunningServer, own_front: Workspace
    ) -> None:
        one, other = verified(own_front, "one@example.com"), verified(own_front, "other@example.com")
        cli(own_front, "contact", "merge", other.contact_id, one.contact_id, "-w", own_front.id)
        cli(own_front, "contact", "sign-out", one.contact_id, "-w", own_front.id)
        own_server.restart()
        assert [device.sessions().status_code for device in (one, other)] == [401, 401]


def cli_export(workspace: Workspace, contact_id: str) -> dict[str, Any]:
    """Printed without --json: it always is JSON."""
    arguments = ["contact", "export", contact_id, "-w", workspace.id]
    done = CliRunner().invoke(app, arguments, env=workspace.installation.server.settings)
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture
def own_server(session_settings: dict[str, str], database_url: str, tmp_path: Path) -> Iterator[RunningServer]:
    settings = {**session_settings, **RESPONDING_SETTINGS, "VESTIBULE_DATABASE_URL": database_url}
    with RunningServer(settings, tmp_path) as server:
        yield server


@pytest.fixture
def own_front(own_server: RunningServer) -> Iterator[Workspace]:
    with Installation(own_server) as installation:
        yield installation.workspace()
