from __future__ import annotations

import atexit
import http.client
import json
import re
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect

from tests.fixtures.server import Guard, RunningServer, clean_environment

pytestmark = pytest.mark.slow

# The seed's example (opencx-authenticate-user.example.txt), whose e-mail is a placeholder there.
_SEED_BODY = {
    "email": "john.doe@example.com",
    "name": "John Doe",
    "avatar_url": "https://example.com/avatar.png",
    "phone": "+1234567890",
    "language": "en",
    "customData": {"customKey": "customValue"},
    "chat_context": "<string>",
    "http_action_overrides": {"query_params": {}, "path_params": {}, "body_params": {}, "headers": {}},
}


class Demo(RunningServer):
    """A real `vestibule demo`, started in `directory`; what it keeps lies in `kept`."""

    def __init__(self, directory: Path, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(settings or {}, directory)
        self.kept = directory / "vestibule-demo"

    def interrupt(self) -> int:
        """Presses Ctrl-C; the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(20)

    def command(self) -> str:
        """The curl command as printed for pasting."""
        printed = self.log()
        return printed[printed.index("curl --request") : printed.rindex("'") + 1]

    def call(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: str = ""
    ) -> tuple[int, dict[str, str], bytes]:
        """One request with these headers; status, headers with lower-case names, body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body=body.encode() or None, headers=dict(headers or {}))
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def _launch(self) -> None:
        with self.log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "vestibule", "demo", "--port", str(self.port)],
                env=clean_environment(self.settings, self.directory),
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._guard = Guard(signal.SIGTERM, -self._process.pid)
        atexit.register(self.kill)


class Visit:
    """A page with everything that went over its console and its wires."""

    def __init__(self, context: BrowserContext) -> None:
        self.page: Page = context.new_page()
        self.page.set_default_timeout(15_000)
        self.complaints: list[str] = []
        self.requested: list[str] = []
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requested.append(request.url))
        self.page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def sign_in(self) -> str:
        """Signs the form's person in; the contact's id."""
        with self.page.expect_response(lambda response: response.url.endswith("/v1/me")):
            self.page.get_by_role("button", name="Sign in as this person").click()
        expect(self.page.locator("#sign-in-status")).to_contain_text("Signed in as contact")
        return self.page.locator("#contact-id").inner_text()


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    with Demo(tmp_path_factory.mktemp("demo")) as running:
        yield running


