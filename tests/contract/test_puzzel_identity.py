"""From a userInfoId to a chat of a proven person: `route`, `setIdentity`, `clearIdentity` (DESIGN rules 2.5, 2.6)."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tests.fixtures.fake_provider import FakeProvider
from tests.fixtures.native import Client
from tests.fixtures.puzzel import CHALLENGE, VERIFIER, Front, answer_of, problem
from tests.fixtures.widget import Device, claims_of, new_uuid


@pytest.fixture
def front(front: Front) -> Front:
    front.queue()
    return front


# ------------------------------------------------------------------------------------------------------------- a start


def test_a_proof_starts_a_chat_without_a_bearer(front: Front, fake: FakeProvider) -> None:
    """The seed's own example, word for word."""
    user_info_id = front.exchange(idToken=fake.id_token(), codeChallenge=CHALLENGE)
    conversation_id = new_uuid()
    body = answer_of(front.route(conversation_id, proof=(user_info_id, VERIFIER)))
    assert (body["conversationId"], body["id"]) == (conversation_id, conversation_id)
    assert (body["identified"], body["queueKey"], body["status"]) == (True, "support", "open")
    assert body["expiresIn"] == 86_400
    claims = claims_of(body["contactToken"])
    assert claims["contact"] == {"id": body["contactId"], "verified": True}
    assert claims["method"] == "token_exchange"
    assert front.say(conversation_id, "hello", bearer=body["contactToken"]).status_code == 201
    assert front.messages(conversation_id, bearer=body["contactToken"]) == [("verified", "hello")]


def test_the_person_sees_it_on_every_surface(front: Front, fake: FakeProvider) -> None:
    bearer = front.visitor()
    conversation_id = new_uuid()
    body = answer_of(front.route(conversation_id, proof=front.proof(fake.id_token()), bearer=bearer))
    assert front.say(conversation_id, "hello", bearer=bearer).status_code == 201
    native = Client(front.workspace, body["contactToken"])
    assert native.listed() == [conversation_id]
    assert [message["text"] for message in native.messages(conversation_id)] == ["hello"]
    widget = Device(front.workspace, body["contactToken"])
    assert widget.listed("") == [conversation_id]
    other = front.route(new_uuid(), proof=front.proof(fake.id_token(sub="u-2")))
    stranger = Client(front.workspace, other.json()["contactToken"])
    assert stranger.read(conversation_id).status_code == 404


@pytest.mark.parametrize("with_bearer", [True, False])
@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("where", ["query", "body", "both", "split", "list"])
def test_the_proof_may_stand_in_the_query_and_in_the_body(
    front: Front, fake: FakeProvider, method: str, where: str, *, with_bearer: bool
) -> None:
    user_info_id, verifier = front.proof(fake.id_token())
    whole = {"userInfoId": user_info_id, "codeVerifier": verifier}
    places: dict[str, tuple[dict[str, Any], Any]] = {
        "query": (whole, None),
        "body": ({}, whole),
        "both": (whole, whole),
        "split": ({"userInfoId": user_info_id}, {"codeVerifier": verifier, "other": 1}),
        "list": (whole, []),
    }
    query, body = places[where]
    bearer = front.visitor() if with_bearer else None
    conversation_id = new_uuid()
    answer = answer_of(front.route(conversation_id, method=method, bearer=bearer, body=body, **query))
    assert answer["identified"] is True


def test_an_anonymous_chat_needs_its_visitor(front: Front) -> None:
    """As the public client calls it: PUT, a bearer, and an empty list."""
    conversation_id, bearer = new_uuid(), front.visitor()
    problem(front.route(conversation_id), 401, "invalid_session", cause="missing_credentials")
    body = answer_of(front.route(conversation_id, bearer=bearer, method="PUT", body=[]))
    assert (body["identified"], body["id"]) == (False, conversation_id)
    assert "contactToken" not in body
    assert front.say(conversation_id, "hi", bearer=bearer).status_code == 201
    assert front.messages(conversation_id, bearer=bearer) == [("unverified", "hi")]
    assert answer_of(front.route(conversation_id, bearer=bearer)) == body, "again, and nothing changes"
    stranger = front.visitor()
    problem(front.route(conversation_id, bearer=stranger), 404, "not_found")
    problem(front.say(conversation_id, "x", bearer=stranger), 404, "not_found")
    problem(front.call("GET", f"/api/conversation/{conversation_id}/messages", bearer=stranger), 404, "not_found")


