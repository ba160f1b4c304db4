"""Loads the set-up under test (cluster.py) and what it shares with other folders (tests/fixtures)."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    # By name, as tests/contract/conftest.py does: a module that was imported before cannot be a plugin any more.
    for name in ("front_door", "responding", "puzzel", "object_store", "valkey"):
        config.pluginmanager.import_plugin(f"tests.fixtures.{name}")
    config.pluginmanager.import_plugin("tests.integration.nodes.cluster")
