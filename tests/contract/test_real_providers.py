"""Token exchange with identity providers that people run, by real authorization-code flows with PKCE."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.fixtures.fake_provider import API, CLIENT, CLIENT_SECRET
from tests.fixtures.real_providers import Canaille, NodeOidcProvider
from vestibule.errors import InvalidProviderToken, UpstreamFailed
from vestibule.model.claims import VerifiedClaims
from vestibule.model.identity_provider import ClientCredentials, IdentityProvider, TokenKind
from vestibule.oidc.jwks import ProviderKeys
from vestibule.oidc.token_reader import TokenReader
from vestibule.outbound.client import Outbound
from vestibule.verification.token_exchange import ProviderToken, TokenExchange

pytestmark = pytest.mark.slow

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)


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


async def id_token(node: NodeOidcProvider, person: str, client: str = CLIENT) -> str:
    return str((await asyncio.to_thread(node.sign_in, person, client=client))["id_token"])


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
    before = await id_token(node, "ada")
    await exchange.verify(id_token=before)
    stop = asyncio.Event()

    async def load() -> int:
        done = 0
        while not stop.is_set():
            await exchange.verify(id_token=before)
            done += 1
            await asyncio.sleep(0)
        return done

    loading = asyncio.create_task(load())
    await asyncio.to_thread(node.restart, "real-2", "real-1")
    after = await id_token(node, "ada")
    assert (await exchange.verify(id_token=after)).subject is not None
    stop.set()
    assert await loading > 100


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


async def test_canaille_turns_its_keys(canaille: Canaille, outbound: Outbound) -> None:
    exchange = Exchange(canaille.issuer, outbound)
    before = (await asyncio.to_thread(canaille.sign_in, "ada"))["id_token"]
    await exchange.verify(id_token=before)
    await asyncio.to_thread(canaille.restart, "real-2", "real-1")
    after = (await asyncio.to_thread(canaille.sign_in, "ada"))["id_token"]
    assert (await exchange.verify(id_token=after)).subject is not None
    assert (await exchange.verify(id_token=before)).subject is not None
