"""Lets these tests share what our widget is tried with (tests/fixtures/guests.py)."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

# The browsers of several workers share two cores.
expect.set_options(timeout=15_000)


def pytest_configure(config: pytest.Config) -> None:
    # Loaded by name, and what they import before them, as in tests/contract.
    for name in ("front_door", "responding", "chromium", "guests"):
        config.pluginmanager.import_plugin(f"tests.fixtures.{name}")
