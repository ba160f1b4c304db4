"""Visits all candidates in random order, round after round, in short slices; it must not judge the figures."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Protocol

from tests.bench import load
from tests.bench.pgbench import Pgbench
from tests.bench.processes import tree
from tests.bench.scenarios import ALONE, HELLO, POSTGRESQL, Scenario
from tests.bench.servers import Running, take

_WARM_UP_SECONDS = 0.15
# More requests a second than can be answered, at first; later slices know better, but may follow a disturbed one.
_FIRST_GUESS = 20_000
_FIRST_GUESS_HELLO = 90_000
_LEAST_GUESS = 8_000
# Of those that take a call each to prepare: as many as may be answered, and where they run out the slice is shorter.
_FIRST_GUESS_PREPARED = 2_500
_LEAST_GUESS_PREPARED = 500
_ROOM = 1.5
PGBENCH = "pgbench"


@dataclass(frozen=True, slots=True)
class Sample:
    """One slice of one candidate. None is what the candidate cannot tell."""

    per_second: float
    cpu_us: float | None = None
    database_us: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None


class Candidate(Protocol):
    """What is visited. `measure` raises when the candidate does not do what it should."""

    name: str
    server: str
    callers: int

    def measure(self, seconds: float) -> Sample: ...


@dataclass(slots=True)
class Refusals:
    """Answers other than 2xx, of all slices: one is enough to make every figure worthless."""

    count: int = 0
    first: bytes = b""


class OverHttp:
    """A scenario on its running server."""

    def __init__(
        self, scenario: Scenario, running: Running, database_pid: int | None, link: Connection, refusals: Refusals
    ) -> None:
        self.name, self.server, self.callers = scenario.name, scenario.server, scenario.callers
        self._requests = scenario.requests
        self._running = running
        self._database_pid = database_pid if scenario.server in {POSTGRESQL, ALONE} else None
        self._link = link
        self._refusals = refusals
        self._per_second, self._least = _FIRST_GUESS, _LEAST_GUESS
        if scenario.server == HELLO:
            self._per_second = _FIRST_GUESS_HELLO
        elif scenario.prepared:
            self._per_second, self._least = _FIRST_GUESS_PREPARED, _LEAST_GUESS_PREPARED

    def measure(self, seconds: float) -> Sample:
        count = int(self._per_second * (seconds + _WARM_UP_SECONDS))
        effects, rendered = take(self._running, self._requests, count)
        watched = [tuple(tree(self._running.pid))]
        if self._database_pid is not None:
            watched.append(tuple(tree(self._database_pid)))
        port = self._running.target.port
        order = load.Order(port, rendered, self.callers, seconds, _WARM_UP_SECONDS, tuple(watched))
        outcome = load.run(self._link, order)
        self._running.effects.update(effects[: outcome.sent])
        self._refusals.count += outcome.refused
        self._refusals.first = self._refusals.first or outcome.first_refusal
        if not outcome.answered:
            raise AssertionError(f"{self.server}, {self.name}: nothing was answered within {seconds:g} s")
        per_second = outcome.answered / outcome.seconds
        self._per_second = max(int(per_second * _ROOM), self._least)
        used = [nanoseconds / 1000 / outcome.answered for nanoseconds in outcome.cpu_ns]
        latencies = sorted(outcome.latencies_ns)
        return Sample(
            per_second,
            cpu_us=used[0],
            database_us=used[1] if len(used) > 1 else None,
            p50_ms=_percentile(latencies, 50),
            p99_ms=_percentile(latencies, 99),
        )


class OfPgbench:
    """pgbench with a number of clients."""

    def __init__(self, pgbench: Pgbench, callers: int) -> None:
        self.name, self.server, self.callers = "upsert, 80 % returning", PGBENCH, callers
        self._pgbench = pgbench

    def measure(self, seconds: float) -> Sample:
        return Sample(self._pgbench.run(self.callers, seconds))


@dataclass(slots=True)
class Row:
    """The slices of one candidate, a round each."""

    name: str
    server: str
    callers: int
    samples: list[Sample] = field(default_factory=list)

    def median(self, value: Callable[[Sample], float | None]) -> float | None:
        values = [number for sample in self.samples if (number := value(sample)) is not None]
        return statistics.median(values) if values else None

    def ratios(self, other: Row | None, value: Callable[[Sample], float | None]) -> list[float]:
        """Its figure over the other's, round by round: what a round disturbs, it disturbs for both."""
        pairs = zip(self.samples, other.samples, strict=True) if other is not None else ()
        figures = ((value(mine), value(theirs)) for mine, theirs in pairs)
        return [mine / theirs for mine, theirs in figures if mine is not None and theirs]


def visit(
    candidates: Sequence[Candidate], *, rounds: int, seconds: float, progress: Callable[[int], None]
) -> list[Row]:
    """Measures each candidate once a round."""
    rows = [Row(candidate.name, candidate.server, candidate.callers) for candidate in candidates]
    chosen = random.Random()
    for number in range(rounds):
        order = list(range(len(candidates)))
        chosen.shuffle(order)
        for index in order:
            rows[index].samples.append(candidates[index].measure(seconds))
        progress(number + 1)
    return rows


def _percentile(ordered: Sequence[int], percent: int) -> float:
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] / 1e6
