"""Token exchange against a real provider on loopback: what proves somebody, what does not, and who is asked."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from joserfc.jwk import OctKey
from msgspec import UNSET

from tests.fixtures.fake_provider import (
    API,
    CLIENT,
    CLIENT_SECRET,
    DISCOVERY,
    INTROSPECTION,
    JWKS,
    USERINFO,
    Asked,
    FakeProvider,
    Reply,
    make_key,
    running_provider,
)
from vestibule.errors import (
    BoundTokenNotSupported,
    EncryptedTokenNotSupported,
    InvalidProviderToken,
    InvalidRequest,
    NotFound,
    OpaqueTokenNotSupported,
    ProviderRequired,
    Upstream,
    VestibuleError,
)
from vestibule.model.claims import VerifiedClaims
from vestibule.model.identity_provider import (
    SHARED_SECRET,
    ClaimMapping,
    ClientAuth,
    ClientCredentials,
    IdentityProvider,
    TokenKind,
    UserinfoUse,
)
from vestibule.oidc.jwks import ProviderKeys
from vestibule.oidc.token_reader import TokenReader
from vestibule.outbound.circuit import Circuits
from vestibule.outbound.client import Outbound
from vestibule.verification.token_exchange import ProviderToken, TokenExchange

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
EVERY_KIND = tuple(TokenKind)
OPAQUE = "opaque-0123456789"


class Bench:
    """A provider, our method, and the settings that a test changes."""

    def __init__(self, fake: FakeProvider, outbound: Outbound) -> None:
        self.fake = fake
        self.method = TokenExchange(TokenReader(outbound, ProviderKeys(outbound)))

    def provider(self, fake: FakeProvider | None = None, **changes: Any) -> IdentityProvider:
        settings: dict[str, Any] = {
            "workspace_id": "w",
            "id": 1,
            "position": changes.get("id", 1),
            "name": "fake",
            "issuer": (fake or self.fake).issuer,
            "client_ids": (CLIENT,),
            "audiences": (API,),
            "accepts": EVERY_KIND,
            "introspection_client": ClientCredentials(CLIENT, CLIENT_SECRET),
        }
        return IdentityProvider(**{**settings, **changes})

    async def verify(
        self,
        *,
        id_token: str | None = None,
        access_token: str | None = None,
        provider_id: int | None = None,
        providers: tuple[IdentityProvider, ...] | None = None,
        **changes: Any,
    ) -> VerifiedClaims:
        given = (self.provider(**changes),) if providers is None else providers
        return await self.method.verify(ProviderToken("w", given, provider_id, access_token, id_token))

    async def refusal(self, **given: Any) -> VestibuleError:
        with pytest.raises(VestibuleError) as refused:
            await self.verify(**given)
        return refused.value

    async def step(self, **given: Any) -> str:
        error = await self.refusal(**given)
        assert type(error) is InvalidProviderToken, error
        assert str(error) == "The token is not valid."
        return error.step


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    outbound = Outbound(LOOPBACK, circuits=Circuits(failures=10_000))
    async with running_provider() as fake:
        yield Bench(fake, outbound)
    await outbound.close()


# ------------------------------------------------------------------------------------------------- what proves somebody


async def test_an_id_token_proves_its_subject(bench: Bench) -> None:
    signed_in = int(time.time()) - 60
    claims = await bench.verify(id_token=bench.fake.id_token(auth_time=signed_in, sid="s-1"))
    assert claims.subject is not None
    assert (claims.subject.issuer, claims.subject.subject) == (bench.fake.issuer, "u-1")
    assert claims.subject.auth_time == signed_in * 1000
    assert claims.subject.session == "s-1"
    assert claims.subject.expires_at is not None
    assert (claims.profile.name, claims.profile.email) == ("Ada", "ada@example.com")
    assert claims.email_key is None
    assert claims.phone_key is None


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA", "RS512"])
async def test_every_default_algorithm_works(algorithm: str) -> None:
    outbound = Outbound(LOOPBACK)
    async with running_provider("key-a", algorithm) as fake:
        bench = Bench(fake, outbound)
        assert (await bench.verify(id_token=fake.id_token())).subject is not None
    await outbound.close()


async def test_a_jwt_access_token_proves_its_subject(bench: Bench) -> None:
    assert (await bench.verify(access_token=bench.fake.access_token())).subject is not None
    plain = bench.fake.access_token(header={"typ": "JWT"})  # the seed's own sample has this type
    assert (await bench.verify(access_token=plain)).subject is not None
    assert await bench.step(access_token=plain, strict_access_tokens=True) == "typ"
    assert INTROSPECTION not in bench.fake.asked


async def test_an_opaque_token_is_introspected_with_our_credentials_then_userinfo(bench: Bench) -> None:
    claims = await bench.verify(access_token=bench.fake.opaque_token(OPAQUE))
    assert claims.subject is not None
    assert claims.subject.subject == "u-1"
    assert claims.profile.name == "Ada"
    asked = {one.path: one for one in bench.fake.requests}
    assert asked[INTROSPECTION].form == {"token": OPAQUE, "token_type_hint": "access_token"}
    # RFC 6749 section 2.3.1: both parts form-encoded, then Basic.
    assert asked[INTROSPECTION].headers["authorization"] == (
        "Basic d2lkZ2V0LWNsaWVudDpzM2NyZXQlM0Erd2l0aCthK2NvbG9uKyUyNittb3Jl"
    )
    assert asked[USERINFO].headers["authorization"] == f"Bearer {OPAQUE}"


async def test_client_credentials_can_go_in_the_form(bench: Bench) -> None:
    client = ClientCredentials(CLIENT, CLIENT_SECRET, ClientAuth.POST)
    await bench.verify(access_token=bench.fake.opaque_token(OPAQUE), introspection_client=client)
    (asked,) = [one for one in bench.fake.requests if one.path == INTROSPECTION]
    assert (asked.form["client_id"], asked.form["client_secret"]) == (CLIENT, CLIENT_SECRET)
    assert "authorization" not in asked.headers


async def test_a_shared_secret_works_alone_and_asks_nobody(bench: Bench) -> None:
    secret = "Jb6yYmA0u1tZ4mJ0kq1mW1z8v2Q9x7cN5rT3pL6sD8f"
    key: Any = OctKey.import_key(secret)
    token = bench.fake.id_token(header={"alg": SHARED_SECRET, "kid": None}, key=key)
    assert (await bench.verify(id_token=token, algorithms=(SHARED_SECRET,), shared_secret=secret)).subject is not None
    assert await bench.step(id_token=token) == "algorithm"
    signed = bench.fake.id_token()
    assert await bench.step(id_token=signed, algorithms=(SHARED_SECRET,), shared_secret=secret) == "algorithm"
    assert not bench.fake.asked


# ---------------------------------------------------------------------------------------- one kind never as the other


async def test_one_kind_of_token_never_passes_as_the_other(bench: Bench) -> None:
    id_token, access_token = bench.fake.id_token(), bench.fake.access_token()
    assert await bench.step(access_token=id_token) == "kind"
    assert await bench.step(id_token=access_token) == "typ"


@pytest.mark.parametrize("mark", ["scope", "client_id", "token_use", "typ"])
async def test_an_access_token_that_looks_like_an_id_token_is_none(bench: Bench, mark: str) -> None:
    """LemonLDAP's and Canaille's: typ JWT, the client as audience, e-mail and name (SECURITY.md finding 2)."""
    marks = {"scope": "openid", "client_id": CLIENT, "token_use": "access", "typ": "Bearer"}
    marked: dict[str, Any] = {mark: marks[mark]}
    token = bench.fake.id_token(header={"typ": "JWT"}, nonce=None, **marked)
    assert await bench.step(id_token=token) == "kind"
    assert (await bench.verify(access_token=token, audiences=(CLIENT,))).subject is not None


async def test_a_claim_that_only_id_tokens_have_can_be_required(bench: Bench) -> None:
    """Canaille's access tokens have no mark at all; its ID tokens have an at_hash."""
    unmarked = bench.fake.id_token(header={"typ": "JWT"}, nonce=None, auth_time=time.time())
    assert (await bench.verify(id_token=unmarked)).subject is not None
    assert await bench.step(id_token=unmarked, id_token_requires=("at_hash",)) == "kind"
    hashed = bench.fake.id_token(at_hash="d7_UYMHBrp6gJXE_ki58aA")
    assert (await bench.verify(id_token=hashed, id_token_requires=("at_hash",))).subject is not None


