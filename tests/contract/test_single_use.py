"""A provider whose tokens are good once: each is taken one time, however spelled and however many come at once."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.fixtures.fake_provider import API, CLIENT, CLIENT_SECRET, FakeProvider, running_provider
from vestibule.clock import DAY_MS, HOUR_MS, now_ms
from vestibule.errors import InvalidProviderToken
from vestibule.identity.resolution import Resolver
from vestibule.model.claims import Method, ProfileClaims, ProviderSubject, VerifiedClaims
from vestibule.model.identity_provider import ClientCredentials, IdentityProvider, TokenKind
from vestibule.oidc.jwks import ProviderKeys
from vestibule.oidc.token_reader import TokenReader
from vestibule.outbound.client import Outbound
from vestibule.sealing import KEY_BYTES, Sealer
from vestibule.storage import spent_tokens
from vestibule.storage.contacts import Contacts
from vestibule.storage.opening import ensure_schema, open_store
from vestibule.storage.provider_identities import ProviderIdentities
from vestibule.storage.store import Store
from vestibule.verification.token_exchange import ProviderToken, TokenExchange

P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@pytest.fixture(scope="module")
def migrated(module_database_url: str) -> str:
    ensure_schema(module_database_url, may_migrate=True)
    return module_database_url


@pytest.fixture
async def store(migrated: str) -> AsyncIterator[Store]:
    opened = await open_store(migrated)
    yield opened
    await opened.close()


@pytest.fixture
def resolver(store: Store) -> Resolver:
    contacts = Contacts(store, Sealer((secrets.token_bytes(KEY_BYTES),)))
    return Resolver(contacts, ProviderIdentities(store, contacts))


def proof(once: str | None, workspace_id: str = "w") -> VerifiedClaims:
    subject = ProviderSubject("https://idp.example.com", "u-1", 1, expires_at=now_ms() + HOUR_MS, once=once)
    return VerifiedClaims(workspace_id, Method.TOKEN_EXCHANGE, now_ms(), ProfileClaims(name="Ada"), subject=subject)


# ---------------------------------------------------------------------------------------------------------- used once


async def test_of_many_at_once_one_goes_on(resolver: Resolver) -> None:
    once = secrets.token_hex(32)
    found = await asyncio.gather(*(resolver.resolve(proof(once)) for _ in range(30)), return_exceptions=True)
    kinds = Counter(type(one).__name__ for one in found)
    assert kinds == {"Decision": 1, "InvalidProviderToken": 29}
    assert {str(one) for one in found if isinstance(one, Exception)} == {InvalidProviderToken.sentence}


async def test_of_many_processes_one_goes_on(migrated: str) -> None:
    """Each store has connections of its own, as another process would."""
    once = secrets.token_hex(32)
    stores = [await open_store(migrated) for _ in range(4)]
    end = now_ms() + HOUR_MS
    found = await asyncio.gather(*(spent_tokens.spend(one, "w", once, end) for one in stores for _ in range(5)))
    assert sum(found) == 1
    for one in stores:
        await one.close()


async def test_it_is_used_in_its_workspace_only_and_previewing_uses_nothing(resolver: Resolver) -> None:
    once = secrets.token_hex(32)
    await resolver.preview(proof(once))
    await resolver.resolve(proof(once))
    await resolver.resolve(proof(once, "another"))
    for _ in range(3):
        await resolver.resolve(proof(None))


async def test_what_could_not_be_used_any_more_is_forgotten(store: Store) -> None:
    now = now_ms()
    assert await spent_tokens.spend(store, "p", "over", now - DAY_MS)
    assert await spent_tokens.spend(store, "p", "just over", now - 1000)  # leeway may still take it
    assert await spent_tokens.spend(store, "p", "endless", None)
    assert await spent_tokens.purge(store, now) == 1
    assert await spent_tokens.spend(store, "p", "over", now)
    assert not await spent_tokens.spend(store, "p", "just over", now)
    assert not await spent_tokens.spend(store, "p", "endless", now)


# ------------------------------------------------------------------------------------------------ one token, one name


class Bench:
    """A provider whose tokens are good once, and what a token of it is known by."""

    def __init__(self, fake: FakeProvider, outbound: Outbound) -> None:
        self.fake = fake
        self._method = TokenExchange(TokenReader(outbound, ProviderKeys(outbound)))

    async def once(self, *, single_use: bool = True, **token: str) -> str | None:
        provider = IdentityProvider(
            workspace_id="w",
            id=1,
            position=1,
            name="fake",
            issuer=self.fake.issuer,
            client_ids=(CLIENT,),
            audiences=(API,),
            accepts=tuple(TokenKind),
            introspection_client=ClientCredentials(CLIENT, CLIENT_SECRET),
            single_use=single_use,
        )
        credential: dict[str, Any] = {"workspace_id": "w", "providers": (provider,), **token}
        subject = (await self._method.verify(ProviderToken(**credential))).subject
        assert subject is not None
        return subject.once


@pytest.fixture(params=["RS256", "ES256"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    outbound = Outbound((ipaddress.ip_network("127.0.0.0/8"),))
    async with running_provider("key-1", request.param) as fake:
        yield Bench(fake, outbound)
    await outbound.close()


def other_signature(token: str) -> str:
    """The second signature that ECDSA has for the same text: (r, n - s), made without the key."""
    signed, _, signature = token.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    flipped = raw[:32] + (P256 - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")
    return f"{signed}.{base64.urlsafe_b64encode(flipped).rstrip(b'=').decode()}"


async def test_off_by_default_a_token_has_no_name(bench: Bench) -> None:
    assert await bench.once(single_use=False, id_token=bench.fake.id_token()) is None


async def test_a_token_is_known_by_its_jti(bench: Bench) -> None:
    now = int(time.time())
    first = await bench.once(id_token=bench.fake.id_token(jti="a", iat=now))
    assert first == await bench.once(id_token=bench.fake.id_token(jti="a", iat=now - 1))
    assert first != await bench.once(id_token=bench.fake.id_token(jti="b", iat=now))


async def test_a_token_without_jti_is_known_by_what_was_signed(bench: Bench) -> None:
    token = bench.fake.id_token()
    assert await bench.once(id_token=token) == await bench.once(id_token=token)
    assert await bench.once(id_token=token) != await bench.once(id_token=bench.fake.id_token(nonce="n-2"))
    if bench.fake.algorithm == "ES256":
        assert other_signature(token) != token
        assert await bench.once(id_token=other_signature(token)) == await bench.once(id_token=token)


async def test_an_opaque_token_is_known_by_itself(bench: Bench) -> None:
    one, two = bench.fake.opaque_token("opaque-1"), bench.fake.opaque_token("opaque-2")
    assert await bench.once(access_token=one) == await bench.once(access_token=one)
    assert await bench.once(access_token=one) != await bench.once(access_token=two)
