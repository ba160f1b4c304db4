"""Our widget in a real Chromium where the visitor becomes another one while something is still under way: nothing of it
is lost, and nothing of the one before is the next one's."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.sync_api import APIResponse, Route, expect

from tests.fixtures.front_door import Workspace
from tests.fixtures.responding import eventually
from tests.fixtures.site import ADA, Arrive, Guest, conversations

pytestmark = pytest.mark.slow

BOB = "bob@example.com"
ORDER: Any = {"name": "order.txt", "mimeType": "text/plain", "buffer": b"one spade\n"}
# A proof that the test lets go, or never.
SLOW = "{ getToken: () => new Promise((done) => (window.letGo = done)) }"


class Held:
    """The first call of such an address, held back until it is released: the call itself, or only its answer."""

    def __init__(self, guest: Guest, address: str, *, answered: bool = False) -> None:
        self._guest, self._answered = guest, answered
        self._held: list[tuple[Route, APIResponse | None]] = []
        guest.page.route(address, self._hold, times=1)

    def _hold(self, route: Route) -> None:
        self._held.append((route, route.fetch() if self._answered else None))

    def wait(self) -> None:
        """Until it was made."""

        def look() -> bool:
            self._guest.page.wait_for_timeout(20)
            return bool(self._held)

        eventually(look)

    def release(self) -> None:
        [(route, answer)] = self._held
        if answer is None:
            route.continue_()
        else:
            route.fulfill(response=answer, headers={**answer.headers, "access-control-allow-origin": "*"})


def token_of(store: Workspace, email: str) -> str:
    return store.sign_in(email, name=email.partition("@")[0].title())[0]


def name(guest: Guest, user: str) -> None:
    """Identifies the visitor, by an expression of the page's, and does not wait."""
    guest.page.evaluate(f"void Vestibule.identify({user})")


def identify(guest: Guest, user: str) -> str:
    """What becomes of it, in words."""
    return str(guest.page.evaluate(f"Vestibule.identify({user}).then(() => 'good', (error) => error.message)"))


def by(token: str) -> str:
    return json.dumps({"token": token})


def earlier_chat(arrive: Arrive, store: Workspace, text: str) -> None:
    """Something that Ada has said on another device."""
    phone = arrive()
    phone.load(user={"token": token_of(store, ADA)})
    phone.open()
    phone.say(text)
    phone.page.close()


class TestAMessageOnItsWay:
    @pytest.mark.parametrize(
        ("address", "answered"),
        [("**/v1/visitors", False), ("**/v1/conversations", False), ("**/messages", False), ("**/messages", True)],
        ids=["the token", "the conversation", "the message", "its answer"],
    )
    def test_is_stored_once_and_goes_along(
        self, arrive: Arrive, store: Workspace, address: str, *, answered: bool
    ) -> None:
        guest = arrive()
        guest.load()
        guest.open()
        guest.page.route("**/events?*", lambda _route: None)  # or the stream would tell what the answer does
        held = Held(guest, address, answered=answered)
        guest.write("hello")
        held.wait()
        name(guest, by(token_of(store, ADA)))
        guest.page.wait_for_timeout(500)
        held.release()
        expect(guest.mark).to_have_text("Signed in as Ada")
        guest.sees(("user", "hello"))
        expect(guest.panel.locator("[data-state=sent]")).to_have_count(1)
        sql = "SELECT text FROM messages WHERE workspace_id = $1 AND sender = 'user'"
        assert store.installation.rows(sql, store.id) == [("hello",)]
        assert conversations(store) == 1
        assert not [key for key in guest.stored() if "outbox" in key]


