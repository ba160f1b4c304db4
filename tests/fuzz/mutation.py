"""Makes new inputs of known ones; it must not know what they are for."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

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
