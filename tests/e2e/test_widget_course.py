"""Our widget in a real Chromium: a conversation that goes on over reloads, lost networks, new tokens and new people."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from playwright.sync_api import Route, expect

from tests.fixtures.fake_bot import Asked, FakeBot, echo
from tests.fixtures.front_door import Workspace
from tests.fixtures.loopback import Answer
from tests.fixtures.responding import answered_by_bot, eventually
from tests.fixtures.site import ADA, Arrive, conversations, provider
from tests.fixtures.widget import reply
from vestibule.administration import contacts

pytestmark = pytest.mark.slow

# A picture that browsers can decode, of one pixel.
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d4944415478"
    "9c6360606060000000050001a5f645400000000049454e44ae426082"
)


class TestTheToken:
    def test_is_renewed_once_when_it_is_refused(self, arrive: Arrive, store: Workspace) -> None:
        """An ended token, as after an operator's sign-out: one new one, and what was being sent is sent."""
        guest = arrive()
        guest.excused = ("401",)
        tokens = [store.sign_in(ADA, name="Ada")[0]]
        guest.page.expose_function("freshToken", lambda: tokens[-1])
        guest.load(provider("freshToken()"))
        guest.open()
        conversation = guest.say("one")
        desk, contact = store.installation.desk, store.contacts()[0][0]
        store.installation.run(contacts.sign_out(desk, store.id, contact))
        eventually(lambda: store.me(tokens[0]).status_code == 401)
        time.sleep(1.1)  # what is issued in the second of the sign-out is ended as well
        tokens.append(store.sign_in(ADA)[0])
        guest.say("two")
        reply(store, conversation, "I am here.")
        guest.sees(("user", "one"), ("user", "two"), ("agent", "I am here."))
        assert guest.page.evaluate("asked") == 2
        assert guest.told("identityExpired") == []

    def test_that_is_refused_again_is_not_asked_for_for_ever(self, arrive: Arrive, store: Workspace) -> None:
        guest = arrive()
        guest.excused = ("401",)
        token = store.sign_in(ADA)[0]
        guest.load(provider(json.dumps(token)))
        guest.open()
        conversation = guest.say("one")
        store.installation.run(contacts.sign_out(store.installation.desk, store.id, store.contacts()[0][0]))
        eventually(lambda: store.me(token).status_code == 401)
        guest.write("two")
        expect(guest.banner).to_contain_text("Your sign-in has ended.")
        assert guest.page.evaluate("asked") == 2
        assert len(guest.told("identityExpired")) == 1
        expect(guest.panel.locator("[data-state=waiting]")).to_have_count(1)
        # The person signs in with the customer again, and what they wrote meanwhile goes out.
        time.sleep(1.1)
        renewed = json.dumps({"token": store.sign_in(ADA)[0]})
        guest.page.evaluate(f"Vestibule.identify({renewed})")
        guest.sees(("user", "one"), ("user", "two"))
        reply(store, conversation, "I am here.")
        guest.sees(("user", "one"), ("user", "two"), ("agent", "I am here."))

    def test_is_renewed_before_it_ends(self, arrive: Arrive, store: Workspace) -> None:
        guest = arrive()
        guest.page.clock.install()
        token = store.sign_in(ADA, name="Ada")[0]
        guest.load(provider(json.dumps(token)))
        guest.open()
        expect(guest.mark).to_have_text("Signed in as Ada")
        guest.page.clock.fast_forward("23:58:00")
        assert guest.page.evaluate("asked") == 1
        guest.page.clock.fast_forward("00:01:30")
        eventually(lambda: guest.page.evaluate("asked") == 2)

    def test_of_a_device_that_was_ended_is_replaced(self, arrive: Arrive, store: Workspace) -> None:
        """The stock widget is stuck then for ever (contracts/opencx.md 0.6). What was ended is not shown again."""
        guest = arrive()
        guest.excused = ("401", "404")
        guest.load()
        guest.open()
        guest.say("one")
        store.installation.run(contacts.sign_out(store.installation.desk, store.id, store.contacts()[0][0]))
        time.sleep(3.2)
        guest.load()
        guest.sees()
        guest.say("two")
        guest.sees(("user", "two"))
        assert conversations(store) == 2


