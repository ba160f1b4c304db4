"""The short form of `make soak`: a minute, which shows a quick leak, and that the long form works."""

from __future__ import annotations

import pytest

from tests.soak.soak import Limits, soak

pytestmark = pytest.mark.slow
SECONDS = 60.0


def test_a_minute_of_mixed_load_leaves_nothing_behind(session_settings: dict[str, str]) -> None:
    # Caches are still filling, a leak worth the name is larger; and in a minute p99 is what else the machine does.
    report = soak(session_settings, SECONDS, visitors=5, pause=0.05, limits=Limits(growth=0.10, slower=5.0))
    assert not report.problems, "\n".join(report.lines())
    assert report.attacks > 100
