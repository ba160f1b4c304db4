"""Reads JSON bodies one way everywhere: RFC 8259 in UTF-8, bounded, without duplicate members; it must not know
fields. What is refused of JSON itself says `vestibule.strict_json`."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

from vestibule.edge.http import Request
from vestibule.errors import InvalidField, MalformedBody
from vestibule.runtime import Runtime
from vestibule.strict_json import NotStrict, refuse_ambiguity, refuse_depth

T = TypeVar("T")
_PLACE = re.compile(r"^(.*) - at `(.*)`$", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.+)`")
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_LONGEST_NAME = 128
_TYPES = re.compile(r"Expected `(.+)`, got `(.+)`")
_NAMES = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "a boolean",
    "object": "an object",
    "array": "a list",
}
_ENCODER = msgspec.json.Encoder()


async def read_body(runtime: Runtime, request: Request, decoder: msgspec.json.Decoder[T]) -> T:
    """The body's value; no body is an object without members. Raises what `Request.body` raises, and `decode`."""
    settings = runtime.settings
    body = await request.body(most=settings.max_body_bytes, within=settings.body_timeout / 1000)
    return decode(body or b"{}", decoder)


def decode(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """The value of `body`. Raises MalformedBody, and InvalidField where it is JSON of another shape."""
    try:
        refuse_depth(body)
        try:
            value = decoder.decode(body)
        except msgspec.ValidationError as error:
            refuse_ambiguity(body)  # first: a duplicate is the graver fault, and the field's value is then unclear
            raise _in_words(error) from None
        refuse_ambiguity(body)
    except NotStrict as reason:
        raise _in_body(reason) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise MalformedBody(step="json") from None
    return value


def convert(value: Any, kind: type[T]) -> T:
    """A value that has been read already. Raises MalformedBody, InvalidField."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise _in_words(error) from None


def refuse_nul(field: str, document: Any) -> None:
    """No database column holds a NUL character; in a document it comes as an escape. Raises InvalidField."""
    if document is not None and b"\\u0000" in _ENCODER.encode(document):
        raise InvalidField(field, "must not contain a NUL character")


def _in_body(reason: NotStrict) -> MalformedBody:
    # What is no JSON at all has the error's own sentence.
    return MalformedBody(None if reason.step == "json" else f"The body {reason}", step=reason.step)


def _in_words(error: msgspec.ValidationError) -> InvalidField | MalformedBody:
    """Msgspec's complaint in the words of JSON rather than Python. It quotes types, and never values."""
    match = _PLACE.match(str(error))
    problem, path = (match[1], match[2]) if match else (str(error), "$")
    field = path.removeprefix("$").removeprefix(".")
    missing = _MISSING.fullmatch(problem)
    if missing:
        return InvalidField(f"{field}.{missing[1]}".lstrip("."), "is required")
    unknown = _UNKNOWN.fullmatch(problem)
    if unknown:
        name = unknown[1][:_LONGEST_NAME]
        return InvalidField(f"{field}.{name if name.isprintable() else ascii(name)}".lstrip("."), "is not known here")
    if not field:
        return MalformedBody("The body must be a JSON object.", step="shape")
    # Of a map's member msgspec tells the map: `customData[...]`.
    is_member, field = field.endswith("[...]"), field.removesuffix("[...]")
    types = _TYPES.fullmatch(problem)
    if types is None:
        problem = "not one of the values allowed" if "enum" in problem else "out of range"
        return InvalidField(field, f"has a member that is {problem}" if is_member else f"is {problem}")
    wanted = [_NAMES.get(name, name) for name in types[1].split(" | ")]
    subject = "must have members that are" if is_member else "must be"
    return InvalidField(field, f"{subject} {' or '.join(wanted)}, not {_NAMES.get(types[2], types[2])}")