def test_a_body_may_have_32_kib(front: Front) -> None:
    bearer = front.visitor()
    bodies = [[{"name": "cart", "value": "x" * size}] for size in (9_000, 33_000)]
    fits, exceeds = [front.route(new_uuid(), bearer=bearer, method="PUT", body=body) for body in bodies]
    assert answer_of(fits)["identified"] is False
    problem(exceeds, 413, "body_too_large")


def test_a_bad_bearer_is_refused_and_never_passed_over(front: Front, fake: FakeProvider) -> None:
    proof = front.proof(fake.id_token())
    problem(front.route(new_uuid(), proof=proof, bearer="x"), 401, "invalid_session", cause="invalid_token")
    basic = {"authorization": "Basic eDp5"}
    path = f"/api/conversation/{new_uuid()}/route/support"
    answer = front.call("POST", path, headers=basic, userInfoId=proof[0], codeVerifier=proof[1])
    problem(answer, 401, "invalid_session", cause="missing_credentials")
    assert answer_of(front.route(new_uuid(), proof=proof))["identified"], "and the proof is not spent"


def test_any_text_may_name_a_conversation(front: Front, fake: FakeProvider) -> None:
    bearer = front.visitor()
    body = answer_of(front.route("conv-1", bearer=bearer))
    assert body["conversationId"] == "conv-1"
    assert front.say("conv-1", "hi", bearer=bearer).status_code == 201
    assert front.messages("conv-1", bearer=bearer) == [("unverified", "hi")]
    upper = new_uuid().upper()
    assert answer_of(front.route(upper, bearer=bearer))["id"] == upper.lower()
    proof = front.proof(fake.id_token())
    for wrong in ("%00", "a%20b", "x" * 129, "%C3%A9", "-a"):
        for answer, names in (
            (front.route(wrong, bearer=bearer), "begin with a letter or digit"),
            (front.route(wrong, proof=proof), "conversationId"),
        ):
            problem(answer, 400, "invalid_request", names=names, cause="invalid_field")
    another = Front(front.workspace.installation.workspace())
    another.queue()
    assert answer_of(another.route("conv-1", bearer=another.visitor()))["id"] != body["id"], "of each workspace its own"


# --------------------------------------------------------------------------------------------- never a chat without it


def test_a_proof_that_fails_never_becomes_an_anonymous_chat(front: Front, fake: FakeProvider) -> None:
    bearer = front.visitor()
    user_info_id, verifier = front.proof(fake.id_token())
    refused: list[tuple[dict[str, Any], Any, str, str | None]] = [
        ({"userInfoId": user_info_id}, None, "invalid_request", None),
        ({"codeVerifier": verifier}, None, "invalid_request", None),
        ({}, {"userInfoId": user_info_id}, "invalid_request", None),
        ({"userInfoId": "", "codeVerifier": ""}, None, "invalid_grant", None),
        ({"userInfoId": "x", "codeVerifier": verifier}, None, "invalid_grant", None),
        ({"userInfoId": user_info_id, "codeVerifier": "x" * 43}, None, "invalid_grant", None),
        ({"userInfoId": user_info_id, "codeVerifier": verifier}, {"userInfoId": "usr_other"}, "invalid_request", None),
        ({}, {"userInfoId": None, "codeVerifier": None}, "invalid_request", "invalid_field"),
        ({}, {"userInfoId": 1, "codeVerifier": 2}, "invalid_request", "invalid_field"),
        ({}, b"{", "invalid_request", "malformed_body"),
        ({}, b'"x"', "invalid_request", "malformed_body"),
    ]
    for query, body, code, cause in refused:
        for given in (bearer, None):
            conversation_id = new_uuid()
            problem(front.route(conversation_id, bearer=given, body=body, **query), 400, code, cause=cause)
            answer = front.call("GET", f"/api/conversation/{conversation_id}/messages", bearer=bearer)
            problem(answer, 404, "not_found")
    twice = f"/api/conversation/{new_uuid()}/route/support?userInfoId=a&userInfoId=b&codeVerifier=c"
    problem(front.call("POST", twice, bearer=bearer), 400, "invalid_request", cause="invalid_field")
    assert answer_of(front.route(new_uuid(), proof=(user_info_id, verifier), bearer=bearer))["identified"]


