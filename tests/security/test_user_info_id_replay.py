"""A userInfoId travels in addresses: whoever finds one, uses it twice or elsewhere, or guesses its verifier gets
nothing (DESIGN rule 2.6)."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.fixtures.admin import Admin
from tests.fixtures.fake_provider import FakeProvider
from tests.fixtures.puzzel import Front, answer_of, new_pair, problem
from tests.fixtures.siege import Siege, form, plain
from tests.fixtures.widget import new_uuid
from vestibule.model.identity_provider import TokenKind
from vestibule.surfaces.native.token import USER_INFO_ID


@pytest.fixture
def front(front: Front) -> Front:
    front.queue()
    return front


def refused(answer: httpx.Response) -> None:
    """With the one answer that every failed redemption has."""
    body = problem(answer, 400, "invalid_grant")
    assert body["detail"] == "The user info id or its code verifier is not valid."


def test_a_found_user_info_id_is_worth_nothing_without_its_verifier(
    front: Front, fake: FakeProvider, siege: Siege
) -> None:
    """From a history, a proxy's log, a Referer: the challenge may be known as well, it was sent beside the token."""
    user_info_id, verifier = front.proof(fake.id_token())
    thief = front.visitor()
    with siege.laid(audited=["invalid_grant"], provider=fake):
        for guess in (new_pair()[0], new_pair()[1], "", verifier[:-1]):
            refused(front.route(new_uuid(), proof=(user_info_id, guess), bearer=thief))
    assert front.route(new_uuid(), proof=(user_info_id, verifier), bearer=front.visitor()).status_code == 200


def test_five_guesses_kill_it_also_for_its_owner(front: Front, fake: FakeProvider, siege: Siege) -> None:
    user_info_id, verifier = front.proof(fake.id_token())
    with siege.laid(audited=["invalid_grant"], provider=fake):
        for _ in range(5):
            refused(front.route(new_uuid(), proof=(user_info_id, new_pair()[0])))
        refused(front.route(new_uuid(), proof=(user_info_id, verifier)))


def test_of_fifty_who_show_it_at_once_exactly_one_wins(front: Front, fake: FakeProvider, later: str) -> None:
    """Whoever reads it over the owner's shoulder, verifier and all, may be as fast; each has a session and a chat of
    their own, and half of them are at another process."""
    proof, doors = front.proof(fake.id_token()), (front, Front(front.workspace, base_url=later))
    bearers = [front.visitor() for _ in range(50)]

    def show(number: int) -> httpx.Response:
        return doors[number % 2].route(new_uuid(), proof=proof, bearer=bearers[number])

    with ThreadPoolExecutor(len(bearers)) as pool:
        answers = list(pool.map(show, range(len(bearers))))
    lost = [answer for answer in answers if answer.status_code != 200]
    assert len(lost) == len(answers) - 1
    for answer in lost:
        refused(answer)
    assert len({plain(answer) for answer in lost}) == 1, "in the same words"
    [won] = [answer.json()["id"] for answer in answers if answer not in lost]
    installation, workspace_id = front.workspace.installation, front.workspace.id
    kept = installation.rows("SELECT id FROM conversations WHERE workspace_id = $1", workspace_id)
    bound = installation.rows("SELECT bound_conversation FROM pending_identities WHERE workspace_id = $1", workspace_id)
    assert kept == bound == [(won,)]


def test_a_used_proof_opens_no_other_chat_and_no_other_session(front: Front, fake: FakeProvider, siege: Siege) -> None:
    proof, owner, conversation_id = front.proof(fake.id_token()), front.visitor(), new_uuid()
    assert front.route(conversation_id, proof=proof, bearer=owner).status_code == 200
    thief, mine = front.visitor(), new_uuid()
    front.route(mine, bearer=thief)
    with siege.laid(audited=["invalid_grant"], provider=fake):
        refused(front.route(new_uuid(), proof=proof, bearer=thief))
        refused(front.route(new_uuid(), proof=proof))
        refused(front.set_identity(mine, proof, bearer=thief))
        refused(front.route(new_uuid(), proof=proof, bearer=owner))
        problem(front.route(conversation_id, proof=proof, bearer=thief), 404, "not_found")
        refused(front.route(conversation_id, proof=proof))


def test_of_another_workspace_it_is_none(front: Front, fake: FakeProvider, siege: Siege) -> None:
    """Both trust the same provider, and the same person is in both."""
    other = Front(siege.neighbour)
    other.add_provider(fake)
    other.queue()
    proof, theirs = front.proof(fake.id_token()), other.proof(fake.id_token())
    mine, bearer = new_uuid(), other.visitor()
    # Without a bearer it says itself where it belongs; rewritten, it is another one.
    swapped, nowhere = theirs[0][:26] + proof[0][26:], "usr_" + "0" * 22 + proof[0][26:]
    with siege.laid(audited=["invalid_grant"], provider=fake):
        refused(other.route(mine, proof=proof, bearer=bearer))
        refused(other.route(new_uuid(), proof=(swapped, proof[1])))
        refused(other.route(new_uuid(), proof=(nowhere, proof[1])))
    assert front.route(mine, proof=proof).status_code == 200


