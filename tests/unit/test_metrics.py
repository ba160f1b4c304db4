"""What is noted and brought to Prometheus's library later says what its own way would have said at once."""

from __future__ import annotations

import re

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from vestibule import metrics

SECONDS = (0.0, 0.0004, 0.001, 0.0010001, 0.03, 0.05, 0.05, 7.5, 60.0, 60.5, 900.0)


def lines_of(text: bytes, surface: str) -> list[str]:
    return [line for line in text.decode().splitlines() if re.search(rf'surface="{surface}"', line)]


def test_the_same_figures_as_by_the_librarys_own_way() -> None:
    registry = CollectorRegistry()
    requests = Counter("vestibule_requests", "", ["surface", "status"], registry=registry)
    seconds = Histogram(
        "vestibule_request_seconds",
        "",
        ["surface"],
        buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0),
        registry=registry,
    )
    for count, each in enumerate(SECONDS):
        metrics.request("unit", 200 if count % 2 else 404, each, None)
        requests.labels("unit", "200" if count % 2 else "404").inc()
        seconds.labels("unit").observe(each)
        if count % 4 == 3:
            metrics.fold()  # in whatever pieces
    metrics.fold()
    metrics.fold()
    shown = lines_of(metrics.render(), "unit")
    assert sorted(shown) == sorted(lines_of(generate_latest(registry), "unit"))
    assert 'vestibule_request_seconds_bucket{le="0.001",surface="unit"} 3.0' in shown
    assert 'vestibule_request_seconds_bucket{le="60.0",surface="unit"} 9.0' in shown
    assert 'vestibule_request_seconds_count{surface="unit"} 11.0' in shown


def test_a_refusal_is_counted_by_its_code() -> None:
    metrics.request("unit_refusals", 404, 0.1, "not_found")
    metrics.request("unit_refusals", 404, 0.1, "not_found")
    metrics.fold()
    assert 'vestibule_refusals_total{code="not_found",surface="unit_refusals"} 2.0' in metrics.render().decode()


def test_what_cannot_be_counted_ends_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    metrics.request("unit_before", 200, 0.1, None)
    metrics._counted[metrics._REQUESTS, ("one label of two",)] = 1
    for _ in range(3):
        metrics.fold()
    assert 'vestibule_requests_total{status="200",surface="unit_before"} 1.0' in metrics.render().decode()
    assert [record.message for record in caplog.records] == ["what was counted cannot be brought to where it is read"]