def test_a_proof_that_is_misspelt_or_misplaced_is_refused_by_the_right_name(front: Front, fake: FakeProvider) -> None:
    bearer = front.visitor()
    user_info_id, verifier = front.proof(fake.id_token())
    whole = {"userInfoId": user_info_id, "codeVerifier": verifier}
    refused: list[tuple[dict[str, Any], Any]] = [
        ({}, [whole]),
        ({}, [[{"codeverifier": verifier}]]),
        ({}, [{"name": "user_info_id", "value": user_info_id}]),
        ({}, ["codeVerifier", verifier]),
        ({}, {"proof": whole}),
        ({}, {"user_info_id": user_info_id, "code_verifier": verifier}),
        ({}, {"userinfoid": user_info_id, "codeverifier": verifier}),
        ({}, {"UserInfo-ID": user_info_id}),
        ({"userinfoid": user_info_id, "codeverifier": verifier}, None),
        ({"user_info_id": user_info_id, "code_verifier": verifier}, []),
        ({"CodeVerifier": verifier}, whole),
        (whole, {"_code_verifier_": None}),
        ({"code_verifier": verifier, "padding": "x" * 40}, None),
    ]
    for query, body in refused:
        for given in (bearer, None):
            conversation_id = new_uuid()
            answer = front.route(conversation_id, bearer=given, method="PUT", body=body, **query)
            shown = problem(answer, 400, "invalid_request", cause="invalid_field")["detail"]
            assert "userInfoId" in shown or "codeVerifier" in shown, (query, body)
            assert verifier not in shown
            assert user_info_id not in shown
            path = f"/api/conversation/{conversation_id}/messages"
            problem(front.call("GET", path, bearer=bearer), 404, "not_found")
    path = f"/api/visitor/setIdentity/{new_uuid()}"
    answer = front.call("POST", path, [whole], bearer=bearer)
    problem(answer, 400, "invalid_request", names="userInfoId", cause="invalid_field")
    others = {"variables": [{"name": "order", "value": 7}, None], "user": {"id": 1}}
    assert answer_of(front.route(new_uuid(), bearer=bearer, body=[others]))["identified"] is False
    assert answer_of(front.route(new_uuid(), bearer=bearer, body={**others, **whole}))["identified"], (
        "nothing was spent"
    )


def test_what_does_not_fit_looks_alike(front: Front, fake: FakeProvider) -> None:
    bearer, spent = front.visitor(), front.proof(fake.id_token())
    answer_of(front.route(new_uuid(), proof=spent, bearer=bearer))
    fresh = front.proof(fake.id_token())
    expired = front.proof(fake.id_token())
    front.workspace.installation.rows(
        "UPDATE pending_identities SET expires_at = 1 WHERE workspace_id = $1 AND bound_conversation IS NULL"
        " RETURNING workspace_id",
        front.workspace.id,
    )
    other = Front(front.workspace.installation.workspace())
    other.add_provider(fake)
    foreign = other.proof(fake.id_token())
    unused = front.proof(fake.id_token())
    bodies = [
        problem(front.route(new_uuid(), proof=proof, bearer=bearer), 400, "invalid_grant")
        for proof in (
            ("usr_" + "0" * 65, VERIFIER),
            spent,
            expired,
            fresh,
            foreign,
            (unused[0], "x" * 50),
            (unused[0], CHALLENGE),
        )
    ]
    assert all(body == bodies[0] for body in bodies)
    assert "www-authenticate" not in front.route(new_uuid(), proof=spent, bearer=bearer).headers


# ----------------------------------------------------------------------------------------------------------- bound once


@pytest.mark.parametrize("with_bearer", [True, False])
def test_a_repeated_call_answers_the_same(front: Front, fake: FakeProvider, *, with_bearer: bool) -> None:
    bearer = front.visitor() if with_bearer else None
    proof, conversation_id = front.proof(fake.id_token()), new_uuid()
    answers = [answer_of(front.route(conversation_id, proof=proof, bearer=bearer)) for _ in range(3)]
    ids = {claims_of(answer.pop("contactToken"))["jti"] for answer in answers}
    assert answers[0] == answers[1] == answers[2]
    assert len(ids) == 1
    problem(front.route(new_uuid(), proof=proof, bearer=bearer), 400, "invalid_grant")
    problem(front.route(conversation_id, proof=proof, bearer=front.visitor()), 404, "not_found")
    if bearer is not None:
        assert answer_of(front.set_identity(conversation_id, proof, bearer=bearer))["identified"]