async def test_what_nothing_tells_apart_is_no_access_token(bench: Bench) -> None:
    plain = bench.fake.id_token(nonce=None)
    assert await bench.step(access_token=plain, audiences=(CLIENT,)) == "kind"
    for_the_api = bench.fake.id_token(nonce=None, aud=API)
    assert (await bench.verify(access_token=for_the_api)).subject is not None


@pytest.mark.parametrize("typ", ["logout+jwt", "token-introspection+jwt", "dpop+jwt", "secevent+jwt"])
async def test_other_kinds_of_jwt_are_neither(bench: Bench, typ: str) -> None:
    token = bench.fake.id_token(header={"typ": typ}, aud=[CLIENT, API], azp=CLIENT)
    assert await bench.step(id_token=token) == "typ"
    assert await bench.step(access_token=token) == "typ"


async def test_a_logout_token_is_neither(bench: Bench) -> None:
    events: dict[str, Any] = {"http://schemas.openid.net/event/backchannel-logout": {}}
    assert await bench.step(id_token=bench.fake.id_token(nonce=None, events=events)) == "kind"
    assert await bench.step(access_token=bench.fake.access_token(events=events)) == "kind"


# ------------------------------------------------------------------------------------------------------ whom it is for


async def test_a_token_for_somebody_else_is_refused(bench: Bench) -> None:
    assert await bench.step(id_token=bench.fake.id_token(aud="another-client")) == "aud"
    assert await bench.step(id_token=bench.fake.id_token(aud=[])) == "aud"
    assert await bench.step(id_token=bench.fake.id_token(aud=None)) == "aud"
    assert await bench.step(id_token=bench.fake.id_token(aud=[CLIENT, "other"])) == "azp"
    assert await bench.step(id_token=bench.fake.id_token(azp="other")) == "azp"
    assert await bench.step(access_token=bench.fake.access_token(aud="https://other.example.com")) == "aud"
    assert await bench.step(access_token=bench.fake.access_token(aud=CLIENT)) == "aud"
    assert await bench.step(access_token=bench.fake.access_token(aud="scope as one text")) == "aud"
    assert (await bench.verify(access_token=bench.fake.access_token(aud=["x", API]))).subject is not None


