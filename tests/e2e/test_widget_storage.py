"""Our widget in a real Chromium where the browser keeps what it needs for several tabs, or keeps nothing."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import expect

from tests.fixtures.front_door import Workspace
from tests.fixtures.responding import eventually
from tests.fixtures.site import Arrive, Guest, Site, conversations
from tests.fixtures.widget import bot_token
from vestibule.administration import contacts, workspaces

pytestmark = pytest.mark.slow


class TestTwoTabs:
    @pytest.mark.parametrize("open_first", [False, True], ids=["opened after it", "opened before it"])
    def test_loaded_before_the_first_message_are_one_visitor(
        self, arrive: Arrive, store: Workspace, *, open_first: bool
    ) -> None:
        first = arrive()
        first.load()
        second = arrive(on=first)
        second.load()
        if open_first:
            second.open()
        first.open()
        conversation = first.say("one")
        if not open_first:
            second.open()
            second.sees(("user", "one"))
        assert second.say("two") == conversation
        second.sees(("user", "one"), ("user", "two"))
        first.page.bring_to_front()
        first.load()
        first.sees(("user", "one"), ("user", "two"))
        assert len(store.contacts()) == 1
        assert conversations(store) == 1

    def test_whose_token_was_ended_are_one_visitor_again(self, arrive: Arrive, store: Workspace) -> None:
        first = arrive()
        first.load()
        first.open()
        first.say("one")
        second = arrive(on=first)
        second.load()
        second.open()
        second.sees(("user", "one"))
        first.excused = second.excused = ("401", "404")
        store.installation.run(contacts.sign_out(store.installation.desk, store.id, store.contacts()[0][0]))
        time.sleep(3.2)  # until the server knows, and past the second that is ended as a whole
        first.write("two")
        first.sees(("user", "two"))
        second.write("three")
        second.sees(("user", "three"))
        for tab in (first, second):
            expect(tab.panel.locator("[data-state=sent]")).to_have_count(1)
        assert len(store.contacts()) == 2, "the one that was ended, and another"


class TestAnotherWidgetToken:
    def test_costs_no_guest_their_chat_and_logout_still_forgets_it(
        self, arrive: Arrive, store: Workspace, site: Site
    ) -> None:
        """The page names the workspace by its id, so it needs no change."""
        guest = arrive()
        page = site.page("by-id", attributes={"data-aid": store.id})
        guest.page.goto(page)
        guest.open()
        conversation = guest.say("one")
        store.installation.run(workspaces.rotate_widget_token(store.installation.desk, store.id))
        new = bot_token(store)
        query = {"widget_token": store.id}
        http = store.installation.http
        eventually(lambda: http.get("/v1/widget-config", params=query).json()["widget_token"] == new)
        guest.page.goto(page)
        guest.sees(("user", "one"))
        assert guest.say("two") == conversation
        assert len(store.contacts()) == 1
        guest.page.evaluate("Vestibule.logout()")
        assert [key.rpartition(":")[2] for key in guest.stored()] == ["signed_out"]

    def test_was_what_everything_lay_under_before(self, arrive: Arrive, store: Workspace) -> None:
        """What an earlier version has kept is moved, and nothing of it stays behind."""
        guest = arrive()
        guest.load()
        guest.open()
        conversation = guest.say("one")
        expect(guest.panel.locator("[data-state=sent]")).to_have_count(1)
        token = bot_token(store)
        before = guest.page.evaluate(
            "([id, token]) => { for (const storage of [localStorage, sessionStorage])"
            " for (const [key, value] of Object.entries(storage)) {"
            " storage.removeItem(key); storage.setItem(key.replace(id, token), value); }"
            " return Object.keys({...localStorage, ...sessionStorage}); }",
            [store.id, token],
        )
        assert {f"vestibule:{token}:{name}" for name in ("visitor", "scope", "seen", "open")} == set(before)
        guest.load()
        guest.sees(("user", "one"))
        assert guest.say("two") == conversation
        assert [key for key in guest.stored() if token in key] == []


class TestWhereNothingIsKept:
    """The chat works until the page is left."""

    @staticmethod
    def talk(guest: Guest) -> None:
        guest.open()
        conversation = guest.say("one")
        assert guest.say("two") == conversation
        guest.sees(("user", "one"), ("user", "two"))
        expect(guest.panel.locator("[data-state=sent]")).to_have_count(2)

    def test_because_the_storage_is_full(self, arrive: Arrive) -> None:
        guest = arrive()
        guest.load("Storage.prototype.setItem = () => { throw new DOMException('', 'QuotaExceededError'); };")
        self.talk(guest)

    def test_because_the_page_may_not(self, arrive: Arrive, site: Site) -> None:
        """Of a page without an origin the browser refuses storage, and locks as well."""
        guest = arrive()
        policy = site.policy
        site.policy = policy.replace("'self'", site.base_url) + "; sandbox allow-scripts"
        try:
            guest.load()
            expect(guest.launcher).to_be_visible()
        finally:
            site.policy = policy
        assert guest.page.evaluate("self.origin") == "null"
        self.talk(guest)

    def test_because_only_locks_are_refused(self, arrive: Arrive) -> None:
        guest = arrive()
        guest.load("navigator.locks.request = () => Promise.reject(new DOMException('', 'SecurityError'));")
        self.talk(guest)
