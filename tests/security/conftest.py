"""Lets these tests share one running server per engine, and holds each of them to the seven rules of SECURITY 3.3."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.fixtures.front_door import Installation
    from tests.fixtures.watch import Watch


def pytest_configure(config: pytest.Config) -> None:
    # Loaded by name, so that folders which share it get the same fixtures, and the session the same servers.
    config.pluginmanager.import_plugin("tests.fixtures.front_door")
    config.pluginmanager.import_plugin("tests.fixtures.responding")
    config.pluginmanager.import_plugin("tests.fixtures.puzzel")
    config.pluginmanager.import_plugin("tests.fixtures.stored")
    config.pluginmanager.import_plugin("tests.fixtures.siege")
    config.pluginmanager.import_plugin("tests.fixtures.watch")


@pytest.fixture(scope="module")
def installation(responding: Installation) -> Installation:
    """One server per engine serves all of them."""
    return responding


@pytest.fixture(autouse=True)
def watch(request: pytest.FixtureRequest) -> Watch | None:
    """Of every test that has a server."""
    if "engine" not in request.fixturenames:
        return None
    found: Watch = request.getfixturevalue("watch_of_file")
    found.begin()
    return found


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
    """The rules are looked at before the fixtures end: providers and servers of the test's own are still there."""
    given: dict[str, Any] = pyfuncitem.funcargs
    if given["watch"] is None:
        return (yield)
    with given["watch"].over(given.get("fake")):
        return (yield)
