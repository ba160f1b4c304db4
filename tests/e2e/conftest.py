"""What the tests of our own widget share: a server, a customer's site of another origin, a Chromium, and visitors."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from tests.conftest import TEST_SETTINGS
from tests.fixtures.front_door import Installation, Workspace
from tests.fixtures.responding import RESPONDING_SETTINGS
from tests.fixtures.server import RunningServer
from tests.fixtures.site import Guest, Site

_CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, secret_key: str) -> Iterator[Installation]:
    directory = tmp_path_factory.mktemp("widget")
    settings = {
        **TEST_SETTINGS,
        **RESPONDING_SETTINGS,
        "VESTIBULE_DATABASE_URL": f"sqlite:///{directory}/vestibule.db",
        "VESTIBULE_SECRET_KEYS": secret_key,
        "VESTIBULE_FILES_DIRECTORY": str(directory / "files"),
    }
    with RunningServer(settings, directory) as server, Installation(server) as made:
        yield made
    assert "unexpected error" not in server.log(), server.log()[-20_000:]


@pytest.fixture(scope="module")
def site(service: Installation) -> Iterator[Site]:
    with Site(service.base_url) as running:
        yield running


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    found = [path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))]
    if not found:
        pytest.fail("no Chromium found: run scripts/system-packages chromium")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=found[0], args=_CHROMIUM_ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture
def store(service: Installation) -> Workspace:
    """A customer's workspace, which belongs to this test alone."""
    return service.workspace()


@pytest.fixture
def arrive(chromium: Browser, site: Site, store: Workspace, tmp_path: Path) -> Iterator[Callable[..., Guest]]:
    """Makes visitors, each on a device of their own, or in another tab of `on`. Afterwards nothing may have gone wrong
    on any page, and nothing but the site and the service have been asked for anything."""
    contexts: list[BrowserContext] = []
    guests: list[Guest] = []

    def make(on: Guest | None = None, **context: Any) -> Guest:
        if on is None:
            contexts.append(chromium.new_context(**{"viewport": {"width": 1000, "height": 760}, **context}))
        guests.append(Guest(on.context if on else contexts[-1], site, store))
        return guests[-1]

    yield make
    for number, guest in enumerate(guests):
        if not guest.page.is_closed():
            guest.page.screenshot(path=tmp_path / f"guest-{number}.png")
    for context in contexts:
        context.close()
    assert [complaint for guest in guests for complaint in guest.complaints] == []
    known = (site.base_url, site.api, "blob:", "data:", "about:")
    assert [request.url for guest in guests for request in guest.requests if not request.url.startswith(known)] == []
