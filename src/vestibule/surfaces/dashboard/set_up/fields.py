"""The fields of a form, written down once: how a setting is shown in one, and what of a form becomes a setting; it must
not judge a setting, which `administration/` does."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

_NUMBER = re.compile(r"[0-9]{1,9}")
_DECIMAL = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,3})?")
_SECRETS = frozenset({"secret", "pem"})


class Field(msgspec.Struct, frozen=True):
    """`name` is the setting's, with dots where it lies within another. `kind`: text, url, area, lines (a list, one a
    line), pairs (`name = value`, one a line), number, decimal, check, checks (any of `choices`), choice (one of them),
    secret and pem (never shown; empty keeps what is kept, unless `clear:NAME` is ticked). Fields of one `group` stand
    together, and apart from the first."""

    name: str
    label: str
    kind: str = "text"
    help: str = ""
    choices: tuple[str, ...] = ()
    group: str = ""


def typed(settings: msgspec.Struct, fields: Sequence[Field]) -> dict[str, str]:
    """The settings as a form shows them."""
    members = msgspec.to_builtins(msgspec.structs.asdict(settings))
    found: dict[str, str] = {}
    for field in fields:
        value = _find(settings, members, field.name)
        if field.kind == "check":
            found[field.name] = "on" if value else ""
        elif field.kind == "checks":
            found |= {f"{field.name}:{choice}": "on" for choice in value}
        elif field.kind == "lines":
            found[field.name] = "\n".join(value)
        elif field.kind == "pairs":
            found[field.name] = "\n".join(f"{name} = {text}" for name, text in value.items())
        elif field.kind in _SECRETS:
            found[f"kept:{field.name}"] = "on" if value else ""
        else:
            found[field.name] = "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
    return found


def kept(values: Mapping[str, str]) -> dict[str, str]:
    """Of what `typed` has made: which secrets there are."""
    return {name: value for name, value in values.items() if name.startswith("kept:")}


def untyped(form: Mapping[str, str], fields: Sequence[Field]) -> tuple[dict[str, Any], dict[str, str]]:
    """What the form says, nested as the settings are, and what of it cannot be read, by field. A secret that was not
    typed is left out."""
    found: dict[str, Any] = {}
    problems: dict[str, str] = {}
    for field in fields:
        text = form.get(field.name, "")
        if "\0" in text:
            problems[field.name] = "must not contain a NUL character"
            continue
        if field.kind in _SECRETS and not text and not form.get(f"clear:{field.name}"):
            continue
        try:
            value = _read(form, field, text)
        except ValueError as problem:
            problems[field.name] = str(problem)
            continue
        place = found
        *path, last = field.name.split(".")
        for step in path:
            place = place.setdefault(step, {})
        place[last] = value
    return found, problems


def by_field(problems: Sequence[str], fields: Sequence[Field]) -> dict[str, str]:
    """Sentences of the form `name: what is wrong`, each beside its field; whatever names none stands on top."""
    names = {field.name for field in fields}
    found: dict[str, list[str]] = {}
    for problem in problems:
        name, colon, sentence = problem.partition(": ")
        place = name.partition("[")[0].removesuffix("_ms")
        known = place if place in names else f"{place}_ms" if f"{place}_ms" in names else ""
        found.setdefault(known if colon else "", []).append(sentence if known and colon else problem)
    return {name: "; ".join(sentences) for name, sentences in found.items()}


def _find(settings: msgspec.Struct, members: dict[str, Any], name: str) -> Any:
    value: Any = members
    for step in name.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    if value is None:  # left out where it is the default
        value = settings
        for step in name.split("."):
            value = getattr(value, step, None)
        value = msgspec.to_builtins(value)
    return value


def _read(form: Mapping[str, str], field: Field, text: str) -> Any:  # noqa: PLR0911 - one line a kind
    if field.kind == "check":
        return bool(text)
    if field.kind == "checks":
        return [choice for choice in field.choices if form.get(f"{field.name}:{choice}")]
    if field.kind == "lines":
        return [line for part in text.splitlines() if (line := part.strip())]
    if field.kind == "pairs":
        return dict(_pair(line) for line in text.splitlines() if line.strip())
    if field.kind == "number":
        if text.strip() and _NUMBER.fullmatch(text.strip()) is None:
            raise ValueError("must be a whole number")
        return int(text) if text.strip() else None
    if field.kind == "decimal":
        if _DECIMAL.fullmatch(text.strip()) is None:
            raise ValueError("must be a number")
        return float(text)
    if field.kind == "choice" and text not in field.choices:
        raise ValueError(f"must be one of {', '.join(field.choices)}")
    # Browsers end lines of a form with two characters.
    return text.replace("\r\n", "\n") if field.kind in {"area", "pem"} else text.strip()


def _pair(line: str) -> tuple[str, str]:
    name, equals, value = line.partition("=")
    if not equals or not name.strip() or not value.strip():
        raise ValueError("must be name = claim, one a line")
    return name.strip(), value.strip()
