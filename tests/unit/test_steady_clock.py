"""A clock that has jumped is not believed where nothing can be taken back, and one that is set right is."""

from __future__ import annotations

import time

import pytest

from vestibule.clock import SteadyClock


def test_jumps_are_remembered_for_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    wall, steady = 1_000_000.0, 50.0
    monkeypatch.setattr(time, "time", lambda: wall)
    monkeypatch.setattr(time, "clock_gettime", lambda _: steady)
    monkeypatch.setattr(time, "monotonic", lambda: steady)
    clock = SteadyClock()

    def after(seconds: float, *, jump: float = 0.0) -> bool:
        nonlocal wall, steady
        wall, steady = wall + seconds + jump, steady + seconds
        return clock.is_steady()

    assert after(300)
    assert after(300, jump=60.0), "that is how clocks are set right"
    assert not after(300, jump=366 * 86_400.0)
    assert not after(300)
    assert not after(300, jump=-366 * 86_400.0), "that is a jump as well"
    assert not after(86_000)
    assert after(1_000)
