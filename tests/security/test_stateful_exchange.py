"""Proofs and tokens over their whole life, in an order that nobody thought of: exchange, redeem, use twice, guess, sign
out, rotate keys on both sides, restart. After each step a small model says what must be open and what must not."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.conftest import TEST_SETTINGS
from tests.fixtures.admin import Admin
from tests.fixtures.fake_provider import FakeProvider
from tests.fixtures.front_door import Installation
from tests.fixtures.puzzel import Front, new_pair
from tests.fixtures.responding import RESPONDING_SETTINGS
from tests.fixtures.server import RunningServer
from tests.fixtures.siege import code_of, form
from vestibule.surfaces.native.token import EXCHANGE, ID_TOKEN, USER_INFO_ID

LONG = os.environ.get("VESTIBULE_FUZZ") == "long"
EXAMPLES, STEPS = (40, 60) if LONG else (2, 20)
PEOPLE = ("ada", "bob", "eve")
WRONG_MOST = 5
_SEEN_WITHIN = 5.0
_KEYS = ("key-1", "key-2", "key-3")


class Proof:
    """A userInfoId, and what has become of it."""

    def __init__(self, text: str, verifier: str, person: str) -> None:
        self.text, self.verifier, self.person = text, verifier, person
        self.used = self.ended = False
        self.wrong = 0


class Token:
    """A contact token, the userInfoId that it came of, if one, and whether it was ended."""

    def __init__(self, text: str, person: str, contact_id: str, proof: Proof | None) -> None:
        self.text, self.person, self.contact_id, self.proof = text, person, contact_id, proof
        self.ended = False


class Life(RuleBasedStateMachine):
    """Bound to a server by `stage`; each run has a workspace of its own."""

    stage: tuple[Installation, FakeProvider]
    proofs: Any = Bundle("proofs")
    tokens: Any = Bundle("tokens")

    def __init__(self) -> None:
        super().__init__()
        self.installation, self.provider = self.stage
        self.front = Front(self.installation.workspace())
        self.front.add_provider(self.provider)
        self.admin = Admin(self.installation, self.front.workspace.id)
        self.whole = Admin(self.installation)
        self.contacts: dict[str, str] = {}
        self.all: list[Token] = []
        self.signed_out: set[str] = set()
        self.restarts = 0

    def told(self, person: str, contact_id: str) -> None:
        """A person is one contact for ever, and no other's."""
        assert self.contacts.setdefault(person, contact_id) == contact_id
        assert len(set(self.contacts.values())) == len(self.contacts)

    @rule(target=proofs, person=st.sampled_from(PEOPLE))
    def exchange(self, person: str) -> Proof:
        verifier, challenge = new_pair()
        token = self.provider.id_token(sub=person, email=f"{person}@example.com")
        return Proof(self.front.exchange(idToken=token, codeChallenge=challenge), verifier, person)

    @rule(target=tokens, person=st.sampled_from(PEOPLE))
    def exchange_at_once(self, person: str) -> Any:
        token = self.provider.id_token(sub=person, email=f"{person}@example.com")
        fields = {"grant_type": EXCHANGE, "subject_token": token, "subject_token_type": ID_TOKEN}
        return self._made(fields, person)

    @rule(target=tokens, proof=proofs)
    def redeem(self, proof: Proof) -> Any:
        fields = {"grant_type": USER_INFO_ID, "user_info_id": proof.text, "code_verifier": proof.verifier}
        answer = self._ask(fields)
        if answer.status_code == 200:
            # The same call again is answered alike, for a page whose answer was lost, and as the same person.
            assert proof.wrong < WRONG_MOST, "five wrong guesses end it"
            assert not proof.ended, "who signs out with one of its tokens ends it"
            proof.used = True
            return self._kept(answer, proof.person, proof)
        assert (answer.status_code, code_of(answer)) == (400, "invalid_grant"), answer.text
        assert proof.used or proof.wrong >= WRONG_MOST or proof.person in self.signed_out, "a good proof was refused"
        return multiple()

    @rule(proof=proofs)
    def guess(self, proof: Proof) -> None:
        fields = {"grant_type": USER_INFO_ID, "user_info_id": proof.text, "code_verifier": new_pair()[0]}
        answer = self._ask(fields)
        assert (answer.status_code, code_of(answer)) == (400, "invalid_grant"), answer.text
        proof.wrong += 1

    @rule(person=st.sampled_from(PEOPLE))
    def forge(self, person: str) -> None:
        stranger = FakeProvider("stranger")
        token = stranger.id_token(iss=self.provider.issuer, sub=person, header={"kid": self.provider.key.kid})
        assert self.front.authenticate(idToken=token).status_code == 401

    @rule(token=tokens)
    def use(self, token: Token) -> None:
        self._is_as_it_should(token)

    @rule(token=tokens)
    def sign_out(self, token: Token) -> None:
        answer = self.front.call("POST", "/v1/me/sign-out", {}, bearer=token.text)
        assert answer.status_code == (401 if token.ended else 204), answer.text
        # What came of one userInfoId is one token, however often it was asked for.
        same = [one for one in self.all if one.proof is token.proof] if token.proof is not None else [token]
        if token.proof is not None:
            token.proof.ended = True
        self._end(same)

    @rule(token=tokens)
    def revoke_all_of_a_person(self, token: Token) -> None:
        self.admin.do("POST", f"contacts/{token.contact_id}/sign-out")
        self.signed_out.add(token.person)
        self._end([one for one in self.all if one.contact_id == token.contact_id])
        time.sleep(0.002)  # what is issued from now on is issued after

    @rule()
    def rotate_our_key(self) -> None:
        """What was signed before goes on."""
        answer = self.whole.call("POST", "/signing-keys/rotate")
        assert answer.status_code in {200, 201}, answer.text

    @rule(name=st.sampled_from(_KEYS))
    def rotate_the_provider_s_key(self, name: str) -> None:
        """Among keys that it publishes; a key that is taken back is tests/contract/test_jwks.py's matter."""
        [self.provider.key] = [key for key in self.provider.published if key.kid == name]

    @precondition(lambda self: self.restarts < 1)
    @rule()
    def restart(self) -> None:
        self.restarts += 1
        self.installation.server.restart()

    @invariant()
    def the_last_tokens_are_as_they_should_be(self) -> None:
        for token in self.all[-2:]:
            self._is_as_it_should(token)

    def _ask(self, fields: dict[str, str]) -> Any:
        return form("/v1/token", {"client_id": self.front.customer_id, **fields}).send(self.installation.http, "")

    def _made(self, fields: dict[str, str], person: str) -> Token:
        answer = self._ask(fields)
        assert answer.status_code == 200, answer.text
        return self._kept(answer, person)

    def _kept(self, answer: Any, person: str, proof: Proof | None = None) -> Token:
        made = Token(answer.json()["access_token"], person, answer.json()["contact"]["id"], proof)
        self.told(person, made.contact_id)
        self.all.append(made)
        return made

    def _end(self, ended: list[Token]) -> None:
        """Seen within five seconds by every process (SECURITY.md), and for ever after."""
        for token in ended:
            token.ended = True
            deadline = time.monotonic() + _SEEN_WITHIN
            while self.front.workspace.me(token.text).status_code != 401:
                assert time.monotonic() < deadline, "it still opens something"
                time.sleep(0.1)

    def _is_as_it_should(self, token: Token) -> None:
        answer = self.front.workspace.me(token.text)
        if token.ended:
            assert answer.status_code == 401, "a token that was ended opens something"
        else:
            assert answer.status_code == 200, answer.text
            assert answer.json()["id"] == token.contact_id


@pytest.fixture(scope="module")
def stage(
    module_database_url: str, secret_key: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Installation, FakeProvider]]:
    """A server that may be restarted, and a provider."""
    directory = tmp_path_factory.mktemp("stateful")
    given = {
        **TEST_SETTINGS,
        **RESPONDING_SETTINGS,
        "VESTIBULE_DATABASE_URL": module_database_url,
        "VESTIBULE_SECRET_KEYS": secret_key,
    }
    with RunningServer(given, directory) as server, Installation(server) as installation:
        provider = FakeProvider(_KEYS[0])
        installation.run(provider.start())
        for name in _KEYS[1:]:  # published from the beginning, so that no key set has to be asked for again
            provider.rotate(name, keep_old=True)
        yield installation, provider
        installation.run(provider.stop())
    assert "unexpected" not in server.log(), server.log()[-20_000:]


def test_every_order_of_steps(stage: tuple[Installation, FakeProvider]) -> None:
    Life.stage = stage
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
            # Shrinking repeats every step, restarts among them: the long form may take that time.
            phases=tuple(Phase) if LONG else (Phase.explicit, Phase.reuse, Phase.generate),
        ),
    )