def test_of_fifty_conversations_at_once_exactly_one_is_started(
    front: Front, fake: FakeProvider, second_server: str
) -> None:
    proof, bearer = front.proof(fake.id_token()), front.visitor()
    doors = [front, Front(front.workspace, base_url=second_server)]

    async def race(ids: list[str], given: str | None) -> list[httpx.Response]:
        calls = (
            asyncio.to_thread(doors[number % 2].route, one, proof=proof, bearer=given) for number, one in enumerate(ids)
        )
        return list(await asyncio.gather(*calls))

    answers = asyncio.run(race([new_uuid() for _ in range(50)], bearer))
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 49
    assert _conversations(front) == 1

    proof, same = front.proof(fake.id_token()), new_uuid()
    answers = asyncio.run(race([same] * 50, None))
    assert {answer.status_code for answer in answers} == {200}, "the same call fifty times"
    assert _conversations(front) == 2
    assert len({claims_of(answer.json()["contactToken"])["jti"] for answer in answers}) == 1


def test_an_anonymous_and_a_proven_start_at_once_are_one_chat(front: Front, fake: FakeProvider) -> None:
    """A page that routes before the exchange is done, and again after it."""
    for _ in range(5):
        bearer, conversation_id, proof = front.visitor(), new_uuid(), front.proof(fake.id_token())

        async def race(bearer: str, one: str, proof: tuple[str, str]) -> list[httpx.Response]:
            calls = (asyncio.to_thread(front.route, one, proof=given, bearer=bearer) for given in (None, proof) * 4)
            return list(await asyncio.gather(*calls))

        answers = asyncio.run(race(bearer, conversation_id, proof))
        assert {answer.status_code for answer in answers} == {200}
        assert answer_of(front.route(conversation_id, bearer=bearer))["identified"] is True


def _conversations(front: Front) -> int:
    return len(
        front.workspace.installation.rows("SELECT id FROM conversations WHERE workspace_id = $1", front.workspace.id)
    )


# ------------------------------------------------------------------------------------------------------- a running chat


def test_set_identity_makes_a_running_chat_the_person_s(front: Front, fake: FakeProvider) -> None:
    bearer, conversation_id = front.visitor(), new_uuid()
    front.route(conversation_id, bearer=bearer)
    front.say(conversation_id, "before", bearer=bearer)
    body = answer_of(front.set_identity(conversation_id, front.proof(fake.id_token()), bearer=bearer))
    assert body["identified"] is True
    front.say(conversation_id, "after", bearer=bearer)
    shown = [("unverified", "before"), ("verified", "after")]
    assert front.messages(conversation_id, bearer=bearer) == shown
    assert front.messages(conversation_id, bearer=body["contactToken"]) == shown
    native = Client(front.workspace, body["contactToken"])
    assert [(m["trust"], m["text"]) for m in native.messages(conversation_id)] == shown
    again = answer_of(front.set_identity(conversation_id, front.proof(fake.id_token()), bearer=bearer))
    assert again["contactId"] == body["contactId"], "the same person, with another proof"


def test_the_session_is_the_person_in_that_conversation_only(front: Front, fake: FakeProvider) -> None:
    bearer, mine = front.visitor(), new_uuid()
    elsewhere = answer_of(front.route(new_uuid(), proof=front.proof(fake.id_token())))
    answer_of(front.route(mine, proof=front.proof(fake.id_token()), bearer=bearer))
    assert front.messages(mine, bearer=bearer) == []
    problem(front.call("GET", f"/api/conversation/{elsewhere['id']}/messages", bearer=bearer), 404, "not_found")
    assert Client(front.workspace, bearer).read(mine).status_code == 404
    assert Client(front.workspace, bearer).page(scope=mine).json()["items"] == []


