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


class Pair(msgspec.Struct, frozen=True, eq=False):
    """Two inserts or updates of which the second is for where the first wrote a row. `together` is both in one, on the
    engine that can say so; SQLite, to which a step costs no round trip, takes them one after the other."""

    first: Statement
    second: Statement
    together: Statement


REGISTRY: dict[str, Statement] = {}
# Each in the SQL of PostgreSQL only.
PAIRS: dict[str, Pair] = {}


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


def pair(first: Statement, second: Statement) -> Pair:
    """`second`, an INSERT of VALUES, as what happens where `first` returns a row; its parameters follow those of
    `first`. Both must be shared."""
    name = f"{first.name}+{second.name}"
    writes, _, _ = first.postgresql.partition(" RETURNING ")
    into, values, returning = re.split(r" VALUES \(([^)]*)\)", second.postgresql)

    def moved(text: str) -> str:
        return _PARAMETER.sub(lambda number: f"${int(number[1]) + first.parameters}", text)

    text = f"WITH first AS ({writes} RETURNING 1) {into} SELECT {moved(values)} FROM first{moved(returning)}"
    both = Statement(name, text, "", first.parameters + second.parameters, shared=True, reads=False)
    PAIRS[name] = made = Pair(first, second, both)
    return made
