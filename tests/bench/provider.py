"""An identity provider for the whole run, on a thread of its own, and its tokens; it must not measure exchanges."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from tests.fixtures.fake_provider import CLIENT, FakeProvider
from tests.fixtures.front_door import LoopThread
from vestibule.oidc.key_set import read_key_set
from vestibule.oidc.strict_jws import is_signed_by, parse

_LIFETIME_SECONDS = 6 * 3600
_VERIFICATIONS = 500
_BATCHES = 5


class Provider:
    """Signs with RS256 and 2,048 bits, as most do. It is asked for its keys once in a while, and for nothing else."""

    client = CLIENT

    def __init__(self) -> None:
        self._thread = LoopThread()
        self._fake = FakeProvider("bench", "RS256")
        self._known: dict[int, str] = {}

    def __enter__(self) -> Self:
        self._thread.run(self._fake.start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._thread.run(self._fake.stop())
        self._thread.close()

    @property
    def issuer(self) -> str:
        return self._fake.issuer

    def token_of(self, person: int) -> str:
        """The ID token of somebody who comes again, which is signed once: that takes longer than to read it."""
        if person not in self._known:
            self._known[person] = self.new_token(f"person.{person}")
        return self._known[person]

    def new_token(self, subject: str) -> str:
        return self._fake.id_token(sub=subject, exp=int(time.time()) + _LIFETIME_SECONDS, sid=f"of {subject}")

    def signature_us(self) -> float:
        """What it takes to verify one signature, in this process and by itself: the best of some batches."""
        [key] = read_key_set(self._fake.key_set()).keys
        jws = parse(self.token_of(0))
        batches = []
        for _ in range(_BATCHES):
            began = time.process_time_ns()
            for _ in range(_VERIFICATIONS):
                assert is_signed_by(jws, key)
            batches.append(time.process_time_ns() - began)
        return min(batches) / _VERIFICATIONS / 1000
