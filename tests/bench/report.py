"""Prints the figures and holds them against the targets; it must not measure anything."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tests.bench.idle import Held
from tests.bench.layers import Shares
from tests.bench.measuring import PGBENCH, Row, Sample
from tests.bench.plans import Growth
from tests.bench.processes import Memory
from tests.bench.scenarios import (
    ALONE,
    EXCHANGE,
    HELLO,
    LIST,
    MANY,
    MIXED,
    ONE,
    ONE_WORKER,
    POLL,
    POSTGRESQL,
    SQLITE,
    TWO_WORKERS,
)
from tests.bench.servers import Running

# DESIGN section 7, and the front door's issue.
MOST_HELLOS = 7.0
MOST_HELLOS_OF_EXCHANGE = 8.0
MOST_HELLOS_OF_READING = 4.0  # a poll, a list
LEAST_OF_PGBENCH = 0.8
MOST_MB = 80.0
MOST_SECONDS = 1.0
# An answer that takes longer than this is felt; idle chats must not make it so.
MOST_IDLE_MS = 100.0
# Twenty times the rows make an index one level deeper at the most; a scan would be twenty times slower.
MOST_GROWTH = 2.0
# Sharing round trips must answer more with many callers, and a lone one as soon: a twentieth is no more than noise.
LEAST_GAIN, MOST_WAIT = 1.0, 1.05


@dataclass(frozen=True, slots=True)
class Verdict:
    """One target and what came of it."""

    what: str
    measured: str
    target: str
    reached: bool


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that a run found out."""

    remarks: list[str]
    rows: Sequence[Row]
    running: Sequence[Running]
    memories: dict[str, Memory]
    growths: Sequence[Growth]
    signature_us: float
    idle: Held | None = None
    shares: Sequence[Shares] = ()

    def floor(self, server: str, callers: int) -> Row | None:
        return next((row for row in self.rows if row.server == server and row.callers == callers), None)

    def mixed(self, server: str, callers: int) -> Row | None:
        sought = (server, MIXED, callers)
        return next((row for row in self.rows if (row.server, row.name, row.callers) == sought), None)

    def over_alone(self, callers: int, value: Callable[[Sample], float | None]) -> list[float]:
        """What it is with shared round trips over what it is without; empty where that was not measured."""
        shared = self.mixed(POSTGRESQL, callers)
        return shared.ratios(self.mixed(ALONE, callers), value) if shared is not None else []

    def over_hello(self, row: Row) -> list[float]:
        return row.ratios(self.floor(HELLO, row.callers), lambda sample: sample.cpu_us)

    def over_one_worker(self) -> list[float]:
        """What two workers answer over what one does."""
        two = next((row for row in self.rows if row.server == TWO_WORKERS), None)
        one = next((row for row in self.rows if row.server == ONE_WORKER), None)
        return two.ratios(one, lambda sample: sample.per_second) if two is not None else []

    def over_pgbench(self, row: Row) -> list[float]:
        return row.ratios(self.floor(PGBENCH, row.callers), lambda sample: sample.per_second)


def print_report(report: Report) -> None:
    print(
        "", *report.remarks, "medians over the rounds; ratios are of one round each, [lowest to highest]", "", sep="\n"
    )
    _print_rows(report)
    print("\nserver        first start s   again s   PSS MiB   RSS MiB when fresh   PSS MiB   RSS MiB after the load")
    for running in report.running:
        held, fresh = report.memories[running.name], running.fresh
        print(
            f"{running.name:<12} {number(running.ready_first or None, 14, 2)}"
            f" {number(statistics.median(running.ready_again) if running.ready_again else None, 9, 2)}"
            f" {number(fresh.pss if fresh else None, 9, 1)} {number(fresh.rss if fresh else None, 9, 1)}"
            f" {held.pss:20.1f} {held.rss:9.1f}"
        )
    for sentence in sentences(report):
        print(f"\n{sentence}")
    for growth in report.growths:
        print(f"\n{growth.engine}; key: by an index's whole key, table by table; the rows are read beside the index")
        for title, found in (("new table", growth.new_plans), (f"{growth.rows:,}", growth.plans)):
            for plan in found:
                print(f"  {title:>9}  {'key ' if plan.indexed else 'SCAN'}  {plan.statement:<22}  {plan.text}")
    print()
    for verdict in verdicts(report):
        came_to = "reached" if verdict.reached else "MISSED"
        print(f"{came_to:<8} {verdict.what}: {verdict.measured} (target {verdict.target})")


