"""Set-up, staff and sign-in of the dashboard in Chromium: the first run, forms, a real provider, and every page by
axe-core, in both themes and on a phone."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Route, expect

from tests.conftest import TEST_SETTINGS
from tests.fixtures.fake_provider import CLIENT, CLIENT_SECRET, FakeProvider
from tests.fixtures.front_door import Installation
from tests.fixtures.real_providers import NodeOidcProvider, node_packages
from tests.fixtures.server import RunningServer

pytestmark = pytest.mark.slow

PASSWORD = "correct horse battery"
PAGES = (
    "/set-up",
    "/set-up/server",
    "/set-up/providers",
    "/set-up/providers/new",
    "/set-up/providers/1",
    "/set-up/auth-endpoint",
    "/set-up/widget",
    "/set-up/responder",
    "/debugger",
    "/debugger?entry=ENTRY",
    "/staff",
    "/account",
)
# Where pictures go, for whoever wants to look at them.
PICTURES = os.environ.get("VESTIBULE_TEST_PICTURES", "")


class Desk:
    """A page of a browser at the dashboard, with everything that it has to complain of there."""

    def __init__(self, browser: Browser, origin: str, **context: Any) -> None:
        self.origin = origin
        self.complaints: list[str] = []
        self.context = browser.new_context(base_url=origin, **context)
        self.context.set_default_timeout(30_000)
        # A provider's page may want a font from elsewhere: nothing of these tests leaves the machine.
        self.context.route(lambda url: not url.startswith(("http://127.0.0.1:", "data:")), _nothing)
        self.page: Page = self.context.new_page()
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _on_console(self, message: ConsoleMessage) -> None:
        # A form that is refused is an answer of 400, of which Chromium tells as of a picture that is missing.
        refused = "the server responded with a status of 400" in message.text
        if message.type in {"error", "warning"} and message.location["url"].startswith(self.origin) and not refused:
            self.complaints.append(message.text)

    def faults(self) -> list[Any]:
        """What axe-core finds wrong with the page, of any weight."""
        found = self.page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
        return [(each["id"], [node["html"][:200] for node in each["nodes"]]) for each in found["violations"]]

    def picture(self, name: str) -> None:
        if PICTURES:
            self.page.screenshot(path=Path(PICTURES) / f"{name}.png", full_page=True)


def _nothing(route: Route) -> None:
    route.abort()


Open = Callable[..., Desk]


@pytest.fixture
def at_desk(chromium: Browser) -> Iterator[Open]:
    desks: list[Desk] = []

    def make(origin: str, **context: Any) -> Desk:
        desks.append(Desk(chromium, origin, **context))
        return desks[-1]

    yield make
    for desk in desks:
        desk.context.close()
    assert [complaint for desk in desks for complaint in desk.complaints] == []


@pytest.fixture
def fresh(tmp_path: Path, secret_key: str) -> Iterator[Installation]:
    settings = {
        **TEST_SETTINGS,
        "VESTIBULE_PRIVATE_HOSTS": "127.0.0.0/8",
        "VESTIBULE_DATABASE_URL": f"sqlite:///{tmp_path}/vestibule.db",
        "VESTIBULE_SECRET_KEYS": secret_key,
    }
    with RunningServer(settings, tmp_path) as server, Installation(server) as made:
        yield made
        assert "unexpected error" not in server.log()


def begin(desk: Desk, installation: Installation) -> None:
    """By the link that `serve` has printed."""
    found = re.search(r"http://\S+/dashboard/first-run\?link=\w+", installation.server.log())
    assert found
    page = desk.page
    page.goto(found[0])
    page.get_by_label("Name of your workspace").fill("Acme")
    page.get_by_label("Your name").fill("Grace Hopper")
    page.get_by_label("Your e-mail").fill("grace@example.com")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label("Once more").fill(PASSWORD)
    desk.picture("first-run")
    page.get_by_role("button", name="Begin").click()
    expect(page.get_by_role("heading", name="Acme")).to_be_visible()


def set_up(desk: Desk, fake: FakeProvider) -> None:
    page = desk.page
    page.get_by_role("link", name="Set-up", exact=True).click()
    page.get_by_role("link", name="Server to server").first.click()
    page.get_by_label("Name").fill("shop")
    page.get_by_role("button", name="Make a key").click()
    expect(page.locator("#secret")).to_contain_text("vst_key_")
    page.get_by_role("link", name="Identity providers").click()
    page.get_by_role("link", name="Add a provider").click()
    page.get_by_label("Name", exact=True).first.fill("Sign-in")
    page.get_by_label("Issuer").fill(fake.issuer)
    page.get_by_role("button", name="Add", exact=True).click()
    # What is wrong stands beside its field, is said to whoever cannot see it, and what was typed is still there.
    problem = page.locator("#f-client_ids-problem")
    expect(problem).to_contain_text("ID tokens need the client ids")
    expect(page.get_by_label("Client ids")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("Issuer")).to_have_value(fake.issuer)
    page.get_by_label("Client ids").fill(CLIENT)
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_role("status")).to_have_text("Added.")
    expect(page.get_by_text("1 usable key")).to_be_visible()


def debug(desk: Desk, installation: Installation, fake: FakeProvider) -> str:
    """From the audit to what helps, and the token again. The address of what was recorded."""
    page = desk.page
    token = fake.id_token(exp=1)
    [(customer,)] = installation.rows("SELECT customer_id FROM workspaces")
    challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    body = {"codeChallenge": challenge, "idToken": token}
    assert installation.http.post(f"/api/authenticate/{customer}", json=body).status_code == 401
    page.goto("/dashboard/set-up/providers")
    page.get_by_role("link", name="invalid_token").click()
    recorded = page.locator("#recorded")
    expect(recorded.locator(".fail")).to_contain_text("Expiry (exp)", ignore_case=True)
    expect(recorded).to_contain_text("What helps: It is over: get a fresh one.")
    address = page.url
    page.get_by_role("textbox", name="Token").fill(token)
    page.get_by_role("button", name="Try it").click()
    expect(page.locator("#finding .fail")).to_contain_text("the token has expired")
    page.get_by_role("textbox", name="Token").fill(fake.id_token())
    page.get_by_role("button", name="Try it").click()
    expect(page.locator("#finding")).to_contain_text("A new contact")
    return address


def test_from_the_first_link_to_a_token_that_is_explained(at_desk: Open, fresh: Installation) -> None:
    fake = FakeProvider()
    fresh.run(fake.start())
    packages = node_packages()
    desk = at_desk(fresh.base_url, viewport={"width": 1100, "height": 800})
    desk.context.add_init_script(path=packages / "node_modules" / "axe-core" / "axe.min.js")
    begin(desk, fresh)
    set_up(desk, fake)
    entry = debug(desk, fresh, fake).partition("entry=")[2]
    faults: dict[str, list[Any]] = {}
    for theme in ("light", "dark"):
        desk.page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
        for width in (1100, 360):
            # The width changes what axe sees; the theme, colours: each once, and all four for pictures.
            is_tried = (theme == "light") == (width == 1100)
            if not is_tried and not PICTURES:
                continue
            desk.page.set_viewport_size({"width": width, "height": 800})
            for path in PAGES:
                desk.page.goto(f"/dashboard{path.replace('ENTRY', entry)}")
                name = f"{path.replace('/', '-').replace('?', '-')[1:]}-{theme}-{width}"
                desk.picture(name)
                assert desk.page.evaluate("document.documentElement.scrollWidth") <= width, name
                if is_tried and (found := desk.faults()):
                    faults[name] = found
    desk.page.get_by_role("button", name="Sign out").click()
    desk.page.goto("/dashboard/sign-in")
    desk.picture("sign-in-dark-360")
    if found := desk.faults():
        faults["sign-in"] = found
    assert faults == {}
    fresh.run(fake.stop())


def test_without_javascript(at_desk: Open, fresh: Installation) -> None:
    desk = at_desk(fresh.base_url, java_script_enabled=False)
    begin(desk, fresh)
    fake = FakeProvider()
    fresh.run(fake.start())
    set_up(desk, fake)
    page = desk.page
    page.get_by_role("link", name="Staff", exact=True).click()
    page.get_by_label("E-mail").fill("ada@example.com")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator("#secret")).to_contain_text("/dashboard/welcome?link=vst_link_")
    fresh.run(fake.stop())


def test_signing_in_at_a_real_provider(at_desk: Open, tmp_path: Path, secret_key: str) -> None:
    settings = {
        **TEST_SETTINGS,
        "VESTIBULE_PRIVATE_HOSTS": "127.0.0.0/8",
        "VESTIBULE_DATABASE_URL": f"sqlite:///{tmp_path}/vestibule.db",
        "VESTIBULE_SECRET_KEYS": secret_key,
    }
    provider = NodeOidcProvider()
    settings |= {"VESTIBULE_STAFF_OIDC_ISSUER": provider.issuer, "VESTIBULE_STAFF_OIDC_CLIENT_ID": CLIENT}
    settings |= {"VESTIBULE_STAFF_OIDC_CLIENT_SECRET": CLIENT_SECRET, "VESTIBULE_STAFF_OIDC_NAME": "Acme ID"}
    server = RunningServer(settings, tmp_path)
    provider.redirect = f"{server.base_url}/dashboard/sign-in/callback"
    with provider, server:
        workspace = server.cli("workspace", "create", "Acme")["workspace_id"]
        server.cli("staff", "add", "ada@example.com", "-w", workspace, "--name", "Ada", "--role", "admin")
        for person, heading in (("ada", "Acme"), ("mallory", "Sign in")):
            desk = at_desk(server.base_url)
            page = desk.page
            page.goto("/dashboard/sign-in")
            desk.picture("sign-in-elsewhere")
            page.get_by_role("link", name="Sign in with Acme ID").click()
            page.locator("input[name=login]").fill(person)
            page.locator("input[name=password]").fill("any")
            page.locator("[type=submit]").first.click()
            if person != "ada":
                # Of whom nobody has heard here. Chromium tells of the answer's status as of an error of the page.
                page.get_by_role("button", name="Continue").click()
                expect(page.get_by_role("alert")).to_contain_text("not staff here")
                desk.complaints = [each for each in desk.complaints if "status of 401" not in each]
            else:
                page.get_by_role("button", name="Continue").click()
            expect(page.get_by_role("heading", name=heading)).to_be_visible()
            assert page.url.startswith(server.base_url)
            assert "code=" not in page.url or person != "ada"
    assert "unexpected error" not in server.log()
