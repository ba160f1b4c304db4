"""Staff at the dashboard in Chromium: the first sign-in, a chat that is answered, a token that is tried."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from tests.fixtures.server import WorkspaceServer

pytestmark = pytest.mark.slow

PASSWORD = "correct horse battery"
_PHONE = {"width": 360, "height": 740}


class Staff:
    """A page of a member of staff, with everything that a browser has to complain of."""

    def __init__(self, chromium: Browser, server: WorkspaceServer) -> None:
        self.server = server
        self.complaints: list[str] = []
        self.page: Page = chromium.new_page(base_url=server.base_url)
        self.page.set_default_timeout(15_000)
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def come_in(self) -> None:
        """By the link that the command line prints."""
        made = self.server.cli(
            "staff", "add", "grace@example.com", "--name", "Grace", "--role", "owner", "-w", self.server.workspace_id
        )
        self.page.goto(made["link"])
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.get_by_label("Once more").fill(PASSWORD)
        self.page.get_by_role("button", name="Set the password and sign in").click()
        expect(self.page.get_by_role("heading", name="Set up next")).to_be_visible()


class Visitor:
    """Writes into a chat, as a page of the customer's does."""

    def __init__(self, server: WorkspaceServer) -> None:
        self._http = httpx.Client(base_url=server.base_url, headers={"connection": "close"}, trust_env=False)
        made = self._http.post(
            "/widget/authenticate-user",
            json={"email": "ada@example.com", "name": "Ada <b>Lovelace</b>"},
            headers={"authorization": f"Bearer {server.api_key}"},
        )
        self._http.headers["authorization"] = f"Bearer {made.json()['token']}"
        self.chat = self._http.post("/v1/conversations", json={}).json()["id"]

    def say(self, text: str) -> None:
        sent = self._http.post(f"/v1/conversations/{self.chat}/messages", json={"id": str(uuid.uuid4()), "text": text})
        assert sent.status_code == 201, sent.text

    def texts(self) -> list[str]:
        items = self._http.get(f"/v1/conversations/{self.chat}/messages").json()["items"]
        return [item["text"] for item in items]


@pytest.fixture
def staff(chromium: Browser, workspace_server: WorkspaceServer) -> Iterator[Staff]:
    opened = Staff(chromium, workspace_server)
    yield opened
    opened.page.close()
    assert opened.complaints == []


@pytest.fixture
def workspace_server(secret_key: str, tmp_path: Path) -> Iterator[WorkspaceServer]:
    settings = {"VESTIBULE_DATABASE_URL": f"sqlite:///{tmp_path}/vestibule.db", "VESTIBULE_SECRET_KEYS": secret_key}
    with WorkspaceServer(settings, tmp_path) as running:
        running.make_workspace("Acme")
        yield running


def test_a_day_at_the_dashboard(staff: Staff) -> None:
    page = staff.page
    staff.come_in()

    page.get_by_role("link", name="Inbox", exact=True).click()
    expect(page.get_by_text("Nothing is open.")).to_be_visible()
    visitor = Visitor(staff.server)
    visitor.say("Where is <script>alert(1)</script> my order?")
    # By itself, without a click.
    expect(page.locator("#chats li")).to_have_count(1)
    expect(page.get_by_text("Nothing is open.")).to_have_count(0)

    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Ada <b>Lovelace</b>")).to_contain_text("Verified")
    expect(page.locator("#messages .said")).to_have_text(["Where is <script>alert(1)</script> my order?"])
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
    page.keyboard.press("j")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keyboard")).to_be_hidden()
    page.keyboard.press("e")
    expect(page.get_by_role("button", name="Resolve")).to_be_focused()
    page.keyboard.press("r")
    page.keyboard.type("It comes today.")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("status")).to_have_text("Sent.")
    assert visitor.texts()[-1] == "It comes today."
    visitor.say("Thanks!")
    expect(page.locator("#messages .said").last).to_have_text("Thanks!")
    page.get_by_role("button", name="Resolve").click()
    expect(page.get_by_text("nothing can be written into it any more")).to_be_visible()

    page.get_by_role("link", name="Debugger").click()
    page.get_by_role("textbox", name="Token").fill("eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.")
    page.get_by_role("button", name="Try it").click()
    expect(page.locator("#finding")).to_contain_text("Refused")
    expect(page.locator("#finding .fail")).to_have_count(1)

    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.goto("/dashboard/inbox")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_page_is_wider_than_a_phone(chromium: Browser, workspace_server: WorkspaceServer, theme: str) -> None:
    staff = Staff(chromium, workspace_server)
    page = staff.page
    page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
    page.set_viewport_size({"width": _PHONE["width"], "height": _PHONE["height"]})
    staff.come_in()
    visitor = Visitor(workspace_server)
    visitor.say("unbreakable" * 40)
    for path in ("", "/inbox", f"/inbox/{visitor.chat}", "/contacts", "/coverage", "/debugger", "/audit"):
        page.goto(f"/dashboard{path}")
        assert page.evaluate("document.documentElement.scrollWidth") <= _PHONE["width"], path
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(246, 246, 244)") == (theme == "light")
    page.close()
    assert staff.complaints == []
