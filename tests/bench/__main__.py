"""`python -m tests.bench`: starts everything, measures, prints, and leaves nothing behind; it must not be a test: a
slow machine makes no run fail, wrong answers do."""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import signal
import sys
import tempfile
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType

import psutil

from tests.bench import idle, layers, load, markdown, plans, servers
from tests.bench.measuring import Candidate, OfPgbench, OverHttp, Refusals, visit
from tests.bench.pgbench import Pgbench
from tests.bench.processes import Cores, choose_cores, memory, on_core, raise_open_files
from tests.bench.provider import Provider
from tests.bench.report import Report, as_json, print_report
from tests.bench.scenarios import (
    ALONE,
    COALESCING,
    CROWD,
    EXCHANGE,
    FEW,
    HELLO,
    MANY,
    MIXED,
    ONE,
    ONE_WORKER,
    POSTGRESQL,
    SCENARIOS,
    SQLITE,
    TWO_WORKERS,
    Requests,
    Scenario,
)
from tests.fixtures.postgres import PostgresServer

_SLICE, _QUICK_SLICE = 1.0, 0.4
_ROUNDS, _QUICK_ROUNDS = 5, 3
_ROWS, _QUICK_ROWS = 200_000, 50_000
_IDLE, _QUICK_IDLE = 10_000, 2_000
_IDLE_SECONDS, _QUICK_IDLE_SECONDS = 60.0, 15.0
_QUIET_PERCENT = 15.0
_STANDARD_OUTPUT = Path("-")
# PostgreSQL's own default; the tests' fixture is content with less.
_POSTGRES_SETTINGS = {"shared_buffers": "128MB"}


@dataclass(frozen=True, slots=True)
class Options:
    scenarios: tuple[Scenario, ...]
    pgbench: bool
    rounds: int
    seconds: float
    rows: int
    idle: int
    idle_seconds: float
    shares: bool
    json: Path | None
    markdown: Path | None


def main() -> int:
    options, heading = _options(), markdown.heading(sys.argv[1:])
    # Before anything is started, as what is started inherits it: each idle chat is a connection.
    raise_open_files()
    # So that what has been started is also ended when a job runner ends this.
    signal.signal(signal.SIGTERM, _end)
    refusals = Refusals()
    before = psutil.cpu_percent(interval=1.0)
    with contextlib.ExitStack() as stack:
        report, faults = _measure(options, choose_cores(), refusals, stack)
    after = psutil.cpu_percent(interval=1.0)
    if max(before, after) > _QUIET_PERCENT:
        report.remarks.append(
            f"others used {before:.0f} % of the machine before and {after:.0f} % after this run:"
            " throughput, latency and start times say little, and every ratio is less sure"
        )
    if refusals.count:
        faults.append(f"{refusals.count} answers were not 2xx; the first: {refusals.first!r}")
    _tell(report, options.markdown, heading, believed=not faults)
    if options.json is not None:
        options.json.write_text(json.dumps({**as_json(report), "faults": faults}, indent=1), encoding="utf-8")
    for fault in faults:
        print(f"FAILED   {fault}")
    return 1 if faults else 0


def _tell(report: Report, document: Path | None, heading: str, *, believed: bool) -> None:
    """Prints the report, or its tables alone. A document stays as it was where the figures are not to be believed."""
    if document == _STANDARD_OUTPUT:
        print(markdown.tables(report, heading))
        return
    print_report(report)
    if document is not None and believed:
        around = document.read_text(encoding="utf-8")
        document.write_text(markdown.put(markdown.tables(report, heading), around), encoding="utf-8")


