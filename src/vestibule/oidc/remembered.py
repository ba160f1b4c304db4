"""Keeps one thing that another server tells, and asks again when it is time: one call at a time, with pauses after
failures; it must not know what it keeps or how it is asked for.

What was good is never thrown away for a failed or unusable answer (CVE-2026-48524 is what happens otherwise).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import msgspec

from vestibule.clock import elapsed
from vestibule.errors import ProviderUnavailable, Upstream

T = TypeVar("T")
Clock = Callable[[], float]


class Pace(msgspec.Struct, frozen=True):
    """How often a provider is asked, in seconds (SECURITY.md section 3.2)."""

    life: float = 600
    shortest_life: float = 60
    longest_life: float = 86_400
    # Between two calls that a token makes which no known key has signed.
    cool_down: float = 30
    # How long what is out of date may serve while the provider is down.
    stale: float = 3_600
    first_pause: float = 5
    longest_pause: float = 60


class Fresh(msgspec.Struct, Generic[T], frozen=True):
    """An answer, and for how many seconds it may be kept."""

    value: T
    life: float


class Remembered(Generic[T]):
    """One thing of one provider. `fetch` raises Upstream errors for everything that is wrong with the answer."""

    def __init__(self, fetch: Callable[[], Awaitable[Fresh[T]]], pace: Pace, clock: Clock = elapsed) -> None:
        self._fetch = fetch
        self._pace = pace
        self._clock = clock
        self._value: T | None = None
        self._fresh_until = 0.0
        self._stale_until = 0.0
        self._failure: Upstream | ProviderUnavailable | None = None
        self._failures = 0
        self._retry_at = 0.0
        self._asked_anew_at = float("-inf")
        self._flight: asyncio.Task[None] | None = None

    async def get(self) -> T:
        """What is known, asked for if need be. Raises Upstream, and ProviderUnavailable where it is too old."""
        now = self._clock()
        if self._value is not None and now < self._fresh_until:
            return self._value
        if self._failure is None:
            await self._ask()
        elif now >= self._retry_at:
            if self._usable() is None:
                await self._ask()
            else:
                # It failed the last time: nobody waits for it while there is something to work with.
                self._launch()
        value = self._usable()
        if value is not None:
            return value
        raise self._refusal()

    async def get_newer(self, seen: T) -> T:
        """Something newer than `seen`, which lacks what was looked for; or `seen` itself, if the provider was asked a
        moment ago, so that made-up names cannot make calls. Raises Upstream where asking failed."""
        if self._value is not None and self._value is not seen:
            return self._value
        if self._flight is None:
            now = self._clock()
            if now - self._asked_anew_at >= self._pace.cool_down and (self._failure is None or now >= self._retry_at):
                self._asked_anew_at = now
                self._launch()
        if self._flight is not None:
            await asyncio.shield(self._flight)
        if self._failure is not None:
            # It cannot be said that the name does not exist: the visitor's token may be good.
            raise self._refusal()
        return self._value if self._value is not None else seen

    def _usable(self) -> T | None:
        return self._value if self._clock() < self._stale_until else None

    def _refusal(self) -> Upstream | ProviderUnavailable:
        detail, step = (self._failure.detail, self._failure.step) if self._failure is not None else ("", "")
        wait = math.ceil(self._retry_at - self._clock())
        if self._value is not None and self._usable() is None:
            return ProviderUnavailable(detail=f"out of date for too long; {detail}", step=step, retry_after=wait)
        # A new one each time: an exception that many requests raise would gather all their tracebacks.
        failed = type(self._failure) if self._failure is not None else None
        return failed(detail=detail, step=step, retry_after=wait) if failed is not None else Upstream(step="fetch")

    async def _ask(self) -> None:
        # Shielded: one visitor who goes away does not end the call that others wait for.
        await asyncio.shield(self._launch())

    def _launch(self) -> asyncio.Task[None]:
        if self._flight is None:
            self._flight = asyncio.create_task(self._fly())
        return self._flight

    async def _fly(self) -> None:
        try:
            fresh = await self._fetch()
        except (Upstream, ProviderUnavailable) as error:
            self._failure = error.with_traceback(None)
            pause = min(self._pace.first_pause * 2**self._failures, self._pace.longest_pause)
            self._failures = min(self._failures + 1, 10)
            self._retry_at = self._clock() + pause
        else:
            now = self._clock()
            life = min(max(fresh.life, self._pace.shortest_life), self._pace.longest_life)
            self._value = fresh.value
            self._fresh_until = now + life
            self._stale_until = self._fresh_until + self._pace.stale
            self._failure = None
            self._failures = 0
        finally:
            self._flight = None
