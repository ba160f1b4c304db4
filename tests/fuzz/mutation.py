"""Makes new inputs of known ones; it must not know what they are for."""

from __future__ import annotations

import contextlib
import copy
import json
import random
from collections.abc import Iterator, Sequence
from typing import Any

_LONGEST = 8_192
_ODD = (b"\0", b"\xff", b"\x80", b"\r\n", b" ", b"\xed\xa0\x80", b"\xe2\x80\xae", b"0", b"-", b"A" * 300, b"\\", b'"')


def mutants(seeds: Sequence[bytes], words: Sequence[bytes], chance: random.Random) -> Iterator[bytes]:
    """Without end: one to six changes of a seed each."""
    pieces = (*words, *_ODD)
    while True:
        made = bytearray(chance.choice(seeds))
        for _ in range(chance.randint(1, 6)):
            _change(made, seeds, pieces, chance)
        yield bytes(made[:_LONGEST])


# Of every kind, and at the ends of each: no float to Python, nearly none, no text to a database.
ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 2**53 + 1, 2**63, 10**400, -(10**4000), 1e308, 5e-324, 0.5),
    *("", " ", "\0", "x", "true", "A" * 5_000, "\u202e", "a@example.com", "https://example.com/", "+4930123456"),
    *([], ["x"], [None], [[]], [{}], {}, {"x": None}, {"country": []}),
)


_LEFT_OUT = object()


def json_mutants(seeds: Sequence[bytes], chance: random.Random) -> Iterator[bytes]:
    """Likewise of documents, by their members: what a reader of theirs must expect, and no chance of octets makes."""
    documents = []
    for seed in seeds:
        with contextlib.suppress(ValueError, RecursionError):
            documents.append(json.loads(seed))
    while True:
        made = [copy.deepcopy(chance.choice(documents))]
        for _ in range(chance.randint(1, 3)):
            places = list(_places(made))
            # Mostly a deeper one: a document of another shape altogether is soon refused.
            container, place = chance.choice(places[len(places) // 3 if chance.randrange(6) else 0 :])
            _put(made, container, place, chance.choice(ODD_VALUES) if chance.randrange(6) else _LEFT_OUT)
        yield json.dumps(made[0]).encode()


def odd_documents(document: Any, chance: random.Random, of_each: int) -> Iterator[Any]:
    """A document with each of its members replaced, by `of_each` odd values one after the other, and left out. Of them
    a NUL is each time: one engine keeps it, the other refuses it as if it were broken itself."""
    for number in range(len(list(_places([document])))):
        for value in ("\0", *chance.sample(ODD_VALUES, of_each), _LEFT_OUT):
            made = [copy.deepcopy(document)]
            _put(made, *list(_places(made))[number], value)
            yield made[0]


def _put(made: list[Any], container: Any, place: Any, value: object) -> None:
    """In a member's place; the document itself, which is all of `made`, is not left out."""
    if value is not _LEFT_OUT:
        container[place] = copy.deepcopy(value)
    elif container is not made:
        del container[place]


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in a document, with the name or number of each of its members."""
    containers = [value]
    for container in containers:
        for place, member in container.items() if isinstance(container, dict) else enumerate(container):
            yield container, place
            if isinstance(member, dict | list):
                containers.append(member)


def _change(made: bytearray, seeds: Sequence[bytes], pieces: Sequence[bytes], chance: random.Random) -> None:
    start, end = sorted((chance.randint(0, len(made)), chance.randint(0, len(made))))
    match chance.randrange(7):
        case 0 if made:
            made[chance.randrange(len(made))] ^= 1 << chance.randrange(8)
        case 1:
            made[start:start] = chance.choice(pieces)
        case 2:
            del made[start : min(end, start + 8)]
        case 3:
            made[start:start] = made[start : min(end, start + 64)]
        case 4:
            other = chance.choice(seeds)
            cut = chance.randint(0, len(other))
            made[start:] = other[cut:]
        case 5:
            made[start : min(end, start + 8)] = chance.choice(pieces)
        case _:
            made[start:start] = chance.randbytes(chance.randint(1, 4))