def _measure(
    options: Options, cores: Cores, refusals: Refusals, stack: contextlib.ExitStack
) -> tuple[Report, list[str]]:
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vestibule-bench-")))
    needed = {scenario.server for scenario in options.scenarios}
    postgres = PostgresServer(_POSTGRES_SETTINGS)
    with on_core(cores.others):
        stack.enter_context(postgres)
    link = stack.enter_context(load.generator(cores.others))
    provider = stack.enter_context(Provider())
    running = _start(needed, directory, postgres, provider, stack, core=cores.server)
    _populate(options.scenarios, running, link)
    candidates: list[Candidate] = [
        OverHttp(scenario, running[scenario.server], postgres.pid, link, refusals) for scenario in options.scenarios
    ]
    if options.pgbench:
        pgbench = Pgbench(postgres.new_database(), directory / "pgbench", cores.others)
        pgbench.prepare()
        candidates += [OfPgbench(pgbench, callers) for callers in (MANY, ONE, FEW, CROWD)]
    _say(f"{options.rounds} rounds of {len(candidates)} slices of {options.seconds:g} s")
    rows = visit(
        candidates, rounds=options.rounds, seconds=options.seconds, progress=lambda number: _say(f"round {number} done")
    )
    memories = {name: memory(server.pid) for name, server in running.items()}
    held = None
    if options.idle and POSTGRESQL in needed:
        _say(f"{options.idle:,} open chats that nobody writes in, for {options.idle_seconds:g} s")
        held = idle.measure(
            running[POSTGRESQL], postgres.pid, cores.others, chats=options.idle, seconds=options.idle_seconds
        )
        refusals.count += held.refused
    place = directory / "sampled"
    url = postgres.new_database()
    shares = _share_out(options, cores.server, url, directory=place, provider=provider, link=link)
    faults = [difference for server in running.values() if (difference := server.differences())]
    growths = []
    for name, url in ((SQLITE, f"sqlite:///{directory}/plans.db"), (POSTGRESQL, postgres.new_database())):
        if name in needed and options.rows:
            _say(f"{options.rows:,} contacts on {name}, for the plans")
            growths.append(plans.measure(name, url, options.rows))
    remarks = [
        f"Python {platform.python_version()}, one worker; {cores}",
        f"{options.rounds} rounds of slices of {options.seconds:g} s",
    ]
    signature = provider.signature_us()
    return Report(remarks, rows, tuple(running.values()), memories, growths, signature, held, shares), faults


def _start(
    needed: set[str],
    directory: Path,
    postgres: PostgresServer,
    provider: Provider,
    stack: contextlib.ExitStack,
    *,
    core: int | None,
) -> dict[str, servers.Running]:
    """Each server that a scenario needs, with a database of its own."""
    running: dict[str, servers.Running] = {}
    if HELLO in needed:
        running[HELLO] = stack.enter_context(servers.hello_server(core, directory / "hello.log"))
    for name, url in ((SQLITE, f"sqlite:///{directory}/bench.db"), (POSTGRESQL, postgres.new_database())):
        if name in needed:
            _say(f"starting Vestibule on {name}, four times")
            running[name] = stack.enter_context(
                servers.vestibule_server(name, url, directory / f"on-{name}", core, provider)
            )
    for name, workers in ((ONE_WORKER, 1), (TWO_WORKERS, 2)):
        if name in needed:
            _say(f"starting {name}")
            url, place = postgres.new_database(), directory / f"with-{workers}"
            running[name] = stack.enter_context(
                servers.vestibule_server(name, url, place, None, provider, workers=workers, restarts=0)
            )
    if ALONE in needed:
        _say("starting Vestibule without shared round trips")
        url, place = postgres.new_database(), directory / "alone"
        running[ALONE] = stack.enter_context(
            servers.vestibule_server(ALONE, url, place, core, provider, restarts=0, kind=servers.UncoalescedServer)
        )
    return running


