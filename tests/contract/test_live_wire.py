"""A change made by one process wakes who waits at another: over PostgreSQL at once; where nothing carries wakes, by
looking. What is lost or forged on the way harms nobody."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.fixtures.front_door import Installation, Workspace
from tests.fixtures.native import Client
from tests.fixtures.postgres import PostgresServer
from tests.fixtures.server import RunningServer
from vestibule.live import Live
from vestibule.pipes import PipeWire
from vestibule.storage.postgres_wire import PostgresWire

CHANNEL = "vestibule_live"
LISTENING = "application_name = 'vestibule live' AND datname = current_database()"


def known(workspace: Workspace, server: RunningServer) -> tuple[Client, Client]:
    """The same person at two servers."""
    token = workspace.sign_in()[0]
    return Client(workspace, token), Client(workspace, token, base_url=server.base_url)


def delays(reader: Client, writer: Client, conversation: str, count: int) -> list[float]:
    """Times from a message's answer to its event, in seconds, the shortest first."""
    seen = []
    with reader.stream(conversation) as stream:
        stream.next("conversation")
        for number in range(count):
            writer.say(conversation, f"message {number}")
            sent = time.monotonic()
            assert stream.next("message").data["text"] == f"message {number}"
            seen.append(time.monotonic() - sent)
    return sorted(seen)