class TestAnAnswerToTheOneBefore:
    @pytest.mark.parametrize("by_name", [False, True], ids=["who signed out", "who gave way"])
    def test_is_not_shown_to_the_next(self, arrive: Arrive, store: Workspace, *, by_name: bool) -> None:
        earlier_chat(arrive, store, "Ada's order")
        guest = arrive()
        guest.excused = ("401",)
        guest.load(user={"token": token_of(store, ADA)})
        held = Held(guest, "**/v1/conversations", answered=True)
        guest.open()
        held.wait()
        guest.page.evaluate(f"Vestibule.identify({by(token_of(store, BOB))})" if by_name else "Vestibule.logout()")
        expect(guest.mark).to_have_text("Signed in as Bob" if by_name else "Not signed in")
        held.release()
        guest.page.wait_for_timeout(500)
        # What is shown is decided anew.
        guest.page.keyboard.press("Escape")
        guest.open()
        guest.sees()
        expect(guest.panel.get_by_role("button", name="Conversations")).to_have_count(0)

    def test_does_not_change_whose_chats_are_shown(self, arrive: Arrive, store: Workspace) -> None:
        """A guest's token comes while the page is still asked for the person's."""
        earlier_chat(arrive, store, "my order")
        guest = arrive()
        guest.load()
        guest.open()
        held = Held(guest, "**/v1/visitors")
        guest.write("hello")
        held.wait()
        name(guest, SLOW)
        # When the guest's message has had its three seconds.
        eventually(lambda: guest.page.evaluate("Boolean(window.letGo)"))
        held.release()
        guest.page.wait_for_timeout(500)
        guest.page.evaluate("(token) => letGo(token)", token_of(store, ADA))
        expect(guest.mark).to_have_text("Signed in as Ada")
        guest.sees(("user", "my order"))
        assert [request.url for request in guest.requests if "scope=" in request.url] == []

    def test_leaves_nothing_on_a_device_that_was_cleared(self, arrive: Arrive) -> None:
        guest = arrive()
        guest.load()
        guest.open()
        held = Held(guest, "**/v1/visitors")
        guest.write("secret")
        held.wait()
        guest.page.evaluate("Vestibule.logout()")
        held.release()
        guest.page.wait_for_timeout(500)
        assert [key.rpartition(":")[2] for key in guest.stored()] == ["signed_out"]
        guest.sees()


class TestAGuestWhoIsNamedTwice:
    def test_keeps_the_chat(self, arrive: Arrive, store: Workspace) -> None:
        """As by a framework that runs what a page does twice."""
        guest = arrive()
        guest.load()
        guest.open()
        conversation = guest.say("before")
        told = guest.page.evaluate(
            "(token) => { const user = { getToken: async () => token };"
            " return Promise.all([Vestibule.identify(user), Vestibule.identify(user)]); }",
            token_of(store, ADA),
        )
        assert [contact["name"] for contact in told] == ["Ada", "Ada"]
        guest.sees(("user", "before"))
        assert guest.say("after") == conversation

    def test_keeps_the_chat_where_the_first_proof_failed(self, arrive: Arrive, store: Workspace) -> None:
        guest = arrive()
        guest.excused = ("no session",)
        guest.load()
        guest.open()
        conversation = guest.say("before")
        assert "(refused)" in identify(guest, "{ getToken: async () => { throw new Error('no session'); } }")
        assert identify(guest, f"{{ getToken: async () => {json.dumps(token_of(store, ADA))} }}") == "good"
        guest.sees(("user", "before"))
        assert guest.say("after") == conversation

    def test_is_who_is_proven(self, arrive: Arrive, store: Workspace) -> None:
        guest = arrive()
        guest.load()
        guest.open()
        guest.say("before")
        name(guest, SLOW)
        eventually(lambda: guest.page.evaluate("Boolean(window.letGo)"))
        token, bob = store.sign_in(BOB, name="Bob")
        assert identify(guest, by(token)) == "good"
        guest.page.evaluate("(token) => letGo(token)", token_of(store, ADA))
        guest.page.wait_for_timeout(500)
        expect(guest.mark).to_have_text("Signed in as Bob")
        guest.sees(("user", "before"))
        sql = "SELECT contact_id, verified FROM conversations WHERE workspace_id = $1"
        assert store.installation.rows(sql, store.id) == [(bob, 1)]


