"""Lets these tests share one running server per engine (tests/fixtures/front_door.py)."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    # Loaded by name, so that folders which share it get the same fixtures, and the session the same servers.
    config.pluginmanager.import_plugin("tests.fixtures.front_door")
    config.pluginmanager.import_plugin("tests.fixtures.authority")
    config.pluginmanager.import_plugin("tests.fixtures.responding")
    config.pluginmanager.import_plugin("tests.fixtures.puzzel")
    config.pluginmanager.import_plugin("tests.fixtures.object_store")
    config.pluginmanager.import_plugin("tests.fixtures.uploads")
    config.pluginmanager.import_plugin("tests.fixtures.valkey")
