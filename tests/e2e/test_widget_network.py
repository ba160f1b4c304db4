"""Our widget in a real Chromium when networks fail: what is written is sent once, in order, and outlives a reload."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Route, expect

from tests.fixtures.front_door import Workspace
from tests.fixtures.responding import eventually
from tests.fixtures.site import ADA, Arrive, Guest, conversations
from tests.fixtures.widget import reply

pytestmark = pytest.mark.slow

# `look(true)`: the visitor looks at another tab.
LOOKING_AWAY = (
    "let hidden = false; Object.defineProperty(document, 'hidden', { get: () => hidden });"
    "window.look = (away) => { hidden = away; document.dispatchEvent(new Event('visibilitychange')); };"
)


def texts(workspace: Workspace) -> list[str]:
    """What visitors have written, as it is stored."""
    rows = workspace.installation.rows(
        "SELECT text FROM messages WHERE workspace_id = $1 AND sender = 'user' ORDER BY sent_at, seq", workspace.id
    )
    return [text for (text,) in rows]


def began_offline(arrive: Arrive) -> Guest:
    """Whose very first message waits for a network."""
    guest = arrive()
    guest.load()
    guest.open()
    guest.context.set_offline(offline=True)
    guest.write("hello")
    expect(guest.panel.locator("[data-state=waiting]")).to_have_count(1)
    return guest


class TestTheNetwork:
    def test_what_is_written_offline_is_sent_once_when_it_is_back(self, arrive: Arrive, store: Workspace) -> None:
        guest = arrive()
        guest.load()
        guest.open()
        conversation = guest.say("one")
        reply(store, conversation, "yes")
        # It follows the conversation by now: an answer that was under way would say that there is a connection.
        guest.sees(("user", "one"), ("agent", "yes"))
        guest.context.set_offline(offline=True)
        expect(guest.banner).to_contain_text("No connection.")
        guest.write("two")
        guest.write("three")
        expect(guest.panel.locator("[data-state=waiting]")).to_have_count(2)
        assert texts(store) == ["one"]
        reply(store, conversation, "meanwhile")
        guest.context.set_offline(offline=False)
        guest.sees(("user", "one"), ("agent", "yes"), ("agent", "meanwhile"), ("user", "two"), ("user", "three"))
        expect(guest.panel.locator("[data-state=sent]")).to_have_count(3)
        expect(guest.banner).to_be_hidden()
        assert texts(store) == ["one", "two", "three"]
        assert conversations(store) == 1

    def test_the_very_first_message_may_be_written_offline(self, arrive: Arrive, store: Workspace) -> None:
        guest = began_offline(arrive)
        guest.context.set_offline(offline=False)
        expect(guest.panel.locator("[data-state=sent]")).to_have_count(1)
        assert texts(store) == ["hello"]

    def test_the_very_first_message_goes_out_when_the_site_is_visited_again(
        self, arrive: Arrive, store: Workspace
    ) -> None:
        """In another tab, where the chat is not opened."""
        guest = began_offline(arrive)
        guest.page.close()
        guest.context.set_offline(offline=False)
        later = arrive(on=guest)
        later.load()
        expect(later.launcher).to_be_visible()
        eventually(lambda: texts(store) == ["hello"])
        expect(later.panel).to_be_hidden()
        later.open()
        later.sees(("user", "hello"))

    @pytest.mark.parametrize("verified", [False, True], ids=["unverified", "verified"])
    def test_what_waits_outlives_a_reload(self, arrive: Arrive, store: Workspace, *, verified: bool) -> None:
        user = {"user": {"token": store.sign_in(ADA)[0]}} if verified else {}
        guest = arrive()
        guest.excused = ("ERR_FAILED",)
        guest.load(**user)
        guest.open()
        guest.say("one")
        guest.page.route("**/messages", lambda route: route.abort())
        guest.write("two")
        expect(guest.panel.locator("[data-state=waiting]")).to_have_count(1)
        guest.page.unroute("**/messages")
        guest.load(**user)
        guest.sees(("user", "one"), ("user", "two"))
        expect(guest.panel.locator("[data-state=sent]")).to_have_count(2)
        assert texts(store) == ["one", "two"]
        assert not [key for key in guest.stored() if "outbox" in key]

    def test_a_lost_answer_does_not_send_twice(self, arrive: Arrive, store: Workspace) -> None:
        """The service has stored the message, and the browser never learns it."""
        guest = arrive()
        guest.excused = ("ERR_FAILED",)
        guest.load()
        guest.open()
        guest.say("one")
        guest.page.route("**/events?*", lambda route: route.abort())
        guest.load()  # or the stream would tell it
        lost: list[str] = []

        def lose(route: Route) -> None:
            if route.request.method == "POST" and len(lost) < 2:
                lost.append(json.loads(route.request.post_data or "")["id"])
                route.fetch()
                route.abort()
            else:
                route.continue_()

        guest.page.route("**/messages", lose)
        guest.write("two")
        expect(guest.panel.locator("[data-state=sent]")).to_have_count(2)
        assert len(lost) == 2
        guest.sees(("user", "one"), ("user", "two"))
        assert lost[0] == lost[1]
        assert texts(store) == ["one", "two"]

    def test_a_busy_service_is_asked_again(self, arrive: Arrive, store: Workspace) -> None:
        guest = arrive()
        guest.excused = ("503", "429")
        guest.load()
        guest.open()
        answers = iter([503, 429])

        def busy(route: Route) -> None:
            status = next(answers, 0) if route.request.method == "POST" else 0
            if status:
                route.fulfill(status=status, headers={"access-control-allow-origin": "*"}, body="{}")
            else:
                route.continue_()

        guest.page.route("**/messages", busy)
        guest.write("hello")
        expect(guest.panel.locator("[data-state=sent]")).to_have_count(1)
        assert texts(store) == ["hello"]

    def test_a_refused_message_can_be_tried_again(self, arrive: Arrive, store: Workspace) -> None:
        guest = arrive()
        guest.excused = ("400",)
        guest.load()
        guest.open()
        guest.say("one")
        refusal = {"status": 400, "headers": {"access-control-allow-origin": "*"}, "body": '{"code": "invalid_field"}'}
        guest.page.route("**/messages", lambda route: route.fulfill(**refusal))
        guest.write("two")
        expect(guest.panel.locator("[data-state=failed]")).to_contain_text("Not sent")
        guest.page.unroute("**/messages")
        guest.panel.get_by_role("button", name="Try again").click()
        guest.sees(("user", "one"), ("user", "two"))
        expect(guest.panel.locator("[data-state=sent]")).to_have_count(2)
        assert texts(store) == ["one", "two"]

    def test_a_proxy_that_holds_the_stream_back(self, arrive: Arrive, store: Workspace) -> None:
        """No event ever comes; answers are asked for instead."""
        guest = arrive()
        guest.page.route("**/events?*", lambda _route: None)
        guest.page.clock.install()
        guest.load()
        guest.open()
        conversation = guest.say("hello")
        reply(store, conversation, "I am here.")
        for _ in range(8):
            guest.page.clock.run_for(9_000)
        guest.sees(("user", "hello"), ("agent", "I am here."))

    def test_a_stream_that_was_refused_is_followed_again_with_the_next_message(
        self, arrive: Arrive, store: Workspace
    ) -> None:
        guest = arrive()
        guest.excused = ("404",)
        guest.load()
        guest.open()
        headers = {"access-control-allow-origin": "*"}
        guest.page.route(
            "**/events?*",
            lambda route: route.fulfill(status=404, headers=headers, body='{"code": "not_found"}'),
            times=1,
        )
        conversation = guest.say("one")
        reply(store, conversation, "meanwhile")
        guest.say("two")
        guest.sees(("user", "one"), ("agent", "meanwhile"), ("user", "two"))

    def test_a_tab_that_nobody_looks_at_gives_up_its_connection(self, arrive: Arrive, store: Workspace) -> None:
        """Browsers have six to a server, and people have more tabs."""
        guest = arrive()
        guest.page.clock.install()
        guest.load(LOOKING_AWAY)
        guest.open()
        conversation = guest.say("hello")

        def streams() -> int:
            return len([request for request in guest.requests if "/events" in request.url])

        assert streams() == 1
        guest.page.evaluate("look(true)")
        guest.page.clock.run_for(16_000)
        reply(store, conversation, "I am here.")
        guest.page.clock.run_for(60_000)
        assert streams() == 1
        expect(guest.panel.locator(".message.agent")).to_have_count(0)
        guest.page.evaluate("look(false)")
        guest.sees(("user", "hello"), ("agent", "I am here."))
        assert streams() == 2

    def test_a_message_that_goes_out_unwatched_hides_no_answer_before_it(
        self, arrive: Arrive, store: Workspace
    ) -> None:
        """It was written without a connection, and goes out while another tab is looked at. What came in between is
        shown, and the page is told of each message once."""
        guest = arrive()
        guest.page.clock.install()
        guest.load(LOOKING_AWAY)
        guest.open()
        conversation = guest.say("one")
        guest.context.set_offline(offline=True)
        guest.write("two")
        expect(guest.panel.locator("[data-state=waiting]")).to_have_count(1)
        guest.page.evaluate("look(true)")
        guest.page.clock.run_for(16_000)
        reply(store, conversation, "meanwhile")
        guest.context.set_offline(offline=False)
        eventually(lambda: texts(store) == ["one", "two"])
        expect(guest.panel.locator("[data-state=sent]")).to_have_count(2)
        expect(guest.panel.locator(".message.agent")).to_have_count(0)
        guest.page.evaluate("look(false)")
        guest.sees(("user", "one"), ("agent", "meanwhile"), ("user", "two"))
        assert [event["message"]["text"] for event in guest.told("message")] == ["one", "two", "meanwhile"]

    def test_a_chat_that_was_chosen_without_a_network_is_read_when_it_is_back(
        self, arrive: Arrive, store: Workspace
    ) -> None:
        guest = arrive()
        guest.excused = ("ERR_FAILED",)
        guest.load(user={"token": store.sign_in(ADA)[0]})
        guest.open()
        reply(store, guest.say("one"), "yes")
        guest.sees(("user", "one"), ("agent", "yes"))
        guest.panel.get_by_role("button", name="Conversations").click()
        guest.page.route("**/messages", lambda route: route.abort(), times=2)
        guest.panel.locator(".thread").click()
        expect(guest.banner).to_contain_text("No connection.")
        guest.sees(("user", "one"), ("agent", "yes"))
        expect(guest.banner).to_be_hidden()
        told = [event["message"]["text"] for event in guest.told("message")]
        assert told == ["one", "yes"], "what is read again is no news"

    def test_two_tabs_of_a_device_are_one_visitor(self, arrive: Arrive, store: Workspace) -> None:
        first = arrive()
        first.load()
        first.open()
        first.say("one")
        second = arrive(on=first)
        second.load()
        second.open()
        second.sees(("user", "one"))
        second.say("two")
        first.page.bring_to_front()
        first.sees(("user", "one"), ("user", "two"))
        assert conversations(store) == 1
