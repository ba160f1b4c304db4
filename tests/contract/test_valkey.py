"""Valkey shares rate limits and wakes between nodes; down, slow, emptied or with a wrong password it costs no request
and lets nobody pass a limit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from tests.fixtures.authority import Authority, make_authority
from tests.fixtures.front_door import Installation, Workspace
from tests.fixtures.native import Client
from tests.fixtures.server import RunningServer, free_port
from tests.fixtures.valkey import ValkeyServer
from vestibule.clock import MINUTE_MS, now_ms
from vestibule.errors import RateLimited, StorageUnavailable
from vestibule.limits import RateLimiter
from vestibule.storage.opening import migrate, open_store
from vestibule.storage.rate_totals import DatabaseTotals
from vestibule.storage.store import Store
from vestibule.valkey import ValkeyTotals, ValkeyWire


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("limits") / "v.db"
    migrate(f"sqlite:///{made}")
    return made


@pytest.fixture
async def store(path: Path) -> AsyncIterator[Store]:
    opened = await open_store(f"sqlite:///{path}")
    yield opened
    await opened.close()


@pytest.fixture
async def limiter(valkey: ValkeyServer, store: Store) -> AsyncIterator[Callable[[], RateLimiter]]:
    """Makes the limiter of another node."""
    made: list[ValkeyTotals] = []

    def new() -> RateLimiter:
        made.append(ValkeyTotals(valkey.url, "", DatabaseTotals(store)))
        return RateLimiter(made[-1])

    yield new
    for each in made:
        await each.close()


@pytest.fixture
def bucket(request: pytest.FixtureRequest) -> str:
    return str(request.node.name)


async def admitted(limiter: RateLimiter, bucket: str, limit: int, tries: int) -> int:
    passed = 0
    for _ in range(tries):
        try:
            await limiter.take("w", bucket, limit)
        except RateLimited:
            continue
        passed += 1
    return passed


async def away_from_the_turn() -> None:
    """The tests count within one minute."""
    left = MINUTE_MS - now_ms() % MINUTE_MS
    if left < 8_000:
        await asyncio.sleep(left / 1000 + 0.05)


async def used_in_database(store: Store, bucket: str) -> int:
    return await DatabaseTotals(store).read("w", bucket, now_ms() // MINUTE_MS)


class TestLimits:
    async def test_are_shared_by_all_nodes_and_leave_the_database_alone(
        self, limiter: Callable[[], RateLimiter], store: Store, bucket: str, valkey: ValkeyServer
    ) -> None:
        await away_from_the_turn()
        first = limiter()
        assert await admitted(first, bucket, 10, 8) == 8
        await first.flush()
        assert await admitted(limiter(), bucket, 10, 10) == 2
        assert await used_in_database(store, bucket) == 0
        [key] = valkey.keys(f"vestibule:used:w:{bucket}:*")
        with valkey.client() as client:
            assert 120 <= client.ttl(key) <= 180

    async def test_go_on_in_the_database_when_it_is_killed(
        self, limiter: Callable[[], RateLimiter], store: Store, bucket: str, valkey: ValkeyServer
    ) -> None:
        await away_from_the_turn()
        first = limiter()
        assert await admitted(first, bucket, 80, 40) == 40
        await first.flush()
        valkey.kill()
        try:
            assert await admitted(first, bucket, 80, 60) == 40
            await first.flush()
            assert await used_in_database(store, bucket) == 80  # it was told what Valkey had known
            assert await admitted(limiter(), bucket, 80, 60) == 0
        finally:
            valkey.start()

    async def test_do_not_start_anew_when_it_is_emptied(
        self, limiter: Callable[[], RateLimiter], bucket: str, valkey: ValkeyServer
    ) -> None:
        await away_from_the_turn()
        first, second = limiter(), limiter()
        assert await admitted(first, bucket, 80, 60) == 60
        await first.flush()
        valkey.flush()
        assert await admitted(first, bucket, 80, 60) == 20
        await first.flush()
        assert await admitted(second, bucket, 80, 60) == 0

    async def test_cost_a_quarter_of_a_second_when_it_hangs_and_then_nothing(
        self, limiter: Callable[[], RateLimiter], bucket: str, valkey: ValkeyServer
    ) -> None:
        await away_from_the_turn()
        first = limiter()
        await first.take("w", bucket, 1000)
        valkey.freeze()
        try:
            began = time.monotonic()
            assert await admitted(first, bucket, 8, 20) == 7
            assert await admitted(limiter(), f"{bucket} 2", 8, 20) == 8
            assert time.monotonic() - began < 2.0  # two nodes find out, each once
        finally:
            valkey.thaw()

    async def test_are_counted_there_again_once_it_is_back(
        self, limiter: Callable[[], RateLimiter], bucket: str, valkey: ValkeyServer
    ) -> None:
        await away_from_the_turn()
        first = limiter()
        valkey.kill()
        try:
            assert await admitted(first, bucket, 80, 30) == 30
        finally:
            valkey.start()
        await asyncio.sleep(2.1)
        assert await admitted(first, bucket, 80, 10) == 10
        await first.flush()
        assert await admitted(limiter(), bucket, 80, 80) == 40

    async def test_are_not_fooled_by_what_somebody_wrote_there(
        self, limiter: Callable[[], RateLimiter], bucket: str, valkey: ValkeyServer
    ) -> None:
        await away_from_the_turn()
        first = limiter()
        assert await admitted(first, bucket, 80, 60) == 60
        await first.flush()
        [key] = valkey.keys(f"vestibule:used:w:{bucket}:*")
        with valkey.client() as client:
            client.set(key, -1_000_000)
        assert await admitted(first, bucket, 80, 60) == 20
        with valkey.client() as client:
            client.set(key, "rubbish")
        assert await admitted(limiter(), bucket, 80, 100) <= 80

    async def test_refuse_when_neither_answers(
        self, limiter: Callable[[], RateLimiter], store: Store, bucket: str, valkey: ValkeyServer
    ) -> None:
        """Fail closed (DESIGN rule 2.9)."""
        first = limiter()
        await store.close()
        await first.take("w", bucket, 80)  # Valkey alone is enough
        valkey.kill()
        try:
            with pytest.raises(StorageUnavailable):
                await admitted(first, bucket, 80, 80)
        finally:
            valkey.start()


class TestTheWire:
    async def test_carries_to_all_and_comes_back_after_a_failure(self, valkey: ValkeyServer) -> None:
        ends = [ValkeyWire(valkey.url, "") for _ in range(2)]
        heard: list[list[str]] = [[], []]
        tasks = [asyncio.create_task(end.run(got.append)) for end, got in zip(ends, heard, strict=True)]

        async def until(done: Callable[[], bool]) -> None:
            async with asyncio.timeout(15):
                while not done():  # noqa: ASYNC110 - there is nothing to wait on
                    await asyncio.sleep(0.02)

        await until(lambda: all(end.hears_all for end in ends))
        await ends[0].send("one")
        await until(lambda: heard == [["one"], ["one"]])
        valkey.kill()
        await until(lambda: not any(end.hears_all for end in ends))
        await ends[0].send("lost")
        valkey.start()
        await until(lambda: all(end.hears_all for end in ends))
        await ends[1].send("two")
        await until(lambda: heard == [["one", "two"], ["one", "two"]])
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture(scope="module")
def nodes(
    session_settings: dict[str, str], valkey_server: ValkeyServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Installation, RunningServer]]:
    """Two servers on one database, with Valkey between them."""
    directory = tmp_path_factory.mktemp("nodes")
    settings = {
        **session_settings,
        "VESTIBULE_DATABASE_URL": f"sqlite:///{directory}/vestibule.db",
        "VESTIBULE_VALKEY_URL": valkey_server.url,
    }
    with (
        RunningServer(settings, directory) as one,
        Installation(one) as installation,
        RunningServer({**settings, "VESTIBULE_PUBLIC_URL": one.base_url}, tmp_path_factory.mktemp("second")) as two,
    ):
        yield installation, two
    for server in (one, two):
        assert valkey_server.password not in server.log()
        assert "unexpected error" not in server.log(), server.log()[-20_000:]


@pytest.fixture
def workspace(nodes: tuple[Installation, RunningServer]) -> Workspace:
    return nodes[0].workspace()


def delay(reader: Client, writer: Client, conversation: str, count: int) -> float:
    """The median time from a message's answer to its event, in seconds."""
    seen = []
    with reader.stream(conversation) as stream:
        stream.next("conversation")
        for number in range(count):
            writer.say(conversation, f"message {number}")
            sent = time.monotonic()
            assert stream.next("message").data["text"] == f"message {number}"
            seen.append(time.monotonic() - sent)
    return sorted(seen)[count // 2]


class TestNodes:
    def test_events_come_at_once_from_the_other_node(
        self, nodes: tuple[Installation, RunningServer], workspace: Workspace, valkey: ValkeyServer
    ) -> None:
        token = workspace.sign_in()[0]
        here, there = Client(workspace, token), Client(workspace, token, base_url=nodes[1].base_url)
        conversation = here.start()
        assert delay(there, here, conversation, 7) < 0.3
        assert delay(here, there, conversation, 7) < 0.3
        valkey.kill()
        try:
            assert delay(there, here, conversation, 2) < 3.0
        finally:
            valkey.start()

    def test_a_limit_is_one_for_both(
        self, nodes: tuple[Installation, RunningServer], workspace: Workspace, valkey: ValkeyServer
    ) -> None:
        asyncio.run(away_from_the_turn())
        time.sleep(2.1)  # a server that was away in the test before is asked again
        _, key = workspace.new_key(standard=24)
        good = {"authorization": f"Bearer {key}"}
        statuses = [
            workspace.post(b'{"email":"ada@example.com"}', good, url=url).status_code
            for _ in range(30)
            for url in ("", nodes[1].base_url)
        ]
        # An eighth of the limit each may pass too much (decision 7).
        assert 24 <= statuses.count(200) <= 24 + 2 * 3
        assert valkey.keys(f"vestibule:used:{workspace.id}:*")

    def test_everything_works_without_it(
        self, nodes: tuple[Installation, RunningServer], workspace: Workspace, valkey: ValkeyServer
    ) -> None:
        valkey.freeze()
        try:
            for url in ("", nodes[1].base_url):
                began = time.monotonic()
                assert workspace.authenticate(email="bea@example.com", url=url).status_code == 200
                assert time.monotonic() - began < 3.0
        finally:
            valkey.thaw()

    def test_the_check_up_tells_whether_it_answers(self, nodes: tuple[Installation, RunningServer]) -> None:
        def grade(settings: dict[str, str]) -> str:
            printed = nodes[0].command("doctor", "--json", settings=settings)
            assert "hunter2" not in printed.stdout
            return str(next(item["grade"] for item in printed.json["items"] if item["check"] == "valkey"))

        assert grade({}) == "good"
        port = nodes[0].server.settings["VESTIBULE_VALKEY_URL"].rpartition(":")[2]
        assert grade({"VESTIBULE_VALKEY_URL": f"redis://:hunter2@127.0.0.1:{port}"}) == "bad"
        assert grade({"VESTIBULE_VALKEY_URL": f"valkeys://127.0.0.1:{port}"}) == "bad"
        assert grade({"VESTIBULE_VALKEY_URL": f"valkey://127.0.0.1:{free_port()}"}) == "bad"


async def test_speaks_tls_and_believes_only_whom_it_is_told_to(
    authority: Authority, store: Store, bucket: str, tmp_path: Path
) -> None:
    with ValkeyServer(authority) as server:
        good = ValkeyTotals(server.url, authority.file, DatabaseTotals(store))
        assert await good.add("w", bucket, now_ms() // MINUTE_MS, 3, 3) == 3
        assert server.keys() != []
        server.flush()
        other = ValkeyTotals(server.url, make_authority(tmp_path).file, DatabaseTotals(store))
        # Who cannot prove itself counts for one that is away: the database's totals hold meanwhile.
        assert await other.add("w", bucket, now_ms() // MINUTE_MS, 2, 2) == 2
        assert server.keys() == []
        await good.close()
        await other.close()
