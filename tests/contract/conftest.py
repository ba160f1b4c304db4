"""Lets these tests share one running server per engine (tests/fixtures/front_door.py)."""

from __future__ import annotations

import pytest

_SHARED = (
    "front_door",
    "acting",
    "admin",
    "authority",
    "command_line",
    "exchange",
    "object_store",
    "puzzel",
    "responding",
    "trading",
    "uploads",
    "valkey",
)


def pytest_configure(config: pytest.Config) -> None:
    # Loaded by name, so that folders which share it get the same fixtures, and the session the same servers.
    for name in _SHARED:
        config.pluginmanager.import_plugin(f"tests.fixtures.{name}")