async def test_an_access_token_without_audience_counts_by_its_client_where_set_up_so(bench: Bench) -> None:
    token = bench.fake.access_token(aud=None, header={"typ": None}, token_use="access")
    other = bench.fake.access_token(aud=None, client_id="another-client")
    assert await bench.step(access_token=token) == "aud"
    assert (await bench.verify(access_token=token, access_token_client_claim="client_id")).subject is not None
    assert await bench.step(access_token=other, access_token_client_claim="client_id") == "aud"


async def test_a_required_scope_acr_or_fresh_sign_in_is_required(bench: Bench) -> None:
    now = int(time.time())
    access, identity = bench.fake.access_token, bench.fake.id_token
    assert await bench.step(access_token=access(), required_scopes=("chat", "more")) == "scope"
    assert (await bench.verify(access_token=access(scope=None, scp=["chat"]), required_scopes=("chat",))).subject
    assert await bench.step(id_token=identity(), required_acr=("gold",)) == "acr"
    assert await bench.step(id_token=identity(acr="silver"), required_acr=("gold",)) == "acr"
    assert (await bench.verify(id_token=identity(acr="gold"), required_acr=("gold",))).subject
    assert await bench.step(id_token=identity(), max_age=600) == "auth_time"
    assert await bench.step(id_token=identity(auth_time=now - 700), max_age=600) == "auth_time"
    assert await bench.step(id_token=identity(auth_time=now + 700)) == "auth_time"
    assert (await bench.verify(id_token=identity(auth_time=now - 500.5), max_age=600)).subject


