"""The limiter over a real database: what passes, what several processes know of each other, and what it says when."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from vestibule.clock import MINUTE_MS, now_ms
from vestibule.errors import RateLimited, StorageUnavailable
from vestibule.limits import RateLimiter
from vestibule.storage.opening import migrate, open_store
from vestibule.storage.rate_totals import DatabaseTotals
from vestibule.storage.store import Store


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
def bucket(request: pytest.FixtureRequest) -> str:
    """A name of the test's own."""
    return str(request.node.name)


def limiter_over(store: Store) -> RateLimiter:
    return RateLimiter(DatabaseTotals(store))


async def admitted(limiter: RateLimiter, bucket: str, limit: int, tries: int) -> int:
    async def once() -> bool:
        try:
            await limiter.take("w", bucket, limit)
        except RateLimited:
            return False
        return True

    return sum(await asyncio.gather(*(once() for _ in range(tries))))


async def test_as_many_pass_as_the_limit_says(store: Store, bucket: str) -> None:
    for limit in (1, 2, 7, 100):
        assert await admitted(limiter_over(store), f"{bucket}{limit}", limit, 2 * limit + 3) == limit


async def test_what_is_left_counts_down(store: Store, bucket: str) -> None:
    limiter = limiter_over(store)
    allowances = [await limiter.take("w", bucket, 3) for _ in range(3)]
    assert [(allowance.limit, allowance.remaining) for allowance in allowances] == [(3, 2), (3, 1), (3, 0)]
    assert all(1 <= allowance.reset <= 60 for allowance in allowances)


async def test_a_refusal_says_when_the_next_would_pass(store: Store, bucket: str) -> None:
    limiter = limiter_over(store)
    await admitted(limiter, bucket, 10, 10)
    with pytest.raises(RateLimited) as caught:
        await limiter.take("w", bucket, 10)
    # All ten lie in this minute: the first of them counts less from the next one on.
    left_of_minute = (MINUTE_MS - now_ms() % MINUTE_MS) / 1000
    assert left_of_minute - 1 <= caught.value.retry_after <= left_of_minute + 7
    assert caught.value.limit == 10


async def test_the_minute_before_counts_in_the_share_of_it_that_is_not_over(store: Store, bucket: str) -> None:
    """A sliding window: nobody gets twice the limit around the turn of a minute."""
    if now_ms() % MINUTE_MS > MINUTE_MS - 500:
        await asyncio.sleep(0.6)
    before = now_ms() // MINUTE_MS - 1
    totals = DatabaseTotals(store)
    await totals.add("w", bucket, before, 1_000_000_000, 0)
    assert await admitted(limiter_over(store), bucket, 10, 12) == 0
    await totals.add("w", f"{bucket} earlier", before - 1, 1_000_000_000, 0)
    assert await admitted(limiter_over(store), f"{bucket} earlier", 10, 12) == 10


async def test_names_and_workspaces_are_apart(store: Store, bucket: str) -> None:
    limiter = limiter_over(store)
    for workspace, name in (("a", bucket), ("b", bucket), ("a", f"{bucket}2")):
        await limiter.take(workspace, name, 1)
    with pytest.raises(RateLimited):
        await limiter.take("b", bucket, 1)


async def test_processes_together_overshoot_by_an_eighth_each_at_most(store: Store, bucket: str) -> None:
    """As the module's documentation promises."""
    limiters = [limiter_over(store) for _ in range(4)]
    passed = 0
    for _ in range(40):
        passed += sum(await asyncio.gather(*(admitted(limiter, bucket, 80, 2) for limiter in limiters)))
    assert 80 <= passed <= 80 + 4 * 80 // 8


async def test_a_process_that_comes_later_knows_what_was_used(store: Store, bucket: str) -> None:
    first = limiter_over(store)
    await admitted(first, bucket, 10, 8)
    await first.flush()
    assert await admitted(limiter_over(store), bucket, 10, 10) == 2


async def test_many_counts_are_brought_together(store: Store, bucket: str) -> None:
    """One after the other they would be later than the quarter of a second that is promised."""

    class Watched(DatabaseTotals):
        under_way = most = 0

        async def add(self, workspace_id: str, bucket: str, minute: int, used: int, least: int) -> int:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            try:
                return await super().add(workspace_id, bucket, minute, used, least)
            finally:
                self.under_way -= 1

    totals = Watched(store)
    limiter = RateLimiter(totals)
    await asyncio.gather(*(limiter.take("w", f"{bucket}{number}", 1_000) for number in range(250)))
    await limiter.flush()
    assert totals.most == 100
    minute = now_ms() // MINUTE_MS
    used = [await totals.read("w", f"{bucket}{n}", m) for n in range(250) for m in (minute, minute - 1)]
    assert sum(used) == 250


