"""Token exchange with identity providers that people run, by real authorization-code flows with PKCE."""

from __future__ import annotations

import asyncio
import ipaddress
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.fixtures.fake_provider import API, CLIENT, CLIENT_SECRET
from tests.fixtures.real_providers import Canaille, NodeOidcProvider, RealProvider
from vestibule.errors import InvalidProviderToken, UpstreamFailed
from vestibule.model.claims import VerifiedClaims
from vestibule.model.identity_provider import ClientCredentials, IdentityProvider, TokenKind
from vestibule.oidc.jwks import ProviderKeys
from vestibule.oidc.token_reader import TokenReader
from vestibule.outbound.client import Outbound
from vestibule.verification.token_exchange import ProviderToken, TokenExchange

pytestmark = pytest.mark.slow

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
READERS = 4
ENOUGH = 100  # of each kind of token, for a load


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Exchange:
    """Our method, set up for one real provider."""

    def __init__(self, issuer: str, outbound: Outbound, **changes: Any) -> None:
        self.clock = Clock()
        self._method = TokenExchange(TokenReader(outbound, ProviderKeys(outbound, clock=self.clock)))
        settings: dict[str, Any] = {
            "workspace_id": "w",
            "id": 1,
            "position": 1,
            "name": "real",
            "issuer": issuer,
            "client_ids": (CLIENT,),
            "audiences": (API,),
            "accepts": tuple(TokenKind),
            "introspection_client": ClientCredentials(CLIENT, CLIENT_SECRET),
            "link_by_email": True,
        }
        self._provider = IdentityProvider(**{**settings, **changes})

    async def verify(self, *, id_token: str | None = None, access_token: str | None = None) -> VerifiedClaims:
        return await self._method.verify(ProviderToken("w", (self._provider,), None, access_token, id_token))

    async def refused(self, *, id_token: str | None = None, access_token: str | None = None) -> str:
        with pytest.raises(InvalidProviderToken) as error:
            await self.verify(id_token=id_token, access_token=access_token)
        return error.value.step


@pytest.fixture(scope="module")
def node() -> Iterator[NodeOidcProvider]:
    with NodeOidcProvider("real-1") as running:
        yield running


@pytest.fixture
async def exchange(node: NodeOidcProvider) -> AsyncIterator[Exchange]:
    outbound = Outbound(LOOPBACK)
    yield Exchange(node.issuer, outbound)
    await outbound.close()


async def sign_in(node: NodeOidcProvider, person: str, *, resource: str | None = None, client: str = CLIENT) -> str:
    """The access token; `resource` makes it a JWT."""
    tokens = await asyncio.to_thread(node.sign_in, person, resource=resource, client=client)
    return str(tokens["access_token"])


async def id_token(provider: RealProvider, person: str, client: str = CLIENT) -> str:
    return str((await asyncio.to_thread(provider.sign_in, person, client=client))["id_token"])


async def turn_keys_under_load(provider: RealProvider, exchange: Exchange) -> None:
    """Who has a token of the old key is let in all the time, and who has one of the new as soon as there is one."""
    shown = [await id_token(provider, "ada")]
    await exchange.verify(id_token=shown[0])  # the keys of now are known
    accepted: Counter[str] = Counter()

    async def read() -> None:
        while len(shown) < 2 or min(accepted[token] for token in shown) < ENOUGH:
            token = random.choice(shown)
            assert (await exchange.verify(id_token=token)).subject is not None
            accepted[token] += 1
            await asyncio.sleep(0)

    async with asyncio.timeout(120), asyncio.TaskGroup() as readers:
        for _ in range(READERS):
            readers.create_task(read())
        await asyncio.to_thread(provider.restart, "real-2", "real-1")
        after = await id_token(provider, "ada")
        assert after.split(".")[0] != shown[0].split(".")[0], "the header names another key"
        assert accepted[shown[0]] > ENOUGH, "also while the provider was away"
        accepted.clear()
        shown.append(after)


async def test_an_id_token_of_oidc_provider(node: NodeOidcProvider, exchange: Exchange) -> None:
    claims = await exchange.verify(id_token=await id_token(node, "ada"))
    assert claims.subject is not None
    assert (claims.subject.issuer, claims.subject.subject) == (node.issuer, "ada")
    assert (claims.profile.name, claims.email_key) == ("ada", "ada@example.com")


async def test_a_jwt_access_token_of_oidc_provider(node: NodeOidcProvider, exchange: Exchange) -> None:
    token = await sign_in(node, "ada", resource=API)
    claims = await exchange.verify(access_token=token)
    assert claims.subject is not None
    assert claims.subject.subject == "ada"
    assert await exchange.refused(id_token=token) == "typ"


async def test_an_opaque_access_token_of_oidc_provider(node: NodeOidcProvider, exchange: Exchange) -> None:
    claims = await exchange.verify(access_token=await sign_in(node, "ada"))
    assert claims.subject is not None
    assert (claims.subject.subject, claims.profile.email) == ("ada", "ada@example.com")