async def test_times_are_held_to_the_providers_settings(bench: Bench) -> None:
    now = int(time.time())
    identity = bench.fake.id_token
    assert await bench.step(id_token=identity(exp=now - 30), leeway=10) == "exp"
    assert (await bench.verify(id_token=identity(exp=now - 30))).subject
    assert await bench.step(id_token=identity(iat=now - 7200), oldest_iat=3600) == "iat"
    assert await bench.step(id_token=identity(exp=now + 864_000)) == "exp"  # Canaille's access tokens live ten days
    assert (await bench.verify(id_token=identity(exp=now + 864_000), longest_life=864_000)).subject
    assert await bench.step(id_token=identity(exp=(now + 300) * 1000)) == "exp"
    assert await bench.step(id_token=identity(iat=None)) == "iat"
    assert await bench.step(id_token=identity(exp=True)) == "exp"
    assert await bench.step(access_token=bench.fake.access_token(iat=None, exp=now + 864_000)) == "exp"


@pytest.mark.parametrize("sub", [None, "", " ", "u-1 ", "x" * 256, "a\x00b", "a\u202eb", 7, ["u-1"], True])
async def test_a_subject_that_cannot_name_somebody_is_refused(bench: Bench, sub: object) -> None:
    assert await bench.step(id_token=bench.fake.id_token(sub=sub)) == "sub"


# ------------------------------------------------------------------------------------------------------- the signature


async def test_a_signature_by_another_key_is_refused(bench: Bench) -> None:
    forged = bench.fake.id_token(key=make_key("stranger"), header={"kid": "key-1"})
    assert await bench.step(id_token=forged) == "signature"


async def test_an_algorithm_that_the_provider_may_not_use_is_refused(bench: Bench) -> None:
    assert await bench.step(id_token=bench.fake.id_token(), algorithms=("ES256",)) == "algorithm"
    assert not bench.fake.asked


@pytest.mark.parametrize("name", ["jwk", "jku", "x5u", "x5c", "zip", "b64", "crit"])
async def test_a_header_that_brings_keys_or_extensions_is_refused(bench: Bench, name: str) -> None:
    _, payload, signature = bench.fake.id_token().split(".")
    raw = json.dumps({"alg": "RS256", "kid": "key-1", name: ["exp"]}).encode()
    header = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    assert await bench.step(id_token=f"{header}.{payload}.{signature}") == "header"
    assert not bench.fake.asked


async def test_encrypted_and_bound_tokens_are_refused_clearly(bench: Bench) -> None:
    jwe = "eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ.AAAA.AAAA.AAAA.AAAA"
    assert isinstance(await bench.refusal(id_token=jwe), EncryptedTokenNotSupported)
    assert isinstance(await bench.refusal(access_token=jwe), EncryptedTokenNotSupported)
    bound = bench.fake.access_token(cnf={"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"})
    assert isinstance(await bench.refusal(access_token=bound), BoundTokenNotSupported)
    token = bench.fake.opaque_token(OPAQUE, token_type="DPoP")
    assert isinstance(await bench.refusal(access_token=token), BoundTokenNotSupported)


# ------------------------------------------------------------------------------------------------------ opaque tokens


@pytest.mark.parametrize(
    ("said", "step"),
    [
        ({"active": False}, "active"),
        ({"active": "true"}, "active"),
        ({"active": 1}, "active"),
        ({"active": None}, "active"),
        ({"client_id": "another-client"}, "aud"),
        ({"client_id": None}, "aud"),
        ({"client_id": None, "aud": ["https://other.example.com"]}, "aud"),
        ({"iss": "https://other.example"}, "iss"),
        ({"exp": 1_000_000_000}, "exp"),
        ({"exp": "soon"}, "exp"),
        ({"nbf": 4_000_000_000}, "nbf"),
        ({"sub": "somebody-else"}, "userinfo"),
        ({"sub": ""}, "sub"),
        ({"token_type": "refresh_token"}, "kind"),
    ],
    ids=str,
)
async def test_introspection_must_name_us_and_a_living_token(bench: Bench, said: dict[str, Any], step: str) -> None:
    assert await bench.step(access_token=bench.fake.opaque_token(OPAQUE, **said)) == step


