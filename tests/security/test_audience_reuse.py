"""A token that a person gave to another site of the same provider is brought to our chat (SECURITY.md finding 1,
RFC 8725 section 3.9, RFC 9700 section 2.3)."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from tests.fixtures.fake_provider import API, CLIENT, USERINFO, FakeProvider
from tests.fixtures.puzzel import Front
from tests.fixtures.siege import Siege
from tests.fixtures.token_doors import ASKED_AT_MOST, doors

OTHERS: tuple[Any, ...] = (
    "other-client",
    ["other-client"],
    [],
    None,
    "",
    CLIENT.upper(),
    f"{CLIENT} ",
    CLIENT + "\0",
    CLIENT[:-1],
    f"{CLIENT}.evil",
    f"other {CLIENT}",
    f"{CLIENT},other",
    {CLIENT: True},
    [[CLIENT]],
    [CLIENT, 1],
    True,
    API,
    f"https://{CLIENT}",
)


def test_an_id_token_of_another_client(front: Front, fake: FakeProvider, siege: Siege) -> None:
    with siege.laid(audited=["invalid_token"], provider=fake, most_asked=ASKED_AT_MOST):
        for audience in OTHERS:
            for each in doors(front, fake.id_token(aud=audience)):
                siege.refuses(each, {400, 401}, "invalid_token")


@pytest.mark.parametrize("party", ["other-client", "", CLIENT.upper(), [CLIENT], None, 1])
def test_an_id_token_of_many_audiences_that_another_asked_for(
    front: Front, fake: FakeProvider, siege: Siege, party: Any
) -> None:
    """OpenID Connect Core section 3.1.3.7, 4 and 5."""
    with siege.laid(audited=["invalid_token"], provider=fake, most_asked=ASKED_AT_MOST):
        for each in doors(front, fake.id_token(aud=[CLIENT, "other-client"], azp=party)):
            siege.refuses(each, {400, 401}, "invalid_token")


def test_an_access_token_of_another_api(front: Front, fake: FakeProvider, siege: Siege) -> None:
    with siege.laid(audited=["invalid_token"], provider=fake, most_asked=ASKED_AT_MOST):
        for audience in (*OTHERS[:-2], CLIENT, "openid chat", f"{API}/", API.upper(), f"{API}.evil"):
            for each in doors(front, fake.access_token(aud=audience), access=True):
                siege.refuses(each, {400, 401}, "invalid_token")


def test_an_opaque_token_of_another_client(front: Front, fake: FakeProvider, siege: Siege) -> None:
    """Userinfo answers for any valid token of the provider: it is asked only once introspection has named us."""
    shots = 0
    with siege.laid(audited=["invalid_token"], provider=fake, most_asked=500):
        for about in (
            {"client_id": "other-client"},
            {"client_id": None},
            {"client_id": "other-client", "aud": "other-api"},
            {"client_id": CLIENT.upper()},
            {"client_id": [CLIENT]},
            {"active": False},
            {"active": "true"},
            {"active": 1},
            {"active": None},
            {"exp": 1},
        ):
            token = fake.opaque_token(secrets.token_urlsafe(24), **about)
            for each in doors(front, token, access=True):
                siege.refuses(each, {400, 401, 502}, {"invalid_token", "upstream_failed"})
                shots += 1
        assert shots
    if USERINFO in fake.asked:
        assert fake.asked[USERINFO] <= 2 * shots, "asked about a token that is not ours"


def test_a_token_of_our_other_client_is_of_its_own_provider_entry(front: Front, fake: FakeProvider) -> None:
    """Two entries for one issuer: each takes its own client's tokens, and its people are the issuer's."""
    front.add_provider(fake, name="second", client_ids=("second-client",), audiences=("https://second.example.com",))
    for client in (CLIENT, "second-client"):
        front.exchange(idToken=fake.id_token(aud=client))
    assert len(front.workspace.contacts()) == 1
    assert front.authenticate(idToken=fake.id_token(aud="second-client"), provider_id=1).status_code == 401