def test_another_person_on_an_identified_chat_is_a_conflict(front: Front, fake: FakeProvider) -> None:
    bearer, conversation_id = front.visitor(), new_uuid()
    first = answer_of(front.route(conversation_id, proof=front.proof(fake.id_token()), bearer=bearer))
    other = front.proof(fake.id_token(sub="u-2"))
    problem(front.set_identity(conversation_id, other, bearer=bearer), 409, "identity_conflict")
    problem(
        front.route(conversation_id, proof=front.proof(fake.id_token(sub="u-2")), bearer=bearer),
        409,
        "identity_conflict",
    )
    with_token = front.set_identity(
        conversation_id, front.proof(fake.id_token(sub="u-2")), bearer=first["contactToken"]
    )
    problem(with_token, 409, "identity_conflict")
    front.say(conversation_id, "still me", bearer=bearer)
    assert front.messages(conversation_id, bearer=first["contactToken"]) == [("verified", "still me")]


def test_of_two_persons_at_once_one_has_it(front: Front, fake: FakeProvider) -> None:
    bearer, conversation_id = front.visitor(), new_uuid()
    front.route(conversation_id, bearer=bearer)
    proofs = [front.proof(fake.id_token(sub=f"u-{number}")) for number in range(10)]

    async def race() -> list[httpx.Response]:
        calls = (asyncio.to_thread(front.set_identity, conversation_id, proof, bearer=bearer) for proof in proofs)
        return list(await asyncio.gather(*calls))

    answers = asyncio.run(race())
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 9
    won = next(answer.json() for answer in answers if answer.status_code == 200)
    [(contact_id,)] = front.workspace.installation.rows(
        "SELECT contact_id FROM conversations WHERE workspace_id = $1 AND id = $2", front.workspace.id, conversation_id
    )
    assert contact_id == won["contactId"]


def test_set_identity_needs_the_bearer_of_that_chat(front: Front, fake: FakeProvider) -> None:
    bearer, conversation_id = front.visitor(), new_uuid()
    front.route(conversation_id, bearer=bearer)
    proof = front.proof(fake.id_token())
    answer = front.set_identity(conversation_id, proof, bearer=None)
    problem(answer, 401, "invalid_session", cause="missing_credentials")
    problem(front.set_identity(conversation_id, proof, bearer=front.visitor()), 404, "not_found")
    problem(front.set_identity(new_uuid(), proof, bearer=bearer), 404, "not_found")
    problem(front.route(conversation_id, proof=front.proof(fake.id_token())), 404, "not_found")
    other = Front(front.workspace.installation.workspace())
    problem(front.set_identity(conversation_id, proof, bearer=other.visitor()), 404, "not_found")
    answer = front.call("POST", f"/api/visitor/setIdentity/{conversation_id}", {}, bearer=bearer)
    problem(answer, 400, "invalid_request")
    assert answer_of(front.set_identity(conversation_id, proof, bearer=bearer))["identified"], "nothing was spent"


def test_a_session_goes_on_after_a_refresh(front: Front, fake: FakeProvider) -> None:
    session, conversation_id = front.session(), new_uuid()
    front.route(conversation_id, proof=front.proof(fake.id_token()), bearer=session["access_token"])
    renewed = front.refresh(session["refresh_token"]).json()["access_token"]
    assert front.say(conversation_id, "back", bearer=renewed).status_code == 201


# ------------------------------------------------------------------------------------------------------------- messages


def test_messages_are_stored_once_and_in_order(front: Front) -> None:
    bearer, conversation_id, message_id = front.visitor(), new_uuid(), new_uuid()
    front.route(conversation_id, bearer=bearer)
    assert front.say(conversation_id, "one", bearer=bearer, id=message_id).status_code == 201
    assert front.say(conversation_id, "one", bearer=bearer, id=message_id).status_code == 200
    front.say(conversation_id, "two", bearer=bearer)
    assert front.messages(conversation_id, bearer=bearer) == [("unverified", "one"), ("unverified", "two")]
    path = f"/api/conversation/{conversation_id}/messages"
    later = front.call("GET", path, bearer=bearer, after=1).json()["items"]
    assert [item["text"] for item in later] == ["two"]
    for wrong in ("x", "-1", "1.5", "٣", "9" * 17):
        answer = front.call("GET", path, bearer=bearer, after=wrong)
        problem(answer, 400, "invalid_request", names="after", cause="invalid_field")
    for body in ({"text": ""}, {"text": "  "}, {}, {"text": "x" * 32_769}, {"text": "x", "id": "x"}, {"text": "a\0"}):
        problem(front.call("POST", path[:-1], body, bearer=bearer), 400, "invalid_request", cause="invalid_field")
