"""Lays charts out as figures that a template draws as SVG: the policy of the pages forbids inline style, so sizes are
attributes and colours are classes. It must not fetch or escape anything."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from vestibule.administration.coverage_charts import OTHERS, Chart
from vestibule.clock import HOUR_MS

WIDTH, HEIGHT = 640, 160
_LEFT, _TOP, _BOTTOM = 56, 12, 26
_GAP = 0.25
_LABELS = 4
# What names mean, where colours are to say so; the others have one each, in their order.
_MEANING = {"refused": "bad", "warned": "warn", OTHERS: "others"}


class Bar(msgspec.Struct, frozen=True):
    """One rectangle. `kind` is its class."""

    x: float
    y: float
    width: float
    height: float
    kind: str


class Label(msgspec.Struct, frozen=True):
    x: float
    y: float
    text: str
    anchor: str = "middle"


class Line(msgspec.Struct, frozen=True):
    """A series as the table beside the figure has it."""

    name: str
    code: str
    kind: str
    total: int
    counts: tuple[int, ...]


class Figure(msgspec.Struct, frozen=True):
    """A chart, laid out. `about` says in words what is to be seen."""

    dimension: str
    title: str
    about: str
    bars: tuple[Bar, ...]
    marks: tuple[Label, ...]
    grid: tuple[float, ...]
    lines: tuple[Line, ...]
    moments: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        return not self.lines


def figure(chart: Chart, title: str, name_of: Callable[[str], str]) -> Figure:
    lines = tuple(
        Line(name_of(series.name), series.name, _MEANING.get(series.name, f"s{index}"), series.total, series.counts)
        for index, series in enumerate(chart.series)
    )
    moments = tuple(_moment(at, chart.width) for at in chart.starts)
    top = _round_up(chart.highest)
    grid = (0, top // 2, top) if top > 1 else (0, top)
    marks = [Label(_LEFT - 6, _y(value, top) + 4, _short(value), "end") for value in grid]
    step = max(1, len(moments) // _LABELS)
    marks += [
        Label(_x(index, len(moments)) + _width(len(moments)) / 2, HEIGHT - 4, moments[index])
        for index in range(step // 2, len(moments), step)
    ]
    return Figure(
        dimension=chart.dimension,
        title=title,
        about=_about(lines, moments),
        bars=_bars(lines, top),
        marks=tuple(marks),
        grid=tuple(_y(value, top) for value in grid),
        lines=lines,
        moments=moments,
    )


def _bars(lines: tuple[Line, ...], top: int) -> tuple[Bar, ...]:
    bars = []
    pieces = len(lines[0].counts) if lines else 0
    width = _width(pieces) * (1 - _GAP) if pieces else 0
    for index in range(pieces):
        below = 0
        for line in lines:
            count = line.counts[index]
            if count:
                y = _y(below + count, top)
                bars.append(Bar(_x(index, pieces), y, round(width, 2), round(_y(below, top) - y, 2), line.kind))
            below += count
    return tuple(bars)


def _about(lines: tuple[Line, ...], moments: tuple[str, ...]) -> str:
    if not lines:
        return "Nothing was counted."
    named = ", ".join(f"{line.name} {line.total:,}" for line in lines)
    return f"From {moments[0]} to {moments[-1]}: {named}."


def _x(index: int, pieces: int) -> float:
    return round(_LEFT + index * _width(pieces), 2)


def _width(pieces: int) -> float:
    return (WIDTH - _LEFT) / max(pieces, 1)


def _y(value: int, top: int) -> float:
    return round(_TOP + (HEIGHT - _TOP - _BOTTOM) * (1 - value / max(top, 1)), 2)


def _round_up(value: int) -> int:
    """To one, two or five of its highest digit's worth, so that the scale is one that people read."""
    if value <= 1:
        return 1
    power: int = 10 ** (len(str(value)) - 1)
    return next(step * power for step in (1, 2, 4, 6, 8, 10) if step * power >= value)


def _short(value: int) -> str:
    return f"{value // 1000:,}k" if value >= 10_000 else f"{value:,}"


def _moment(at: int, width_hours: int) -> str:
    moment = datetime.fromtimestamp(at / 1000, UTC)
    if width_hours * HOUR_MS >= 24 * HOUR_MS:
        return f"{moment.day} {moment:%b}"
    return f"{moment:%H}:00" if width_hours == 1 else f"{moment.day} {moment:%b %H}:00"
