"""Finds the line of a file on which a TOML value stands, and writes values as TOML; it must not know what they mean.

`tomllib` tells where a file stops being TOML, and nothing of where its values were. What is read here was accepted by
it before, so this need not judge.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

Path = tuple[str | int, ...]
_KEY = re.compile(r"""\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([A-Za-z0-9_-]+))\s*""")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_PLACE = re.compile(r"[A-Za-z0-9_-]+|\[\d+\]")
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r", "\b": "\\b", "\f": "\\f"}


class Places:
    """The lines of a document's tables and keys."""

    def __init__(self, text: str) -> None:
        self._lines: dict[Path, int] = {}
        self._tables: dict[Path, int] = {}
        self._table: Path = ()
        open_value = _Value()
        for number, line in enumerate(text.split("\n"), 1):
            if open_value.is_open:
                open_value.read(line)
                continue
            self._statement(line, number, open_value)

    def line_of(self, place: str) -> int | None:
        """Of a place written as `a.b[0].c`, or of the nearest that encloses it."""
        path = tuple(int(part[1:-1]) if part.startswith("[") else part for part in _PLACE.findall(place))
        while path:
            if path in self._lines:
                return self._lines[path]
            path = path[:-1]
        return None

    def _statement(self, line: str, number: int, value: _Value) -> None:
        stripped = line.lstrip()
        if stripped.startswith("[["):
            path = self._resolved(_keys(stripped[2:]))
            self._tables[path] = self._tables.get(path, -1) + 1
            self._table = (*path, self._tables[path])
            self._lines[self._table] = number
            self._lines.setdefault(path, number)
        elif stripped.startswith("["):
            self._table = self._resolved(_keys(stripped[1:]))
            self._lines.setdefault(self._table, number)
        elif stripped and not stripped.startswith("#"):
            keys = _keys(stripped)
            for end in range(1, len(keys) + 1):
                self._lines.setdefault((*self._table, *keys[:end]), number)
            value.read(stripped[_length(stripped) + 1 :])

    def _resolved(self, keys: tuple[str, ...]) -> Path:
        """The path of a header: below an array of tables it means the last table."""
        path: Path = ()
        for index, key in enumerate(keys):
            path = (*path, key)
            if path in self._tables and index < len(keys) - 1:
                path = (*path, self._tables[path])
        return path


class _Value:
    """Whether a value goes on in the next line: inside brackets, or a text of several lines."""

    def __init__(self) -> None:
        self._depth = 0
        self._quotes = ""

    @property
    def is_open(self) -> bool:
        return self._depth > 0 or bool(self._quotes)

    def read(self, line: str) -> None:
        at = 0
        while at < len(line):
            if self._quotes:
                at = self._skip_text(line, at)
            elif line[at] == "#":
                return
            elif line[at] in "\"'":
                many = line[at] * 3
                self._quotes = many if line.startswith(many, at) else line[at]
                at += len(self._quotes)
            else:
                self._depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(line[at], 0)
                at += 1
        if len(self._quotes) == 1:
            self._quotes = ""

    def _skip_text(self, line: str, at: int) -> int:
        if line[at] == "\\" and self._quotes[0] == '"':
            return at + 2
        if line.startswith(self._quotes, at):
            at += len(self._quotes)
            # Up to two more quotes may belong to the text itself.
            while len(self._quotes) == 3 and line.startswith(self._quotes[0], at):
                at += 1
            self._quotes = ""
            return at
        return at + 1


def _keys(text: str) -> tuple[str, ...]:
    return tuple(match[1] or match[2] or match[3] or "" for match in _key_matches(text))


def _length(text: str) -> int:
    matches = list(_key_matches(text))
    return matches[-1].end() if matches else 0


def _key_matches(text: str) -> Iterator[re.Match[str]]:
    at = 0
    while (match := _KEY.match(text, at)) is not None:
        yield match
        at = match.end()
        if not text.startswith(".", at):
            return
        at += 1


def toml(document: Mapping[str, Any]) -> str:
    """The document as TOML: its values, its tables, its arrays of tables, in their order. Raises ValueError for null,
    which TOML does not have."""
    return "\n".join(_table((), document)).strip("\n") + "\n"


def _table(path: tuple[str, ...], table: Mapping[str, Any]) -> Iterator[str]:
    later = {name: value for name, value in table.items() if _is_table(value) or _is_tables(value)}
    for name, value in table.items():
        if name not in later:
            yield f"{_key(name)} = {_value(value)}"
    for name, value in later.items():
        below = (*path, name)
        header = ".".join(map(_key, below))
        for each in value if isinstance(value, list) else [value]:
            yield ""
            yield f"[[{header}]]" if isinstance(value, list) else f"[{header}]"
            yield from _table(below, each)


def _is_table(value: object) -> bool:
    # A reference to a secret reads best in one line.
    return isinstance(value, dict) and bool(value) and not ({*value} <= {"env", "file"} and len(value) == 1)


def _is_tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(_is_table(each) for each in value)


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(name)} = {_value(each)}" for name, each in value.items()) + " }"
    raise ValueError("TOML has no null")


def _text(text: str) -> str:
    escaped = (
        _ESCAPES.get(character) or (character if character.isprintable() or character == " " else _unicode(character))
        for character in text
    )
    return f'"{"".join(escaped)}"'


def _unicode(character: str) -> str:
    return f"\\U{ord(character):08X}"
