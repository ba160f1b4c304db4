"""An attacker makes us fetch a provider's keys again and again, or until there is no memory, or throw good keys away
(CVE-2026-48524; SECURITY.md finding 5)."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.fixtures.fake_provider import JWKS, Asked, FakeProvider, Reply, make_key
from tests.fixtures.puzzel import Front
from tests.fixtures.siege import Siege
from tests.fixtures.token_doors import ASKED_AT_MOST, doors

UNKNOWN = 300


def always(reply: Reply) -> Callable[[Asked], Reply]:
    return lambda _asked: reply


def test_hundreds_of_unknown_kids_are_one_fetch(front: Front, fake: FakeProvider, siege: Siege) -> None:
    front.exchange(idToken=fake.id_token())
    stranger = make_key("stranger")
    tokens = [fake.id_token(key=stranger, header={"kid": f"flood-{number}"}) for number in range(UNKNOWN)]
    with siege.laid(audited=["invalid_token"], provider=fake, most_asked=ASKED_AT_MOST):
        for token in tokens[:3]:
            for each in doors(front, token):
                siege.refuses(each, {400, 401}, "invalid_token")
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(lambda token: front.authenticate(idToken=token), tokens))
        assert {answer.status_code for answer in answers} == {401}
    front.exchange(idToken=fake.id_token())


def test_a_refused_answer_spoils_no_good_key(front: Front, fake: FakeProvider) -> None:
    """An unknown key id, and at that moment the provider fails: who has a good token comes in all the same."""
    front.exchange(idToken=fake.id_token())
    for broken in (
        Reply(b"{", status=200),
        Reply({"keys": []}),
        Reply({"keys": "none"}),
        Reply({}, status=500),
        Reply(b'{"keys":[' + b" " * 300_000 + b"]}"),
        Reply({"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "unknown", "alg": "HS256"}]}),
        Reply({}, status=302, headers={"Location": "http://169.254.169.254/"}),
    ):
        fake.answers[JWKS] = always(broken)
        answer = front.authenticate(idToken=fake.id_token(key=make_key("stranger"), header={"kid": "unknown"}))
        assert answer.status_code in {401, 502, 503}, answer.text
        front.exchange(idToken=fake.id_token())


@pytest.mark.parametrize(
    "reply",
    [
        Reply(b'{"keys":[' + b'{"kty":"RSA"},' * 60_000 + b"{}]}"),
        Reply({"keys": [{"kty": "RSA", "n": "AQAB" * 10, "e": "AQAB", "kid": str(n)} for n in range(5_000)]}),
        Reply(b"[" * 60_000),
        Reply(b'{"keys":' * 50 + b"1" + b"}" * 50),
        Reply(b"\xff\xfe{\0}\0"),
        Reply(b""),
    ],
    ids=["a huge set", "thousands of keys", "brackets", "deep", "UTF-16", "nothing"],
)
def test_a_hostile_set_is_the_providers_fault(front: Front, fake: FakeProvider, siege: Siege, reply: Reply) -> None:
    """502 with a code: it is no answer about the visitor. Nobody else's provider is felt to be slow."""
    fake.answers[JWKS] = always(reply)
    token = fake.id_token()
    with siege.laid(audited=(), provider=fake, most_asked=2 * ASKED_AT_MOST):
        for each in doors(front, token):
            siege.refuses(each, 502, {"upstream_failed", "upstream_too_large"})


def test_a_set_of_many_unfit_keys_costs_no_time(front: Front, fake: FakeProvider) -> None:
    good = fake.key.as_dict(private=False)
    unfit = [{"kty": "RSA", "n": "A" * 1_400, "e": "AQAB", "kid": f"k{number}"} for number in range(80)]
    fake.answers[JWKS] = lambda _asked: Reply({"keys": [*unfit, good]})
    began = time.monotonic()
    front.exchange(idToken=fake.id_token())
    assert time.monotonic() - began < 2
