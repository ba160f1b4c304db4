"""`examples/token-exchange`: one command, a real sign-in in Chromium, a chat as the person, and the sign-out."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.fixtures.real_providers import node_packages
from tests.fixtures.responding import eventually
from tests.fixtures.server import Guard, clean_environment, free_port, run_cli

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "token-exchange"
READY_SECONDS = 60
# For a look at the page by people: PICTURES=DIRECTORY.
PICTURES = os.environ.get("PICTURES")


def command(directory: Path) -> list[str]:
    """The one that README names. Where its `make setup` would install something, which no test does to a checkout, what
    it ends in: under `make test` there is nothing left to do."""
    [named] = re.findall(r"^```sh\n(.+)\n```$", (EXAMPLE / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    environment = clean_environment({}, directory)  # without what a make around the tests has to say to its own
    asked = ["make", "--question", "setup"]
    if shutil.which("make") and subprocess.run(asked, cwd=ROOT, env=environment, check=False).returncode == 0:
        return [str(ROOT / named)]
    return [sys.executable, str(EXAMPLE / "run.py")]


class Example:
    """The example as it runs, and what it printed."""

    def __init__(self, directory: Path) -> None:
        self.page, self.provider, self.chat = (f"http://127.0.0.1:{free_port()}" for _ in range(3))
        self._log = directory / "example.log"
        ports = [url.rpartition(":")[2] for url in (self.page, self.provider, self.chat)]
        given = [*command(directory), "--packages", str(node_packages())]
        for option, port in zip(("--page-port", "--provider-port", "--port"), ports, strict=True):
            given += [option, port]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                given, env=clean_environment({}, directory), stdout=log, stderr=log, start_new_session=True
            )
        self._guard = Guard(signal.SIGTERM, self._process.pid)

    def wait_until_ready(self) -> None:
        eventually(lambda: "Ctrl-C" in self.printed or self._process.poll() is not None, within=READY_SECONDS)
        assert self._process.poll() is None, self.printed

    @property
    def printed(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def stop(self) -> int:
        self._process.send_signal(signal.SIGINT)
        code = self._process.wait(60)  # the service waits for open streams, and machines may be busy
        self._guard.release()
        return code

    def vestibule(self, *arguments: str) -> dict[str, Any]:
        """A command of staff, as the example says how to give it."""
        [(name, value)] = re.findall(r"export (\w+)=(\S+)", self.printed)
        [workspace] = set(re.findall(r"-w (\S+)", self.printed))
        return run_cli(*arguments, "-w", workspace, env={name: value})


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Example]:
    running = Example(tmp_path_factory.mktemp("example"))
    try:
        running.wait_until_ready()
        yield running
    finally:
        code = running.stop()
    assert code == 0, running.printed
    [database] = re.findall(r"sqlite:///(\S+)", running.printed)
    assert not Path(database).parent.exists(), "nothing is left behind"
    for url in (running.provider, running.chat, running.page):
        with pytest.raises(httpx.ConnectError):
            httpx.get(url, trust_env=False)


class Visit:
    """A browser of its own, with the shop's page open. `complaints`: what went wrong there, by the page's console."""

    def __init__(self, example: Example, context: BrowserContext) -> None:
        self.example = example
        self.page: Page = context.new_page()
        self.page.set_default_timeout(15_000)
        self.complaints: list[str] = []
        self.requested: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda said: self._hear(said.type, said.text))
        self.page.on("request", lambda request: self._note(request.url))
        self.page.goto(f"{example.page}/")

    def _hear(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"} and self.page.url.startswith(self.example.page):
            self.complaints.append(text)

    def _note(self, url: str) -> None:
        if self.page.url.startswith(self.example.page):
            self.requested.append(url)

    def sign_in(self, name: str) -> None:
        page = self.page
        page.get_by_role("button", name="Sign in", exact=True).click()
        page.locator("input[name=login]").fill(name)
        page.locator("input[name=password]").fill("any")
        page.locator("button[type=submit]").click()
        page.get_by_role("button", name="Continue").click()
        expect(page.locator("#name")).to_have_text(name)

    def say(self, text: str) -> None:
        self.page.get_by_label("Your message").fill(text)
        self.page.get_by_role("button", name="Send").click()
        expect(self.page.locator("#messages .mine p").last).to_have_text(text)

    @property
    def kept(self) -> dict[str, Any]:
        """What the page keeps of its chat."""
        found: dict[str, Any] = json.loads(self.page.evaluate("sessionStorage.getItem('chat')"))
        return found


@pytest.fixture
def visit(example: Example, chromium: Browser) -> Iterator[Visit]:
    context = chromium.new_context(viewport={"width": 1100, "height": 900}, color_scheme="light")
    made = Visit(example, context)
    yield made
    context.close()
    assert made.complaints == []
    home = (example.page, example.provider, example.chat)
    assert [url for url in made.requested if not url.startswith(home)] == []


def picture(page: Page, name: str) -> None:
    if PICTURES:
        page.screenshot(path=Path(PICTURES) / f"{name}.png", full_page=True)


def test_a_person_signs_in_and_chats(example: Example, visit: Visit) -> None:
    page = visit.page
    expect(page.get_by_role("heading", name="Questions about an order?")).to_be_visible()
    picture(page, "signed-out-light")
    visit.sign_in("Ada")
    assert page.url == f"{example.page}/", "the code is not left in the address"
    expect(page.locator("#steps li")).to_have_count(3)
    visit.say("Where is my order?")
    visit.say('<img src=x onerror="alert(1)">')
    expect(page.locator("#messages .who").first).to_have_text("You (verified)")
    [chat] = example.vestibule("conversation", "list")["items"]
    assert (chat["id"], chat["verified"]) == (visit.kept["conversationId"], True)
    example.vestibule("conversation", "reply", chat["id"], "It left yesterday.", "--name", "Grace")
    expect(page.locator("#messages .theirs")).to_contain_text("It left yesterday.")
    expect(page.locator("#messages .theirs .who")).to_have_text("Grace")
    picture(page, "chat-light")
    page.reload()
    expect(page.locator("#messages li")).to_have_count(3)
    expect(page.locator("#contact")).to_have_text(chat["contact_id"])


def test_what_is_sent_to_the_chat_is_no_secret_of_the_provider_twice(example: Example, visit: Visit) -> None:
    """The ID token goes to the exchange and nowhere else; the userInfoId and its verifier stand in no address."""
    bodies: dict[str, str] = {}
    visit.page.on("request", lambda asked: bodies.update({asked.url: asked.post_data or ""}))
    visit.sign_in("Bob")
    token = visit.kept["idToken"]
    assert [url for url, body in bodies.items() if token in body] == [f"{example.chat}/api/authenticate/shop"]
    assert not [url for url in visit.requested if "usr_" in url or "codeVerifier" in url or token in url]


def test_signing_out_at_the_provider_ends_the_chat_s_token(example: Example, visit: Visit, chromium: Browser) -> None:
    visit.sign_in("Carol")
    other = chromium.new_context()
    elsewhere = Visit(example, other)
    elsewhere.sign_in("Carol")
    mine, theirs = visit.kept["contactToken"], elsewhere.kept["contactToken"]

    def status(token: str) -> int:
        bearer = {"authorization": f"Bearer {token}"}
        return httpx.get(f"{example.chat}/v1/me", headers=bearer, trust_env=False).status_code

    assert [status(mine), status(theirs)] == [200, 200]
    visit.page.get_by_role("button", name="Sign out").click()
    began = time.monotonic()
    visit.page.get_by_role("button", name="Yes, sign me out").click()
    expect(visit.page.get_by_role("button", name="Sign in", exact=True)).to_be_visible()
    eventually(lambda: status(mine) == 401, within=5)
    assert time.monotonic() - began < 8
    assert status(theirs) == 200, "signed in with another browser, and still so"
    other.close()


def test_a_code_that_was_not_asked_for_here_is_not_used(example: Example, chromium: Browser) -> None:
    context = chromium.new_context()
    page = context.new_page()
    page.goto(f"{example.page}/?code=stolen&state=guessed")
    expect(page.get_by_role("alert")).to_contain_text("was not begun here")
    expect(page.get_by_role("button", name="Sign in", exact=True)).to_be_visible()
    assert page.url == f"{example.page}/"
    context.close()


def test_it_fits_a_small_dark_screen(example: Example, chromium: Browser) -> None:
    context = chromium.new_context(viewport={"width": 360, "height": 740}, color_scheme="dark")
    visit = Visit(example, context)
    visit.sign_in("Dorothea-with-a-name-that-is-longer-than-the-screen")
    visit.say("wordwithoutanend" * 10)
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= 360
    picture(visit.page, "chat-dark-360")
    assert visit.complaints == []
    context.close()
