"""The dashboard in Chromium where staff could be misled or lose something: a name that looks like a mark, a form that
is sent twice, a reply that outlives its session, a chat on a phone."""

from __future__ import annotations

import uuid

import httpx
import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.e2e.test_dashboard import PASSWORD, Staff, Visitor, staff, workspace_server
from tests.fixtures.responding import eventually
from tests.fixtures.server import WorkspaceServer

pytestmark = pytest.mark.slow

__all__ = ["staff", "workspace_server"]

PRETENDS = ("Ada Lovelace ✓ Verified by identity provider, today. " * 4)[:200]


def guest_writes(server: WorkspaceServer, name: str) -> None:
    """Who proves nothing, and is called what they want to be."""
    with httpx.Client(
        base_url=server.base_url, headers={"origin": "https://shop.example.com"}, trust_env=False
    ) as http:
        made = http.post("/v1/visitors", json={"widget_token": server.widget_token, "name": name}).json()
        http.headers["authorization"] = f"Bearer {made['token']}"
        chat = http.post("/v1/conversations", json={"scope": str(uuid.uuid4())}).json()["id"]
        sent = http.post(f"/v1/conversations/{chat}/messages", json={"id": str(uuid.uuid4()), "text": "It is me."})
        assert sent.status_code == 201, sent.text


def right_of(element: Locator) -> float:
    return float(element.evaluate("(each) => each.getBoundingClientRect().right"))


def test_no_name_hides_the_mark_of_whoever_has_it(staff: Staff) -> None:
    page = staff.page
    staff.come_in()
    guest_writes(staff.server, PRETENDS)
    for width in (1280, 360):
        page.set_viewport_size({"width": width, "height": 740})
        for path, people in (("/inbox", "#chats"), ("/contacts", ".people")):
            page.goto(f"/dashboard{path}")
            mark = page.locator(f"{people} .mark")
            expect(mark).to_have_text("Claimed")
            expect(mark).to_be_in_viewport(ratio=0.9)
            assert right_of(mark) <= right_of(page.locator(f"{people} .who")) + 0.5, (path, width)


def test_a_form_that_is_sent_twice_is_done_once(staff: Staff) -> None:
    page = staff.page
    held: list[Route] = []
    staff.come_in()
    page.goto("/dashboard/set-up/server")
    page.get_by_label("Name").fill("shop")

    def hold(route: Route) -> None:
        if route.request.method == "POST":
            held.append(route)
        else:
            route.continue_()

    def is_under_way() -> bool:
        page.wait_for_timeout(20)
        return bool(held)

    page.route("**/dashboard/set-up/server", hold)
    button = page.get_by_role("button", name="Make a key")
    button.scroll_into_view_if_needed()
    box = button.bounding_box()
    assert box is not None
    # By the mouse: a click on an element waits for the navigation that the first one began.
    page.mouse.click(box["x"] + 5, box["y"] + 5)
    eventually(is_under_way)
    page.mouse.click(box["x"] + 5, box["y"] + 5)
    page.wait_for_timeout(500)
    [form] = held
    form.continue_()
    expect(page.locator("#secret")).to_contain_text("vst_key_")
    keys = staff.server.cli("api-key", "list", "-w", staff.server.workspace_id)["items"]
    assert len(keys) == 2, "that of the workspace's making, and this one"


def sign_out_elsewhere(staff: Staff) -> None:
    workspace = ("-w", staff.server.workspace_id)
    [member] = staff.server.cli("staff", "list", *workspace)["items"]
    staff.server.cli("staff", "sign-out", member["id"], *workspace)


def sign_in_beside(page: Page) -> None:
    """Where the page says, in a tab of its own."""
    with page.expect_popup() as opened:
        page.get_by_role("alert").get_by_role("link", name="Sign in").click()
    door = opened.value
    door.get_by_label("E-mail").fill("grace@example.com")
    door.get_by_label("Password").fill(PASSWORD)
    door.get_by_role("button", name="Sign in").click()
    expect(door.get_by_role("heading", name="Acme")).to_be_visible()
    door.close()


def test_what_is_being_written_outlives_the_session(staff: Staff) -> None:
    page = staff.page
    staff.come_in()
    visitor = Visitor(staff.server)
    visitor.say("Where is my order?")
    page.goto(f"/dashboard/inbox/{visitor.chat}")
    text, note = page.get_by_role("textbox", name="Reply as Grace"), page.get_by_role("alert")
    text.fill("It comes today.")
    sign_out_elsewhere(staff)
    expect(note).to_have_text("You are signed out. Sign in, then send.")
    expect(text).to_have_value("It comes today.")
    sign_in_beside(page)
    expect(note).to_have_count(0)
    # Whoever sends before the page has noticed loses nothing either.
    sign_out_elsewhere(staff)
    page.get_by_role("button", name="Send").click()
    expect(note).to_be_visible()
    expect(text).to_have_value("It comes today.")
    sign_in_beside(page)
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("status")).to_have_text("Sent.")
    assert visitor.texts().count("It comes today.") == 1
    # With nothing to lose, the page is loaded anew.
    sign_out_elsewhere(staff)
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_on_a_phone_a_chat_opens_where_it_goes_on(staff: Staff) -> None:
    page = staff.page
    page.set_viewport_size({"width": 360, "height": 740})
    staff.come_in()
    visitor = Visitor(staff.server)
    for number in range(50):
        visitor.say(f"Message {number}.")
    page.goto(f"/dashboard/inbox/{visitor.chat}")
    newest, text = page.locator("#messages .said").last, page.locator("#text")
    for said in ("Message 49.", "One more."):
        if said == "One more.":
            visitor.say(said)
        expect(newest).to_have_text(said)
        expect(newest).to_be_in_viewport(ratio=0.9)
        expect(text).to_be_in_viewport(ratio=0.9)
    # Whoever reads further up is left there.
    page.evaluate("scrollTo(0, 0)")
    visitor.say("And another.")
    expect(newest).to_have_text("And another.")
    assert page.evaluate("scrollY") == 0