@pytest.fixture
def visit(demo: Demo, chromium: Browser) -> Iterator[Visit]:
    """The page, just opened; afterwards nothing on it may have gone wrong or elsewhere."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=demo.base_url)
    visit = Visit(context)
    visit.page.goto(f"{demo.base_url}/")
    yield visit
    context.close()
    assert visit.complaints == []
    assert [url for url in visit.requested if not url.startswith(f"{demo.base_url}/")] == []


def test_the_root_leads_to_the_page(demo: Demo, visit: Visit) -> None:
    assert visit.page.url == f"{demo.base_url}/demo"
    expect(visit.page.get_by_role("heading", level=2)).to_have_count(5)


def test_signing_in_shows_the_contact_the_token_and_the_profile(visit: Visit) -> None:
    page = visit.page
    with page.expect_response(lambda response: response.url.endswith("/demo/sign-in")) as answered:
        contact_id = visit.sign_in()

    assert re.fullmatch(r"[0-9a-f-]{36}", contact_id)
    mark = page.locator("#signature-mark")
    expect(mark).to_have_attribute("data-holds", "true")
    expect(mark).to_contain_text("The signature holds")
    expect(mark.get_by_role("img", name="No:")).to_have_count(0)
    expect(page.locator(".member", has_text="sub")).to_contain_text(contact_id)
    expect(page.locator("#token-left")).to_have_text(re.compile(r"^(24 h|23 h 59 min)$"))
    expect(page.locator("td[data-field=name]")).to_have_text("John Doe")
    expect(page.locator("td[data-field=custom_data]")).to_have_text('customKey = "customValue"')
    expect(page.locator("tr", has_text="E-mail")).to_contain_text("backend")
    expect(page.locator("#opened")).to_contain_text('"items": []')
    key = page.locator("#curl").inner_text().split("Bearer ")[1].split("'")[0]
    assert key.startswith("vst_key_")
    assert key not in answered.value.text()
    assert key not in page.locator("#sign-in-exchange").inner_text()


def test_the_chat_in_the_corner_knows_who_signed_in(visit: Visit) -> None:
    page = visit.page
    page.get_by_label("E-mail").fill("grace.h@example.com")
    page.get_by_label("Name", exact=True).fill("Grace H.")
    page.get_by_role("button", name="Open chat").click()
    chat = page.get_by_role("dialog", name="Demo")
    expect(chat).to_contain_text("Not signed in")
    page.keyboard.press("Escape")
    visit.sign_in()
    page.get_by_role("button", name="Open chat").click()
    expect(chat).to_contain_text("Signed in as Grace H.")
    chat.get_by_role("textbox").fill("Where is my order?")
    page.keyboard.press("Enter")
    expect(chat.locator("[data-state=sent]")).to_contain_text("Where is my order?")

    page.keyboard.press("Escape")
    visit.sign_in()
    expect(page.locator("#opened")).to_contain_text('"last_message": "Where is my order?"')
    expect(chat).to_be_hidden()


def test_the_profile_tells_created_unchanged_and_updated(visit: Visit) -> None:
    page, outcome = visit.page, visit.page.locator("#contact-outcome")
    page.get_by_label("E-mail").fill("grace@example.com")
    page.get_by_label("Name", exact=True).fill("Grace")

    created = visit.sign_in()
    expect(outcome).to_contain_text("Created")
    expect(page.locator("tr .new")).to_have_count(6)
    assert visit.sign_in() == created
    expect(outcome).to_contain_text("Unchanged")
    expect(page.locator("tr .new")).to_have_count(0)

    page.get_by_label("Name", exact=True).fill("Grace Hopper")
    page.get_by_label("Phone").fill("")
    assert visit.sign_in() == created
    expect(outcome).to_contain_text("Updated")
    expect(outcome).to_contain_text("New: Name.")
    expect(page.locator("td[data-field=phone]")).to_have_text("+1234567890")
    page.get_by_label("are sent as null").check()
    visit.sign_in()
    expect(outcome).to_contain_text("New: Phone.")
    expect(page.locator("td[data-field=phone]")).to_have_text("cleared")


def test_a_token_that_names_somebody_else_is_seen_through(visit: Visit) -> None:
    page = visit.page
    visit.sign_in()
    page.get_by_role("button", name="Pretend to be somebody else").click()

    expect(page.locator("#signature-mark")).to_have_attribute("data-holds", "false")
    expect(page.locator("#forged-answer")).to_contain_text("401 Unauthorized")
    expect(page.locator("#forged-answer")).to_contain_text('"code": "invalid_token"')
    page.get_by_role("button", name="Back to the real token").click()
    expect(page.locator("#signature-mark")).to_have_attribute("data-holds", "true")


def test_names_are_text(visit: Visit) -> None:
    visit.page.get_by_role("button", name="Mallory").click()
    visit.sign_in()

    expect(visit.page.locator("td[data-field=name]")).to_have_text('<img src=x onerror="alert(1)">')
    expect(visit.page.locator("main img")).to_have_count(0)


@pytest.mark.parametrize(
    ("button", "status", "code"),
    [
        ("Wrong API key", "401 Unauthorized", "invalid_api_key"),
        ("Bad e-mail", "400 Bad Request", "invalid_field"),
        ("Member sent twice", "400 Bad Request", "malformed_body"),
    ],
)
def test_mistakes_show_their_answers(visit: Visit, button: str, status: str, code: str) -> None:
    visit.page.get_by_role("button", name=button).click()

    shown = visit.page.locator("#fault-exchange")
    expect(shown).to_contain_text(status)
    expect(shown).to_contain_text(f'"error": "{code}"')


def test_a_refused_sign_in_shows_the_answer_and_no_token(visit: Visit) -> None:
    page = visit.page
    visit.sign_in()
    # Good enough for the browser's own check, but not for the service.
    page.get_by_label("E-mail").fill("john@example")
    page.get_by_role("button", name="Sign in as this person").click()

    expect(page.locator("#sign-in-status")).to_contain_text("Vestibule refused")
    expect(page.locator("#sign-in-exchange")).to_contain_text("400 Bad Request")
    expect(page.locator("#signature-mark")).to_have_count(0)


def test_the_keyboard_is_enough(visit: Visit) -> None:
    page = visit.page
    page.get_by_label("E-mail").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#signature-mark")).to_have_attribute("data-holds", "true")
    page.get_by_role("button", name="Pretend to be somebody else").press("Enter")
    expect(page.get_by_role("button", name="Back to the real token")).to_be_focused()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_screen_needs_no_sideways_scrolling(visit: Visit, scheme: Any) -> None:
    page = visit.page
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 360, "height": 740})
    visit.sign_in()
    page.get_by_role("button", name="Bad e-mail").click()
    expect(page.locator("#fault-exchange pre")).to_have_count(2)

    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_the_page_copies_the_command_that_was_printed(demo: Demo, visit: Visit) -> None:
    page = visit.page
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()

    assert page.evaluate("navigator.clipboard.readText()") == demo.command()


def test_the_command_is_the_seeds_request(demo: Demo) -> None:
    words = shlex.split(demo.command().replace("\\\n", ""))
    options = list(zip(words[1::2], words[2::2], strict=True))
    assert words[0] == "curl"
    assert [name for name, _ in options] == ["--request", "--url", "--header", "--header", "--data"]
    (_, method), (_, url), (_, authorization), (_, content_type), (_, body) = options
    assert (method, url) == ("POST", f"{demo.base_url}/widget/authenticate-user")
    assert json.loads(body) == _SEED_BODY

    headers = dict(header.split(": ", 1) for header in (authorization, content_type))
    status, _, answer = demo.call(method, urlsplit(url).path, headers, body)
    assert status == 200
    assert set(json.loads(answer)) == {"token", "contact"}


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on this machine")
def test_pasting_the_command_answers_200(demo: Demo) -> None:
    pasted = demo.command() + " --silent --show-error --noproxy '*' --write-out '\\n%{http_code}'"
    done = subprocess.run(["/bin/sh", "-c", pasted], capture_output=True, text=True, timeout=30, check=True)
    answer, _, status = done.stdout.rpartition("\n")
    assert status == "200"
    assert json.loads(answer)["contact"]["id"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "{url}", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "{url}", "Sec-Fetch-Site": "same-site"},
        {"Origin": "http://evil.example:{port}", "Host": "evil.example:{port}", "Sec-Fetch-Site": "same-origin"},
    ],
    ids=["no origin", "foreign origin", "null origin", "cross-site", "same-site", "rebound name"],
)
@pytest.mark.parametrize("path", ["/demo/sign-in", "/demo/try"])
def test_other_pages_cannot_use_the_key(demo: Demo, path: str, headers: dict[str, str]) -> None:
    given = {name: value.format(url=demo.base_url, port=demo.port) for name, value in headers.items()}
    body = '{"person": {"email": "victim@example.com"}, "fault": "bad_email"}'
    status, _, answer = demo.call("POST", path, {"Content-Type": "application/json", **given}, body)
    assert status == 403
    assert json.loads(answer)["code"] == "not_allowed"


def test_a_rebound_name_does_not_get_the_page(demo: Demo) -> None:
    status, _, answer = demo.call("GET", "/demo", {"Host": f"evil.example:{demo.port}"})
    assert status == 403
    assert b"vst_key_" not in answer


def test_the_page_is_strict_about_what_it_loads(demo: Demo) -> None:
    status, headers, page = demo.call("GET", "/demo")
    assert status == 200
    assert headers["content-security-policy"].startswith("default-src 'self';")
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"
    assert not re.search(rb"<script(?![^>]* src=)|<style| style=| on\w+=", page)


def test_the_ordinary_service_is_behind_the_page(demo: Demo) -> None:
    assert demo.call("GET", "/healthz")[0] == 200
    assert demo.call("GET", "/v1/me")[0] == 401
    assert demo.call("GET", "/widget/nothing")[0] == 404
    status, _, answer = demo.call("GET", "/demo/nothing")
    assert (status, json.loads(answer)["code"]) == (404, "no_such_path")


def test_what_it_keeps_is_its_owners_and_survives_ctrl_c(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.db"
    configured = {
        "VESTIBULE_DATABASE_URL": f"sqlite:///{elsewhere}",
        "VESTIBULE_SECRET_KEYS": "A" * 43,
        "VESTIBULE_WORKERS": "not a number",
    }
    with Demo(tmp_path, configured) as first:
        command = first.command()
        assert first.interrupt() == 0
        assert "Traceback" not in first.log()
    assert not elsewhere.exists()
    assert stat.S_IMODE(first.kept.stat().st_mode) == 0o700
    assert stat.S_IMODE((first.kept / "api-key").stat().st_mode) == 0o600
    assert stat.S_IMODE((first.kept / "vestibule.db.key").stat().st_mode) == 0o600

    with Demo(tmp_path) as second:
        assert second.command() == command.replace(str(first.port), str(second.port))


def test_a_lost_database_means_a_new_key(tmp_path: Path) -> None:
    with Demo(tmp_path) as first:
        command = first.command()
        first.interrupt()
    for path in first.kept.glob("vestibule.db*"):
        path.unlink()
    with Demo(tmp_path) as second:
        words = shlex.split(second.command().replace("\\\n", ""))
        assert words[6] not in command
        headers = {"Authorization": words[6].removeprefix("Authorization: "), "Content-Type": "application/json"}
        assert second.call("POST", "/widget/authenticate-user", headers, words[10])[0] == 200


def test_a_taken_port_is_said_plainly(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "vestibule", "demo", "--port", str(port)],
            env=clean_environment({}, tmp_path),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert done.returncode == 1
    assert f"port {port} is taken" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
