"""Marks the fault tests as slow and lends them servers that they may kill, starve and freeze; it knows no fault."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_configure(config: pytest.Config) -> None:
    # Loaded by name, so that folders which share it get the same fixtures, and the session the same servers.
    config.pluginmanager.import_plugin("tests.fixtures.front_door")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)
