"""Figures for Prometheus beside those of `metrics.py`, off the ways that every request takes: refused proofs, servers
left alone, and what waits at this moment; it must not hold a name, an address or anything else of a visitor."""

from __future__ import annotations

import os
from collections.abc import Iterable

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.core import GaugeMetricFamily

from vestibule.metrics import SHARED_DIRECTORY

_REGISTRY = CollectorRegistry()
_REFUSED = Counter(
    "vestibule_authentication_refusals",
    "Proofs that were refused, by code (docs/problems.md).",
    ["method", "code"],
    registry=_REGISTRY,
)
_OPEN = Gauge(
    "vestibule_circuits_open",
    "Servers that are not asked at this moment, of each worker that leaves them alone.",
    multiprocess_mode="livesum",
    registry=_REGISTRY,
)


class Depth(msgspec.Struct, frozen=True):
    """How much waits in a queue, and for how many seconds what has waited longest."""

    queue: str
    count: int
    oldest: float


class _Depths:
    """A collector of values that were just read: they are no process's own, and are kept nowhere."""

    def __init__(self, depths: Iterable[Depth]) -> None:
        self._depths = tuple(depths)

    def collect(self) -> Iterable[GaugeMetricFamily]:
        count = GaugeMetricFamily("vestibule_queue_depth", "What waits in the whole installation.", labels=["queue"])
        oldest = GaugeMetricFamily(
            "vestibule_queue_oldest_seconds", "For how long what has waited longest.", labels=["queue"]
        )
        for depth in self._depths:
            count.add_metric([depth.queue], depth.count)
            oldest.add_metric([depth.queue], depth.oldest)
        return (count, oldest)


def proof_refused(method: str, code: str) -> None:
    """Both come from short lists of ours."""
    _REFUSED.labels(method, code).inc()


def circuit_opened() -> None:
    _OPEN.inc()


def circuit_closed() -> None:
    _OPEN.dec()


def render(depths: Iterable[Depth]) -> bytes:
    """To stand after `metrics.render`, which has the counters of all workers where they count together."""
    waiting = CollectorRegistry()
    waiting.register(_Depths(depths))
    text = generate_latest(waiting)
    return text if SHARED_DIRECTORY in os.environ else generate_latest(_REGISTRY) + text
