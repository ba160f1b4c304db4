"""Counts what the service does, for Prometheus; it must not hold a name, an address or anything else of a visitor.

Label values come from short lists of our own, never from a request: whoever could choose them could fill the memory.
What happens at every request is noted in dictionaries, and brought to the library twice a second: its own way, with a
lock for each value, takes 2 µs of a request, and 5 where workers count together.
"""

from __future__ import annotations

import asyncio
import logging
import os
from bisect import bisect_left
from collections import defaultdict

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.process_collector import ProcessCollector

# Where several workers count together: each sees what all have counted. `serve` sets it before it starts them.
SHARED_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
FOLD_SECONDS = 0.5
_log = logging.getLogger(__name__)
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)

disable_created_metrics()  # type: ignore[no-untyped-call]
_REGISTRY = CollectorRegistry()
_REQUESTS = Counter(
    "vestibule_requests", "Requests answered; 499: the client had gone.", ["surface", "status"], registry=_REGISTRY
)
_SECONDS = Histogram(
    "vestibule_request_seconds", "Time to the answer's end.", ["surface"], buckets=_BUCKETS, registry=_REGISTRY
)
_REFUSALS = Counter(
    "vestibule_refusals", "Refusals by code (docs/problems.md).", ["surface", "code"], registry=_REGISTRY
)
_AUTHENTICATIONS = Counter(
    "vestibule_authentications",
    "Visitors proven, and what became of their contact.",
    ["method", "outcome"],
    registry=_REGISTRY,
)
_UNVERIFIED = Counter(
    "vestibule_unverified_requests",
    "Requests of visitors without proof, by what enforcing login makes of them (docs/enforcement.md).",
    ["surface", "step", "reason"],
    registry=_REGISTRY,
)
_TOKENS = Counter(
    "vestibule_token_checks",
    "Contact tokens looked at; known: seen before, no signature to check.",
    ["known"],
    registry=_REGISTRY,
)
_UPSTREAM = Counter(
    "vestibule_upstream_calls",
    "Calls to other servers: status class, or the code of the failure.",
    ["purpose", "outcome"],
    registry=_REGISTRY,
)
_UPSTREAM_SECONDS = Histogram(
    "vestibule_upstream_seconds",
    "Time that calls to other servers took.",
    ["purpose"],
    buckets=_BUCKETS,
    registry=_REGISTRY,
)
# Memory, descriptors and the like; not shown where workers count together.
ProcessCollector(registry=_REGISTRY)
_CIRCUITS = Counter("vestibule_circuits_opened", "Servers that are no longer asked for a while.", registry=_REGISTRY)

# Since the last time that they were brought to the library: how often, by labels; and how many were in each bucket,
# with the sum of their seconds behind.
_counted: defaultdict[tuple[Counter, tuple[str | int, ...]], int] = defaultdict(int)
_timed: defaultdict[tuple[Histogram, str], list[float]] = defaultdict(lambda: [0.0] * (len(_BUCKETS) + 2))
for _known in ("yes", "no"):
    _TOKENS.labels(_known)  # shown before there is one, so that a rate of both can be asked for


def request(surface: str, status: int, seconds: float, code: str | int | None) -> None:
    """A request of a surface that was answered; `code` if it was refused."""
    _counted[_REQUESTS, (surface, status)] += 1
    _observe(_SECONDS, surface, seconds)
    if code is not None:
        _counted[_REFUSALS, (surface, code)] += 1


def authentication(method: str, outcome: str) -> None:
    """A visitor who was proven."""
    _counted[_AUTHENTICATIONS, (method, outcome)] += 1


def unverified(surface: str, step: str, reason: str) -> None:
    """A request of a visitor without proof."""
    _counted[_UNVERIFIED, (surface, step, reason)] += 1


def token_check(*, known: bool) -> None:
    """A contact token that was presented."""
    _counted[_TOKENS, ("yes" if known else "no",)] += 1


def upstream_call(purpose: str, outcome: str, seconds: float) -> None:
    """A call to another server that ended, somehow."""
    _counted[_UPSTREAM, (purpose, outcome)] += 1
    _observe(_UPSTREAM_SECONDS, purpose, seconds)


def circuit_opened() -> None:
    """A server that failed too often in a row."""
    _CIRCUITS.inc()


def _observe(histogram: Histogram, label: str, seconds: float) -> None:
    timed = _timed[histogram, label]
    timed[bisect_left(_BUCKETS, seconds)] += 1
    timed[-1] += seconds


async def run() -> None:
    """Brings what was noted to where other workers' scrapes find it, until cancelled."""
    while True:
        await asyncio.sleep(FOLD_SECONDS)
        fold()


def fold() -> None:
    """Brings what was noted to the library, each once; by the event loop's thread alone, which notes it. Does not
    raise: what cannot be counted ends nothing but its own count."""
    try:
        while _counted:
            (counter, labels), times = _counted.popitem()
            counter.labels(*labels).inc(times)
        while _timed:
            (histogram, label), timed = _timed.popitem()
            child = histogram.labels(label)
            # Its public interface takes one time after another. The lock file pins this one, and a test compares them.
            for bucket, count in zip(child._buckets, timed, strict=False):  # noqa: SLF001
                if count:
                    bucket.inc(count)
            child._sum.inc(timed[-1])  # noqa: SLF001
    except Exception:
        _log.exception("what was counted cannot be brought to where it is read")


def render() -> bytes:
    """Everything that was brought to the library, of all workers, in Prometheus's text format."""
    if SHARED_DIRECTORY not in os.environ:
        return generate_latest(_REGISTRY)
    together = CollectorRegistry()
    MultiProcessCollector(together)  # type: ignore[no-untyped-call]
    return generate_latest(together)
