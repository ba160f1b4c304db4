"""Our widget in a real Chromium with what others vouch for: an identity provider's token, a customer's user token."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import expect

from tests.fixtures.fake_auth_endpoint import FakeAuthEndpoint, configure
from tests.fixtures.fake_provider import FakeProvider, make_key
from tests.fixtures.front_door import Workspace
from tests.fixtures.site import ADA, Arrive, Site, said
from tests.fixtures.widget import reply
from vestibule.administration import contacts

pytestmark = pytest.mark.slow


class TestAnIdentityProvidersToken:
    @pytest.mark.parametrize("kind", ["idToken", "accessToken"])
    def test_is_exchanged_with_pkce(
        self, arrive: Arrive, store: Workspace, sign_in_service: FakeProvider, kind: str
    ) -> None:
        token = sign_in_service.id_token() if kind == "idToken" else sign_in_service.access_token()
        guest = arrive()
        guest.load(user={kind: token})
        guest.open()
        expect(guest.mark).to_have_text("Signed in as Ada")
        guest.say("hello")
        [asked] = [request for request in guest.requests if "/api/authenticate/" in request.url]
        assert json.loads(asked.post_data or "").keys() == {"codeChallenge", kind}
        assert token not in json.dumps(guest.stored())
        assert [contact["verified"] for contact in said(store)] == [1]

    def test_that_is_opaque_names_its_provider(
        self, arrive: Arrive, store: Workspace, sign_in_service: FakeProvider
    ) -> None:
        [(number,)] = store.installation.rows("SELECT id FROM identity_providers WHERE workspace_id = $1", store.id)
        guest = arrive()
        guest.load(user={"accessToken": sign_in_service.opaque_token("opaque-1"), "providerId": number})
        guest.open()
        expect(guest.mark).to_have_text("Signed in as Ada")

    @pytest.mark.parametrize("wrong", ["a foreign one", "expired", "forged"])
    def test_that_is_refused_is_said_and_leads_to_nothing_else(
        self, arrive: Arrive, store: Workspace, sign_in_service: FakeProvider, wrong: str
    ) -> None:
        tokens = {
            "expired": sign_in_service.id_token(exp=1),
            "forged": sign_in_service.id_token(key=make_key("a stranger's")),
        }
        guest = arrive()
        guest.excused = ("401",)
        guest.load(user={"idToken": tokens.get(wrong, wrong)})
        guest.open()
        expect(guest.banner).to_contain_text("We could not confirm who you are.")
        expect(guest.text).to_be_hidden()
        assert ("POST", "/v1/visitors") not in guest.calls()
        assert store.contacts() == []

    def test_is_had_anew_from_a_function_where_the_session_was_ended(
        self, arrive: Arrive, store: Workspace, sign_in_service: FakeProvider
    ) -> None:
        guest = arrive()
        guest.excused = ("401",)
        guest.load(f"options.user = {{ idToken: async () => {json.dumps(sign_in_service.id_token())} }};")
        guest.open()
        conversation = guest.say("hello")
        [(contact, _)] = store.contacts()
        with guest.page.expect_response("**/v1/token") as renewed:
            store.installation.run(contacts.sign_out(store.installation.desk, store.id, contact))
        assert renewed.value.status == 200
        assert guest.say("again") == conversation


class TestAUserToken:
    def test_in_cx_genie_s_attributes(
        self, arrive: Arrive, store: Workspace, site: Site, customer: FakeAuthEndpoint
    ) -> None:
        configure(store, customer, fields=["user_id", "email", "name", "phone_number"])
        guest = arrive()
        attributes = {
            "data-aid": store.id,
            "data-token": "session-1",
            "data-lang": "vi",
            "data-user-id": "u-7",
            "data-email": ADA,
            "data-name": "Ada",
            "data-phone": "0900000000",
        }
        guest.page.goto(site.page("genie", attributes=attributes))
        expect(guest.launcher).to_have_accessible_name("Mở trò chuyện")
        guest.open()
        expect(guest.mark).to_have_text("Đã đăng nhập: Ada")
        [asked] = customer.received
        assert asked.headers["authorization"] == "abc Bearer"
        assert asked.json == {
            "access_token": "session-1",
            "user_id": "u-7",
            "email": ADA,
            "name": "Ada",
            "phone_number": "0900000000",
        }
        assert "session-1" not in json.dumps(guest.stored())

    def test_that_is_rejected_never_becomes_a_guest(
        self, arrive: Arrive, store: Workspace, customer: FakeAuthEndpoint
    ) -> None:
        guest = arrive()
        guest.excused = ("401",)
        guest.load(user={"userToken": "somebody's", "data": {"email": ADA, "name": "Ada"}})
        guest.open()
        expect(guest.banner).to_contain_text("We could not confirm who you are.")
        assert [asked.json["access_token"] for asked in customer.received] == ["somebody's"]
        assert ("POST", "/v1/visitors") not in guest.calls()
        assert store.contacts() == []

    def test_whose_owner_could_not_be_told_waits(
        self, arrive: Arrive, store: Workspace, customer: FakeAuthEndpoint
    ) -> None:
        """The customer's server is broken for a while. What was written goes out when it answers again."""
        customer.always(b"oops", 500)
        guest = arrive()
        guest.excused = ("502", "503")
        guest.load(user={"userToken": "session-1"})
        guest.open()
        expect(guest.banner).to_contain_text("The chat cannot be reached at the moment.")
        guest.write("hello")
        assert store.contacts() == []
        customer.reply = None
        expect(guest.mark).to_have_text("Signed in as Ada", timeout=20_000)
        guest.sees(("user", "hello"))
        expect(guest.panel.locator("[data-state=sent]")).to_have_count(1)

    def test_whose_owner_could_not_be_told_is_a_guest_s_where_the_workspace_wants_that(
        self, arrive: Arrive, store: Workspace, customer: FakeAuthEndpoint
    ) -> None:
        """And says so. When the customer's server answers again, the chat is the person's."""
        configure(store, customer, fallback="guest")
        customer.always(b"oops", 500)
        guest = arrive()
        guest.load(user={"userToken": "session-1"})
        guest.open()
        expect(guest.mark).to_have_text("Not signed in")
        conversation = guest.say("hello")
        reply(store, conversation, "I am here.")
        guest.sees(("user", "hello"), ("agent", "I am here."))
        assert [contact["verified"] for contact in said(store)] == [0]
        customer.reply = None
        guest.page.evaluate("Vestibule.identify({ userToken: 'session-1' })")
        expect(guest.mark).to_have_text("Signed in as Ada")
        guest.sees(("user", "hello"), ("agent", "I am here."))
        assert guest.say("again") == conversation

    def test_that_was_never_filled_in_leaves_what_the_page_says(
        self, arrive: Arrive, store: Workspace, site: Site
    ) -> None:
        guest = arrive()
        attributes = {"data-aid": store.id, "data-token": "%USER_TOKEN%", "data-name": "Ada", "data-email": ADA}
        guest.page.goto(site.page("unfilled", attributes=attributes))
        guest.open()
        guest.say("hello")
        assert [contact["verified"] for contact in said(store)] == [0]
