"""Spans are read as they are written, and nothing else is one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestibule.clock import DAY_MS, HOUR_MS
from vestibule.times import read_span, rfc3339, span_text


@given(st.integers(0, 365_000 * DAY_MS))
def test_what_is_written_reads_back_the_same(milliseconds: int) -> None:
    assert read_span(span_text(milliseconds)) == milliseconds


@pytest.mark.parametrize(
    ("text", "milliseconds"), [("0s", 0), ("500ms", 500), ("90s", 90_000), ("36h", 36 * HOUR_MS), ("30d", 30 * DAY_MS)]
)
def test_the_largest_unit_without_a_rest(text: str, milliseconds: int) -> None:
    assert read_span(text) == milliseconds
    assert read_span(span_text(milliseconds)) == milliseconds


@pytest.mark.parametrize(
    "text", ["", "5", "s", "-1s", "1.5h", "1h30m", " 1s", "1 s", "1w", "٣s", "9" * 16 + "s", "365001d"]
)
def test_nothing_else_is_a_span(text: str) -> None:
    assert read_span(text) is None


def test_a_time_is_written_in_utc() -> None:
    assert rfc3339(1_795_289_154_596) == "2026-11-21T19:25:54.596Z"