class TestThePerson:
    def test_signs_in_during_the_chat(self, arrive: Arrive, store: Workspace) -> None:
        token, contact = store.sign_in(ADA, name="Ada")
        guest = arrive()
        guest.load()
        guest.open()
        conversation = guest.say("before")
        told = guest.page.evaluate(f"Vestibule.identify({json.dumps({'token': token})})")
        assert told == {"id": contact, "verified": True, "name": "Ada", "email": ADA}
        expect(guest.mark).to_have_text("Signed in as Ada")
        guest.sees(("user", "before"))
        assert guest.say("after") == conversation
        reply(store, conversation, "welcome")
        seen = (("user", "before"), ("user", "after"), ("agent", "welcome"))
        guest.sees(*seen)
        rows = store.installation.rows(
            "SELECT text, trust FROM messages WHERE workspace_id = $1 AND sender = 'user' ORDER BY seq", store.id
        )
        assert rows == [("before", "unverified"), ("after", "verified")]

        phone = arrive()
        phone.load(user={"token": store.sign_in(ADA)[0]})
        phone.open()
        phone.sees(*seen)

        guest.page.evaluate("Vestibule.logout()")
        guest.sees()
        assert guest.say("somebody else") != conversation

    @pytest.mark.parametrize("lost", ["request", "answer", "history"])
    def test_signs_in_while_the_network_breaks(self, arrive: Arrive, store: Workspace, lost: str) -> None:
        guest = arrive()
        guest.excused = ("ERR_FAILED",)
        guest.load()
        guest.open()
        conversation = guest.say("before")

        def fail_once(route: Route) -> None:
            if lost == "answer":
                route.fetch()
            route.abort()

        guest.page.route("**/messages" if lost == "history" else "**/identity", fail_once, times=1)
        user = json.dumps({"token": store.sign_in(ADA, name="Ada")[0]})
        guest.page.evaluate(f"Vestibule.identify({user}).catch(() => {{}})")
        expect(guest.mark).to_have_text("Signed in as Ada")
        guest.sees(("user", "before"))
        assert guest.say("after") == conversation
        assert conversations(store) == 1

    def test_begins_anew_where_the_conversation_has_ended(self, arrive: Arrive, store: Workspace) -> None:
        guest = arrive()
        guest.excused = ("409", "ERR_FAILED", "ERR_NETWORK")
        guest.load()
        guest.page.route("**/events?*", lambda route: route.abort())  # so that the widget does not know of it
        guest.open()
        conversation = guest.say("before")
        [kept] = [json.loads(value) for name, value in guest.stored().items() if name.endswith(":visitor")]
        store.installation.http.post(
            f"/v1/conversations/{conversation}/resolve", headers={"authorization": f"Bearer {kept['token']}"}
        ).raise_for_status()
        user = json.dumps({"token": store.sign_in(ADA, name="Ada")[0]})
        guest.page.evaluate(f"Vestibule.identify({user})")
        expect(guest.mark).to_have_text("Signed in as Ada")
        guest.sees()
        assert guest.say("after") != conversation

    def test_is_another_than_the_page_says_and_takes_nothing_along(self, arrive: Arrive, store: Workspace) -> None:
        """Only a proof takes a chat along, and only the one that is open."""
        guest = arrive()
        guest.load()
        guest.open()
        guest.say("before")
        claims = json.dumps({"data": {"name": "Bob", "email": "bob@example.com"}})
        guest.page.evaluate(f"Vestibule.identify({claims})")
        guest.sees()
        guest.page.evaluate(f"Vestibule.identify({json.dumps({'token': store.sign_in(ADA, name='Ada')[0]})})")
        expect(guest.mark).to_have_text("Signed in as Ada")
        guest.sees()
        assert store.installation.rows("SELECT verified FROM conversations WHERE workspace_id = $1", store.id) == [(0,)]

    def test_may_be_named_again_and_again(self, arrive: Arrive, store: Workspace) -> None:
        """Some pages do so on every turn: nothing flickers, nothing is loaded anew."""
        guest = arrive()
        guest.load(user={"token": store.sign_in(ADA, name="Ada")[0]})
        guest.open()
        guest.say("one")
        guest.page.evaluate("document.querySelector('vestibule-chat').shadowRoot.querySelector('.user').mark = 1")
        again = json.dumps({"token": store.sign_in(ADA, name="Ada L.")[0]})
        guest.page.evaluate(f"Vestibule.identify({again})")
        expect(guest.mark).to_have_text("Signed in as Ada L.")
        guest.sees(("user", "one"))
        assert guest.panel.locator(".user").evaluate("(each) => each.mark") == 1
        guest.say("two")
        assert conversations(store) == 1

    def test_sees_what_waits_while_named_again(self, arrive: Arrive, store: Workspace) -> None:
        guest = arrive()
        guest.excused = ("ERR_FAILED",)
        guest.load(user={"token": store.sign_in(ADA, name="Ada")[0]})
        guest.open()
        guest.say("one")
        guest.page.route("**/messages", lambda route: route.abort())
        guest.write("two")
        waiting = guest.panel.locator("[data-state=waiting]")
        expect(waiting).to_have_count(1)
        guest.page.route("**/v1/me", lambda _route: None)  # the service is long about saying who it is
        again = json.dumps({"token": store.sign_in(ADA)[0]})
        with guest.page.expect_request("**/v1/me"):
            guest.page.evaluate(f"void Vestibule.identify({again})")
        guest.page.wait_for_timeout(200)
        assert waiting.count() == 1

    def test_gives_way_to_another_who_sees_nothing_of_it(self, arrive: Arrive, store: Workspace) -> None:
        guest = arrive()
        guest.load(user={"token": store.sign_in(ADA, name="Ada")[0]})
        guest.open()
        guest.say("Ada's secret")
        bob = json.dumps({"token": store.sign_in("bob@example.com", name="Bob")[0]})
        guest.page.evaluate(f"Vestibule.identify({bob})")
        expect(guest.mark).to_have_text("Signed in as Bob")
        guest.sees()
        assert "secret" not in guest.panel.inner_text()

    def test_is_told_apart_when_identifying_fails(self, arrive: Arrive, store: Workspace) -> None:
        guest = arrive()
        guest.excused = ("401",)
        guest.load()
        guest.open()
        forged = json.dumps({"token": store.sign_in(ADA)[0] + "x"})
        outcome = guest.page.evaluate(f"Vestibule.identify({forged}).then(() => 'good', (error) => error.message)")
        assert "not identified" in outcome

    @pytest.mark.parametrize("verified", [False, True], ids=["unverified", "verified"])
    def test_signs_out_here_and_at_the_service(self, arrive: Arrive, store: Workspace, *, verified: bool) -> None:
        guest = arrive()
        guest.load(**({"user": {"token": store.sign_in(ADA, name="Ada")[0]}} if verified else {}))
        guest.open()
        guest.say("secret")
        guest.text.fill("half a secr")
        [sent] = [
            request for request in guest.requests if request.url.endswith("/messages") and request.method == "POST"
        ]
        token = sent.headers["authorization"].removeprefix("Bearer ")
        assert store.me(token).status_code == 200
        guest.page.evaluate("Vestibule.logout()")
        assert store.me(token).status_code == 401
        guest.sees()
        expect(guest.text).to_have_value("")
        expect(guest.mark).to_have_text("Not signed in")
        stored = json.dumps(guest.stored())
        assert "secr" not in stored
        assert token not in stored
        guest.load()
        guest.sees() if guest.panel.is_visible() else guest.open()
        guest.say("another visitor")
        guest.sees(("user", "another visitor"))

    def test_who_signs_out_in_one_tab_is_signed_out_in_the_others(self, arrive: Arrive) -> None:
        first = arrive()
        first.load()
        first.open()
        first.say("secret")
        second = arrive(on=first)
        second.load()
        second.open()
        second.sees(("user", "secret"))
        first.page.evaluate("Vestibule.logout()")
        second.sees()


