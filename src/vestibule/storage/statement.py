"""Registers each SQL statement, so that a test can prepare all of them on both engines; it runs none."""

from __future__ import annotations

import re

import msgspec

_PARAMETER = re.compile(r"\$(\d+)")
_SLOT = "$slot"


class Statement(msgspec.Struct, frozen=True, eq=False):
    """One statement in the SQL that SQLite and PostgreSQL share; only the spelling of a parameter differs.

    A text that starts its result columns with `$slot` may be run for many requests in one round trip: `$slot` stands
    for one more parameter, which comes back as the first column and tells whose row it is.
    """

    name: str
    postgresql: str
    sqlite: str
    parameters: int
    shared: bool
    reads: bool


REGISTRY: dict[str, Statement] = {}


def statement(name: str, text: str) -> Statement:
    """Registers `text` under `name`. Parameters are `$1`, `$2`, …, each at least once."""
    numbers = {int(number) for number in _PARAMETER.findall(text)}
    count = max(numbers, default=0)
    if name in REGISTRY or numbers != set(range(1, count + 1)):
        raise ValueError(f"statement {name}: its name is taken, or a parameter number is missing")
    shared = _SLOT in text
    text = " ".join(text.split()).replace(_SLOT, f"CAST(${count + 1} AS INTEGER)")
    made = Statement(name, text, _PARAMETER.sub(r"?\1", text), count, shared, text.startswith("SELECT"))
    REGISTRY[name] = made
    return made
