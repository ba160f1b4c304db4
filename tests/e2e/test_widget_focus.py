"""Our widget in a real Chromium, for those who use no mouse or do not see it: what goes wrong is read out, and the
focus is never lost where what had it is taken away."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.fixtures.front_door import Workspace
from tests.fixtures.site import ADA, Arrive
from tests.fixtures.widget import reply

pytestmark = pytest.mark.slow

PROGRAM: Any = {"name": "evil.exe", "mimeType": "application/x-msdownload", "buffer": b"MZ\x90\x00" * 20}


def test_a_message_that_is_not_sent_is_read_out_and_tried_again(arrive: Arrive) -> None:
    guest = arrive()
    guest.excused = ("400",)
    guest.load()
    guest.open()
    guest.say("one")
    refusal = {"status": 400, "headers": {"access-control-allow-origin": "*"}, "body": '{"code": "invalid_field"}'}
    guest.page.route("**/messages", lambda route: route.fulfill(**refusal), times=1)
    guest.write("two")
    alert = guest.panel.get_by_role("alert")
    expect(alert).to_contain_text("Not sent")
    alert.get_by_role("button", name="Try again").press("Enter")
    expect(guest.panel.locator("[data-state=sent]")).to_have_count(2)
    expect(guest.text).to_be_focused()


def test_a_chat_that_is_closed_while_somebody_writes(arrive: Arrive, store: Workspace) -> None:
    """The end is read out, and no button is pressed by what is being typed."""
    guest = arrive()
    guest.load(user={"token": (token := store.sign_in(ADA)[0])})
    guest.open()
    conversation = guest.say("one")
    guest.page.keyboard.type("and an")
    headers = {"authorization": f"Bearer {token}"}
    store.installation.http.post(f"/v1/conversations/{conversation}/resolve", headers=headers).raise_for_status()
    expect(guest.panel.get_by_role("alert")).to_have_text("This conversation has ended.")
    expect(guest.panel.get_by_role("log")).to_be_focused()
    guest.page.keyboard.type("other thing")
    guest.page.keyboard.press("Enter")
    expect(guest.panel.get_by_role("log")).to_be_focused()
    expect(guest.panel.get_by_role("button", name="New conversation")).to_be_visible()


def test_a_proof_that_is_tried_again(arrive: Arrive, store: Workspace) -> None:
    guest = arrive()
    guest.excused = ("no session",)
    token = json.dumps(store.sign_in(ADA, name="Ada")[0])
    guest.load(
        "window.works = false; options.user = { getToken: async () => {"
        f" if (!works) throw new Error('no session'); return {token}; }} }};"
    )
    guest.open()
    expect(guest.text).to_be_hidden()
    guest.page.evaluate("works = true")
    guest.banner.get_by_role("button", name="Try again").press("Enter")
    expect(guest.mark).to_have_text("Signed in as Ada")
    expect(guest.text).to_be_focused()


def test_a_link_in_the_last_answer_when_the_next_one_comes(arrive: Arrive, store: Workspace) -> None:
    guest = arrive()
    guest.load()
    guest.open()
    conversation = guest.say("hello")
    reply(store, conversation, "See [our help](https://shop.example/help).")
    link = guest.panel.get_by_role("link", name="our help")
    link.focus()
    expect(link).to_be_focused()
    reply(store, conversation, "Or call us.")
    expect(guest.panel.locator(".message.agent")).to_have_count(2)
    expect(guest.text).to_be_focused()


def test_a_file_that_is_tried_again(arrive: Arrive) -> None:
    guest = arrive()
    guest.excused = ("400", "415", "422")
    guest.load()
    guest.open()
    guest.panel.locator("input[type=file]").set_input_files(PROGRAM)
    again = guest.panel.get_by_role("button", name="Try again")
    again.press("Enter")
    expect(guest.text).to_be_focused()
    expect(again).to_be_visible()
