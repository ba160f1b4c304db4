"""Our widget in a real Chromium, on a page of another origin under a strict policy: each way to say who one is."""

from __future__ import annotations

import json
import time

import pytest
from playwright.sync_api import expect

from tests.fixtures.fake_auth_endpoint import configure
from tests.fixtures.front_door import Workspace
from tests.fixtures.site import ADA, Arrive, Site, provider, said
from tests.fixtures.widget import bot_token, claims_of, reply

pytestmark = pytest.mark.slow


class TestWithoutProof:
    def test_a_page_that_is_only_read_costs_one_call_and_stores_nothing(self, arrive: Arrive, store: Workspace) -> None:
        guest = arrive()
        guest.load()
        expect(guest.launcher).to_be_visible()
        assert guest.stored() == {}
        guest.open()
        expect(guest.mark).to_have_text("Not signed in")
        assert guest.calls() == [("GET", "/v1/widget-config")]
        assert store.contacts() == []
        assert guest.told("ready") == [{"name": "test"}]
        person = arrive()
        person.load(user={"token": store.sign_in(ADA)[0]})
        expect(person.launcher).to_be_visible()
        assert person.stored() == {}

    def test_an_anonymous_visitor(self, arrive: Arrive, store: Workspace) -> None:
        guest = arrive()
        guest.load()
        guest.open()
        conversation = guest.say("hello")
        reply(store, conversation, "**Hello**, too")
        guest.sees(("user", "hello"), ("agent", "Hello, too"))
        [contact] = said(store)
        assert (contact["verified"], contact["name"], contact["email"]) == (0, None, None)
        assert contact["non_verified_custom_data"] is None
        assert [event["contact"]["verified"] for event in guest.told("identified")] == [False]

        guest.load()
        guest.sees(("user", "hello"), ("agent", "Hello, too"))
        assert guest.say("again") == conversation
        assert len(store.contacts()) == 1

        other = arrive()
        other.load()
        other.open()
        other.sees()

    def test_a_visitor_whom_the_page_names(self, arrive: Arrive, store: Workspace) -> None:
        data = {"name": "Ada", "email": ADA, "phone": "+4930901820", "customData": {"plan": "gold"}}
        guest = arrive()
        guest.load(user={"data": data})
        guest.open()
        conversation = guest.say("hello")
        [contact] = said(store)
        assert (contact["verified"], contact["name"], contact["email"]) == (0, "Ada", ADA)
        assert json.loads(contact["non_verified_custom_data"]) == {"plan": "gold", "phone": "+4930901820"}
        expect(guest.mark).to_have_text("Not signed in")

        guest.load(user={"data": data})
        guest.sees(("user", "hello"))
        assert guest.calls().count(("POST", "/v1/visitors")) == 1, "the same claims need no other token"
        # Who names the same person on another device is a stranger to this one.
        other = arrive()
        other.load(user={"data": data})
        other.open()
        other.sees()
        assert other.say("me too") != conversation

    def test_a_visitor_who_fills_in_the_form(self, arrive: Arrive, store: Workspace) -> None:
        guest = arrive()
        guest.load(collectUserData=True, extraDataCollectionFields=["Order number"], prefillUserData={"name": "A"})
        guest.open()
        expect(guest.panel.get_by_label("Name")).to_be_focused()
        guest.panel.get_by_role("button", name="Start chat").click()
        expect(guest.panel.get_by_label("Name")).to_have_attribute("aria-invalid", "true")
        guest.panel.get_by_label("Name").fill("Ada")
        guest.panel.get_by_label("E-mail").fill("ada@")
        guest.panel.get_by_label("Order number").fill("42")
        guest.page.keyboard.press("Enter")
        expect(guest.panel.get_by_label("E-mail")).to_be_focused()
        expect(guest.panel.get_by_text("Please enter an e-mail address.")).to_be_visible()
        assert guest.calls() == [("GET", "/v1/widget-config")]
        guest.panel.get_by_label("E-mail").fill(ADA)
        guest.page.keyboard.press("Enter")
        expect(guest.text).to_be_focused()
        guest.say("hello")
        [contact] = said(store)
        assert (contact["verified"], contact["name"], contact["email"]) == (0, "Ada", ADA)
        assert json.loads(contact["non_verified_custom_data"]) == {"Order number": "42"}

        guest.load(collectUserData=True, extraDataCollectionFields=["Order number"])
        guest.sees(("user", "hello"))


