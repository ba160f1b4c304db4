"""S256 and nothing else: no way leads to `plain`, and nothing that only looks like the verifier is one (RFC 7636, RFC
9700 section 2.1.1)."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest

from tests.fixtures.fake_provider import FakeProvider
from tests.fixtures.puzzel import CHALLENGE, VERIFIER, Front, problem
from tests.fixtures.siege import Siege
from tests.fixtures.widget import new_uuid


@pytest.fixture
def front(front: Front) -> Front:
    front.queue()
    return front


PLAIN = "plain-verifier-of-43-characters-0123456789a"


def challenge_of(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


@pytest.mark.parametrize("member", ["codeChallengeMethod", "code_challenge_method", "method", "CodeChallengeMethod"])
def test_no_member_asks_for_plain(front: Front, fake: FakeProvider, siege: Siege, member: str) -> None:
    assert len(PLAIN) == 43
    members: dict[str, Any] = {member: "plain", "codeChallenge": PLAIN, "idToken": fake.id_token()}
    user_info_id = front.exchange(**members)
    with siege.laid(audited=["invalid_grant"], provider=fake):
        problem(front.route(new_uuid(), proof=(user_info_id, PLAIN)), 400, "invalid_grant")
        named = front.route(new_uuid(), proof=(user_info_id, PLAIN), codeChallengeMethod="plain")
        problem(named, 400, "invalid_grant")


def test_the_challenge_is_not_its_own_verifier(front: Front, fake: FakeProvider, siege: Siege) -> None:
    user_info_id = front.exchange(idToken=fake.id_token(), codeChallenge=CHALLENGE)
    with siege.laid(audited=["invalid_grant"], provider=fake):
        for wrong in (CHALLENGE, challenge_of(CHALLENGE)):
            problem(front.route(new_uuid(), proof=(user_info_id, wrong)), 400, "invalid_grant")
    assert front.route(new_uuid(), proof=(user_info_id, VERIFIER)).status_code == 200


@pytest.mark.parametrize(
    "challenge",
    ["", "x", CHALLENGE[:-1], CHALLENGE + "A", CHALLENGE + "=", CHALLENGE[:-1] + "/", CHALLENGE[:-1] + "\n", "é" * 43],
)
def test_a_challenge_of_another_form_is_refused_at_the_exchange(
    front: Front, fake: FakeProvider, siege: Siege, challenge: str
) -> None:
    with siege.laid(audited=["invalid_field"], provider=fake):
        answer = front.authenticate(idToken=fake.id_token(), codeChallenge=challenge)
        problem(answer, 400, "invalid_request", names="codeChallenge", cause="invalid_field")


@pytest.mark.parametrize(
    "spelling",
    [VERIFIER + "=", VERIFIER + " ", " " + VERIFIER, VERIFIER + "\n", VERIFIER.upper(), VERIFIER + "\0", VERIFIER[:42]],
)
def test_a_verifier_has_one_spelling(front: Front, fake: FakeProvider, siege: Siege, spelling: str) -> None:
    proof = front.exchange(idToken=fake.id_token(), codeChallenge=CHALLENGE), spelling
    bearer, mine = front.visitor(), new_uuid()
    front.route(mine, bearer=bearer)
    with siege.laid(audited=["invalid_grant"], provider=fake):
        problem(front.route(new_uuid(), proof=proof), 400, "invalid_grant")
        problem(front.set_identity(mine, proof, bearer=bearer), 400, "invalid_grant")


def test_both_doors_check_alike(front: Front, fake: FakeProvider, siege: Siege) -> None:
    bearer, mine = front.visitor(), new_uuid()
    front.route(mine, bearer=bearer)
    user_info_id = front.exchange(idToken=fake.id_token(), codeChallenge=CHALLENGE)
    wrong = (user_info_id, "x" * 43)
    with siege.laid(audited=["invalid_grant"], provider=fake):
        at_set = problem(front.set_identity(mine, wrong, bearer=bearer), 400, "invalid_grant")
        at_route = problem(front.route(mine, proof=wrong, bearer=bearer), 400, "invalid_grant")
    assert at_set == at_route
    assert front.set_identity(mine, (user_info_id, VERIFIER), bearer=bearer).status_code == 200


def test_the_longest_verifier_works(front: Front, fake: FakeProvider, siege: Siege) -> None:
    """And one that is longer does not, though it is the challenge's."""
    for verifier in ("a" * 43, "~._-" * 32):
        user_info_id = front.exchange(idToken=fake.id_token(), codeChallenge=challenge_of(verifier))
        assert front.route(new_uuid(), proof=(user_info_id, verifier)).status_code == 200
    longer = front.exchange(idToken=fake.id_token(), codeChallenge=challenge_of("a" * 129))
    with siege.laid(audited=["invalid_grant"], provider=fake):
        problem(front.route(new_uuid(), proof=(longer, "a" * 129)), 400, "invalid_grant")
