"""How a chat of a proven person ends: `clearIdentity`, sign-out, erasure, the end of the chat."""

from __future__ import annotations

import time

import pytest

from tests.fixtures.admin import Admin
from tests.fixtures.fake_provider import FakeProvider
from tests.fixtures.puzzel import Front, answer_of, problem
from tests.fixtures.widget import Device, claims_of, new_uuid


@pytest.fixture
def front(front: Front) -> Front:
    front.queue()
    return front


def test_clear_identity_signs_out_of_the_chat(front: Front, fake: FakeProvider) -> None:
    bearer, conversation_id, proof = front.visitor(), new_uuid(), front.proof(fake.id_token())
    body = answer_of(front.route(conversation_id, proof=proof, bearer=bearer))
    front.say(conversation_id, "private", bearer=bearer)
    cleared = answer_of(front.clear_identity(conversation_id, bearer=bearer))
    assert cleared["identified"] is False
    assert answer_of(front.clear_identity(conversation_id, bearer=bearer)) == cleared
    problem(front.call("GET", f"/api/conversation/{conversation_id}/messages", bearer=bearer), 404, "not_found")
    problem(front.say(conversation_id, "x", bearer=bearer), 404, "not_found")
    problem(front.route(conversation_id, bearer=bearer), 404, "not_found")
    problem(front.route(conversation_id, proof=proof, bearer=bearer), 400, "invalid_grant")
    _ends(front, body["contactToken"])
    problem(
        front.set_identity(conversation_id, front.proof(fake.id_token(sub="u-2")), bearer=bearer),
        409,
        "identity_conflict",
    )
    again = answer_of(front.set_identity(conversation_id, front.proof(fake.id_token()), bearer=bearer))
    assert front.messages(conversation_id, bearer=bearer) == [("verified", "private")]
    assert front.messages(conversation_id, bearer=again["contactToken"]) == [("verified", "private")]


def test_clear_identity_ends_a_contact_token(front: Front, fake: FakeProvider) -> None:
    conversation_id, proof = new_uuid(), front.proof(fake.id_token())
    token = answer_of(front.route(conversation_id, proof=proof))["contactToken"]
    other = answer_of(front.route(conversation_id, proof=front.proof(fake.id_token())))["contactToken"]
    problem(front.clear_identity(new_uuid(), bearer=token), 404, "not_found")
    answer_of(front.clear_identity(conversation_id, bearer=token))
    _ends(front, token)
    problem(front.route(conversation_id, proof=proof), 400, "invalid_grant")
    assert front.messages(conversation_id, bearer=other) == [], "another device of the same person stays"


@pytest.mark.parametrize("by", ["the person", "an operator", "another chat", "the same chat"])
def test_the_end_of_the_contact_token_signs_out_of_the_chat(front: Front, fake: FakeProvider, by: str) -> None:
    """Of which it stands for the person's proof: the session goes on as nobody, and who comes back gets a good one."""
    bearer, conversation_id, proof = front.visitor(), new_uuid(), front.proof(fake.id_token())
    body = answer_of(front.route(conversation_id, proof=proof, bearer=bearer))
    assert front.say(conversation_id, "private", bearer=bearer).status_code == 201
    token = body["contactToken"]
    if by == "the person":
        assert front.call("POST", "/v1/me/sign-out", bearer=token).status_code == 204
    elif by == "an operator":
        admin = Admin(front.workspace.installation, front.workspace.id)
        admin.do("POST", f"contacts/{body['contactId']}/devices/{claims_of(token)['jti']}/end")
    else:
        cleared = conversation_id if by == "the same chat" else new_uuid()
        answer_of(front.route(cleared, bearer=token))
        answer_of(front.clear_identity(cleared, bearer=token))
    _ends(front, token)
    problem(front.say(conversation_id, "x", bearer=bearer), 404, "not_found")
    problem(front.route(conversation_id, proof=proof, bearer=bearer), 400, "invalid_grant")
    problem(front.set_identity(conversation_id, proof, bearer=bearer), 400, "invalid_grant")
    again = answer_of(front.set_identity(conversation_id, front.proof(fake.id_token()), bearer=bearer))
    assert front.messages(conversation_id, bearer=again["contactToken"]) == [("verified", "private")]
    assert front.messages(conversation_id, bearer=bearer) == [("verified", "private")]


