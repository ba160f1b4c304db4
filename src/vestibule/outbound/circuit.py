"""Stops asking a server that does not answer; it must not know why a call failed."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable

from vestibule import measures, metrics
from vestibule.clock import elapsed
from vestibule.errors import UpstreamFailed

FAILURES = 5
PROBE_SECONDS = 10.0
_MOST_CIRCUITS = 10_000


class _Circuit:
    __slots__ = ("failures", "next_probe")

    def __init__(self) -> None:
        self.failures = 0
        self.next_probe = 0.0


class Circuits:
    """One circuit per key, which has something to remember only while its server fails.

    Open after so many failures in a row; then one call is let through per interval, and its success closes it.
    """

    def __init__(
        self, *, failures: int = FAILURES, probe_seconds: float = PROBE_SECONDS, clock: Callable[[], float] = elapsed
    ) -> None:
        self._failures = failures
        self._probe_seconds = probe_seconds
        self._clock = clock
        self._circuits: dict[Hashable, _Circuit] = {}

    def admit(self, key: Hashable) -> None:
        """Raises UpstreamFailed while the circuit is open, with how long it will be, but for the probe."""
        circuit = self._circuits.get(key)
        if circuit is None or circuit.failures < self._failures:
            return
        now = self._clock()
        if now < circuit.next_probe:
            wait = math.ceil(circuit.next_probe - now)
            detail = f"not asked: {circuit.failures} failures in a row"
            raise UpstreamFailed(detail=detail, step="circuit", retry_after=wait)
        # The next one in any case: a probe whose caller went away has no outcome to wait for.
        circuit.next_probe = now + self._probe_seconds

    def succeeded(self, key: Hashable) -> None:
        self._forget(key)

    def failed(self, key: Hashable) -> None:
        # Last in the dictionary, so that the first is the one which has not failed for the longest time.
        circuit = self._circuits.pop(key) if key in self._circuits else _Circuit()
        self._circuits[key] = circuit
        circuit.failures += 1
        if circuit.failures == self._failures:
            metrics.circuit_opened()
            measures.circuit_opened()
        circuit.next_probe = self._clock() + self._probe_seconds
        if len(self._circuits) > _MOST_CIRCUITS:
            self._forget(next(iter(self._circuits)))

    def _forget(self, key: Hashable) -> None:
        circuit = self._circuits.pop(key, None)
        if circuit is not None and circuit.failures >= self._failures:
            measures.circuit_closed()
