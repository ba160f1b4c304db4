"""Counts requests against limits per minute, shared by all processes; it must not know what a request is.

A sliding window: this minute's count, plus the last minute's in the share of it that still lies within sixty seconds.
Every process counts in memory and adds what it counted to a shared total four times a second, so a request costs no
round trip. What a process may admit between two meetings with the others is an eighth of what is left, hence N
processes together overshoot a limit by N eighths of the rest at most, and by nothing much when little is left.

Totals lie in the database, or in Valkey where there is one and it answers (`valkey.py`). What a process knows of a
total it does not forget within the minute, whatever becomes of the place.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import math
from typing import Protocol

import msgspec

from vestibule.clock import MINUTE_MS, SECOND_MS, now_ms
from vestibule.errors import RateLimited, StorageUnavailable

_FLUSH_SECONDS = 0.25
# So many counts are on their way at once: storage lets them share its round trips and commits.
_TOGETHER = 100
_LEASE_SHARE = 8
_PURGE_EVERY_MINUTES = 10
_log = logging.getLogger(__name__)


class Totals(Protocol):
    """Where processes add up what they counted. Every method raises StorageUnavailable."""

    async def add(self, workspace_id: str, bucket: str, minute: int, used: int, least: int) -> int:
        """Adds to a minute's total, and tells it. It is `least` at least: a place that has forgotten is told again."""

    async def read(self, workspace_id: str, bucket: str, minute: int) -> int: ...

    async def purge(self, before_minute: int) -> bool:
        """Deletes some of the minutes before; whether there may be more."""


class Allowance(msgspec.Struct, frozen=True):
    """What is left after a request that was let through; `reset` is in seconds."""

    limit: int
    remaining: int
    reset: int


class _Bucket:
    __slots__ = ("in_flight", "lease", "minute", "name", "pending", "previous", "shared", "syncing", "workspace_id")

    def __init__(self, workspace_id: str, name: str) -> None:
        self.workspace_id = workspace_id
        self.name = name
        self.minute = -1
        self.previous = 0  # everybody's count in the minute before
        self.shared = 0  # everybody's count in this minute, as of the last meeting
        self.in_flight = 0  # ours, on its way to the database
        self.pending = 0  # ours, not sent yet
        self.lease = 0
        self.syncing: asyncio.Task[None] | None = None

    def used(self, now: int) -> float:
        left = 1 - (now % MINUTE_MS) / MINUTE_MS
        return self.shared + self.in_flight + self.pending + self.previous * left