async def test_tokens_of_another_client_of_the_same_provider_are_refused(
    node: NodeOidcProvider, exchange: Exchange
) -> None:
    """The door that userinfo alone would leave open (SECURITY.md finding 1)."""
    assert await exchange.refused(access_token=await sign_in(node, "ada", client="another-client")) in {"active", "aud"}
    assert await exchange.refused(id_token=await id_token(node, "ada", "another-client")) == "aud"


async def test_its_id_token_is_no_access_token(node: NodeOidcProvider, exchange: Exchange) -> None:
    assert await exchange.refused(access_token=await id_token(node, "ada")) == "kind"


async def test_keys_turn_in_the_middle_of_load(node: NodeOidcProvider, exchange: Exchange) -> None:
    await turn_keys_under_load(node, exchange)


async def test_known_keys_serve_while_it_is_stopped(node: NodeOidcProvider, exchange: Exchange) -> None:
    token, opaque = await id_token(node, "ada"), await sign_in(node, "ada")
    await exchange.verify(id_token=token)
    await asyncio.to_thread(node.stop)
    exchange.clock.now += 700
    assert (await exchange.verify(id_token=token)).subject is not None
    with pytest.raises(UpstreamFailed):
        await exchange.verify(access_token=opaque)
    await asyncio.to_thread(node.start)
    exchange.clock.now += 60
    assert (await exchange.verify(id_token=await id_token(node, "ada"))).subject is not None


# ------------------------------------------------------------------------------------------------------------ Canaille


@pytest.fixture(scope="module")
def canaille() -> Iterator[Canaille]:
    with Canaille("real-1") as running:
        yield running


@pytest.fixture
async def outbound() -> AsyncIterator[Outbound]:
    opened = Outbound(LOOPBACK)
    yield opened
    await opened.close()


async def test_an_id_token_of_canaille(canaille: Canaille, outbound: Outbound) -> None:
    exchange = Exchange(canaille.issuer, outbound, id_token_requires=("at_hash",))
    tokens = await asyncio.to_thread(canaille.sign_in, "ada")
    claims = await exchange.verify(id_token=tokens["id_token"])
    assert claims.subject is not None
    assert (claims.subject.subject, claims.profile.name) == ("ada", "Ada Lovelace")
    assert claims.email_key is None  # it never says email_verified


async def test_canailles_unmarked_access_token_is_no_id_token(canaille: Canaille, outbound: Outbound) -> None:
    """The same issuer, audience, person and type as its ID token, for ten days (SECURITY.md finding 2)."""
    token = (await asyncio.to_thread(canaille.sign_in, "ada"))["access_token"]
    assert await Exchange(canaille.issuer, outbound).refused(id_token=token) == "exp"
    told_apart = Exchange(canaille.issuer, outbound, longest_life=10 * 86_400, id_token_requires=("at_hash",))
    assert await told_apart.refused(id_token=token) == "kind"


async def test_canailles_access_token_is_introspected(canaille: Canaille, outbound: Outbound) -> None:
    kinds = (TokenKind.ID_TOKEN, TokenKind.OPAQUE_ACCESS_TOKEN)
    client = ClientCredentials(CLIENT, canaille.secret)
    exchange = Exchange(canaille.issuer, outbound, accepts=kinds, introspection_client=client)
    token = (await asyncio.to_thread(canaille.sign_in, "ada"))["access_token"]
    claims = await exchange.verify(access_token=token)
    assert claims.subject is not None
    assert claims.subject.subject == "ada"
    foreign = (await asyncio.to_thread(canaille.sign_in, "ada", client="another-client"))["access_token"]
    assert await exchange.refused(access_token=foreign) in {"active", "aud"}


async def test_canaille_turns_its_keys_in_the_middle_of_load(canaille: Canaille, outbound: Outbound) -> None:
    await turn_keys_under_load(canaille, Exchange(canaille.issuer, outbound))


async def test_canailles_known_keys_serve_while_it_is_stopped(canaille: Canaille, outbound: Outbound) -> None:
    kinds = (TokenKind.ID_TOKEN, TokenKind.OPAQUE_ACCESS_TOKEN)
    client = ClientCredentials(CLIENT, canaille.secret)
    exchange = Exchange(canaille.issuer, outbound, accepts=kinds, introspection_client=client)
    tokens = await asyncio.to_thread(canaille.sign_in, "ada")
    await exchange.verify(id_token=tokens["id_token"])
    await asyncio.to_thread(canaille.stop)
    exchange.clock.now += 700
    assert (await exchange.verify(id_token=tokens["id_token"])).subject is not None
    with pytest.raises(UpstreamFailed):
        await exchange.verify(access_token=tokens["access_token"])
    await asyncio.to_thread(canaille.start)
    exchange.clock.now += 60
    tokens = await asyncio.to_thread(canaille.sign_in, "ada")  # it is in memory, and has forgotten the others
    assert (await exchange.verify(id_token=tokens["id_token"])).subject is not None
    assert (await exchange.verify(access_token=tokens["access_token"])).subject is not None
