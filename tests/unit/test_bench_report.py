"""The bench holds its figures against the targets as these are written, and puts its tables where they belong."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench import markdown
from tests.bench.idle import Held
from tests.bench.measuring import Row, Sample
from tests.bench.processes import Memory
from tests.bench.report import Report, sentences, verdicts
from tests.bench.scenarios import ALONE, HELLO, LIST, MANY, MIXED, ONE, POLL, POSTGRESQL, Target
from tests.bench.servers import Running

DOCS = Path(__file__).parent.parent.parent / "docs"


def row(
    server: str, name: str, callers: int, *, cpu_us: float = 10.0, per_second: float = 1.0, p50: float = 1.0
) -> Row:
    return Row(name, server, callers, [Sample(per_second, cpu_us=cpu_us, p50_ms=p50, p99_ms=2 * p50)])


def report(*rows: Row, fresh: Memory | None = None, idle: Held | None = None) -> Report:
    running = Running(POSTGRESQL, 1, Target(1, ""), ready_again=[0.5], fresh=fresh)
    return Report(["Python"], rows, (running,), {POSTGRESQL: Memory(70.0, 95.0)}, [], 20.0, idle)


def came_to(given: Report, what: str) -> tuple[bool, str, str]:
    [found] = [verdict for verdict in verdicts(given) if what in verdict.what]
    return found.reached, found.measured, found.target


def test_polls_and_lists_may_take_four_hello_worlds() -> None:
    hello = row(HELLO, "hello world", MANY, cpu_us=10.0)
    given = report(hello, row(POSTGRESQL, POLL, MANY, cpu_us=40.0), row(POSTGRESQL, LIST, MANY, cpu_us=41.0))
    assert came_to(given, POLL) == (True, "4.00 hello worlds", "<= 4")
    assert came_to(given, LIST) == (False, "4.10 hello worlds", "<= 4")


@pytest.mark.parametrize(("mib", "mb", "reached"), [(76.0, "79.7", True), (77.0, "80.7", False)])
def test_a_fresh_worker_is_held_against_millions_of_bytes(mib: float, mb: str, *, reached: bool) -> None:
    given = report(fresh=Memory(50.0, mib))
    assert came_to(given, "fresh worker") == (reached, f"{mb} MB; after the load 99.6", "< 80 MB")


def test_shared_round_trips_must_gain_with_many_and_cost_one_nothing() -> None:
    def compared(*, gain: float, wait: float) -> list[bool]:
        given = report(
            row(POSTGRESQL, MIXED, MANY, per_second=gain),
            row(ALONE, MIXED, MANY),
            row(POSTGRESQL, MIXED, ONE, p50=wait),
            row(ALONE, MIXED, ONE),
        )
        return [verdict.reached for verdict in verdicts(given) if "shared round trips" in verdict.what]

    assert compared(gain=1.2, wait=1.0) == [True, True]
    assert compared(gain=0.9, wait=1.2) == [False, False]


def test_fewer_idle_chats_than_asked_for_are_not_passed_over() -> None:
    def told(chats: int) -> str:
        return " ".join(sentences(report(idle=Held(10_000, chats, 60.0, 0.1, 0.1, 1.0, 2.0, 3.0, 0, 0, 80.0))))

    assert "524 open chats instead of 10,000" in told(524)
    assert "instead" not in told(10_000)


def test_tables_say_first_what_was_measured_and_how() -> None:
    heading = markdown.heading(["--quick", "--only", "a b"])
    assert heading.endswith("`python -m tests.bench --quick --only 'a b'`")
    text = markdown.tables(report(row(HELLO, "hello world", MANY), row(POSTGRESQL, POLL, MANY, cpu_us=50.0)), heading)
    assert text.startswith(f"{heading}; Python. Medians")
    assert f"| postgresql | {POLL} | 16 | 50.0 | 5.00 [5.00 to 5.00] | 1 |  | 1.00, 2.00 |  |" in text
    assert f"| postgresql, {POLL}, 16 callers | 5.00 hello worlds | <= 4 | **missed** |" in text


def test_tables_go_between_the_marks_and_nowhere_else() -> None:
    around = f"before\n{markdown.BEGIN}\nold\n{markdown.END}\nafter\n"
    assert markdown.put("new", around) == f"before\n{markdown.BEGIN}\n\nnew\n\n{markdown.END}\nafter\n"
    for wrong in ("", markdown.BEGIN, f"{markdown.END}{markdown.BEGIN}", around * 2, around + markdown.END):
        with pytest.raises(ValueError, match="there must be one"):
            markdown.put("new", wrong)


@pytest.mark.parametrize("name", ["performance.md", "decisions/0003-same-sql-shared-round-trips.md"])
def test_the_documents_have_a_place_for_them(name: str) -> None:
    text = (DOCS / name).read_text(encoding="utf-8")
    assert markdown.put("new", text) != text