class TestBetweenServers:
    def test_a_message_comes_at_once_or_is_found(
        self, workspace: Workspace, two_workers: RunningServer, engine: str
    ) -> None:
        here, there = known(workspace, two_workers)
        conversation = here.start()
        count = 7 if engine == "postgresql" else 3
        for reader, writer in ((there, here), (here, there)):
            found = delays(reader, writer, conversation, count)
            assert found[count // 2] < (0.3 if engine == "postgresql" else 1.5)
            assert found[-1] < 4.0

    def test_workers_of_one_server_tell_each_other_at_once(
        self, workspace: Workspace, two_workers: RunningServer
    ) -> None:
        _, there = known(workspace, two_workers)
        conversation = there.start()
        # Eight connections: hardly all at the worker that takes the message.
        with contextlib.ExitStack() as stack:
            streams = [stack.enter_context(there.stream(conversation)) for _ in range(8)]
            for stream in streams:
                stream.next("conversation")
            delays = []
            for _ in range(4):
                there.say(conversation)
                sent = time.monotonic()
                for stream in streams:
                    stream.next("message")
                delays.append(time.monotonic() - sent)
        assert sorted(delays)[1] < 0.3, delays

    def test_a_broken_wire_is_made_again(
        self, workspace: Workspace, two_workers: RunningServer, installation: Installation, engine: str
    ) -> None:
        if engine != "postgresql":
            pytest.skip("SQLite has no wire")
        here, there = known(workspace, two_workers)
        conversation = here.start()
        listeners = f"SELECT pid FROM pg_stat_activity WHERE {LISTENING}"  # noqa: S608 - constants
        before = {pid for (pid,) in installation.rows(listeners)}
        assert len(before) >= 3  # a worker each
        installation.rows(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {LISTENING}")  # noqa: S608
        assert delays(there, here, conversation, 2)[-1] < 4.0
        deadline = time.monotonic() + 15
        while len({pid for (pid,) in installation.rows(listeners)} - before) < len(before):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert delays(there, here, conversation, 5)[2] < 0.3

    def test_strangers_on_the_channel_wake_nobody_and_break_nothing(
        self, workspace: Workspace, two_workers: RunningServer, installation: Installation, engine: str
    ) -> None:
        if engine != "postgresql":
            pytest.skip("SQLite has no wire")
        here, there = known(workspace, two_workers)
        conversation = here.start()
        for text in ("", " ", "x", "/ / /", "a b/c d", "\n", "x" * 7_999, f"x {workspace.id}/{conversation}"):
            installation.rows("SELECT pg_notify($1, $2)", CHANNEL, text)
        assert delays(there, here, conversation, 5)[2] < 0.3


@asynccontextmanager
async def running(live: Live) -> AsyncIterator[Live]:
    task = asyncio.create_task(live.run())
    try:
        yield live
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def left_in(directory: Path) -> list[Path]:
    return list(directory.iterdir())


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not done():  # noqa: ASYNC110 - there is nothing to wait on
            await asyncio.sleep(0.01)


class TestTheWire:
    async def test_many_changes_travel_together(self, postgres_server: PostgresServer) -> None:
        url = postgres_server.new_database()
        sent: list[str] = []

        class Counting(PostgresWire):
            async def send(self, message: str) -> None:
                sent.append(message)
                await super().send(message)

        wires = Counting(url, timeout=5), PostgresWire(url, timeout=5)
        teller, hearer = Live(wires[0]), Live(wires[1])
        conversations = [f"0190a0a0-0000-7000-8000-{number:012x}" for number in range(250)]
        workspace = "0190a0a0-0000-7000-8000-000000000001"
        async with running(teller), running(hearer):
            await until(lambda: wires[0].hears_all and wires[1].hears_all)
            assert (teller.patience, Live().patience) == (2.0, 1.0)
            with hearer.waiting(workspace, conversations[-1]) as last, hearer.waiting(workspace, "another") as other:
                for conversation in conversations * 4:
                    teller.changed(workspace, conversation)
                await until(last.is_set)
                assert not other.is_set()
        assert len(sent) == 5  # fifty conversations each
        assert max(map(len, sent)) < 4_096
        postgres_server.drop_database(url)

    async def test_one_s_own_words_wake_nobody_twice(self, postgres_server: PostgresServer) -> None:
        url = postgres_server.new_database()
        wire = PostgresWire(url, timeout=5)
        async with running(Live(wire)) as live:
            await until(lambda: wire.hears_all)
            with live.waiting("w", "c") as changed:
                live.changed("w", "c")
                assert changed.is_set()
                changed.clear()
                await asyncio.sleep(0.2)
                assert not changed.is_set()
        postgres_server.drop_database(url)

    async def test_pipes_carry_to_all_who_read_them(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        wires = []
        for number in range(2):  # as if of two processes
            monkeypatch.setattr("vestibule.pipes.os.getpid", lambda number=number: number)
            wires.append(PipeWire(tmp_path))
        os.mkfifo(tmp_path / "dead.wakes")
        teller, hearer = map(Live, wires)
        async with running(teller), running(hearer):
            await until(lambda: len(left_in(tmp_path)) == 3)
            with hearer.waiting("w", "c499") as last, teller.waiting("w", "c499") as own:
                for number in range(500):
                    teller.changed("w", f"c{number}")
                own.clear()
                await until(last.is_set)
                await asyncio.sleep(0.1)
                assert not own.is_set()
            for rubbish in (b"\n", b"\xff\xff \x00\n", b"x" * 20_000, b"\n"):
                (tmp_path / "1.wakes").write_bytes(rubbish)
            with hearer.waiting("w", "c") as changed:
                teller.changed("w", "c")
                await until(changed.is_set)
        assert left_in(tmp_path) == []

    async def test_a_moment_without_descriptors_is_over_when_it_is_over(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wires = []
        for number in range(2):  # as if of two processes
            monkeypatch.setattr("vestibule.pipes.os.getpid", lambda number=number: number)
            wires.append(PipeWire(tmp_path))
        teller, hearer = map(Live, wires)
        async with running(teller), running(hearer):
            await until(lambda: len(left_in(tmp_path)) == 2)
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
            try:
                teller.changed("w", "lost")
                await asyncio.sleep(0.1)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            with hearer.waiting("w", "c") as changed:
                teller.changed("w", "c")
                await until(changed.is_set)

    async def test_a_wire_that_breaks_in_a_way_of_its_own_is_tried_again(self) -> None:
        sent: list[str] = []

        class Faltering(PostgresWire):
            async def send(self, message: str) -> None:
                sent.append(message)
                raise ValueError("one that it does not catch")

        async with running(Live(Faltering("postgresql://nobody@127.0.0.1:1/none", timeout=1))) as live:
            live.changed("w", "first")
            await until(lambda: len(sent) == 1)
            live.changed("w", "second")
            await until(lambda: len(sent) == 2)

    async def test_the_end_is_told_once(self) -> None:
        """It is said for each connection of uvicorn's, and each may have somebody who waits."""
        live = Live()
        with live.waiting("w", "c") as changed:
            live.end()
            assert changed.is_set()
            changed.clear()
            live.end()
            assert not changed.is_set()

    async def test_a_process_without_it_wakes_its_own(self) -> None:
        async with running(Live(PostgresWire("postgresql://nobody@127.0.0.1:1/none", timeout=1))) as live:
            with live.waiting("w", "c") as changed:
                live.changed("w", "c")
                assert changed.is_set()
            assert live.patience == 1.0
