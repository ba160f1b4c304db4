"""A page that speaks the OpenCX widget API call by call (pages/widget_contract), on an origin of its own, in a real
Chromium: what each kind of visitor sees, after a reload, on a second device, in another scope; and that nothing which
is written to them runs."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.fixtures.contract_page import POLL_SECONDS, Devices, Shop, asking_often, served
from tests.fixtures.fake_bot import FakeBot
from tests.fixtures.front_door import Installation, Workspace
from tests.fixtures.hostile_markdown import HOSTILE
from tests.fixtures.responding import answered_by_bot
from tests.fixtures.widget import PREFIX, Device, bot_token, claims_of, reply, unverified_token

pytestmark = pytest.mark.slow

EMAIL = "ada@example.com"


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    with Shop.opened() as running:
        yield running


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, secret_key: str) -> Iterator[Installation]:
    with served(tmp_path_factory.mktemp("widget"), secret_key) as made:
        yield made


@pytest.fixture
def workspace(api: Installation) -> Workspace:
    return asking_often(api)


@pytest.fixture
def devices(chromium: Browser, shop: Shop, workspace: Workspace, tmp_path: Path) -> Iterator[Devices]:
    made = Devices(chromium, shop, workspace)
    yield made
    made.close(tmp_path)


def test_an_anonymous_visitor(devices: Devices, workspace: Workspace) -> None:
    first = devices.visit()
    first.starts_empty()
    assert first.calls[:3] == [("GET", "/config"), ("POST", "/contact/create-unverified"), ("GET", "/sessions")]
    assert [request.post_data for request in first.requests if request.method == "POST"] == ["{}"]
    assert workspace.contacts() == []
    key = f"opencx-widget:org-token-{bot_token(workspace)}"
    stored = first.stored()
    assert set(stored) == {f"{key}:contact-token", f"{key}:external-contact-id"}
    token, scope = stored[f"{key}:contact-token"], stored[f"{key}:external-contact-id"]
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", scope)

    session = first.say("hello")
    assert [row[0] for row in workspace.contacts()] == [claims_of(token)["sub"]]
    reply(workspace, session, "**Hello**, and [welcome](https://shop.example/)")
    first.sees(("user", "hello"), ("agent", "Hello, and welcome"))
    expect(first.page.locator(".bubble.agent strong")).to_have_text("Hello")
    expect(first.page.locator(".bubble.agent a")).to_have_attribute("href", "https://shop.example/")
    expect(first.page.locator(".name")).to_have_text("Grace")

    # The page again: the stored token is used as it is.
    first.load()
    assert first.cards == [session]
    expect(first.page.locator(".card strong")).to_have_text("Hello")
    assert ("POST", "/contact/create-unverified") not in first.calls
    assert first.stored() == stored
    first.open(session)
    first.sees(("user", "hello"), ("agent", "Hello, and welcome"))

    devices.visit().starts_empty()


def test_the_first_message_goes_as_the_stock_widget_sends_it(devices: Devices, workspace: Workspace) -> None:
    first = devices.visit(
        sessionCustomData={"page": "/cart"},
        messageCustomData={"button": "help"},
        context={"cart": 2},
        language="de",
        initialMessages=["Welcome", "How can we **help**?"],
    )
    expect(first.page.locator(".bubble.ai")).to_have_count(2)
    session = first.say("hello")
    made = next(at for at, call in enumerate(first.calls) if call == ("POST", "/create-session"))
    after = [call for call in first.calls[made + 1 :] if call != ("GET", "/poll/{id}")]
    assert ("GET", "/poll/{id}") in first.calls[made + 1 :]
    assert {("GET", "/sessions"), ("POST", "/chat/send")} <= set(after)
    sent = next(request for request in first.requests if request.url.endswith("/chat/send"))
    body = json.loads(sent.post_data or "")
    assert [greeting["content"] for greeting in body["initial_messages"]] == ["Welcome", "How can we **help**?"]
    assert sent.headers["x-bot-token"] == body["bot_token"] == bot_token(workspace)
    # What the page was not given is not sent.
    given = {"custom_data", "clientContext", "language", "initial_messages"}
    assert body.keys() == {"uuid", "content", "session_id", "bot_token", "attachments", *given}
    first.sees(("ai", "Welcome"), ("ai", "How can we help?"), ("user", "hello"))
    # Polled again and again, and still each message once: by its id alone.
    time.sleep(3 * POLL_SECONDS)
    first.sees(("ai", "Welcome"), ("ai", "How can we help?"), ("user", "hello"))

    first.load()
    first.open(session)
    first.sees(("ai", "Welcome"), ("ai", "How can we help?"), ("user", "hello"))


def test_the_browser_asks_before_it_calls(devices: Devices, workspace: Workspace) -> None:
    """The page is of another origin, so every call was granted by a preflight."""
    visit = devices.visit()
    visit.say("hello")
    lines = [json.loads(line) for line in workspace.installation.server.log().splitlines() if line.startswith("{")]
    asked = {line["path"] for line in lines if line.get("http_method") == "OPTIONS" and line["status"] == 204}
    assert {f"{PREFIX}/config", f"{PREFIX}/sessions", f"{PREFIX}/create-session", f"{PREFIX}/chat/send"} <= asked


def test_a_visitor_who_fills_in_the_form(devices: Devices) -> None:
    first = devices.visit(collectUserData=True)
    expect(first.page.locator("#welcome")).to_be_visible()
    assert first.calls == [("GET", "/config")]
    first.introduce(EMAIL)
    first.starts_empty()
    [introduced] = [request for request in first.requests if request.method == "POST"]
    assert json.loads(introduced.post_data or "") == {"email": EMAIL, "non_verified_name": "Ada"}
    session = first.say("hello")

    first.load()
    assert first.cards == [session]
    expect(first.page.locator("#welcome")).to_be_hidden()

    second = devices.visit(collectUserData=True)
    expect(second.page.locator("#welcome")).to_be_visible()
    second.introduce(EMAIL)
    second.starts_empty()


def test_a_visitor_whom_the_page_names(devices: Devices, workspace: Workspace) -> None:
    data = {"email": EMAIL, "name": "Ada", "customData": {"plan": "gold"}}
    first = devices.visit(user={"data": data})
    first.starts_empty()
    before = first.state("contactToken")
    session = first.say("hello")

    first.load()
    assert first.cards == [session]
    assert ("POST", "/contact/create-unverified") in first.calls
    assert first.state("contactToken") != before
    assert claims_of(first.state("contactToken"))["sub"] == claims_of(before)["sub"]
    assert len(workspace.contacts()) == 1
    first.open(session)
    first.say("again")
    reply(workspace, session, "I am here.")
    first.sees(("user", "hello"), ("user", "again"), ("agent", "I am here."))

    devices.visit(user={"data": data}).starts_empty()


def test_a_verified_visitor(devices: Devices, workspace: Workspace) -> None:
    first = devices.visit(user={"token": workspace.sign_in(EMAIL)[0]})
    first.starts_empty()
    assert [call for call in first.calls if call != ("GET", "/sessions")] == [("GET", "/config")]
    assert first.requests[0].headers["authorization"].startswith("Bearer ")
    assert first.stored() == {}
    session = first.say("hello")
    assert first.stored() == {}

    second = devices.visit(user={"token": workspace.sign_in(EMAIL)[0]})
    assert second.cards == [session]
    second.open(session)
    second.say("from my phone")
    reply(workspace, session, "I am here.")
    for device in (first, second):
        device.sees(("user", "hello"), ("user", "from my phone"), ("agent", "I am here."))

    devices.visit(user={"token": workspace.sign_in("bob@example.com")[0]}).starts_empty()
    devices.visit(user={"data": {"email": EMAIL}}).starts_empty()


def test_two_scopes_of_a_verified_visitor(devices: Devices, workspace: Workspace) -> None:
    token = workspace.sign_in(EMAIL)[0]
    first = devices.visit(user={"token": token, "externalId": "A"})
    in_a = first.say("about A")
    second = devices.visit(user={"token": token, "externalId": "B"})
    second.starts_empty()
    in_b = second.say("about B")

    first.load()
    assert first.cards == [in_a]
    second.load()
    assert second.cards == [in_b]
    assert devices.visit(user={"token": token}).cards == [in_b, in_a]


def test_two_scopes_of_a_visitor_whom_the_page_names(devices: Devices) -> None:
    data = {"email": EMAIL}
    device = devices.new()
    first = devices.visit(device, user={"data": data, "externalId": "A"})
    in_a = first.say("about A")
    second = devices.visit(device, user={"data": data, "externalId": "B"})
    second.starts_empty()
    in_b = second.say("about B")
    first.load()
    assert first.cards == [in_a]
    second.load()
    assert second.cards == [in_b]


def test_an_unverified_token_in_the_place_of_a_verified_one(
    chromium: Browser, shop: Shop, workspace: Workspace
) -> None:
    """Pasted from the storage of one browser into the options of another, it opens no list."""
    owner = Device(workspace, unverified_token(workspace, email=EMAIL), "A")
    session = owner.start()
    owner.say(session, "secret")
    devices = Devices(chromium, shop, workspace)
    thief = devices.visit(user={"token": owner.token})
    expect(thief.page.locator("#composer")).to_be_visible()
    assert thief.state("sessions") == []
    assert "secret" not in thief.page.content()
    # Chromium says so itself on its console.
    assert all("400" in complaint for complaint in thief.complaints)
    thief.page.context.close()


def test_a_stale_user_token_leaves_the_widget_standing(chromium: Browser, shop: Shop, workspace: Workspace) -> None:
    devices = Devices(chromium, shop, workspace)
    visit = devices.visit(user={"token": "stale"})
    expect(visit.page.get_by_role("heading", name="test")).to_be_visible()
    expect(visit.page.locator("#composer")).to_be_visible()
    visit.page.context.close()


def test_the_end_of_a_chat_and_its_rating(devices: Devices) -> None:
    visit = devices.visit()
    session = visit.say("hello")
    visit.page.get_by_role("button", name="Resolve").click()
    expect(visit.page.locator("#survey")).to_be_visible()
    expect(visit.page.locator("#composer")).to_be_hidden()
    # Like the stock widget, the page shows the rating before it is sent: a reload right then would take it along.
    with visit.page.expect_response(lambda response: response.url.endswith("/submit-csat")):
        visit.page.get_by_role("button", name="4", exact=True).click()
    expect(visit.page.locator("#outcome")).to_have_text("Rated 4 of 5")
    visit.load()
    expect(visit.page.locator(".card")).to_have_attribute("data-open", "false")
    visit.open(session)
    expect(visit.page.locator("#outcome")).to_have_text("Rated 4 of 5")
    expect(visit.page.locator("#survey")).to_be_hidden()
    visit.page.get_by_role("button", name="New conversation").click()
    assert visit.say("another matter") != session


def test_a_closed_chat_is_not_polled_in_a_loop(devices: Devices) -> None:
    """Contract 0.5: while it is closed, every change of the session object makes the widget poll at once."""
    visit = devices.visit()
    visit.say("hello")
    visit.page.get_by_role("button", name="Resolve").click()
    expect(visit.page.locator("#survey")).to_be_visible()
    time.sleep(POLL_SECONDS)
    before = visit.state("polls")
    time.sleep(5 * POLL_SECONDS)
    assert 2 <= visit.state("polls") - before <= 7


def test_an_open_chat_asks_for_unchanged_answers_without_writing(devices: Devices, workspace: Workspace) -> None:
    visit = devices.visit()
    session = visit.say("hello")
    sql = "SELECT version, updated_at FROM conversations WHERE id = $1"
    before = workspace.installation.rows(sql, session)
    polled = visit.state("polls")
    visit.page.wait_for_function(f"window.widget.polls > {polled + 3}")
    assert workspace.installation.rows(sql, session) == before


def test_a_bots_answer_is_shown_once(devices: Devices, workspace: Workspace) -> None:
    """It comes with the send and by polling, under one id."""
    with FakeBot() as bot:
        answered_by_bot(workspace, bot)
        visit = devices.visit()
        visit.say("hello")
        visit.sees(("user", "hello"), ("ai", "You said: hello"))
        visit.say("again")
        time.sleep(3 * POLL_SECONDS)
        visit.sees(("user", "hello"), ("ai", "You said: hello"), ("user", "again"), ("ai", "You said: again"))


@pytest.mark.parametrize("renderer", ["careless", "commonmark"])
def test_nothing_that_is_written_to_a_visitor_runs(devices: Devices, workspace: Workspace, renderer: str) -> None:
    """Contract 0.10, with every text that an attacker might get an agent or a model to send."""
    owner = Device(workspace, unverified_token(workspace, email=EMAIL), "A")
    session = owner.start()
    owner.say(session, "hello")
    for text in HOSTILE.values():
        reply(workspace, session, text)
    visit = devices.visit(user={"data": {"email": EMAIL}, "externalId": "A"}, renderer=renderer)
    page = visit.page
    # Links are followed as far as the door: a script would run before it.
    page.route(
        "**/*",
        lambda route: route.abort("aborted") if route.request.is_navigation_request() else route.continue_(),
    )
    for card in (True, False):
        if not card:
            visit.open(session)
            expect(page.locator(".bubble.agent")).to_have_count(len(HOSTILE))
        scripts = (
            "script, iframe, svg, math, object, embed, form, input, base, style, video, template, marquee, details"
        )
        assert page.locator("#list, #chat").locator(scripts).count() == 0
        inside = "document.querySelectorAll('#list *, #chat *')"
        handlers = f"[...{inside}].flatMap((e) => e.getAttributeNames().filter((name) => name.startsWith('on')))"
        assert page.evaluate(handlers) == []
        links = "[...document.querySelectorAll('#list a, #chat a')]"
        assert set(page.evaluate(f"{links}.map((link) => link.protocol)")) <= {"http:", "https:"}
        page.evaluate(f"{links}.forEach((link) => link.click())")
        pictures = "[...document.querySelectorAll('#list img, #chat img')]"
        assert set(page.evaluate(f"{pictures}.map((one) => new URL(one.src).protocol)")) <= {"http:", "https:"}
    time.sleep(1)
    assert page.evaluate("window.pwned") is None
    assert [page.evaluate("window.pwned") for page in page.context.pages] == [None]
    assert page.locator(".bubble.agent", has_text="<script>window.pwned=1</script>").count() > 0


@pytest.mark.parametrize("renderer", ["careless", "commonmark"])
def test_the_page_would_run_them(devices: Devices, renderer: str) -> None:
    """The other side of the test above: they do run, if nobody neutralises them."""
    visit = devices.visit(renderer=renderer)
    for name in ("img onerror", "iframe srcdoc", "link", "link, decimal entity", "link by reference"):
        visit.load()
        visit.starts_empty()
        visit.page.evaluate("(text) => bubble('agent', text, 'Mallory')", HOSTILE[name])
        visit.page.wait_for_function("document.querySelector('.bubble.agent')?.innerHTML")
        visit.page.evaluate("document.querySelectorAll('.bubble a').forEach((link) => link.click())")
        visit.page.wait_for_function("window.pwned")


def test_what_a_visitor_writes_is_shown_as_text(devices: Devices) -> None:
    visit = devices.visit()
    session = visit.say("<img src=x onerror=window.pwned=1> **not bold**")
    visit.load()
    expect(visit.page.locator(f".card[data-id='{session}']")).to_contain_text(
        "<img src=x onerror=window.pwned=1> not bold"
    )
    visit.open(session)
    visit.sees(("user", "<img src=x onerror=window.pwned=1> **not bold**"))
    assert visit.page.evaluate("window.pwned") is None


def test_code_looks_like_code(devices: Devices, workspace: Workspace) -> None:
    visit = devices.visit(renderer="commonmark")
    session = visit.say("hello")
    reply(
        workspace, session, 'Try `a < b && c`, then:\n\n```html\n<p title="x">R&amp;D</p>\n```\n\nThat is 1 < 2 & more.'
    )
    expect(visit.page.locator(".agent code").first).to_have_text("a < b && c")
    shown = visit.page.locator(".agent pre").inner_text().replace("\u200b", "")
    assert shown.strip() == '<p title="x">R&amp;D</p>'
    expect(visit.page.locator(".agent p").last).to_have_text("That is 1 < 2 & more.")