@pytest.mark.parametrize(
    "said",
    [
        {"client_id": None, "aud": API},
        {"client_id": "another-client", "aud": [API]},
        {"client_id": None, "aud": [CLIENT]},
        {"sub": None, "username": "ada"},
        {"exp": 4_000_000_000.5},
        {"exp": None},
    ],
    ids=str,
)
async def test_introspection_answers_differ_between_products(bench: Bench, said: dict[str, Any]) -> None:
    claims = await bench.verify(access_token=bench.fake.opaque_token(OPAQUE, **said))
    assert claims.subject is not None
    assert claims.subject.subject == "u-1"


async def test_introspection_without_userinfo_still_names_the_subject(bench: Bench) -> None:
    claims = await bench.verify(access_token=bench.fake.opaque_token(OPAQUE), userinfo=UserinfoUse.NEVER)
    assert claims.subject is not None
    assert USERINFO not in bench.fake.asked


async def test_userinfo_alone_proves_nothing_unless_the_workspace_says_so(bench: Bench) -> None:
    token = bench.fake.opaque_token(OPAQUE)
    alone: dict[str, Any] = {"introspection_client": ClientCredentials()}
    assert isinstance(await bench.refusal(access_token=token, **alone), OpaqueTokenNotSupported)
    assert not bench.fake.asked
    assert (await bench.verify(access_token=token, allow_userinfo_only=True, **alone)).subject is not None
    assert await bench.step(access_token="another-opaque", allow_userinfo_only=True, **alone) == "userinfo"


async def test_a_provider_without_sub_is_keyed_by_the_claim_that_is_set(bench: Bench) -> None:
    bench.fake.people[OPAQUE] = {"name": "ada"}  # JupyterHub
    claims = await bench.verify(
        access_token=OPAQUE,
        allow_userinfo_only=True,
        introspection_client=ClientCredentials(),
        claims=ClaimMapping(subject="name"),
    )
    assert claims.subject is not None
    assert claims.subject.subject == "ada"


async def test_signed_userinfo_is_read_by_the_providers_keys(bench: Bench) -> None:
    token = bench.fake.opaque_token(OPAQUE)

    def answer(key: str, **claims: Any) -> Callable[[Asked], Reply]:
        signed = bench.fake.sign({"sub": "u-1", "name": "Ada", **claims}, key=make_key(key), header={"kid": "key-1"})
        return lambda _: Reply(signed.encode(), headers={"Content-Type": "application/jwt; charset=utf-8"})

    good: tuple[dict[str, Any], ...] = ({}, {"iss": bench.fake.issuer, "aud": CLIENT})
    for claims in good:
        bench.fake.answers[USERINFO] = answer("key-1", **claims)
        assert (await bench.verify(access_token=token)).profile.name == "Ada"
    bench.fake.answers[USERINFO] = answer("stranger")
    assert await bench.step(access_token=token) == "signature"
    bad: tuple[dict[str, Any], ...] = ({"iss": "https://x.example"}, {"aud": "another"}, {"exp": 1_000_000_000})
    for claims in bad:
        bench.fake.answers[USERINFO] = answer("key-1", **claims)
        assert await bench.step(access_token=token) in {"userinfo", "exp"}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500, 503])
async def test_a_refused_question_is_not_the_visitors_fault(bench: Bench, status: int) -> None:
    bench.fake.answers[INTROSPECTION] = lambda _: Reply({"error": "invalid_client"}, status=status)
    assert isinstance(await bench.refusal(access_token=bench.fake.opaque_token(OPAQUE)), Upstream)


@pytest.mark.parametrize("token", ["", "a b", "a\nb", "é", "x" * 16_385, '{"alg":"none"}', "=a"])
async def test_what_cannot_be_a_bearer_token_is_sent_to_nobody(bench: Bench, token: str) -> None:
    assert await bench.step(access_token=token) == "form"
    assert not bench.fake.asked


async def test_a_jwt_of_the_provider_can_be_introspected_instead(bench: Bench) -> None:
    token = bench.fake.access_token(aud="openid chat")  # Glewlwyd's audience is the scope list
    bench.fake.opaque_token(token)
    kinds = (TokenKind.ID_TOKEN, TokenKind.OPAQUE_ACCESS_TOKEN)
    assert (await bench.verify(access_token=token, accepts=kinds)).subject is not None
    assert bench.fake.asked[INTROSPECTION] == 1