async def test_a_smaller_limit_holds_at_once(store: Store, bucket: str) -> None:
    limiter = limiter_over(store)
    await admitted(limiter, bucket, 100, 20)
    with pytest.raises(RateLimited):
        await limiter.take("w", bucket, 20)
    await limiter.take("w", bucket, 21)


async def test_old_totals_are_swept_away(store: Store, bucket: str) -> None:
    old, recent = now_ms() // MINUTE_MS - 100, now_ms() // MINUTE_MS - 1
    totals = DatabaseTotals(store)
    await totals.add("w", bucket, old, 5, 0)
    await totals.add("w", bucket, recent, 5, 0)
    await limiter_over(store).flush()
    assert await totals.read("w", bucket, old) == 0
    assert await totals.read("w", bucket, recent) == 5


async def test_nobody_passes_uncounted_while_the_database_is_away(path: Path, bucket: str) -> None:
    """Fail closed (DESIGN rule 2.9). What was counted is brought when it is back."""
    other = await open_store(f"sqlite:///{path}")
    limiter = limiter_over(other)
    await limiter.take("w", bucket, 1_000)
    await other.close()
    with pytest.raises(StorageUnavailable):
        await admitted_or_raise(limiter, bucket, 1_000, 1_000)
    with pytest.raises(StorageUnavailable):
        await limiter_over(other).take("w", bucket, 10)


async def test_whom_nobody_counted_while_the_totals_were_away_is_forgotten(store: Store, bucket: str) -> None:
    """Addresses are a visitor's to choose: those of an outage would stay for as long as the process does."""
    away = Away(store)
    limiter = RateLimiter(away)
    for number in range(20):
        with pytest.raises(StorageUnavailable):
            await limiter.take("w", f"{bucket}-{number}", 10)
    away.is_back = True
    await limiter.flush()
    assert not limiter._buckets


class Away(DatabaseTotals):
    """Totals that nobody reaches, until they are back."""

    is_back = False

    async def read(self, workspace_id: str, bucket: str, minute: int) -> int:
        if not self.is_back:
            raise StorageUnavailable
        return await super().read(workspace_id, bucket, minute)


async def admitted_or_raise(limiter: RateLimiter, bucket: str, limit: int, tries: int) -> None:
    for _ in range(tries):
        await limiter.take("w", bucket, limit)


async def test_a_limit_of_one_process_slides_and_asks_nobody(
    store: Store, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.close()  # whoever asked the database would be refused
    limiter = limiter_over(store)
    now = now_ms() // MINUTE_MS * MINUTE_MS + MINUTE_MS
    monkeypatch.setattr("vestibule.limits.now_ms", lambda: now)

    def passes(tries: int) -> int:
        admitted = 0
        for _ in range(tries):
            try:
                limiter.take_here("w", bucket, 10)
            except RateLimited:
                continue
            admitted += 1
        return admitted

    assert passes(15) == 10
    limiter.take_here("w", f"{bucket} of somebody else", 10)
    now += MINUTE_MS + MINUTE_MS // 2
    assert passes(15) == 5  # half of the minute before still counts
    now += 2 * MINUTE_MS
    assert passes(15) == 10


async def test_a_total_that_was_forgotten_is_told_again(store: Store, bucket: str) -> None:
    """As when Valkey is emptied, or does not answer and the database counts on: nobody near the limit starts anew."""
    limiter = limiter_over(store)
    assert await admitted(limiter, bucket, 16, 12) == 12
    await limiter.flush()
    await DatabaseTotals(store).purge(now_ms() // MINUTE_MS + 1)
    assert await admitted(limiter, bucket, 16, 12) == 4
    await limiter.flush()
    assert await admitted(limiter_over(store), bucket, 16, 12) == 0


async def test_those_who_need_the_totals_at_once_share_one_question_and_its_failure(bucket: str) -> None:
    """Each with one of its own, in turn, would make the last wait as many time-outs as there are requests."""

    class Silent:
        asked = 0

        async def read(self, *_: object) -> list[tuple[object, ...]]:
            self.asked += 1
            await asyncio.sleep(0.05)
            raise StorageUnavailable

    silent = Silent()
    limiter = limiter_over(cast("Store", silent))
    takes = await asyncio.gather(*(limiter.take("w", bucket, 10) for _ in range(50)), return_exceptions=True)
    assert {type(take) for take in takes} == {StorageUnavailable}
    assert silent.asked == 1


async def test_what_is_counted_together_leaves_nothing_with_the_interpreter(store: Store, bucket: str) -> None:
    """CPython keeps a tuple that is over for the next of its length, and one that grew from a generator never was the
    next: 2,000 of each length up to 20, and four meetings a second."""
    limiter = limiter_over(store)

    async def rounds(number: int) -> None:
        for _ in range(number):
            for name in range(15):
                await limiter.take("w", f"{bucket}{name}", 1_000_000)
            await limiter.flush()

    await rounds(50)
    before = sys.getallocatedblocks()
    await rounds(200)
    assert sys.getallocatedblocks() - before < 100
