"""Keeps a server with two workers on PostgreSQL under mixed load, one request in three an attack, and watches what it
takes; it judges by figures, and by what the load was told (tests/fixtures/mixed_load.py)."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.fixtures.faults import exposed, workers_of
from tests.fixtures.mixed_load import Load
from tests.fixtures.postgres import PostgresServer
from tests.fixtures.server import RunningServer
from tests.soak.attacks import attack

WORKERS = 2
# The first part of the time, in which caches fill and connections are made.
WARM_UP = 0.25
# The longest pause of a visitor in that time: caches fill by answers, not by minutes. What a worker remembers of chats
# would be full after 45 minutes of the usual steps, and be taken for a leak, so half of them are such as fill it.
_WARM_UP_PAUSE = 0.05
_LOOKS = 40
# Descriptors come and go with connections; more than this many more at the end than at the beginning are kept.
_SPARE_DESCRIPTORS = 16
# A busy machine's scheduler, on top of what the factor allows.
_SPARE_SECONDS = 0.025
# The tests change these, to wait less for faults among others. Here no fault is made, and 503 is a finding: it waits
# and purges as installed.
_AS_INSTALLED = (
    "VESTIBULE_BODY_TIMEOUT",
    "VESTIBULE_DATABASE_TIMEOUT",
    "VESTIBULE_HEADER_TIMEOUT",
    "VESTIBULE_PURGE_INTERVAL",
)


@dataclass(frozen=True, slots=True)
class Look:
    """At one moment: what all workers together have for themselves, in MiB and in number."""

    at: float
    memory: float
    descriptors: int


@dataclass(frozen=True, slots=True)
class Limits:
    """`growth`: of memory, after the warm-up. `slower`: how many times the first p99 the last may be."""

    growth: float = 0.05
    slower: float = 1.5


@dataclass(frozen=True, slots=True)
class Report:
    """First and last: of the time after the warm-up the first and the last third."""

    seconds: float
    requests: int
    attacks: int
    memory: tuple[float, float]
    descriptors: tuple[int, int]
    p99: tuple[float, float]
    unavailable: int
    problems: tuple[str, ...]

    def lines(self) -> list[str]:
        growth = (self.memory[1] / self.memory[0] - 1) * 100
        return [
            f"{self.requests} requests in {self.seconds:.0f} s, {self.attacks} of them attacks",
            f"memory      {self.memory[0]:8.1f} → {self.memory[1]:.1f} MiB ({growth:+.1f} %)",
            f"descriptors {self.descriptors[0]:8d} → {self.descriptors[1]}",
            f"p99         {self.p99[0] * 1000:8.1f} → {self.p99[1] * 1000:.1f} ms",
            f"503         {self.unavailable:8d}",
            *(f"PROBLEM: {problem}" for problem in self.problems),
        ]


def soak(
    settings: Mapping[str, str],
    seconds: float,
    *,
    visitors: int,
    pause: float,
    limits: Limits | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Report:
    """Runs for so long, and says what came of it."""
    # Below warnings the log is what requests write; anything above is something that nobody expected.
    given = {**settings, "VESTIBULE_LOG_LEVEL": "warning", "VESTIBULE_FIRST_RUN_LINK": "false"}
    given = {name: value for name, value in given.items() if name not in _AS_INSTALLED}
    with tempfile.TemporaryDirectory(prefix="vestibule-soak-") as folder, PostgresServer() as postgres:
        directory = Path(folder)
        with exposed(given, postgres.new_database(), directory, workers=WORKERS) as (server, ground):
            first = min(pause, _WARM_UP_PAUSE)
            load = Load(ground, visitors, deadline=10.0, pause=first, attack=attack, endings_rare=True)
            load.filling = True
            with load:
                looks = _watch(server, load, seconds, pause, tell)
            load.check()
        log = (directory / "server.log").read_text(encoding="utf-8", errors="replace")
    return _report(load, looks, log, limits or Limits())


def _watch(server: RunningServer, load: Load, seconds: float, pause: float, tell: Callable[[str], None]) -> list[Look]:
    looks: list[Look] = []
    began = time.monotonic()
    told = 0
    for number in range(1, _LOOKS + 1):
        time.sleep(max(0.0, began + seconds * number / _LOOKS - time.monotonic()))
        workers = workers_of(server)
        # What they have for themselves. Their part of shared libraries (PSS) would grow when other programs end.
        taken = sum(worker.memory_full_info().uss for worker in workers) / 2**20
        looks.append(Look(time.monotonic(), taken, sum(worker.num_fds() for worker in workers)))
        if number >= _LOOKS * WARM_UP:
            load.pause, load.filling = pause, False
        answers = load.ledger.seconds[told:]
        told += len(answers)
        p99 = f"p99 {_p99([took for _, took in answers]) * 1000:.1f} ms" if answers else "no answer"
        tell(f"{time.monotonic() - began:6.0f} s  {taken:7.1f} MiB  {looks[-1].descriptors} descriptors  {p99}")
    return looks


def _report(load: Load, looks: list[Look], log: str, limits: Limits) -> Report:
    after = looks[int(len(looks) * WARM_UP) :]
    third = len(after) // 3
    parts = (after[:third], after[-third:])
    first, last = (statistics.median(look.memory for look in part) for part in parts)
    opened = (max(look.descriptors for look in parts[0]), max(look.descriptors for look in parts[1]))
    first_p99, last_p99 = (
        _p99([took for at, took in load.ledger.seconds if part[0].at <= at <= part[-1].at]) for part in parts
    )
    ledger = load.ledger
    problems = list(ledger.problems)
    if last > first * (1 + limits.growth):
        problems.append(f"memory grew from {first:.1f} to {last:.1f} MiB")
    if opened[1] > opened[0] + _SPARE_DESCRIPTORS:
        problems.append(f"descriptors grew from {opened[0]} to {opened[1]}")
    if last_p99 > first_p99 * limits.slower + _SPARE_SECONDS:
        problems.append(f"p99 grew from {first_p99:.3f} to {last_p99:.3f} s")
    if ledger.unavailable:
        problems.append(f"503 without a fault: {dict(ledger.unavailable)}")
    if ledger.broken:
        problems.append(f"{ledger.broken} connections broke")
    requests, attacks = (sum(getattr(visitor, name) for visitor in load.visitors) for name in ("asked", "hostile"))
    if attacks * 3 < requests * 0.98:  # at the end everything that was acknowledged is looked up
        problems.append("less than one request in three was an attack")
    problems += [f"log: {line[:300]}" for line in log.splitlines()[:20]]
    return Report(
        seconds=looks[-1].at - looks[0].at,
        requests=requests,
        attacks=attacks,
        memory=(first, last),
        descriptors=opened,
        p99=(first_p99, last_p99),
        unavailable=sum(ledger.unavailable.values()),
        problems=tuple(problems),
    )


def _p99(took: list[float]) -> float:
    return sorted(took)[len(took) * 99 // 100]