# ------------------------------------------------------------------------------------------------------ which provider


@pytest.fixture
async def second() -> AsyncIterator[FakeProvider]:
    async with running_provider("key-9") as fake:
        yield fake


async def test_exactly_one_token_must_be_sent(bench: Bench) -> None:
    token = bench.fake.id_token()
    assert type(await bench.refusal()) is InvalidRequest
    assert type(await bench.refusal(id_token=token, access_token=token)) is InvalidRequest


async def test_the_issuer_chooses_the_provider(bench: Bench, second: FakeProvider) -> None:
    providers = (bench.provider(), bench.provider(second, id=2))
    claims = await bench.verify(id_token=second.id_token(), providers=providers)
    assert claims.subject is not None
    assert claims.subject.provider_id == 2
    assert not bench.fake.asked


async def test_a_foreign_issuer_finds_no_provider(bench: Bench, second: FakeProvider) -> None:
    assert await bench.step(id_token=second.id_token(), providers=(bench.provider(),)) == "provider"
    assert await bench.step(id_token=second.id_token(), providers=(bench.provider(),), provider_id=1) == "provider"
    slash = bench.fake.id_token(iss=bench.fake.issuer + "/")
    assert await bench.step(id_token=slash) == "provider"
    assert not bench.fake.asked + second.asked


async def test_a_named_provider_is_the_only_one(bench: Bench, second: FakeProvider) -> None:
    providers = (bench.provider(), bench.provider(second, id=2))
    assert await bench.step(id_token=bench.fake.id_token(), providers=providers, provider_id=2) == "provider"
    for unknown in (3, 0, -1):
        error = await bench.refusal(id_token=bench.fake.id_token(), providers=providers, provider_id=unknown)
        assert isinstance(error, NotFound)
    disabled = (bench.provider(enabled=False),)
    assert isinstance(await bench.refusal(id_token=bench.fake.id_token(), providers=disabled, provider_id=1), NotFound)


async def test_providers_of_one_issuer_differ_by_audience(bench: Bench) -> None:
    providers = (bench.provider(client_ids=("first",)), bench.provider(id=2, client_ids=("second",)))
    for number, client in enumerate(("first", "second"), start=1):
        claims = await bench.verify(id_token=bench.fake.id_token(aud=client), providers=providers)
        assert claims.subject is not None
        assert claims.subject.provider_id == number
    assert await bench.step(id_token=bench.fake.id_token(aud="third"), providers=providers) == "aud"


async def test_a_bad_signature_or_an_old_token_is_tried_once(bench: Bench) -> None:
    lenient = bench.provider(id=2, leeway=300)
    providers = (bench.provider(client_ids=("first", CLIENT)), lenient)
    assert await bench.step(id_token=bench.fake.id_token(exp=int(time.time()) - 90), providers=providers) == "exp"


async def test_an_opaque_token_needs_exactly_one_capable_provider(bench: Bench, second: FakeProvider) -> None:
    token = bench.fake.opaque_token(OPAQUE)
    jwt_only = bench.provider(second, id=2, accepts=(TokenKind.ID_TOKEN,))
    assert (await bench.verify(access_token=token, providers=(jwt_only, bench.provider()))).subject is not None
    both = (bench.provider(), bench.provider(second, id=2))
    asked_before = bench.fake.asked.total()
    assert isinstance(await bench.refusal(access_token=token, providers=both), ProviderRequired)
    assert isinstance(await bench.refusal(access_token=token, providers=(jwt_only,)), OpaqueTokenNotSupported)
    assert isinstance(await bench.refusal(access_token=token, providers=()), OpaqueTokenNotSupported)
    assert (bench.fake.asked.total(), second.asked.total()) == (asked_before, 0)
    assert (await bench.verify(access_token=token, providers=both, provider_id=1)).subject is not None
    assert not second.asked


