"""Counts what the service does, for Prometheus; it must not hold a name, an address or anything else of a visitor.

Label values come from short lists of our own, never from a request: whoever could choose them could fill the memory.
Children are kept in dictionaries here, because looking one up by its labels costs more than counting.
"""

from __future__ import annotations

import os

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.process_collector import ProcessCollector

# Where several workers count together: each sees what all have counted. `serve` sets it before it starts them.
SHARED_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
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

_requests: dict[tuple[str, int], Counter] = {}
_seconds: dict[str, Histogram] = {}
_authentications: dict[tuple[str, str], Counter] = {}
_unverified: dict[tuple[str, str, str], Counter] = {}
_token_checks = {known: _TOKENS.labels("yes" if known else "no") for known in (True, False)}


def request(surface: str, status: int, seconds: float, code: str | int | None) -> None:
    """A request of a surface that was answered; `code` if it was refused."""
    counted = _requests.get((surface, status))
    if counted is None:
        counted = _requests[surface, status] = _REQUESTS.labels(surface, str(status))
    counted.inc()
    timed = _seconds.get(surface)
    if timed is None:
        timed = _seconds[surface] = _SECONDS.labels(surface)
    timed.observe(seconds)
    if code is not None:
        _REFUSALS.labels(surface, str(code)).inc()


def authentication(method: str, outcome: str) -> None:
    """A visitor who was proven."""
    counted = _authentications.get((method, outcome))
    if counted is None:
        counted = _authentications[method, outcome] = _AUTHENTICATIONS.labels(method, outcome)
    counted.inc()


def unverified(surface: str, step: str, reason: str) -> None:
    """A request of a visitor without proof."""
    counted = _unverified.get((surface, step, reason))
    if counted is None:
        counted = _unverified[surface, step, reason] = _UNVERIFIED.labels(surface, step, reason)
    counted.inc()


def token_check(*, known: bool) -> None:
    """A contact token that was presented."""
    _token_checks[known].inc()


def upstream_call(purpose: str, outcome: str, seconds: float) -> None:
    """A call to another server that ended, somehow."""
    _UPSTREAM.labels(purpose, outcome).inc()
    _UPSTREAM_SECONDS.labels(purpose).observe(seconds)


def circuit_opened() -> None:
    """A server that failed too often in a row."""
    _CIRCUITS.inc()


def render() -> bytes:
    """Everything, of all workers, in Prometheus's text format."""
    if SHARED_DIRECTORY not in os.environ:
        return generate_latest(_REGISTRY)
    together = CollectorRegistry()
    MultiProcessCollector(together)  # type: ignore[no-untyped-call]
    return generate_latest(together)
