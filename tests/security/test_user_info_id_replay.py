"""A userInfoId travels in addresses: whoever finds one, uses it twice or elsewhere, or guesses its verifier gets
nothing (DESIGN rule 2.6)."""

from __future__ import annotations

import time

import httpx
import pytest

from tests.fixtures.admin import Admin
from tests.fixtures.fake_provider import FakeProvider
from tests.fixtures.front_door import Installation
from tests.fixtures.puzzel import Front, new_pair, problem
from tests.fixtures.siege import form
from tests.fixtures.widget import new_uuid
from vestibule.surfaces.native.token import USER_INFO_ID


@pytest.fixture
def front(front: Front) -> Front:
    front.queue()
    return front


def conversations(front: Front) -> int:
    sql = "SELECT id FROM conversations WHERE workspace_id = $1"
    return len(front.workspace.installation.rows(sql, front.workspace.id))


def refused(answer: httpx.Response) -> None:
    """With the one answer that every failed redemption has."""
    body = problem(answer, 400, "invalid_grant")
    assert body["detail"] == "The user info id or its code verifier is not valid."


def test_a_found_user_info_id_is_worth_nothing_without_its_verifier(front: Front, fake: FakeProvider) -> None:
    """From a history, a proxy's log, a Referer: the challenge may be known as well, it was sent beside the token."""
    user_info_id, verifier = front.proof(fake.id_token())
    thief = front.visitor()
    for guess in (new_pair()[0], new_pair()[1], "", verifier[:-1]):
        refused(front.route(new_uuid(), proof=(user_info_id, guess), bearer=thief))
    assert conversations(front) == 0
    assert front.route(new_uuid(), proof=(user_info_id, verifier), bearer=front.visitor()).status_code == 200


def test_five_guesses_kill_it_also_for_its_owner(front: Front, fake: FakeProvider) -> None:
    user_info_id, verifier = front.proof(fake.id_token())
    for _ in range(5):
        refused(front.route(new_uuid(), proof=(user_info_id, new_pair()[0])))
    refused(front.route(new_uuid(), proof=(user_info_id, verifier)))


def test_a_used_proof_opens_no_other_chat_and_no_other_session(front: Front, fake: FakeProvider) -> None:
    proof, owner, conversation_id = front.proof(fake.id_token()), front.visitor(), new_uuid()
    assert front.route(conversation_id, proof=proof, bearer=owner).status_code == 200
    thief, mine = front.visitor(), new_uuid()
    front.route(mine, bearer=thief)
    refused(front.route(new_uuid(), proof=proof, bearer=thief))
    refused(front.route(new_uuid(), proof=proof))
    refused(front.set_identity(mine, proof, bearer=thief))
    refused(front.route(new_uuid(), proof=proof, bearer=owner))
    problem(front.route(conversation_id, proof=proof, bearer=thief), 404, "not_found")
    refused(front.route(conversation_id, proof=proof))
    assert conversations(front) == 2


def test_of_another_workspace_it_is_none(front: Front, fake: FakeProvider, responding: Installation) -> None:
    """Both trust the same provider, and the same person is in both."""
    other = Front(responding.workspace())
    other.add_provider(fake)
    other.queue()
    proof = front.proof(fake.id_token())
    mine, bearer = new_uuid(), other.visitor()
    refused(other.route(mine, proof=proof, bearer=bearer))
    # Without a bearer it says itself where it belongs; rewritten, it is another one.
    theirs = other.proof(fake.id_token())
    swapped = theirs[0][:26] + proof[0][26:]
    refused(other.route(new_uuid(), proof=(swapped, proof[1])))
    nowhere = "usr_" + "0" * 22 + proof[0][26:]
    refused(other.route(new_uuid(), proof=(nowhere, proof[1])))
    assert conversations(other) == 0
    assert front.route(mine, proof=proof).status_code == 200


def test_after_a_sign_out_nothing_signs_in_again(front: Front, fake: FakeProvider) -> None:
    """The browser's history still has the address with both values in it."""
    first, second = front.proof(fake.id_token()), front.proof(fake.id_token())
    bearer, conversation_id = front.visitor(), new_uuid()
    for proof in (first, second):
        assert front.route(conversation_id, proof=proof, bearer=bearer).status_code == 200
    assert front.clear_identity(conversation_id, bearer=bearer).status_code == 200
    for proof in (first, second):
        refused(front.route(conversation_id, proof=proof, bearer=bearer))
        refused(front.set_identity(conversation_id, proof, bearer=bearer))
        refused(front.route(conversation_id, proof=proof))


def test_after_an_operator_s_sign_out_nothing_signs_in_again(front: Front, fake: FakeProvider) -> None:
    """Not even before the processes have read who was signed out, which takes them two seconds."""
    waiting, used = front.proof(fake.id_token()), front.proof(fake.id_token())
    installation, conversation_id = front.workspace.installation, new_uuid()
    contact_id = front.route(conversation_id, proof=used).json()["contactId"]
    admin = Admin(installation, front.workspace.id)
    time.sleep((0.9 - time.time()) % 1)  # the answer comes with the next second
    admin.do("POST", f"contacts/{contact_id}/sign-out")
    refused(front.route(new_uuid(), proof=waiting))
    refused(front.route(conversation_id, proof=used))
    fields = {"grant_type": USER_INFO_ID, "client_id": front.customer_id}
    fields |= {"user_info_id": waiting[0], "code_verifier": waiting[1]}
    redeemed = form("/v1/token", fields).send(installation.http, "")
    assert (redeemed.status_code, redeemed.json()["error"]) == (400, "invalid_grant")
    sql = "SELECT contact_id FROM pending_identities WHERE workspace_id = $1"
    assert installation.rows(sql, front.workspace.id) == []
    assert front.route(new_uuid(), proof=front.proof(fake.id_token())).status_code == 200, "they can sign in again"


def test_a_provider_s_token_is_no_bearer_and_a_user_info_id_neither(front: Front, fake: FakeProvider) -> None:
    token = fake.id_token()
    user_info_id, _ = front.proof(token)
    session = front.session()
    for wrong in (token, user_info_id, session["refresh_token"], front.workspace.api_key):
        problem(front.route(new_uuid(), bearer=wrong), 401, "invalid_token")
        problem(front.set_identity(new_uuid(), ("x", "y"), bearer=wrong), 401, "invalid_token")
    answer = front.authenticate(idToken=session["access_token"])
    problem(answer, 401, "invalid_token")
    assert front.connect(grant_type="refresh_token", refresh_token=user_info_id).json()["error"] == "invalid_grant"
    problem(
        front.call("POST", f"/api/conversation/{new_uuid()}/route/support", access_token=token),
        401,
        "missing_credentials",
    )


def test_guessing_is_limited_per_address(front: Front, fake: FakeProvider, limited: str) -> None:
    guesser = Front(front.workspace, base_url=limited, address="203.0.113.77")
    statuses = [guesser.route(new_uuid(), proof=("usr_" + "0" * 65, "x" * 43)).status_code for _ in range(5)]
    assert statuses == [400, 400, 400, 429, 429]
    elsewhere = Front(front.workspace, base_url=limited, address="203.0.113.78")
    proof = elsewhere.proof(fake.id_token())
    assert elsewhere.route(new_uuid(), proof=proof).status_code == 200
    assert guesser.route(new_uuid(), proof=guesser.proof(fake.id_token())).status_code == 200, "right ones do not count"