class TestTheConversation:
    def test_the_bot_s_answer_is_awaited(self, arrive: Arrive, store: Workspace) -> None:
        def late(asked: Asked) -> Answer:
            time.sleep(1.5)
            return echo(asked)

        with FakeBot() as bot:
            answered_by_bot(store, bot)
            bot.reply = late
            guest = arrive()
            guest.load()
            guest.open()
            guest.say("hello")
            expect(guest.panel.get_by_role("img", name="Answer is being written")).to_be_visible()
            expect(guest.panel.locator(".message.ai")).to_have_count(2)
            expect(guest.panel.get_by_role("img", name="Answer is being written")).to_have_count(0)

    def test_what_comes_while_it_is_closed_is_counted(self, arrive: Arrive, store: Workspace) -> None:
        guest = arrive()
        guest.load()
        guest.open()
        conversation = guest.say("hello")
        guest.page.keyboard.press("Escape")
        reply(store, conversation, "one")
        reply(store, conversation, "two")
        expect(guest.launcher).to_have_accessible_name("Open chat (2 unread)")
        # Also after coming back, without opening it.
        guest.load()
        expect(guest.launcher).to_have_accessible_name("Open chat (2 unread)")
        guest.open()
        guest.page.keyboard.press("Escape")
        expect(guest.launcher).to_have_accessible_name("Open chat")
        assert [event["message"]["text"] for event in guest.told("message")] == []

    def test_tells_the_page_of_messages(self, arrive: Arrive, store: Workspace) -> None:
        guest = arrive()
        guest.load()
        guest.open()
        reply(store, guest.say("hello"), "I am here.")
        guest.sees(("user", "hello"), ("agent", "I am here."))
        told = [(event["message"]["sender"]["kind"], event["message"]["text"]) for event in guest.told("message")]
        assert told == [("user", "hello"), ("agent", "I am here.")]

    def test_ends_and_another_begins(self, arrive: Arrive, store: Workspace) -> None:
        guest = arrive()
        guest.load(user={"token": (token := store.sign_in(ADA)[0])})
        guest.open()
        first = guest.say("one")
        headers = {"authorization": f"Bearer {token}"}
        assert store.installation.http.post(f"/v1/conversations/{first}/resolve", headers=headers).status_code == 200
        expect(guest.panel.get_by_text("This conversation has ended.")).to_be_visible()
        expect(guest.text).to_be_hidden()
        guest.panel.get_by_role("button", name="New conversation").click()
        guest.sees()
        second = guest.say("two")
        assert second != first
        guest.panel.get_by_role("button", name="Conversations").click()
        guest.panel.get_by_role("button", name="one").click()
        guest.sees(("user", "one"))

    def test_that_ended_unseen_begins_anew_with_the_next_message(self, arrive: Arrive, store: Workspace) -> None:
        guest = arrive()
        guest.excused = ("409",)
        guest.load(user={"token": (token := store.sign_in(ADA)[0])})
        guest.open()
        first = guest.say("one")
        guest.page.route("**/events?*", lambda route: route.abort())
        guest.excused = ("409", "ERR_FAILED", "ERR_NETWORK")
        guest.load(user={"token": token})
        guest.sees(("user", "one"))
        store.installation.http.post(
            f"/v1/conversations/{first}/resolve", headers={"authorization": f"Bearer {token}"}
        ).raise_for_status()
        guest.write("two")
        guest.sees(("user", "two"))
        expect(guest.panel.locator("[data-state=sent]")).to_have_count(1)
        assert conversations(store) == 2

    def test_files_are_sent(self, arrive: Arrive) -> None:
        guest = arrive()
        guest.excused = ("400", "415", "422")
        guest.load()
        guest.open()
        files: list[Any] = [
            {"name": "shoe.png", "mimeType": "image/png", "buffer": PIXEL},
            {"name": "evil.exe", "mimeType": "application/x-msdownload", "buffer": b"MZ\x90\x00" * 20},
        ]
        guest.panel.locator("input[type=file]").set_input_files(files)
        expect(guest.panel.locator(".chip.kept")).to_have_text("shoe.png")
        expect(guest.panel.locator(".chip.bad")).to_contain_text("evil.exe cannot be sent.")
        expect(guest.panel.get_by_role("button", name="Send")).to_have_attribute("aria-disabled", "true")
        guest.panel.get_by_role("button", name="Remove evil.exe").click()
        guest.panel.get_by_role("button", name="Send").click()
        expect(guest.panel.locator(".message.user a.file")).to_contain_text("shoe.png")
        shown = guest.panel.locator(".message.user img")
        expect(shown).to_have_attribute("alt", "shoe.png")
        assert shown.evaluate("(image) => image.decode().then(() => image.naturalWidth)") == 1

    def test_cells_of_a_spreadsheet_are_pasted_as_text(self, arrive: Arrive) -> None:
        """They bring a picture of themselves along. A picture alone is a file."""
        guest = arrive()
        guest.load()
        guest.open()
        paste = """(field, [octets, texts]) => {
          const clipboardData = new DataTransfer();
          for (const [type, text] of Object.entries(texts)) clipboardData.items.add(text, type);
          clipboardData.items.add(new File([new Uint8Array(octets)], "image.png", { type: "image/png" }));
          const event = new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true });
          return field.dispatchEvent(event);
        }"""
        cells = {"text/plain": "1\t2", "text/html": "<table><tr><td>1<td>2</table>"}
        assert guest.text.evaluate(paste, [list(PIXEL), cells]) is True, "left to the browser"
        assert guest.text.evaluate(paste, [list(PIXEL), {}]) is False
        expect(guest.panel.locator(".chip.kept")).to_have_text("image.png")
        copied = {"text/html": "<img src=x>"}
        assert guest.text.evaluate(paste, [list(PIXEL), copied]) is False, "a picture of a page"
        expect(guest.panel.locator(".chip.kept")).to_have_count(2)