def test_after_a_sign_out_nothing_signs_in_again(front: Front, fake: FakeProvider, siege: Siege) -> None:
    """The browser's history still has the address with both values in it."""
    first, second = front.proof(fake.id_token()), front.proof(fake.id_token())
    bearer, conversation_id = front.visitor(), new_uuid()
    for proof in (first, second):
        assert front.route(conversation_id, proof=proof, bearer=bearer).status_code == 200
    assert front.clear_identity(conversation_id, bearer=bearer).status_code == 200
    with siege.laid(audited=["invalid_grant"], provider=fake):
        for proof in (first, second):
            refused(front.route(conversation_id, proof=proof, bearer=bearer))
            refused(front.set_identity(conversation_id, proof, bearer=bearer))
            refused(front.route(conversation_id, proof=proof))


def test_after_an_operator_s_sign_out_nothing_signs_in_again(front: Front, fake: FakeProvider, siege: Siege) -> None:
    """Not even before the processes have read who was signed out, which takes them two seconds."""
    waiting, used = front.proof(fake.id_token()), front.proof(fake.id_token())
    installation, conversation_id = front.workspace.installation, new_uuid()
    contact_id = front.route(conversation_id, proof=used).json()["contactId"]
    admin = Admin(installation, front.workspace.id)
    time.sleep((0.9 - time.time()) % 1)  # the answer comes with the next second
    admin.do("POST", f"contacts/{contact_id}/sign-out")
    fields = {"grant_type": USER_INFO_ID, "client_id": front.customer_id}
    fields |= {"user_info_id": waiting[0], "code_verifier": waiting[1]}
    with siege.laid(audited=["invalid_grant"], provider=fake):
        refused(front.route(new_uuid(), proof=waiting))
        refused(front.route(conversation_id, proof=used))
        redeemed = form("/v1/token", fields).send(installation.http, "")
        assert (redeemed.status_code, redeemed.json()["error"]) == (400, "invalid_grant")
    sql = "SELECT contact_id FROM pending_identities WHERE workspace_id = $1"
    assert installation.rows(sql, front.workspace.id) == []
    assert front.route(new_uuid(), proof=front.proof(fake.id_token())).status_code == 200, "they can sign in again"


@pytest.mark.slow
def test_of_a_provider_that_is_trusted_no_more_it_opens_nothing(front: Front, fake: FakeProvider) -> None:
    """Proven a moment before it was disabled, or removed: what waits to be used is worth nothing, and what was answered
    is not answered again, with another day's token. Who was let in stays so (docs/cli.md)."""
    installation, own = front.workspace.installation, ("-w", front.workspace.id)
    second = front.add_provider(fake, name="second", client_ids=("second",), accepts=(TokenKind.ID_TOKEN,))
    of_each = (fake.id_token(), fake.id_token(aud="second"))
    waiting, for_a_token, used = ([front.proof(token) for token in of_each] for _ in range(3))
    chats = [new_uuid() for _ in used]
    let_in = [answer_of(front.route(chat, proof=proof)) for chat, proof in zip(chats, used, strict=True)]
    installation.cli("provider", "disable", "1", *own)
    installation.cli("provider", "remove", str(second.id), *own)
    time.sleep(2.1)  # what a process knows of providers is two seconds old at the most
    for proof in waiting:
        refused(front.route(new_uuid(), proof=proof))
    for user_info_id, verifier in for_a_token:
        fields = {"grant_type": USER_INFO_ID, "client_id": front.customer_id}
        fields |= {"user_info_id": user_info_id, "code_verifier": verifier}
        redeemed = form("/v1/token", fields).send(installation.http, "")
        assert (redeemed.status_code, redeemed.json()["error"]) == (400, "invalid_grant")
    for chat, proof, answer in zip(chats, used, let_in, strict=True):
        refused(front.route(chat, proof=proof))
        assert front.messages(chat, bearer=answer["contactToken"]) == []


def test_a_provider_s_token_is_no_bearer_and_a_user_info_id_neither(
    front: Front, fake: FakeProvider, siege: Siege
) -> None:
    token = fake.id_token()
    user_info_id, _ = front.proof(token)
    session = front.session()
    with siege.laid(audited=["invalid_token", "invalid_grant", "missing_credentials"], provider=fake, most_asked=2):
        for wrong in (token, user_info_id, session["refresh_token"], front.workspace.api_key):
            problem(front.route(new_uuid(), bearer=wrong), 401, "invalid_session", cause="invalid_token")
            identified = front.set_identity(new_uuid(), ("x", "y"), bearer=wrong)
            problem(identified, 401, "invalid_session", cause="invalid_token")
        problem(front.authenticate(idToken=session["access_token"]), 401, "invalid_token")
        refreshed = front.connect(grant_type="refresh_token", refresh_token=user_info_id)
        assert refreshed.json()["error"] == "invalid_grant"
        elsewhere = front.call("POST", f"/api/conversation/{new_uuid()}/route/support", access_token=token)
        problem(elsewhere, 401, "invalid_session", cause="missing_credentials")


def test_guessing_is_limited_per_address(front: Front, fake: FakeProvider, limited: str, siege: Siege) -> None:
    guesser = Front(front.workspace, base_url=limited, address="203.0.113.77")
    with siege.laid(audited=["invalid_grant", "rate_limited"], provider=fake):
        statuses = [guesser.route(new_uuid(), proof=("usr_" + "0" * 65, "x" * 43)).status_code for _ in range(5)]
    assert statuses == [400, 400, 400, 429, 429]
    elsewhere = Front(front.workspace, base_url=limited, address="203.0.113.78")
    proof = elsewhere.proof(fake.id_token())
    assert elsewhere.route(new_uuid(), proof=proof).status_code == 200
    assert guesser.route(new_uuid(), proof=guesser.proof(fake.id_token())).status_code == 200, "right ones do not count"
