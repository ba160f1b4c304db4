"""The figures of a run as tables of a document, where they stand between two marks; it must not measure or judge."""

from __future__ import annotations

import shlex
import shutil
import statistics
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.bench.measuring import Row
from tests.bench.report import Report, number, sentences, spread, verdicts

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
_ROOT = Path(__file__).parents[2]
_ROWS = ("server", "scenario", "callers", "CPU µs", "÷ hello", "requests/s", "÷ pgbench", "p50, p99 ms", "DB µs")
_SERVERS = ("server", "ready s", "PSS, RSS MiB when fresh", "PSS, RSS MiB after the load")


def heading(arguments: Sequence[str]) -> str:
    """Day, commit and command of a run that begins now."""
    command = shlex.join(["python", "-m", "tests.bench", *arguments])
    return f"{time.strftime('%Y-%m-%d', time.gmtime())}, {_commit()}, `{command}`"


def tables(report: Report, headed: str) -> str:
    """All that the run found out but the plans, which are long; ratios are of one round each."""
    told = "; ".join([headed, *report.remarks])
    parts = [
        f"{told}. Medians over the rounds; in brackets the lowest and the highest.",
        _table(_ROWS, (_row(report, row) for row in report.rows)),
        _table(_SERVERS, _servers(report)),
        *sentences(report),
        _table(
            ("target", "measured", "wanted", ""),
            (
                (verdict.what, verdict.measured, verdict.target, "reached" if verdict.reached else "**missed**")
                for verdict in verdicts(report)
            ),
        ),
    ]
    return "\n\n".join(parts)


def put(text: str, document: str) -> str:
    """The document with this between its marks. Raises ValueError where it has not one pair of them."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in after or END in before + after:
        raise ValueError(f"there must be one {BEGIN} and behind it one {END}")
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"


def _commit() -> str:
    commit = _git("rev-parse", "--short=12", "HEAD")
    if not commit:
        return "no commit"
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", "src", "tests/bench")
    return f"commit `{commit}`, changed since" if changed else f"commit `{commit}`"


def _git(*arguments: str) -> str:
    """What git says; nothing where it is not, or this is no repository."""
    program = shutil.which("git")
    if program is None:
        return ""
    done = subprocess.run([program, *arguments], cwd=_ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _row(report: Report, row: Row) -> tuple[str, ...]:
    p50, p99 = row.median(lambda sample: sample.p50_ms), row.median(lambda sample: sample.p99_ms)
    return (
        row.server,
        row.name,
        str(row.callers),
        number(row.median(lambda sample: sample.cpu_us), 0, 1),
        spread(report.over_hello(row)),
        number(row.median(lambda sample: sample.per_second), 0, 0),
        spread(report.over_pgbench(row)),
        f"{p50:.2f}, {p99:.2f}" if p50 is not None and p99 is not None else "",
        number(row.median(lambda sample: sample.database_us), 0, 0),
    )


def _servers(report: Report) -> Iterable[tuple[str, ...]]:
    for running in report.running:
        held, fresh = report.memories[running.name], running.fresh
        yield (
            running.name,
            f"{statistics.median(running.ready_again):.2f}" if running.ready_again else "",
            f"{fresh.pss:.1f}, {fresh.rss:.1f}" if fresh is not None else "",
            f"{held.pss:.1f}, {held.rss:.1f}",
        )


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