def test_the_end_of_a_token_that_opened_a_chat_ends_its_proof(front: Front, fake: FakeProvider) -> None:
    conversation_id, proof = new_uuid(), front.proof(fake.id_token())
    token = answer_of(front.route(conversation_id, proof=proof))["contactToken"]
    other = front.proof(fake.id_token())
    answer_of(front.route(conversation_id, proof=other))
    assert front.call("POST", "/v1/me/sign-out", bearer=token).status_code == 204
    problem(front.route(conversation_id, proof=proof), 400, "invalid_grant")
    answer_of(front.route(conversation_id, proof=other))


def _ends(front: Front, token: str) -> None:
    gone_by = time.monotonic() + 5
    while front.workspace.me(token).status_code == 200:
        assert time.monotonic() < gone_by
        time.sleep(0.1)


def test_clearing_an_anonymous_chat_changes_nothing(front: Front) -> None:
    bearer, conversation_id = front.visitor(), new_uuid()
    front.route(conversation_id, bearer=bearer)
    assert answer_of(front.clear_identity(conversation_id, bearer=bearer))["identified"] is False
    assert front.say(conversation_id, "hi", bearer=bearer).status_code == 201


def test_a_signed_out_person_is_out_of_every_chat_within_5_s(front: Front, fake: FakeProvider) -> None:
    bearer, conversation_id = front.visitor(), new_uuid()
    body = answer_of(front.route(conversation_id, proof=front.proof(fake.id_token()), bearer=bearer))
    waiting = front.proof(fake.id_token())
    front.workspace.installation.cli("contact", "sign-out", body["contactId"], "-w", front.workspace.id)
    _ends(front, body["contactToken"])
    problem(front.say(conversation_id, "x", bearer=bearer), 404, "not_found")
    problem(front.route(new_uuid(), proof=waiting, bearer=bearer), 400, "invalid_grant")


def test_a_chat_ends_and_stays_ended(front: Front, fake: FakeProvider) -> None:
    bearer, conversation_id = front.visitor(), new_uuid()
    front.route(conversation_id, bearer=bearer)
    path = f"/api/conversation/{conversation_id}/end"
    for _ in range(2):
        assert answer_of(front.call("POST", path, bearer=bearer))["status"] == "closed_resolved"
    proof = front.proof(fake.id_token())
    problem(front.say(conversation_id, "x", bearer=bearer), 409, "conversation_closed")
    problem(front.route(conversation_id, bearer=bearer), 409, "conversation_closed")
    problem(front.set_identity(conversation_id, proof, bearer=bearer), 409, "conversation_closed")
    assert answer_of(front.route(new_uuid(), proof=proof))["identified"]


def test_an_ended_chat_is_not_opened_again_by_a_new_proof_of_its_person(front: Front, fake: FakeProvider) -> None:
    conversation_id = new_uuid()
    token = answer_of(front.route(conversation_id, proof=front.proof(fake.id_token())))["contactToken"]
    answer_of(front.call("POST", f"/api/conversation/{conversation_id}/end", bearer=token))
    front.queue("another")
    for queue in ("support", "another"):
        again = front.route(conversation_id, proof=front.proof(fake.id_token()), queue=queue)
        problem(again, 409, "conversation_closed")
    stranger = front.route(conversation_id, proof=front.proof(fake.id_token(sub="u-2")))
    problem(stranger, 404, "not_found")


def test_an_erased_person_leaves_nothing(front: Front, fake: FakeProvider) -> None:
    bearer, conversation_id = front.visitor(), new_uuid()
    body = answer_of(front.route(conversation_id, proof=front.proof(fake.id_token()), bearer=bearer))
    proof = front.proof(fake.id_token())
    front.workspace.installation.cli("contact", "erase", body["contactId"], "-w", front.workspace.id, "--yes")
    for table in ("attached_identities", "pending_identities", "provider_identities", "conversations"):
        sql = f"SELECT workspace_id FROM {table} WHERE workspace_id = $1"  # noqa: S608
        assert front.workspace.installation.rows(sql, front.workspace.id) == []
    problem(front.route(new_uuid(), proof=proof), 400, "invalid_grant")


def test_an_id_that_is_free_again_shows_nothing_of_who_had_it(front: Front) -> None:
    """The client chooses it, and the widget's poll keeps what it has rendered."""
    chat = new_uuid()
    for email, text in (("ada@example.com", "private"), ("eve@example.com", "mine")):
        token, contact_id = front.workspace.sign_in(email)
        answer_of(front.route(chat, bearer=token))
        assert front.say(chat, text, bearer=token).status_code == 201
        assert Device(front.workspace, token).texts(chat) == [("user", text)]
        front.workspace.installation.cli("contact", "erase", contact_id, "-w", front.workspace.id, "--yes")