class RateLimiter:
    """Admits or refuses, by bucket."""

    def __init__(self, totals: Totals) -> None:
        self._totals = totals
        self._buckets: dict[tuple[str, str], _Bucket] = {}
        self._here: dict[tuple[str, str], _Bucket] = {}
        self._swept = self._purged = 0
        self._more_to_purge = False

    async def take(self, workspace_id: str, name: str, limit: int) -> Allowance:
        """Counts one request. Raises RateLimited, and StorageUnavailable where the others cannot be asked."""
        bucket = self._buckets.get((workspace_id, name))
        if bucket is None:
            bucket = self._buckets[workspace_id, name] = _Bucket(workspace_id, name)
        while True:
            now = now_ms()
            if bucket.minute != now // MINUTE_MS:
                await self._meet(bucket, limit)
                continue
            used = bucket.used(now)
            if used + 1 > limit:
                raise RateLimited(limit, _wait(bucket, limit, now), detail=f"{name}: {limit} a minute")
            if bucket.pending < bucket.lease:
                break
            await self._meet(bucket, limit)
        bucket.pending += 1
        return Allowance(limit, max(0, int(limit - used - 1)), 60 - now % MINUTE_MS // SECOND_MS)

    def take_here(self, workspace_id: str, name: str, limit: int) -> None:
        """Counts one request in this process alone, for limits of which there is one for each person: sharing those
        would cost every sign-in, and every look for news, three statements. Raises RateLimited."""
        now = now_ms()
        bucket = self._here.get((workspace_id, name))
        if bucket is None:
            bucket = self._here[workspace_id, name] = _Bucket(workspace_id, name)
        minute = now // MINUTE_MS
        if bucket.minute != minute:
            bucket.previous = bucket.pending if bucket.minute == minute - 1 else 0
            bucket.minute, bucket.pending = minute, 0
        # Far from its limit, as nearly always, a request does not wait for the share of the last minute.
        if bucket.pending + bucket.previous >= limit and bucket.used(now) + 1 > limit:
            raise RateLimited(limit, _wait(bucket, limit, now), detail=f"{name}: {limit} a minute")
        bucket.pending += 1

    async def run(self) -> None:
        """Brings the counts to the database until cancelled."""
        while True:
            await asyncio.sleep(_FLUSH_SECONDS)
            try:
                with contextlib.suppress(StorageUnavailable):  # the counts stay pending
                    await self.flush()
            except Exception:
                _log.exception("the rate limits' counts cannot be shared")

    async def flush(self) -> None:
        """Adds what was counted to the totals. Raises StorageUnavailable."""
        minute = now_ms() // MINUTE_MS
        if minute != self._swept:  # first: also while the totals are not to be had
            self._swept = minute
            self._here = {key: bucket for key, bucket in self._here.items() if bucket.minute >= minute - 1}
        counted = []
        for key, bucket in list(self._buckets.items()):
            if bucket.pending and bucket.syncing is None:
                counted.append(bucket)
            elif bucket.minute < minute - 1 and bucket.syncing is None:  # else somebody is about to count on it
                del self._buckets[key]
        for start in range(0, len(counted), _TOGETHER):
            # A list: arguments from a generator make tuples that CPython keeps when they are over, and does not use.
            await asyncio.gather(*[self._meet(bucket, None) for bucket in counted[start : start + _TOGETHER]])
        if self._more_to_purge or abs(minute - self._purged) >= _PURGE_EVERY_MINUTES:
            self._purged = minute
            # Some at each meeting, for the next meeting does not wait.
            self._more_to_purge = await self._totals.purge(minute - 2)

    async def _meet(self, bucket: _Bucket, limit: int | None) -> None:
        """Exchanges counts with the other processes; requests that need it at the same time share one exchange, and its
        failure: each with one of its own, in turn, would wait for a database that does not answer without end."""
        if bucket.syncing is None or bucket.syncing.done():
            bucket.syncing = asyncio.create_task(self._exchange(bucket, limit))
            bucket.syncing.add_done_callback(functools.partial(_met, bucket))
        await asyncio.shield(bucket.syncing)

    async def _exchange(self, bucket: _Bucket, limit: int | None) -> None:
        minute = now_ms() // MINUTE_MS
        if bucket.pending and bucket.minute >= 0:
            bucket.in_flight, bucket.pending = bucket.pending, 0
            try:
                least = bucket.shared + bucket.in_flight
                total = await self._totals.add(bucket.workspace_id, bucket.name, bucket.minute, bucket.in_flight, least)
            except StorageUnavailable:
                bucket.pending += bucket.in_flight
                raise
            finally:
                bucket.in_flight = 0
            bucket.shared = total
        if bucket.minute != minute and limit is not None:
            previous = await self._totals.read(bucket.workspace_id, bucket.name, minute - 1)
            shared = await self._totals.read(bucket.workspace_id, bucket.name, minute)
            known = bucket.shared if bucket.minute == minute - 1 else 0
            bucket.minute, bucket.previous, bucket.shared = minute, max(previous, known), shared
        if limit is not None:
            bucket.lease = max(1, int(limit - bucket.used(now_ms())) // _LEASE_SHARE)


def _met(bucket: _Bucket, exchange: asyncio.Task[None]) -> None:
    if bucket.syncing is exchange:
        bucket.syncing = None
    if not exchange.cancelled():
        exchange.exception()  # told to whoever waits; it may be that nobody does any more


def _wait(bucket: _Bucket, limit: int, now: int) -> int:
    """Seconds until one more request would pass, if nobody else asks meanwhile."""
    count = bucket.shared + bucket.in_flight + bucket.pending
    gone = (now % MINUTE_MS) / MINUTE_MS
    if count < limit:
        need = 1 - (limit - 1 - count) / max(bucket.previous, 1)
        return math.ceil((need - gone) * 60)
    return math.ceil((1 - gone + 1 - (limit - 1) / count) * 60)