def sentences(report: Report) -> list[str]:
    """What is no table."""
    told = [_idle(report.idle)] if report.idle is not None else []
    if gain := report.over_one_worker():
        told.append(
            f"two workers answer {spread(gain)} times what one does, on the cores of load generator and PostgreSQL"
        )
    for shares in report.shares:
        parts = ", ".join(f"{name} {share:.0%}" for name, share in shares.of_layers.items())
        told.append(f"{shares.scenario}: {parts} ({shares.samples:,} samples)")
    for growth in report.growths:
        for name, taken in growth.times.items():
            times = ", ".join(f"{microseconds:.0f} µs among {rows:,}" for rows, microseconds in taken)
            told.append(f"{growth.engine}, {name}: {times} contacts")
    return told


def _cut(held: Held) -> str:
    if held.chats == held.asked:
        return ""
    return f" instead of {held.asked:,}, as nobody may open more files here (ulimit -Hn)"


def _idle(held: Held) -> str:
    return (
        f"{held.chats:,} open chats{_cut(held)}, {held.per_second:,.0f} requests/s:"
        f" {held.server_cores:.2f} of a core for the server, {held.database_cores:.2f} for PostgreSQL;"
        f" p50 {held.p50_ms:.1f} ms, p99 {held.p99_ms:.1f} ms, worst {held.worst_ms:.0f} ms; {held.late} late;"
        f" {held.rss_mib:.0f} MiB RSS"
    )


def _print_rows(report: Report) -> None:
    print(
        f"{'server':<11} {'scenario':<41} {'callers':>7} {'CPU µs':>7} {'÷ hello':>20} {'req/s':>7}"
        f" {'÷ pgbench':>20} {'p50 ms':>7} {'p99 ms':>7} {'DB µs':>6}"
    )
    for row in report.rows:
        print(
            f"{row.server:<11} {row.name:<41} {row.callers:>7} {number(row.median(lambda s: s.cpu_us), 7, 1)}"
            f" {spread(report.over_hello(row)):>20} {number(row.median(lambda s: s.per_second), 7, 0)}"
            f" {spread(report.over_pgbench(row)):>20} {number(row.median(lambda s: s.p50_ms), 7, 2)}"
            f" {number(row.median(lambda s: s.p99_ms), 7, 2)} {number(row.median(lambda s: s.database_us), 6, 0)}"
        )


def verdicts(report: Report) -> list[Verdict]:
    found: list[Verdict] = []
    for row in report.rows:
        if (row.server, row.callers) != (POSTGRESQL, MANY):
            continue
        if row.name == MIXED:
            found += _speed_verdicts(report, row)
        elif row.name == EXCHANGE:
            found += _exchange_verdicts(report, row)
        elif row.name in {POLL, LIST}:
            found += _hellos_verdicts(report, row, MOST_HELLOS_OF_READING)
    found += _coalescing_verdicts(report)
    for running in report.running:
        if running.name in {SQLITE, POSTGRESQL}:
            found += _server_verdicts(running, report.memories[running.name])
    for growth in report.growths:
        found += _growth_verdicts(growth)
    if (held := report.idle) is not None:
        what = f"{POSTGRESQL}, {held.chats:,} idle chats{_cut(held)}, answers within"
        found.append(
            Verdict(what, f"{held.p99_ms:.0f} ms (p99)", f"<= {MOST_IDLE_MS:g} ms", held.p99_ms <= MOST_IDLE_MS)
        )
    return found


def _hellos_verdicts(report: Report, row: Row, most: float) -> list[Verdict]:
    if not (hellos := report.over_hello(row)):
        return []
    middle, what = statistics.median(hellos), f"{row.server}, {row.name}, {row.callers} callers"
    return [Verdict(what, f"{middle:.2f} hello worlds", f"<= {most:g}", middle <= most)]


def _speed_verdicts(report: Report, row: Row) -> list[Verdict]:
    found = _hellos_verdicts(report, row, MOST_HELLOS)
    if shares := report.over_pgbench(row):
        middle, what = statistics.median(shares), f"{row.server}, {row.name}, {row.callers} callers"
        found.append(Verdict(what, f"{middle:.2f} of pgbench", f">= {LEAST_OF_PGBENCH:g}", middle >= LEAST_OF_PGBENCH))
    return found


