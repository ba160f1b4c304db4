"""Reads JSON bodies one way everywhere: RFC 8259 in UTF-8, bounded, without duplicate members; it must not know fields.

msgspec refuses what is not JSON (NaN, lone surrogates, BOM, trailing bytes, numbers out of range); a second pass
refuses what JSON allows and two readers would understand differently (RFC 8259 section 4: duplicate names).
"""

from __future__ import annotations

import json
import re
from typing import Any, TypeVar

import msgspec

from vestibule.errors import InvalidField, MalformedBody

T = TypeVar("T")
DEEPEST = 32
_PLACE = re.compile(r"^(.*) - at `(.*)`$", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.+)`")
_TYPES = re.compile(r"Expected `(.+)`, got `(.+)`")
_NAMES = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "a boolean",
    "object": "an object",
    "array": "a list",
}


def decode(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """The value of `body`. Raises MalformedBody, and InvalidField where it is JSON of another shape."""
    if body.count(b"{") + body.count(b"[") > DEEPEST:
        _refuse_depth(body)
    try:
        value = decoder.decode(body)
    except msgspec.ValidationError as error:
        _refuse_duplicates(body)  # first: a duplicate is the graver fault, and the field's value is then unclear
        raise _in_words(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise MalformedBody(step="json") from None
    _refuse_duplicates(body)
    return value


def _refuse_duplicates(body: bytes) -> None:
    try:
        _MEMBERS.decode(body.decode())
    except (ValueError, RecursionError):
        raise MalformedBody(step="json") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise MalformedBody("The body has two members of the same name in one object.", step="duplicates")
    if "__proto__" in members:
        # No name for a value: JavaScript that copies members would set an object's prototype with it.
        raise MalformedBody("The body has a member named __proto__.", step="members")
    return members


_MEMBERS = json.JSONDecoder(object_pairs_hook=_unique)


def _refuse_depth(body: bytes) -> None:
    depth = deepest = 0
    in_text = escaped = False
    for byte in body:
        if in_text:
            if escaped:
                escaped = False
            elif byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                in_text = False
        elif byte == 0x22:
            in_text = True
        elif byte in b"{[":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"}]":
            depth -= 1
    if deepest > DEEPEST:
        raise MalformedBody(f"The body is nested deeper than {DEEPEST} levels.", step="depth")


def _in_words(error: msgspec.ValidationError) -> InvalidField | MalformedBody:
    """Msgspec's complaint in the words of JSON rather than Python. It quotes types, and never values."""
    match = _PLACE.match(str(error))
    problem, path = (match[1], match[2]) if match else (str(error), "$")
    field = path.removeprefix("$").removeprefix(".")
    missing = _MISSING.fullmatch(problem)
    if missing:
        return InvalidField(f"{field}.{missing[1]}".lstrip("."), "is required")
    if not field:
        return MalformedBody("The body must be a JSON object.", step="shape")
    types = _TYPES.fullmatch(problem)
    if types is None:
        return InvalidField(field, "is not one of the values allowed" if "enum" in problem else "is out of range")
    wanted = [_NAMES.get(name, name) for name in types[1].split(" | ")]
    # Of a map's member msgspec tells the map: `customData[...]`.
    subject = "must have members that are" if field.endswith("[...]") else "must be"
    return InvalidField(
        field.removesuffix("[...]"), f"{subject} {' or '.join(wanted)}, not {_NAMES.get(types[2], types[2])}"
    )
