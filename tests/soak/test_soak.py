"""The short form of `make soak`: a minute, which shows a quick leak, and that the long form works; ten in CI, after
the warm-up at a tenth of the pace, as the other tests run beside it."""

from __future__ import annotations

import os

import pytest

from tests.soak.soak import Limits, soak

pytestmark = pytest.mark.slow
SECONDS = float(os.environ.get("VESTIBULE_TEST_SOAK_SECONDS", "60"))
# In a minute caches are still filling, and a leak worth the name is larger.
GROWTH = 0.05 if SECONDS >= 600 else 0.10


def test_mixed_load_leaves_nothing_behind(session_settings: dict[str, str]) -> None:
    # Slowly: all other tests run meanwhile, and p99 is what else the machine does.
    report = soak(session_settings, SECONDS, visitors=5, pause=SECONDS / 1200, limits=Limits(GROWTH, slower=5.0))
    assert not report.problems, "\n".join(report.lines())
    assert report.attacks > 100
