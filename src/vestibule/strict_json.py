"""Refuses JSON that two readers would understand differently; it must not know what the text is for.

msgspec refuses what is not JSON (NaN, lone surrogates, BOM, trailing bytes, numbers out of range); what is added here
is what JSON allows and readers disagree on (RFC 8259 section 4: duplicate names), and a bound on depth.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

DEEPEST = 32


class NotStrict(Exception):
    """Why a text is refused: `step` is stable, the sentence goes on from "it" and quotes nothing."""

    def __init__(self, step: str, sentence: str) -> None:
        self.step = step
        super().__init__(sentence)


def read_object(text: bytes) -> dict[str, Any]:
    """The object that `text` is. For what is no request body: tokens, and other servers' answers. Raises NotStrict."""
    value = read_value(text)
    if not isinstance(value, dict):
        raise NotStrict("shape", "is not a JSON object.")
    return value


def read_value(text: bytes) -> Any:
    """Likewise whatever value it is."""
    refuse_depth(text)
    try:
        value = _ANY.decode(text)
    except _UNREADABLE:
        raise NotStrict("json", "is not valid JSON in UTF-8.") from None
    _refuse_twins(text, value)
    return value


def unmarked(text: bytes) -> bytes:
    """Without a byte order mark, with which customers' servers begin unawares (RFC 8259 section 8.1 lets a reader
    ignore it). For what they answer, and nothing else."""
    return text.removeprefix(b"\xef\xbb\xbf")


def refuse_ambiguity(text: bytes) -> None:
    """Raises NotStrict for members that readers disagree on. `text` must be JSON within the depth."""
    try:
        value = _ANY.decode(text)
    except _UNREADABLE:
        _read_members(text)
    else:
        _refuse_twins(text, value)


def _refuse_twins(text: bytes, value: object) -> None:
    """The quick way out: written anew from what was read, where a name stands once, a text without twins has as many
    colons as before. What could be spelled in another way (an escaped colon or name) takes the slow one."""
    is_plain = b"\\u" not in text and b"__proto__" not in text
    if not is_plain or _WRITE(value).count(b":") != text.count(b":"):
        _read_members(text)


def _read_members(text: bytes) -> None:
    try:
        _MEMBERS.decode(text.decode())
    except (ValueError, RecursionError):
        raise NotStrict("json", "is not valid JSON in UTF-8.") from None


def refuse_depth(text: bytes) -> None:
    """Raises NotStrict for what is nested too deep, before a reader recurses into it."""
    if text.count(b"{") + text.count(b"[") > DEEPEST and _depth(text) > DEEPEST:
        raise NotStrict("depth", f"is nested deeper than {DEEPEST} levels.")


def _depth(text: bytes) -> int:
    depth = deepest = 0
    in_text = escaped = False
    for byte in text:
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
    return deepest


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise NotStrict("duplicates", "has two members of the same name in one object.")
    if "__proto__" in members:
        # No name for a value: JavaScript that copies members would set an object's prototype with it.
        raise NotStrict("members", "has a member named __proto__.")
    return members


_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_ANY = msgspec.json.Decoder()
_WRITE = msgspec.json.Encoder().encode
_MEMBERS = json.JSONDecoder(object_pairs_hook=_unique)
