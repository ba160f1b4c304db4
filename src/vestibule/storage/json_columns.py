"""Turns document columns into values and back; it must not know which table they stand in."""

from __future__ import annotations

from typing import TypeVar

import msgspec

T = TypeVar("T")

# Sorted members: equal documents are equal texts, so a comparison of columns is a comparison of values.
_ENCODER = msgspec.json.Encoder(order="sorted")


def to_json(value: object) -> str:
    return _ENCODER.encode(value).decode()


def from_json(text: str, type_: type[T]) -> T:
    return msgspec.json.decode(text, type=type_)