async def test_no_token_is_ever_sent_to_two_providers(bench: Bench, second: FakeProvider) -> None:
    both = (bench.provider(), bench.provider(second, id=2, issuer=second.issuer))
    dead = "dead-0123456789"
    assert await bench.step(access_token=dead, providers=both, provider_id=1) == "active"
    assert not second.asked
    sent = [one for one in bench.fake.requests if dead.encode() in one.body]
    assert len(sent) == 1


# ----------------------------------------------------------------------------------------------------------- the claims


async def test_an_email_is_a_key_only_with_the_switch_and_the_providers_word(bench: Bench) -> None:
    link: dict[str, Any] = {"link_by_email": True}
    assert (await bench.verify(id_token=bench.fake.id_token(), **link)).email_key == "ada@example.com"
    for said in (False, None, "true", 1):
        claims = await bench.verify(id_token=bench.fake.id_token(email_verified=said), **link)
        assert claims.email_key is None
        assert claims.profile.email == "ada@example.com"
    other = ClaimMapping(email="upn")  # email_verified speaks of the claim email
    token = bench.fake.id_token(upn="boss@example.com")
    assert (await bench.verify(id_token=token, claims=other, **link)).email_key is None
    assert (await bench.verify(id_token=bench.fake.id_token(), mask=("email",), **link)).email_key is None


async def test_an_address_and_its_proof_come_from_the_same_answer(bench: Bench) -> None:
    token = bench.fake.access_token(email="ada@example.com", email_verified=True)
    bench.fake.people[token] = {"sub": "u-1", "email": "boss@example.com"}
    claims = await bench.verify(access_token=token, userinfo=UserinfoUse.ALWAYS, link_by_email=True)
    assert claims.profile.email == "boss@example.com"
    assert claims.email_key is None


async def test_claims_are_mapped_masked_and_held_to_the_rules(bench: Bench) -> None:
    mapping = ClaimMapping(
        name="https://example.com/display",
        phone="contact.phone",
        custom={"plan": "plan", "roles": "roles", "vip": "vip", "deep": "address.country", "odd": "odd", "ssn": "ssn"},
    )
    display: dict[str, Any] = {"https://example.com/display": "Ada L."}
    token = bench.fake.id_token(
        **display,
        contact={"phone": "+4930123456"},
        plan="gold",
        roles=["a", "b"],
        vip=True,
        address={"country": "DE"},
        odd={"not": "flat"},
        ssn="123-45-6789",
        picture="javascript:alert(1)",
        locale=["de"],
        email="not an address",
    )
    claims = await bench.verify(id_token=token, claims=mapping, mask=("ssn", "address"))
    assert claims.profile.name == "Ada L."
    assert claims.profile.phone == "+4930123456"
    assert claims.profile.custom_data == {"plan": "gold", "roles": "a, b", "vip": True, "deep": "***", "ssn": "***"}
    assert set(claims.notes) == {"avatar_url", "language", "email", "custom_data.odd"}
    assert claims.profile.email is not None  # absent, not cleared
    assert "123-45-6789" not in repr(claims)


async def test_absent_keeps_and_null_clears(bench: Bench) -> None:
    claims = await bench.verify(id_token=bench.fake.sign({**bench.fake._person(), "aud": CLIENT, "nonce": "n"}))
    assert claims.profile.phone is UNSET
    assert claims.profile.custom_data is UNSET


async def test_nothing_that_is_refused_quotes_the_token(bench: Bench) -> None:
    for token in (bench.fake.id_token(aud="x"), bench.fake.id_token(sub=""), bench.fake.access_token()):
        error = await bench.refusal(id_token=token)
        for part in token.split("."):
            assert part not in f"{error!r} {error.detail} {error.step}"
    assert OPAQUE not in repr(ProviderToken("w", (), None, OPAQUE, None))
    assert CLIENT_SECRET not in repr(bench.provider())


@pytest.mark.parametrize("path", [DISCOVERY, JWKS])
async def test_a_silent_provider_is_given_up_in_time(bench: Bench, path: str) -> None:
    async def never(_: object) -> Reply:
        await asyncio.sleep(60)
        raise AssertionError

    bench.fake.answers[path] = never
    began = time.monotonic()
    assert isinstance(await bench.refusal(id_token=bench.fake.id_token()), Upstream)
    assert time.monotonic() - began < 6
