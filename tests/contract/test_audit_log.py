"""The audit's own log: what it writes and when, in one process and over restarts, and what it does with age."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.fixtures.auditing import decisions, entry, proof, tail
from tests.fixtures.front_door import Installation, beside
from tests.fixtures.responding import eventually
from tests.fixtures.server import RunningServer
from vestibule.audit import log as audit_log
from vestibule.audit.chain import Verifier
from vestibule.audit.log import LOST, MOST_ORIGINS, OTHER_ORIGINS, AuditLog
from vestibule.clock import HOUR_MS, now_ms
from vestibule.errors import StorageUnavailable
from vestibule.model.audit import REFUSED, StoredEntry
from vestibule.sealing import Sealer, parse_secret_key
from vestibule.storage import audit as rows
from vestibule.storage import authentication_counts
from vestibule.storage.opening import migrate, open_store
from vestibule.storage.store import Store, Work

NEXT_FLUSH = audit_log.FLUSH_SECONDS + 1.5


@pytest.fixture(scope="module")
def store_url(module_database_url: str) -> str:
    migrate(module_database_url)
    return module_database_url


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    opened = await open_store(store_url, connections=4)
    yield opened
    await opened.close()


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

    async def test_what_is_under_way_when_a_process_stops_is_written_once(self, store: Store) -> None:
        """Whoever flushes is cancelled then, and the last flush comes behind."""
        log = AuditLog(store, self.SEALER)
        for number in range(60):
            log.note(entry("stopping", number))
            flushing = asyncio.create_task(log.flush())
            await asyncio.sleep(number % 6 * 0.0005)
            flushing.cancel()
            await asyncio.gather(flushing, return_exceptions=True)
        await log.flush()
        found = await self._entries(store, "stopping")
        assert [stored.entry.request_id for stored in found] == [f"r{number}" for number in range(60)]
        hour = now_ms() // HOUR_MS
        counted = await authentication_counts.list_all(
            store, "stopping", since_hour=hour - 1, until_hour=hour + 1, most=10
        )
        assert sum(count for _, count in counted) == 60

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

    async def test_equal_refusals_are_all_counted_while_others_are_being_written(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        log, transact = AuditLog(store, self.SEALER), store.transact
        workspaces = ("first", "second", "third")

        async def slowly(work: Callable[[], Work[object]]) -> object:
            await asyncio.sleep(0.01)
            return await transact(work)

        with monkeypatch.context() as slow:
            slow.setattr(store, "transact", slowly)
            flushing = asyncio.create_task(log.flush())
            for number in range(300):
                for workspace_id in workspaces:
                    log.note(entry(workspace_id, number, outcome=REFUSED))
                await asyncio.sleep(0.0005)
                if flushing.done():
                    flushing = asyncio.create_task(log.flush())
            await flushing
            await log.flush()
        for workspace_id in workspaces:
            times = [stored.entry.times for stored in await self._entries(store, workspace_id)]
            assert sum(times) == 300
            assert len(times) < 100, "and a flood is no flood of rows"

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
