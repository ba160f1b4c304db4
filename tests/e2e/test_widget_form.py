"""Our widget in a real Chromium where a form asks who the visitor is: what it says is said of whom the page names then,
and of nobody who was there before."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import expect

from tests.fixtures.fake_provider import FakeProvider
from tests.fixtures.front_door import Workspace
from tests.fixtures.site import ADA, Arrive, said

pytestmark = pytest.mark.slow

BOB = "bob@example.com"


def test_who_fills_it_in_after_a_sign_out_is_not_the_one_who_signed_out(
    arrive: Arrive, store: Workspace, sign_in_service: FakeProvider
) -> None:
    """On a shared computer, without a reload: the page had given Ada's proof to `init`."""
    guest = arrive()
    guest.load(collectUserData=True, user={"idToken": sign_in_service.id_token()})
    guest.open()
    expect(guest.mark).to_have_text("Signed in as Ada")
    guest.say("Ada's secret")
    guest.page.evaluate("Vestibule.logout()")
    guest.panel.get_by_label("Name").fill("Bob")
    guest.panel.get_by_label("E-mail").fill(BOB)
    guest.page.keyboard.press("Enter")
    expect(guest.text).to_be_focused()
    guest.say("hello")
    guest.sees(("user", "hello"))
    expect(guest.mark).to_have_text("Not signed in")
    assert {(contact["verified"], contact["name"]) for contact in said(store)} == {(1, "Ada"), (0, "Bob")}


def test_after_a_sign_out_it_holds_nothing_of_the_one_before(arrive: Arrive) -> None:
    guest = arrive()
    guest.load(collectUserData=True, prefillUserData=True, user={"data": {"name": "Ada"}})
    guest.open()
    expect(guest.panel.get_by_label("Name")).to_have_value("Ada")
    guest.panel.get_by_label("E-mail").fill(ADA)
    guest.page.evaluate("Vestibule.logout()")
    expect(guest.panel.get_by_label("Name")).to_have_value("")
    expect(guest.panel.get_by_label("E-mail")).to_have_value("")


def test_it_adds_to_what_the_page_says(arrive: Arrive, store: Workspace) -> None:
    guest = arrive()
    guest.load(collectUserData=True, extraDataCollectionFields=["Order number"])
    guest.open()
    user = {"data": {"phone": "+4930901820", "customData": {"plan": "gold"}}, "externalId": "org-7"}
    guest.page.evaluate(f"Vestibule.identify({json.dumps(user)})")
    guest.panel.get_by_label("Name").fill("Ada")
    guest.panel.get_by_label("E-mail").fill(ADA)
    guest.panel.get_by_label("Order number").fill("42")
    guest.page.keyboard.press("Enter")
    guest.say("hello")
    [contact] = said(store)
    assert (contact["verified"], contact["name"], contact["email"]) == (0, "Ada", ADA)
    assert json.loads(contact["non_verified_custom_data"]) == {
        "Order number": "42",
        "phone": "+4930901820",
        "plan": "gold",
    }
    scopes = store.installation.rows("SELECT scope FROM conversations WHERE workspace_id = $1", store.id)
    assert scopes == [("org-7",)]


def test_without_fields_of_its_own_it_keeps_the_page_s_custom_data(arrive: Arrive, store: Workspace) -> None:
    guest = arrive()
    guest.load(collectUserData=True, user={"data": {"customData": {"plan": "gold"}}})
    guest.open()
    guest.panel.get_by_label("Name").fill("Ada")
    guest.panel.get_by_label("E-mail").fill(ADA)
    guest.page.keyboard.press("Enter")
    guest.say("hello")
    [contact] = said(store)
    assert json.loads(contact["non_verified_custom_data"]) == {"plan": "gold"}
