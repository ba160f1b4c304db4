"""Prints results for people or as one JSON object; it must not fetch anything."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from vestibule import times

# Columns of free text, which alone are wrapped.
_PROSE = frozenset({"after", "before", "detail", "events", "message", "problem", "reason", "text", "why"})
_NARROWEST_PROSE = 24
_LONGEST_SHOWN = 80
_ENDLESS = 1_000_000

Value = str | int | float | bool | None | Sequence["Value"] | Mapping[str, "Value"]


def rfc3339(milliseconds: int | None) -> str | None:
    """A stored time as people and JSON readers expect it, in UTC."""
    return times.rfc3339(milliseconds) if milliseconds is not None else None


def members(value: object, names: str, /, **other: Value) -> dict[str, Value]:
    """The members of these names, in this order; times (`…_at`) as people expect them. `other`: what is not there, or
    is to be read otherwise."""
    found: dict[str, Value] = {}
    for name in names.split():
        if name in other:
            found[name] = other[name]
        else:
            own = getattr(value, name)
            found[name] = rfc3339(own) if name.endswith("_at") else own
    return found


def warn(warnings: Iterable[str], *, as_json: bool) -> None:
    """Beside a result for people; in JSON they are a member of it."""
    if not as_json:
        for warning in warnings:
            sys.stderr.write(f"warning: {warning}\n")


def print_json(value: Mapping[str, Value]) -> None:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value)).decode() + "\n")


def print_result(value: Mapping[str, Value], *, as_json: bool) -> None:
    """One thing, as lines of name and value."""
    if as_json:
        print_json(value)
        return
    console = Console(highlight=False)
    width = max(map(len, value), default=0)
    for name, member in value.items():
        # A key is shown once, on a narrow screen too: no line is cut or folded.
        console.print(Text.assemble((_printable(name).ljust(width), "bold"), "  ", _text(member)), soft_wrap=True)


def print_list(items: Sequence[Mapping[str, Value]], columns: Sequence[str], *, as_json: bool, empty: str) -> None:
    """Several things, as a table with some of their members; JSON has all members."""
    if as_json:
        print_json({"items": list(items)})
        return
    if not items:
        Console(stderr=True).print(empty)
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    widest = _widest_prose(items, columns)
    for column in columns:
        prose = column in _PROSE
        table.add_column(column.replace("_", " "), no_wrap=not prose, max_width=widest if prose else None)
    for item in items:
        table.add_row(*(Text(_text(item.get(column))) for column in columns))
    # Ids are for copying: they are never cut or folded, on a narrow screen either.
    # A height as well, without which rich takes every dumb terminal for 80 columns wide.
    Console(highlight=False, width=_ENDLESS, height=1).print(table, soft_wrap=True)


def shortened(value: Value) -> str:
    """For a table: a certificate there would push everything else out of sight."""
    text = _text(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 1]}…"


def _widest_prose(items: Sequence[Mapping[str, Value]], columns: Sequence[str]) -> int | None:
    """What a screen leaves beside the other columns; in a pipe a line is as long as it is."""
    if not sys.stdout.isatty():
        return None
    others = [column for column in columns if column not in _PROSE]
    taken = sum(2 + max(cell_len(_text(item.get(column))) for item in [*items, {column: column}]) for column in others)
    return max(_NARROWEST_PROSE, (Console().width - taken) // max(1, len(columns) - len(others)))


def _text(value: Value) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{_printable(name)}={_text(member)}" for name, member in value.items()) or "-"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_text(member) for member in value) or "-"
    return _printable(str(value))


def _printable(text: str) -> str:
    """A contact's name is a stranger's text, and so is the name of a claim: no escape sequence of a terminal's may work
    in it. Rich's markup does not, as it is never given data but in a `Text`."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)
