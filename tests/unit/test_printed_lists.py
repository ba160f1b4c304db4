"""Lists for people keep every column and every id whole, on a narrow screen and in a pipe; free text is wrapped."""

from __future__ import annotations

import contextlib
import io

import pytest

from vestibule.cli.output import Value, print_list

ID = "01a20216-720c-7d33-a1c3-480ec93d22f4"
ROWS: list[dict[str, Value]] = [
    {"id": ID, "name": "A rather long name of an endpoint", "url": f"https://crm.example.com/{'x' * 200}", "dead": 7},
    {"id": ID[::-1], "name": "b", "url": "https://b.example.com/", "dead": 0},
]


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def printed(rows: list[dict[str, Value]], *columns: str, on: io.StringIO) -> list[str]:
    with contextlib.redirect_stdout(on):
        print_list(rows, columns, as_json=False, empty="")
    return [line.rstrip() for line in on.getvalue().splitlines()]


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")


@pytest.mark.parametrize("on", [io.StringIO, Screen])
def test_nothing_is_cut_or_left_out(on: type[io.StringIO]) -> None:
    head, first, second = printed(ROWS, "id", "name", "url", "dead", on=on())
    assert head.split() == ["id", "name", "url", "dead"]
    assert first.split() == [*" ".join(str(value) for value in ROWS[0].values()).split()]
    assert second.split() == [*" ".join(str(value) for value in ROWS[1].values()).split()]


def test_free_text_is_wrapped_on_a_screen_beside_ids_that_are_not() -> None:
    rows: list[dict[str, Value]] = [{"check": ID, "message": "word " * 30}]
    lines = printed(rows, "check", "message", on=Screen())
    assert len(lines) > 2
    assert max(map(len, lines)) <= 80
    assert ID in lines[1]
    assert len(printed(rows, "check", "message", on=io.StringIO())) == 2