def _share_out(
    options: Options, core: int | None, database_url: str, *, directory: Path, provider: Provider, link: Connection
) -> list[layers.Shares]:
    """Of the mixed scenarios that were measured, on a server of their own."""
    wanted = [
        scenario
        for scenario in options.scenarios
        if (scenario.server, scenario.callers) == (POSTGRESQL, MANY) and scenario.name in {MIXED, EXCHANGE}
    ]
    if not wanted or not options.shares:
        return []
    _say("sharing the time out among the layers")
    with servers.vestibule_server(
        "sampled", database_url, directory, core, provider, restarts=0, kind=layers.SampledServer
    ) as running:
        for scenario in wanted:
            if scenario.population is not None:
                servers.populate(running, scenario.population, link)
        return [layers.measure(scenario, running, directory, link, options.seconds * 5) for scenario in wanted]


def _populate(scenarios: tuple[Scenario, ...], running: dict[str, servers.Running], link: Connection) -> None:
    done: set[tuple[str, Requests]] = set()
    for scenario in scenarios:
        population = scenario.population
        if population is not None and (scenario.server, population) not in done:
            done.add((scenario.server, population))
            _say(f"sending {population.__name__.replace('_', ' ')} to {scenario.server}")
            servers.populate(running[scenario.server], population, link)


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measures, as ratios within one run.")
    parser.add_argument("--quick", action="store_true", help="short slices, few rounds: a look, not a measurement")
    parser.add_argument("--rounds", type=int, help=f"{_ROUNDS} by default")
    parser.add_argument("--seconds", type=float, help=f"length of a slice, {_SLICE:g} by default")
    parser.add_argument("--only", action="append", metavar="TEXT", help="scenarios whose server/name/callers has TEXT, such as postgresql or mixed/16; repeatable; hello world stays")  # fmt: skip  # noqa: E501
    parser.add_argument("--no-pgbench", action="store_true", help="leave the database's floor out")
    parser.add_argument("--rows", type=int, help=f"contacts to show the plans with, {_ROWS:,} by default; 0 leaves them out; 1000000 and more take minutes")  # fmt: skip  # noqa: E501
    parser.add_argument("--idle", type=int, metavar="N", help="open chats that nobody writes in; 0 for none")
    parser.add_argument("--coalescing", action="store_true", help="nothing but what shared round trips are good for: the same with and without them, by 1 and 16 callers")  # fmt: skip  # noqa: E501
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure to FILE")
    parser.add_argument("--markdown", type=Path, nargs="?", const=_STANDARD_OUTPUT, metavar="FILE", help=f"print the figures as Markdown instead, or write them into FILE between {markdown.BEGIN} and {markdown.END}")  # fmt: skip  # noqa: E501
    given = parser.parse_args()
    every = COALESCING if given.coalescing else SCENARIOS
    wanted = tuple(
        scenario
        for scenario in every
        if not given.only or scenario.server == HELLO or any(text in scenario.key for text in given.only)
    )
    if all(scenario.server == HELLO for scenario in wanted):
        parser.error("no scenario is called that: " + ", ".join(scenario.key for scenario in every))
    if given.markdown not in {None, _STANDARD_OUTPUT}:
        try:  # now, and not when all has been measured
            markdown.put("", given.markdown.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            parser.error(f"{given.markdown}: {error}")
    rows, idle_chats = (0, 0) if given.coalescing else (_QUICK_ROWS, _QUICK_IDLE) if given.quick else (_ROWS, _IDLE)
    return Options(
        scenarios=wanted,
        pgbench=not given.no_pgbench and not given.coalescing,
        rounds=max(1, given.rounds or (_QUICK_ROUNDS if given.quick else _ROUNDS)),
        seconds=max(0.1, given.seconds or (_QUICK_SLICE if given.quick else _SLICE)),
        rows=given.rows if given.rows is not None else rows,
        idle=given.idle if given.idle is not None else idle_chats,
        idle_seconds=_QUICK_IDLE_SECONDS if given.quick else _IDLE_SECONDS,
        shares=not given.coalescing,
        json=given.json,
        markdown=given.markdown,
    )


def _say(sentence: str) -> None:
    print(f"{sentence} …", file=sys.stderr, flush=True)


def _end(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