def _coalescing_verdicts(report: Report) -> list[Verdict]:
    gains = report.over_alone(MANY, lambda sample: sample.per_second)
    waits = report.over_alone(ONE, lambda sample: sample.p50_ms)
    if not gains or not waits:
        return []
    gain, wait = statistics.median(gains), statistics.median(waits)
    what = "shared round trips over none,"
    return [
        Verdict(f"{what} {MANY} callers", f"{gain:.2f} x the requests", f"> {LEAST_GAIN:g} x", gain > LEAST_GAIN),
        Verdict(f"{what} {ONE} caller", f"{wait:.2f} x the p50", f"<= {MOST_WAIT:g} x", wait <= MOST_WAIT),
    ]


def _exchange_verdicts(report: Report, row: Row) -> list[Verdict]:
    hellos, used = report.over_hello(row), row.median(lambda sample: sample.cpu_us)
    if not hellos or not used:
        return []
    middle, share = statistics.median(hellos), report.signature_us / used
    measured = f"{middle:.2f} hello worlds; the RS256 signature {report.signature_us:.0f} of {used:.0f} µs, {share:.0%}"
    what = f"{row.server}, {row.name}, {row.callers} callers"
    reached = middle <= MOST_HELLOS_OF_EXCHANGE
    return [Verdict(what, measured, f"<= {MOST_HELLOS_OF_EXCHANGE:g}", reached)]


def _server_verdicts(running: Running, held: Memory) -> list[Verdict]:
    seconds = statistics.median(running.ready_again)
    found = [Verdict(f"{running.name}, ready", f"{seconds:.2f} s", f"<= {MOST_SECONDS:g} s", seconds <= MOST_SECONDS)]
    if (fresh := running.fresh) is not None:
        what = f"{running.name}, memory of a fresh worker (RSS)"
        measured = f"{fresh.rss_mb:.1f} MB; after the load {held.rss_mb:.1f}"
        found.append(Verdict(what, measured, f"< {MOST_MB:g} MB", fresh.rss_mb < MOST_MB))
    return found


def _growth_verdicts(growth: Growth) -> list[Verdict]:
    found = []
    for name, taken in growth.times.items():
        (fewest, first), (_, last) = taken[0], taken[-1]
        what, ratio = f"{growth.engine}, {name} among {growth.rows:,} over {fewest:,}", last / first
        found.append(Verdict(what, f"{ratio:.2f} x", f"<= {MOST_GROWTH:g} x", ratio <= MOST_GROWTH))
    for title, plans in (("new tables", growth.new_plans), (f"{growth.rows:,} contacts", growth.plans)):
        scans = [plan.statement for plan in plans if not plan.indexed]
        what, measured = f"{growth.engine}, hot statements on {title}", f"not by key: {', '.join(scans)}"
        found.append(Verdict(what, measured if scans else "by key", "by key", not scans))
    return found


def as_json(report: Report) -> dict[str, Any]:
    return {
        "remarks": report.remarks,
        "scenarios": [
            {
                "server": row.server,
                "name": row.name,
                "callers": row.callers,
                "over_hello": report.over_hello(row),
                "over_pgbench": report.over_pgbench(row),
                "rounds": [asdict(sample) for sample in row.samples],
            }
            for row in report.rows
        ],
        "servers": [
            {
                "name": running.name,
                "ready_first_s": running.ready_first,
                "ready_again_s": running.ready_again,
                "memory_mib": asdict(report.memories[running.name]),
                "fresh_memory_mib": asdict(running.fresh) if running.fresh is not None else None,
            }
            for running in report.running
        ],
        "idle": asdict(report.idle) if report.idle is not None else None,
        "signature_us": report.signature_us,
        "two_workers_over_one": report.over_one_worker(),
        "layers": [asdict(shares) for shares in report.shares],
        "plans": [asdict(growth) for growth in report.growths],
        "verdicts": [asdict(verdict) for verdict in verdicts(report)],
    }


def number(value: float | None, width: int, digits: int) -> str:
    """As wide as its column; nothing where there is none."""
    return f"{value:{width},.{digits}f}" if value is not None else f"{'':{width}}"


def spread(ratios: Sequence[float]) -> str:
    """The middle, the lowest and the highest."""
    return f"{statistics.median(ratios):.2f} [{min(ratios):.2f} to {max(ratios):.2f}]" if ratios else ""
