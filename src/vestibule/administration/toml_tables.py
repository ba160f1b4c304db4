"""Reads the tables of a TOML document into structs, member by member, and resolves references to secrets; it must not
know what the tables are for, but for which of them go by a name whatever its capitals."""

from __future__ import annotations

import re
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

S = TypeVar("S", bound=msgspec.Struct)
Check = Callable[[S], typing.Iterable[str]]
_TYPES = re.compile(r"Expected `([^`]+)`, got `([^`]+)`")
_BELOW = re.compile(r" - at `\$([^`]*)`$")
_LISTED = "[]"
# Arrays of which no two tables may differ in capitals only. Of the others such two are there, and are exported.
_CASELESS = frozenset({"identity_providers", "staff"})


class Tables:
    """Of one document; `problems` gathers what is wrong with it, each beginning with its place, none with a value.
    `unresolved` are the places where a reference leads to nothing."""

    def __init__(self, directory: Path, environ: Mapping[str, str]) -> None:
        self._directory = directory
        self._environ = environ
        self.problems: list[str] = []
        self.unresolved: dict[str, str] = {}

    def told(self) -> list[str]:
        """The problems, without what is wrong with a value only because its reference leads to nothing."""

        def follows(problem: str) -> bool:
            place = problem.partition(":")[0]
            return any(each == place or each.startswith(f"{place}[") for each in self.unresolved)

        return [problem for problem in self.problems if not follows(problem)] + [*self.unresolved.values()]

    def section(self, document: dict[str, Any], name: str, type_: type[S]) -> S | None:
        return self.table(name, document[name], type_) if name in document else None

    def tables(self, document: dict[str, Any], name: str, type_: type[S], check: Check[S], *, by: str) -> list[S]:
        """The tables of an array, no two with the same member `by`."""
        found = document.get(name, [])
        if not isinstance(found, list):
            self.problems.append(f"{name}: must be tables, written [[{name}]]")
            return []
        made: list[S] = []
        known: set[str] = set()
        for index, table in enumerate(found):
            place = f"{name}[{index}]"
            read = self.table(place, table, type_)
            if read is None:
                continue
            self.problems += [f"{place}.{problem}" for problem in check(read)]
            own = str(getattr(read, by))
            own = own.casefold() if name in _CASELESS else own
            if own in known:
                self.problems.append(f"{place}.{by}: is another one's, too")
            known.add(own)
            made.append(read)
        return made

    def table(self, place: str, table: Any, type_: type[S]) -> S | None:
        """Each mistake is told; None where there is one."""
        if not isinstance(table, dict):
            self.problems.append(f"{place}: must be a table")
            return None
        before = len(self.problems)
        hints = typing.get_type_hints(type_)
        values: dict[str, Any] = {}
        for name, value in table.items():
            below = f"{place}.{name}"
            if name not in type_.__struct_fields__:
                self.problems.append(f"{below}: is not known here")
            elif isinstance(hints[name], type) and issubclass(hints[name], msgspec.Struct):
                values[name] = self.table(below, value, hints[name])
            else:
                try:
                    values[name] = msgspec.convert(value, hints[name])
                except msgspec.ValidationError as error:
                    self.problems.append(_words(below, error))
        required = {field.name for field in msgspec.structs.fields(type_) if field.required}
        self.problems += [f"{place}.{name}: is required" for name in sorted(required - table.keys())]
        return type_(**values) if len(self.problems) == before else None

    def resolve(self, document: Any, path: str, *, secret: bool) -> None:
        """Puts what is referred to in the place of a reference. `path` is as in `a.b[].c`, the brackets for each of a
        list. A secret must be a reference, and never stand in the file itself."""
        self._walk(document, path.split("."), "", secret=secret)

    def _walk(self, at: Any, steps: list[str], place: str, *, secret: bool) -> None:
        name, rest = steps[0].removesuffix(_LISTED), steps[1:]
        if not isinstance(at, dict) or name not in at:
            return
        below = f"{place}.{name}".lstrip(".")
        if not steps[0].endswith(_LISTED):
            if rest:
                self._walk(at[name], rest, below, secret=secret)
            else:
                at[name] = self._resolved(at[name], below, secret=secret)
        elif isinstance(at[name], list):
            for index, each in enumerate(at[name]):
                if rest:
                    self._walk(each, rest, f"{below}[{index}]", secret=secret)
                else:
                    at[name][index] = self._resolved(each, f"{below}[{index}]", secret=secret)

    def _resolved(self, value: Any, place: str, *, secret: bool) -> Any:
        if isinstance(value, dict) and len(value) == 1 and {*value} <= {"env", "file"}:
            [(kind, where)] = value.items()
            return self._referred(kind, where, place)
        if secret and value is not None and value != "":
            self.problems.append(f'{place}: must be a reference, {{env = "NAME"}} or {{file = "path"}}')
            return ""
        return value

    def _referred(self, kind: str, where: Any, place: str) -> str:
        if not isinstance(where, str) or not where:
            self.problems.append(f"{place}: must name something")
            return ""
        if kind == "env":
            if not self._environ.get(where):
                self.unresolved[place] = f"{place}: the environment has no {where}"
            return self._environ.get(where, "")
        try:
            # An editor ends a file with a new line, which no secret does.
            return (self._directory / where).read_text(encoding="utf-8").rstrip("\r\n")
        except (ValueError, OSError) as error:
            problem = error.strerror if isinstance(error, OSError) else "is not text in UTF-8"
            self.unresolved[place] = f"{place}: {where}: {problem}"
            return ""


def _words(place: str, error: msgspec.ValidationError) -> str:
    """Msgspec's complaint: it names types, and no values."""
    below = _BELOW.search(str(error))
    place = f"{place}{below[1] if below is not None else ''}"
    types = _TYPES.match(str(error))
    if types is not None:
        return f"{place}: must be {types[1]}, not {types[2]}"
    return f"{place}: {'is not one of the values allowed' if 'enum' in str(error) else 'is out of range'}"
