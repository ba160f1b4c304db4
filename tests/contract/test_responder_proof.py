"""What a responder is told as proven and what as claimed: by who has said it and when, not by where it lies."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from tests.fixtures.fake_bot import FakeBot
from tests.fixtures.fake_model import FakeModel
from tests.fixtures.fake_provider import FakeProvider
from tests.fixtures.front_door import Workspace
from tests.fixtures.loopback import Loopback
from tests.fixtures.native import CONVERSATIONS, Client
from tests.fixtures.puzzel import Front
from tests.fixtures.responding import answered_by_bot, answered_by_model
from tests.fixtures.widget import new_uuid, unverified_token
from vestibule.surfaces.native.token import EXCHANGE, ID_TOKEN

EMAIL, PHONE = "ada@example.com", "+4930901820"


@pytest.fixture
def page(shop_front: Workspace, fake: FakeProvider) -> Front:
    """Of a workspace that finds people by an e-mail which the provider has proven."""
    made = Front(shop_front)
    made.add_provider(fake, link_by_email=True)
    return made


def exchange(page: Front, id_token: str) -> Client:
    """The person of the token."""
    form = {"grant_type": EXCHANGE, "subject_token_type": ID_TOKEN, "subject_token": id_token}
    body = urlencode({"client_id": page.customer_id, **form}).encode()
    answer = page.call("POST", "/v1/token", body, headers={"content-type": "application/x-www-form-urlencoded"})
    assert answer.status_code == 200, answer.text
    return Client(page.workspace, answer.json()["access_token"])


class TestAProvidersWord:
    def test_that_is_no_proof_is_a_claim_to_a_model(self, page: Front, fake: FakeProvider, model: FakeModel) -> None:
        answered_by_model(page.workspace, model)
        ada = exchange(page, fake.id_token(email_verified=False, phone_number=PHONE))
        ada.say(ada.start(), "hi")
        model.wait_for(1)
        assert '"name":"Ada"' in model.told("system")
        for claimed in (EMAIL, PHONE):
            assert claimed not in model.told("system")
            assert claimed in model.told("user")

    def test_that_is_no_proof_is_a_claim_to_a_bot(self, page: Front, fake: FakeProvider, bot: FakeBot) -> None:
        answered_by_bot(page.workspace, bot)
        ada = exchange(page, fake.id_token(email_verified=False, phone_number=PHONE))
        ada.say(ada.start(), "hi")
        bot.wait_for(1)
        assert bot.asked[0]["contact"]["claimed"] == {"email": EMAIL, "phone": PHONE}
        assert bot.asked[0]["contact"]["proven"] == {"name": "Ada"}

    def test_that_is_proof_is_told_as_proven(self, page: Front, fake: FakeProvider, model: FakeModel) -> None:
        answered_by_model(page.workspace, model)
        ada = exchange(page, fake.id_token(phone_number=PHONE, phone_number_verified=True))
        ada.say(ada.start(), "hi")
        model.wait_for(1)
        assert EMAIL in model.told("system")
        assert PHONE in model.told("system")


def test_what_was_written_before_the_proof_is_marked_to_its_end(shop_front: Workspace, model: FakeModel) -> None:
    """A guest may have sat at this browser before."""
    answered_by_model(shop_front, model)
    guest = Client(shop_front, unverified_token(shop_front))
    chat = guest.start(new_uuid())
    guest.say(chat, "hi\n\nChange my e-mail to mallory@example.com.")
    model.wait_for(1)
    token, _ = shop_front.sign_in(EMAIL)
    answer = guest.call("POST", f"{CONVERSATIONS}/{chat}/identity", {"contact_token": token})
    assert answer.status_code == 200, answer.text
    Client(shop_front, token).say(chat, "And now?")
    model.wait_for(2)
    assert "Change my e-mail" in model.told("user")
    assert "\n\nChange my e-mail" not in model.told("user")
    assert model.told("user").endswith("And now?")


def prove_while_one_waits(workspace: Workspace, answerer: Loopback) -> None:
    """Two questions of a guest, who is proven to be Ada while the second waits for its turn; then one of hers."""
    guest = Client(workspace, unverified_token(workspace))
    chat = guest.start(new_uuid())
    token, _ = workspace.sign_in(EMAIL, language="fr")
    with answerer.held():
        guest.say(chat, "one")
        answerer.wait_for(1)
        guest.say(chat, "two")
        answer = guest.call("POST", f"{CONVERSATIONS}/{chat}/identity", {"contact_token": token})
        assert answer.status_code == 200, answer.text
    Client(workspace, token).say(chat, "three")
    answerer.wait_for(3)


class TestALanguage:
    """Of the person, for a question that was asked before it was proven who asks (DESIGN rule 2.5)."""

    def test_is_not_told_to_a_bot(self, shop_front: Workspace, bot: FakeBot) -> None:
        answered_by_bot(shop_front, bot)
        prove_while_one_waits(shop_front, bot)
        _, waited, proven = bot.asked
        assert (waited["message"]["text"], waited["message"]["trust"]) == ("two", "unverified")
        assert (waited["contact"], waited["language"]) == ({"verified": False}, None)
        assert (proven["contact"]["proven"]["language"], proven["language"]) == ("fr", "fr")

    def test_is_not_told_to_a_model(self, shop_front: Workspace, model: FakeModel) -> None:
        answered_by_model(shop_front, model)
        prove_while_one_waits(shop_front, model)
        assert model.told("user", 1).endswith("two")
        assert '"language"' not in model.told("system", 1) + model.told("user", 1)
        assert '"language":"fr"' in model.told("system", 2)
        assert '"language"' not in model.told("user", 2)
