"""RFC 7636 by another library than ours: Authlib, which lies in Canaille's environment, makes the challenges for which
a running server accepts our verifiers."""

from __future__ import annotations

import json
import secrets
import string
import subprocess
from pathlib import Path

import pytest

from tests.fixtures.environments import python_with
from tests.fixtures.fake_provider import FakeProvider
from tests.fixtures.puzzel import CHALLENGE, VERIFIER, Front, problem
from tests.fixtures.widget import new_uuid
from vestibule.tokens import pkce

pytestmark = pytest.mark.slow

CANAILLE = Path(__file__).parents[1] / "fixtures" / "canaille"
UNRESERVED = string.ascii_letters + string.digits + "-._~"
PROGRAM = """
import json, sys
from authlib.oauth2.rfc7636 import create_s256_code_challenge
print(json.dumps([create_s256_code_challenge(verifier) for verifier in json.load(sys.stdin)]))
"""


def by_authlib(verifiers: list[str]) -> list[str]:
    done = subprocess.run(
        [str(python_with("Canaille", CANAILLE)), "-c", PROGRAM],
        input=json.dumps(verifiers),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    challenges: list[str] = json.loads(done.stdout)
    return challenges


def test_the_challenges_that_are_accepted_are_those_of_another_library(front: Front, fake: FakeProvider) -> None:
    """The seed's pair, which is that of appendix B, and verifiers of ours, from the shortest to the longest."""
    front.queue()
    ours = ["".join(secrets.choice(UNRESERVED) for _ in range(length)) for length in (43, 64, 128)]
    challenges = by_authlib([VERIFIER, *ours])
    assert challenges[0] == CHALLENGE
    token = fake.id_token()
    for verifier, challenge in zip([VERIFIER, *ours], challenges, strict=True):
        assert pkce.challenge_of(verifier) == challenge
        user_info_id = front.exchange(idToken=token, codeChallenge=challenge)
        other = verifier[:-1] + ("a" if verifier[-1] != "a" else "b")
        problem(front.route(new_uuid(), proof=(user_info_id, other)), 400, "invalid_grant")
        routed = front.route(new_uuid(), proof=(user_info_id, verifier))
        assert routed.status_code == 200, routed.text
