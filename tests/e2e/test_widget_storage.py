"""Our widget in a real Chromium where the browser keeps what it needs for several tabs, or keeps nothing."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import expect

from tests.fixtures.front_door import Workspace
from tests.fixtures.site import Arrive, Guest, Site, conversations
from vestibule.administration import contacts

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