class TestWhatIsHalfWritten:
    @staticmethod
    def begin(guest: Guest, text: str) -> None:
        guest.text.fill(text)
        guest.panel.locator("input[type=file]").set_input_files(ORDER)
        expect(guest.panel.locator(".chip.kept")).to_have_text("order.txt")

    def test_by_a_guest_who_signs_in_goes_out_as_the_person_s(self, arrive: Arrive, store: Workspace) -> None:
        guest = arrive()
        guest.load()
        guest.open()
        self.begin(guest, "this one")
        assert identify(guest, by(token_of(store, ADA))) == "good"
        expect(guest.panel.locator(".chip.kept")).to_have_text("order.txt")
        guest.panel.get_by_role("button", name="Send").click()
        guest.sees(("user", "this one"))
        expect(guest.panel.locator("[data-state=sent]")).to_have_count(1)
        expect(guest.panel.locator(".message.user a.file")).to_contain_text("order.txt")

    def test_by_a_person_is_not_the_next_one_s(self, arrive: Arrive, store: Workspace) -> None:
        guest = arrive()
        guest.load(user={"token": token_of(store, ADA)})
        guest.open()
        expect(guest.mark).to_have_text("Signed in as Ada")
        self.begin(guest, "half a secret")
        assert identify(guest, by(token_of(store, BOB))) == "good"
        expect(guest.text).to_have_value("")
        expect(guest.panel.locator(".chip")).to_have_count(0)
        assert "secret" not in json.dumps(guest.stored())

    def test_by_a_person_waits_until_it_is_known_who_is_there(self, arrive: Arrive, store: Workspace) -> None:
        guest = arrive()
        guest.load(user={"token": token_of(store, ADA)})
        guest.open()
        expect(guest.mark).to_have_text("Signed in as Ada")
        self.begin(guest, "half a secret")
        name(guest, SLOW)
        expect(guest.text).to_have_value("")
        expect(guest.panel.locator(".chip")).to_have_count(0)
        eventually(lambda: guest.page.evaluate("Boolean(window.letGo)"))
        guest.page.evaluate("(token) => letGo(token)", token_of(store, ADA))
        expect(guest.text).to_have_value("half a secret")
        expect(guest.panel.locator(".chip.kept")).to_have_text("order.txt")

    def test_is_not_the_list_of_the_one_before(self, arrive: Arrive, store: Workspace) -> None:
        guest = arrive()
        guest.load(user={"token": token_of(store, ADA)})
        guest.open()
        guest.say("Ada's secret")
        guest.panel.get_by_role("button", name="Conversations").click()
        expect(guest.panel.get_by_role("button", name="Ada's secret")).to_be_visible()
        assert identify(guest, by(token_of(store, BOB))) == "good"
        guest.sees()
        assert "secret" not in guest.panel.inner_text()


class TestWhereNobodyCouldBeAsked:
    def test_the_page_is_told(self, arrive: Arrive, store: Workspace) -> None:
        guest = arrive()
        guest.load()
        guest.open()
        guest.context.set_offline(offline=True)
        assert "not identified (down)" in identify(guest, "{ idToken: 'x' }")
        assert "not identified (down)" in identify(guest, by(token_of(store, ADA)))

    def test_a_newer_token_proves_nothing_yet(self, arrive: Arrive, store: Workspace) -> None:
        guest = arrive()
        guest.load(user={"token": token_of(store, ADA)})
        guest.open()
        expect(guest.mark).to_have_text("Signed in as Ada")
        guest.context.set_offline(offline=True)
        assert "not identified (down)" in identify(guest, by(token_of(store, ADA)))
        guest.context.set_offline(offline=False)
        expect(guest.mark).to_have_text("Signed in as Ada")
        assert len(guest.told("identified")) == 2


class TestWhatThePageSaysLast:
    def test_counts_where_what_it_said_before_had_to_wait(self, arrive: Arrive, store: Workspace) -> None:
        """A sign-out, while a guest's message was given its three seconds before somebody is identified."""
        guest = arrive()
        guest.excused = ("401",)
        guest.load()
        guest.open()
        guest.say("before")
        held = Held(guest, "**/messages")
        guest.write("on its way")
        held.wait()
        guest.page.evaluate(f"void (window.outcome = Vestibule.identify({by(token_of(store, ADA))}))")
        guest.page.evaluate("Vestibule.logout()")
        held.release()
        assert guest.page.evaluate("outcome") == {}, "nobody was identified"
        expect(guest.mark).to_have_text("Not signed in")
        guest.sees()
        assert [event["contact"]["verified"] for event in guest.told("identified")] == [False]


class TestAProofThatNeverComes:
    @pytest.mark.parametrize("by_name", [False, True], ids=["who comes after a sign-out", "who is named next"])
    def test_holds_up_nothing_of_the_next_one(self, arrive: Arrive, store: Workspace, *, by_name: bool) -> None:
        guest = arrive()
        guest.load("options.user = { getToken: () => new Promise(() => {}) };")
        guest.open()
        guest.write("Ada's")
        expect(guest.panel.locator("[data-state=waiting]")).to_have_count(1)
        if by_name:
            name(guest, SLOW)
            # When the message has had its three seconds.
            eventually(lambda: guest.page.evaluate("Boolean(window.letGo)"))
            guest.sees()
            guest.write("hello")  # while nobody knows yet who it is: it waits where the other did
            guest.page.evaluate("(token) => letGo(token)", token_of(store, BOB))
            expect(guest.mark).to_have_text("Signed in as Bob")
        else:
            guest.page.evaluate("Vestibule.logout()")
            guest.sees()
            guest.write("hello")
        expect(guest.panel.locator("[data-state=sent]")).to_have_count(1)
        guest.sees(("user", "hello"))
        sql = "SELECT text FROM messages WHERE workspace_id = $1 AND sender = 'user'"
        assert store.installation.rows(sql, store.id) == [("hello",)]
