"""Our widget in a real Chromium where the page's `getToken` brings another person's token: somebody has signed in in
another tab of the customer's site, and nobody has told the widget. Nothing that one began goes on as the next one's."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import expect

from tests.fixtures.front_door import Workspace
from tests.fixtures.responding import eventually
from tests.fixtures.site import ADA, Arrive, Guest, conversations, provider
from tests.fixtures.widget import claims_of
from vestibule.administration import contacts

pytestmark = pytest.mark.slow

BOB = "bob@example.com"


def token_of(store: Workspace, email: str) -> str:
    return store.sign_in(email, name=email.partition("@")[0].title())[0]


def contact_of(token: str) -> str:
    return str(claims_of(token)["sub"])


def begin(guest: Guest, store: Workspace) -> list[str]:
    """Ada says something on a page that brings the last of these tokens."""
    tokens = [token_of(store, ADA)]
    guest.excused = (*guest.excused, "401")
    guest.page.expose_function("freshToken", lambda: tokens[-1])
    guest.load(provider("freshToken()"))
    guest.open()
    guest.say("one")
    expect(guest.panel.locator("[data-state=sent]")).to_have_count(1)
    return tokens


def end(store: Workspace, token: str) -> None:
    """As an operator does, or time."""
    store.installation.run(contacts.sign_out(store.installation.desk, store.id, contact_of(token)))
    eventually(lambda: store.me(token).status_code == 401)


def write_offline(guest: Guest, text: str) -> None:
    guest.context.set_offline(offline=True)
    guest.write(text)
    expect(guest.panel.locator("[data-state=waiting]")).to_have_count(1)


def written(store: Workspace) -> list[tuple[str, str]]:
    """Whose conversation each message of a visitor lies in, and what it says."""
    sql = (
        "SELECT c.contact_id, m.text FROM messages m JOIN conversations c ON c.workspace_id = m.workspace_id"
        " AND c.id = m.conversation_id WHERE m.workspace_id = $1 AND m.sender = 'user' ORDER BY m.sent_at, m.seq"
    )
    return [(contact, text) for contact, text in store.installation.rows(sql, store.id)]


def test_what_waits_is_not_sent_as_the_next_one_s_and_stays_the_one_s_before(arrive: Arrive, store: Workspace) -> None:
    guest = arrive()
    guest.page.route("**/events?*", lambda _route: None)  # so that it is the message that finds out
    tokens = begin(guest, store)
    write_offline(guest, "two")
    end(store, tokens[0])
    tokens.append(token_of(store, BOB))
    guest.context.set_offline(offline=False)
    expect(guest.mark).to_have_text("Signed in as Bob")
    guest.sees()
    guest.say("hello")
    guest.sees(("user", "hello"))
    ada, bob = (contact_of(token) for token in tokens)
    assert written(store) == [(ada, "one"), (bob, "hello")]
    told = [event["contact"]["id"] for event in guest.told("identified")]
    assert told == [ada, bob]

    guest.page.evaluate(f"Vestibule.identify({json.dumps({'token': token_of(store, ADA)})})")
    guest.sees(("user", "one"), ("user", "two"))
    expect(guest.panel.locator("[data-state=sent]")).to_have_count(2)
    assert written(store) == [(ada, "one"), (bob, "hello"), (ada, "two")]


def test_who_tries_again_where_a_sign_in_has_ended_sees_nothing_of_it(arrive: Arrive, store: Workspace) -> None:
    guest = arrive()
    tokens = begin(guest, store)
    end(store, tokens[0])
    guest.write("two")
    expect(guest.banner).to_contain_text("Your sign-in has ended.")
    guest.text.fill("half a secret")
    tokens.append(token_of(store, BOB))
    guest.banner.get_by_role("button", name="Try again").click()
    expect(guest.mark).to_have_text("Signed in as Bob")
    guest.sees()
    expect(guest.text).to_have_value("")
    assert "secret" not in json.dumps(guest.stored())
    assert [text for _, text in written(store)] == ["one"]


def test_a_token_that_is_renewed_before_it_ends_begins_anew_as_well(arrive: Arrive, store: Workspace) -> None:
    guest = arrive()
    guest.page.clock.install()
    tokens = begin(guest, store)
    tokens.append(token_of(store, BOB))
    guest.page.clock.fast_forward("23:59:30")
    expect(guest.mark).to_have_text("Signed in as Bob")
    guest.sees()


def test_who_was_merged_into_another_contact_goes_on(arrive: Arrive, store: Workspace) -> None:
    """The next token names the other contact, and what waits is still theirs: the service lists the conversation."""
    guest = arrive()
    guest.page.route("**/events?*", lambda _route: None)
    tokens = begin(guest, store)
    write_offline(guest, "two")
    _, other = store.sign_in("ada@work.example", name="Ada")
    desk = store.installation.desk
    store.installation.run(contacts.merge(desk, store.id, contact_of(tokens[0]), other))
    end(store, tokens[0])
    tokens.append(token_of(store, ADA))
    assert contact_of(tokens[-1]) == other
    guest.context.set_offline(offline=False)
    expect(guest.panel.locator("[data-state=sent]")).to_have_count(2)
    guest.sees(("user", "one"), ("user", "two"))
    assert [text for _, text in written(store)] == ["one", "two"]
    assert conversations(store) == 1


def test_strangers_none_of_whom_the_service_knows_are_not_asked_for_for_ever(arrive: Arrive, store: Workspace) -> None:
    guest = arrive()
    guest.excused = ("401",)
    tokens = [token_of(store, f"visitor-{number}@example.com") + "x" for number in range(9)]
    guest.load(provider(f"{json.dumps(tokens)}[asked - 1]"))
    guest.open()
    expect(guest.banner).to_contain_text("Your sign-in has ended.")
    assert guest.page.evaluate("asked") == 3
    assert len(guest.told("identityExpired")) == 1