class TestAContactToken:
    def test_from_the_page(self, arrive: Arrive, store: Workspace) -> None:
        token, contact = store.sign_in(ADA, name="Ada Lovelace")
        guest = arrive()
        guest.load(user={"token": token})
        guest.open()
        expect(guest.mark).to_have_text("Signed in as Ada Lovelace")
        expect(guest.mark).to_contain_class("verified")
        conversation = guest.say("hello")
        assert guest.told("identified")[0]["contact"] == {
            "id": contact,
            "verified": True,
            "name": "Ada Lovelace",
            "email": ADA,
        }
        assert token not in json.dumps(guest.stored()), "a verified person's token is never written down"

        phone = arrive()
        phone.load(user={"token": store.sign_in(ADA)[0]})
        phone.open()
        phone.sees(("user", "hello"))
        assert phone.say("from my phone") == conversation
        guest.sees(("user", "hello"), ("user", "from my phone"))

    def test_from_opencx_s_own_call(self, arrive: Arrive, store: Workspace, site: Site) -> None:
        options = {"token": bot_token(store), "user": {"token": store.sign_in(ADA)[0], "externalId": "org-7"}}
        guest = arrive()
        guest.page.goto(site.page("opencx", script=f"initOpenScript({json.dumps(options)})"))
        guest.open()
        guest.say("hello")
        scopes = store.installation.rows("SELECT scope FROM conversations WHERE workspace_id = $1", store.id)
        assert scopes == [("org-7",)]

    def test_from_the_script_s_own_attribute(self, arrive: Arrive, store: Workspace, site: Site) -> None:
        attributes = {"data-token": bot_token(store), "data-contact-token": store.sign_in(ADA, name="Ada")[0]}
        guest = arrive()
        guest.page.goto(site.page("attributes", attributes=attributes))
        guest.open()
        expect(guest.mark).to_have_text("Signed in as Ada")

    @pytest.mark.parametrize("nothing", ["", "%USER_TOKEN%", "undefined", "null", "{{ token }}", "x" * 20_000])
    def test_a_template_that_was_never_filled_in_is_none(self, arrive: Arrive, nothing: str) -> None:
        guest = arrive()
        guest.load(user={"token": nothing})
        guest.open()
        expect(guest.mark).to_have_text("Not signed in")

    def test_a_refused_one_never_becomes_a_visitor_without_proof(self, arrive: Arrive, store: Workspace) -> None:
        guest = arrive()
        guest.excused = ("401",)
        guest.load(user={"token": store.sign_in(ADA)[0] + "x"})
        guest.open()
        expect(guest.banner).to_contain_text("Your sign-in has ended.")
        guest.write("hello")
        expect(guest.panel.locator(".meta")).to_contain_text("Waiting")
        assert len(guest.told("identityExpired")) == 1
        assert ("POST", "/v1/visitors") not in guest.calls()
        assert store.contacts() == [(store.contacts()[0][0], 1)], "only the one who signed in"


class TestATokenProvider:
    def test_is_asked_when_the_chat_is_opened(self, arrive: Arrive, store: Workspace) -> None:
        guest = arrive()
        token = store.sign_in(ADA, name="Ada")[0]
        guest.load(provider(json.dumps(token)))
        expect(guest.launcher).to_be_visible()
        assert guest.page.evaluate("asked") == 0
        guest.open()
        expect(guest.mark).to_have_text("Signed in as Ada")
        guest.say("hello")
        assert guest.page.evaluate("asked") == 1

    def test_that_has_no_network_is_waited_for(self, arrive: Arrive, store: Workspace, site: Site) -> None:
        guest = arrive()
        site.put("/session-token", json.dumps(store.sign_in(ADA, name="Ada")[0]), "application/json")
        guest.load(provider("(await fetch('/session-token')).json()"))
        expect(guest.launcher).to_be_visible()
        guest.context.set_offline(offline=True)
        guest.open()
        expect(guest.banner).to_contain_text("The chat cannot be reached at the moment.")
        guest.write("hello")
        guest.context.set_offline(offline=False)
        expect(guest.mark).to_have_text("Signed in as Ada")
        guest.sees(("user", "hello"))
        expect(guest.panel.locator("[data-state=sent]")).to_have_count(1)

    def test_that_fails_is_said_and_tried_again_when_asked(self, arrive: Arrive, store: Workspace) -> None:
        guest = arrive()
        guest.excused = ("no session",)
        token = store.sign_in(ADA, name="Ada")[0]
        guest.load(
            "window.works = false; options.user = { getToken: async () => {"
            f" if (!works) throw new Error('no session'); return {json.dumps(token)}; }} }};"
        )
        guest.open()
        expect(guest.banner).to_contain_text("We could not confirm who you are.")
        expect(guest.text).to_be_hidden()
        guest.page.evaluate("works = true")
        guest.banner.get_by_role("button", name="Try again").click()
        expect(guest.mark).to_have_text("Signed in as Ada")
        expect(guest.banner).to_be_hidden()


def test_a_page_may_call_before_the_widget_is_there(arrive: Arrive, store: Workspace, site: Site) -> None:
    guest = arrive()
    user = json.dumps({"token": store.sign_in(ADA, name="Ada")[0]})
    script = f"window.done = Vestibule.identify({user}); Vestibule.open();"
    guest.page.goto(site.page("early", attributes={"data-token": bot_token(store)}, script=script))
    expect(guest.mark).to_have_text("Signed in as Ada")
    assert guest.page.evaluate("done")["name"] == "Ada"


