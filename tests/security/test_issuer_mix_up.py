"""A workspace trusts two providers, and one of them, or a stranger, speaks for the other's people (RFC 9700 section
4.4, RFC 8725 section 3.8)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.fixtures.fake_provider import DISCOVERY, JWKS, FakeProvider, Reply
from tests.fixtures.front_door import Installation
from tests.fixtures.puzzel import Front
from tests.fixtures.siege import Siege
from tests.fixtures.token_doors import ASKED_AT_MOST, doors


@pytest.fixture
def rogue(responding: Installation, front: Front, siege: Siege) -> Iterator[FakeProvider]:  # noqa: ARG001
    """A second provider that the workspace trusts as well, for its own people."""
    provider = FakeProvider("rogue")
    responding.run(provider.start())
    front.add_provider(provider, name="rogue")
    yield provider
    responding.run(provider.stop())


def refused(siege: Siege, front: Front, token: str) -> None:
    for each in doors(front, token):
        siege.refuses(each, {400, 401}, "invalid_token")


def test_a_trusted_provider_speaks_for_its_own_people_only(
    front: Front, fake: FakeProvider, rogue: FakeProvider, siege: Siege
) -> None:
    front.exchange(idToken=fake.id_token())
    with siege.laid(audited=["invalid_token"], provider=fake, most_asked=ASKED_AT_MOST):
        many: tuple[dict[str, Any], ...] = ({}, {"aud": ["widget-client", "other"], "azp": "widget-client"})
        for more in many:
            for header in ({}, {"kid": fake.key.kid}, {"kid": None}):
                refused(siege, front, rogue.id_token(iss=fake.issuer, header=header, **more))


def test_an_issuer_that_is_nearly_ours_is_none(front: Front, fake: FakeProvider, siege: Siege) -> None:
    """CVE-2024-53861 compared issuers by substring; some normalise what RFC 8414 compares octet by octet."""
    ours = fake.issuer
    with siege.laid(audited=["invalid_token"], provider=fake, most_asked=ASKED_AT_MOST):
        for issuer in (
            ours + "/",
            ours + "/.",
            ours + "?",
            ours + "#",
            ours[:-1],
            ours + "0",
            ours.upper(),
            ours.replace("http", "https"),
            ours.replace("127.0.0.1", "127.1"),
            ours.replace("127.0.0.1", "localhost"),
            ours.replace("//", "//user@"),
            ours + "\0",
            f" {ours}",
            [ours],
            {"0": ours},
            "",
            None,
            f"https://evil.example/{ours}",
        ):
            refused(siege, front, fake.id_token(iss=issuer))


def test_a_named_provider_takes_no_other_s_token(
    front: Front, fake: FakeProvider, rogue: FakeProvider, siege: Siege
) -> None:
    """`providerId` is the page's word: it chooses, it does not vouch."""
    ids = {"fake": 1, "rogue": 2}
    with siege.laid(audited=["invalid_token"], provider=rogue, most_asked=ASKED_AT_MOST):
        for token, name in ((fake.id_token(), "rogue"), (rogue.id_token(), "fake")):
            for each in doors(front, token):
                if each.path.startswith("/api/"):
                    named = type(each)(
                        each.method, f"{each.path}?providerId={ids[name]}", each.content, each.headers, each.secrets
                    )
                    siege.refuses(named, 401, "invalid_token")


def test_the_same_subject_at_two_providers_is_two_people(front: Front, fake: FakeProvider, rogue: FakeProvider) -> None:
    for provider in (fake, rogue, fake, rogue):
        front.exchange(idToken=provider.id_token(sub="the-same", email="the-same@example.com"))
    assert len(front.workspace.contacts()) == 2


def test_a_discovery_document_that_names_another_issuer_or_its_keys(
    front: Front, fake: FakeProvider, rogue: FakeProvider, siege: Siege
) -> None:
    """Discovery says whose it is, and must be whose it was asked for (OpenID Connect Discovery section 4.3)."""
    hostile = {**fake.discovery(), "jwks_uri": fake.url(JWKS)}
    rogue.answers[DISCOVERY] = lambda _asked: Reply(hostile)
    with siege.laid(audited=["upstream_failed"], provider=fake, most_asked=ASKED_AT_MOST):
        for each in doors(front, fake.sign({**claims(rogue), "iss": rogue.issuer})):
            siege.refuses(each, 502, "upstream_failed")


def claims(provider: FakeProvider) -> dict[str, object]:
    return {**provider._person(), "aud": "widget-client", "nonce": "n-1"}
