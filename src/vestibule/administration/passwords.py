"""Turns passwords into what is kept of them, and compares, beside the event loop; it must not know whose they are."""

from __future__ import annotations

import asyncio

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from vestibule.errors import InvalidField

SHORTEST, LONGEST = 12, 200
# RFC 9106 section 4, the second recommended option: argon2id, 64 MiB, 3 passes, 4 lanes. These are the library's own
# defaults as well; written down, so that a new release of it does not change them unasked.
_HASHER = PasswordHasher(time_cost=3, memory_cost=65_536, parallelism=4)
# Of nothing that anybody knows: compared with where there is no such account, so that both take as long.
_NOBODY = "$argon2id$v=19$m=65536,t=3,p=4$bm9ib2R5IGhhcyB0aGlzIQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
# So many at once: a flood of sign-ins shall cost neither all memory nor all cores.
_AT_ONCE = 2


class Passwords:
    """One for a process."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def hash(self, password: str) -> str:
        """Raises InvalidField where it is too short or over-long (ASVS 6.2.1, 6.2.9)."""
        if not SHORTEST <= len(password) <= LONGEST:
            raise InvalidField("password", f"must have {SHORTEST} to {LONGEST} characters")
        async with self._slots:
            return await asyncio.to_thread(_HASHER.hash, password)

    async def matches(self, password: str, kept: str | None) -> bool:
        """Takes as long whether there is a hash to compare with or not."""
        if len(password) > LONGEST:
            return False
        async with self._slots:
            same = await asyncio.to_thread(_verify, kept or _NOBODY, password)
        return same and kept is not None


def _verify(kept: str, password: str) -> bool:
    try:
        return _HASHER.verify(kept, password)
    except (Argon2Error, InvalidHashError):
        return False