def test_a_page_that_forgot_to_begin_is_told(arrive: Arrive, site: Site) -> None:
    guest = arrive()
    guest.page.goto(site.page("forgotten"))
    told = guest.page.evaluate("Vestibule.open().catch((error) => error.message)")
    assert told == "Vestibule: call `init` first"


class TestWhereLoginIsRequired:
    def test_a_guest_is_asked_to_sign_in(self, arrive: Arrive, store: Workspace, site: Site) -> None:
        configure(store, required_login=True)
        guest = arrive()
        guest.load(signInUrl="/sign-in", collectUserData=True, initialQuestions=["Where is my order?"])
        expect(guest.launcher).to_be_visible()
        assert guest.told("signInRequired") == []
        guest.open()
        expect(guest.banner).to_have_text("Please sign in to chat.")
        expect(guest.banner.get_by_role("link")).to_have_attribute("href", f"{site.base_url}/sign-in")
        expect(guest.panel.get_by_role("textbox")).to_have_count(0)
        expect(guest.panel.get_by_role("button", name="Where is my order?")).to_have_count(0)
        assert len(guest.told("signInRequired")) == 1
        assert guest.calls() == [("GET", "/v1/widget-config")], "no token is asked for that would be refused"
        guest.page.evaluate(f"Vestibule.identify({json.dumps({'token': store.sign_in(ADA, name='Ada')[0]})})")
        expect(guest.mark).to_have_text("Signed in as Ada")
        expect(guest.banner).to_be_hidden()
        guest.say("hello")
        assert [contact["verified"] for contact in said(store)] == [1]

    def test_no_link_leads_to_a_script(self, arrive: Arrive, store: Workspace) -> None:
        configure(store, required_login=True)
        guest = arrive()
        guest.load(signInUrl="javascript:alert(1)")
        guest.open()
        expect(guest.banner).to_have_text("Please sign in to chat.")
        expect(guest.banner.get_by_role("link")).to_have_count(0)

    def test_one_who_was_there_before_goes_on_when_signed_in(self, arrive: Arrive, store: Workspace) -> None:
        guest = arrive()
        guest.excused = ("401",)
        guest.load()
        guest.open()
        conversation = guest.say("my order")
        configure(store, required_login=True)
        time.sleep(2.1)  # until the server looks at the settings anew
        guest.write("again")
        expect(guest.banner).to_have_text("Please sign in to chat.")
        expect(guest.text).to_be_hidden()
        assert guest.calls().count(("POST", "/v1/visitors")) == 1, "a new token would change nothing"

        guest.load()
        expect(guest.banner).to_have_text("Please sign in to chat.")
        guest.sees()
        expect(guest.text).to_be_hidden()
        guest.page.evaluate(f"Vestibule.identify({json.dumps({'token': store.sign_in(ADA, name='Ada')[0]})})")
        expect(guest.mark).to_have_text("Signed in as Ada")
        assert guest.say("as myself") == conversation
        expect(guest.panel.locator(".message.user .bubble").first).to_have_text("my order")


def test_an_unknown_widget_token_shows_nothing_and_says_why(arrive: Arrive, site: Site) -> None:
    guest = arrive()
    guest.excused = ("401", "Vestibule cannot be shown")
    with guest.page.expect_console_message(lambda message: "Vestibule cannot be shown" in message.text):
        guest.page.goto(site.page("unknown", attributes={"data-token": "vst_widget_nobody"}))
    expect(guest.launcher).to_have_count(0)


def test_options_travel_with_messages(arrive: Arrive, store: Workspace) -> None:
    guest = arrive()
    sent = {
        "headers": {"X-Shop": "1"},
        "queryParams": {"shop": "garden"},
        "bodyProperties": {"cart": 2},
        "context": {"page": "/cart"},
        "messageCustomData": {"button": "help"},
        "language": "de",
    }
    guest.load(user={"token": store.sign_in(ADA)[0]}, sessionCustomData={"campaign": "spring"}, **sent)
    guest.open()
    guest.say("hello")
    [posted] = [request for request in guest.requests if request.method == "POST" and request.url.endswith("/messages")]
    body = json.loads(posted.post_data or "")
    assert {name: body[name] for name in body if name not in {"id", "text", "attachments"}} == {
        "headers": {"X-Shop": "1"},
        "query_params": {"shop": "garden"},
        "body_properties": {"cart": 2},
        "context": {"page": "/cart"},
        "custom_data": {"button": "help"},
        "language": "de",
    }
    [(custom,)] = store.installation.rows("SELECT custom_data FROM conversations WHERE workspace_id = $1", store.id)
    assert json.loads(custom) == {"campaign": "spring"}
    assert claims_of(str(posted.headers["authorization"]).removeprefix("Bearer "))["contact"]["verified"] is True
