"""Prints results for people or as one JSON object; it must not fetch anything."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from vestibule import times

Value = str | int | float | bool | None | Sequence["Value"] | Mapping[str, "Value"]


def rfc3339(milliseconds: int | None) -> str | None:
    """A stored time as people and JSON readers expect it, in UTC."""
    return times.rfc3339(milliseconds) if milliseconds is not None else None


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
    for column in columns:
        table.add_column(column.replace("_", " "), no_wrap=column != "message")
    for item in items:
        table.add_row(*(Text(_text(item.get(column))) for column in columns))
    # Ids are for copying: they are never cut or folded, on a narrow screen either.
    Console(highlight=False, width=None if sys.stdout.isatty() else 240).print(table, soft_wrap=True)


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
