"""`examples/pages`: started with the one command of their README, on an origin of their own, in a real Chromium."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.fixtures import example_endpoint
from tests.fixtures.fake_auth_endpoint import configure
from tests.fixtures.fake_provider import FakeProvider
from tests.fixtures.front_door import Workspace
from tests.fixtures.server import free_port
from tests.fixtures.site import Arrive, Guest
from tests.fixtures.widget import bot_token

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent


class Shop:
    """The pages for one workspace, as they are served."""

    def __init__(self, store: Workspace) -> None:
        port = str(free_port())
        service = store.installation.base_url
        command = [sys.executable, "examples/pages/serve.py", service, bot_token(store), "--port", port]
        environ = {"PATH": os.environ["PATH"], "VESTIBULE_API_KEY": store.api_key}
        self._process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        assert self.url == f"http://localhost:{port}/"

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(10)
        assert self._process.stdout is not None
        self._process.stdout.close()


@pytest.fixture
def shop(store: Workspace) -> Iterator[Shop]:
    running = Shop(store)
    yield running
    running.close()


@pytest.fixture
def guest(arrive: Arrive, shop: Shop) -> Guest:
    visitor = arrive()
    visitor.homes = (shop.url,)
    return visitor


def verified(store: Workspace) -> list[bool]:
    rows = store.installation.rows("SELECT verified FROM conversations WHERE workspace_id = $1", store.id)
    return [bool(row[0]) for row in rows]


def test_the_contents_lead_to_every_page(guest: Guest, shop: Shop) -> None:
    guest.page.goto(shop.url)
    links = guest.page.locator("li a").evaluate_all("(all) => all.map((each) => each.getAttribute('href'))")
    pages = {path.name for path in (ROOT / "examples" / "pages").glob("*.html")}
    assert set(links) == pages - {"index.html"}


def test_anonymous(guest: Guest, shop: Shop, store: Workspace) -> None:
    guest.page.goto(f"{shop.url}anonymous.html")
    guest.open()
    guest.say("hello")
    assert verified(store) == [False]


def test_pre_chat_form(guest: Guest, shop: Shop, store: Workspace) -> None:
    guest.page.goto(f"{shop.url}pre-chat-form.html")
    guest.open()
    guest.panel.get_by_label("Name").fill("Ada")
    guest.panel.get_by_label("E-mail").fill("ada@example.com")
    guest.page.keyboard.press("Enter")
    guest.say("hello")
    assert verified(store) == [False]


def test_page_data(guest: Guest, shop: Shop, store: Workspace) -> None:
    guest.page.goto(f"{shop.url}page-data.html")
    guest.open()
    guest.say("hello")
    [person] = store.people("name, email, non_verified_custom_data").values()
    assert (person["name"], person["email"]) == ("Ada Lovelace", "ada@example.com")
    assert "customer-7" in person["non_verified_custom_data"]


def test_contact_token(guest: Guest, shop: Shop, store: Workspace) -> None:
    guest.page.goto(f"{shop.url}contact-token.html")
    guest.open()
    expect(guest.mark).to_have_text("Signed in as Ada Lovelace")
    guest.say("hello")
    assert verified(store) == [True]
    guest.page.locator("#out").click()
    expect(guest.mark).to_have_text("Not signed in")


def test_identity_provider(guest: Guest, shop: Shop, store: Workspace, sign_in_service: FakeProvider) -> None:
    guest.page.goto(f"{shop.url}identity-provider.html")
    guest.open()
    conversation = guest.say("as a guest")
    guest.page.locator("textarea#token").fill(sign_in_service.id_token())
    guest.page.locator("#sign-in").click()
    expect(guest.page.locator("#outcome")).to_have_text("Signed in as Ada.")
    assert guest.say("hello") == conversation
    assert verified(store) == [True]


def test_user_token(guest: Guest, shop: Shop, store: Workspace) -> None:
    """With the other example as the customer's server, as the README says."""
    with example_endpoint.example() as url:
        configure(store, url=url, header_token=example_endpoint.TOKEN)
        guest.page.goto(f"{shop.url}user-token.html")
        guest.open()
        expect(guest.mark).to_have_text("Signed in as Grace Hopper")
        guest.say("hello")
    assert verified(store) == [True]
