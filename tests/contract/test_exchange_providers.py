"""Which provider a token is for, and what is asked of it: opaque tokens, the choice among several, its answers."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest
from joserfc.jwk import OctKey

from tests.fixtures.exchange import OPAQUE, Bench
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
from vestibule.administration import provider_rules
from vestibule.errors import (
    InvalidRequest,
    NotFound,
    OpaqueTokenNotSupported,
    ProviderRequired,
    Upstream,
    UpstreamTimeout,
)
from vestibule.model.identity_provider import (
    SHARED_SECRET,
    ClaimMapping,
    ClientCredentials,
    ProviderSettings,
    TokenKind,
    UserinfoUse,
)
from vestibule.oidc import time_limit
from vestibule.verification.provider_sign_out import ProviderSignOut

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


REQUIRED: tuple[tuple[dict[str, Any], str], ...] = (
    ({"required_scopes": ("chat",)}, "scope"),
    ({"required_acr": ("gold",)}, "acr"),
    ({"max_age": 60}, "auth_time"),
)


@pytest.mark.parametrize(("required", "step"), REQUIRED, ids=["scopes", "acr", "max_age"])
async def test_userinfo_alone_meets_no_requirement_by_saying_nothing_of_it(
    bench: Bench, required: dict[str, Any], step: str
) -> None:
    token = bench.fake.opaque_token(OPAQUE)
    alone: dict[str, Any] = {"allow_userinfo_only": True, "introspection_client": ClientCredentials()}
    assert await bench.step(access_token=token, **alone, **required) == step
    discovered = {**bench.fake.discovery(), "introspection_endpoint": ""}
    bench.fake.answers[DISCOVERY] = lambda _: Reply(discovered)
    unasked = bench.provider(id=2, allow_userinfo_only=True, **required)
    assert await bench.step(access_token=token, providers=(unasked,)) == step
    told = {"scope": "openid chat", "acr": "gold", "auth_time": time.time()}
    bench.fake.people[OPAQUE] |= told
    assert (await bench.verify(access_token=token, **alone, **required)).subject is not None


@pytest.mark.parametrize(("required", "_step"), REQUIRED, ids=["scopes", "acr", "max_age"])
def test_what_userinfo_alone_cannot_show_is_not_required(required: dict[str, Any], _step: str) -> None:
    settings = ProviderSettings(
        name="p",
        issuer="https://p.example",
        accepts=(TokenKind.OPAQUE_ACCESS_TOKEN,),
        client_ids=(CLIENT,),
        allow_userinfo_only=True,
    )
    asked = msgspec.structs.replace(settings, introspection_client=ClientCredentials(CLIENT, CLIENT_SECRET), **required)
    nowhere = msgspec.structs.replace(asked, discovery=False)
    assert provider_rules.problems(settings) == provider_rules.problems(asked) == []
    for unshown in (msgspec.structs.replace(settings, **required), nowhere):
        (problem,) = provider_rules.problems(unshown)
        assert problem.startswith("allow_userinfo_only: ")


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


async def test_providers_of_one_issuer_differ_by_algorithm(bench: Bench) -> None:
    """The second one's own keys must have signed, for its own audience: a secret of the first, or what is published
    taken for one, proves nothing there."""
    secret = secrets.token_urlsafe(32)
    shared = bench.provider(client_ids=("first",), algorithms=(SHARED_SECRET,), shared_secret=secret)
    signing = bench.provider(id=2, client_ids=("second",))
    for providers in ((shared, signing), (msgspec.structs.replace(signing, position=0), shared)):
        claims = await bench.verify(id_token=bench.fake.id_token(aud="second"), providers=providers)
        assert claims.subject is not None
        assert claims.subject.provider_id == 2
        proven = await ProviderSignOut(bench.reader).verify("w", providers, bench.fake.logout_token(aud="second"))
        assert proven.subject == "u-1"
        assert await bench.step(id_token=bench.fake.id_token(aud="first"), providers=providers) in {"algorithm", "aud"}
        forged = bench.fake.id_token(aud="second", key=make_key("stranger"), header={"kid": "key-1"})
        assert await bench.step(id_token=forged, providers=providers) in {"algorithm", "signature"}
        for known in (secret, str(bench.fake.key.as_dict(private=False)["n"])):
            key: Any = OctKey.import_key(known)
            confused = bench.fake.id_token(aud="second", key=key, header={"alg": SHARED_SECRET, "kid": "key-1"})
            assert await bench.step(id_token=confused, providers=providers) in {"algorithm", "aud", "signature"}


async def test_signed_userinfo_sends_no_token_to_another_provider(bench: Bench) -> None:
    token = bench.fake.access_token(aud=["first", "second"])
    signed = bench.fake.sign({"sub": "u-1"}, key=make_key("key-1", "RS384"), header={"alg": "RS384"})
    bench.fake.answers[USERINFO] = lambda _: Reply(signed.encode(), headers={"Content-Type": "application/jwt"})
    changes: dict[str, Any] = {"algorithms": ("RS256",), "userinfo": UserinfoUse.ALWAYS}
    providers = (
        bench.provider(audiences=("first",), **changes),
        bench.provider(id=2, audiences=("second",), **changes),
    )
    assert await bench.step(access_token=token, providers=providers) == "userinfo"
    assert bench.fake.asked[USERINFO] == 1


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


@pytest.mark.parametrize("path", [DISCOVERY, JWKS])
async def test_a_silent_provider_is_given_up_in_time(bench: Bench, path: str) -> None:
    async def never(_: object) -> Reply:
        await asyncio.sleep(60)
        raise AssertionError

    bench.fake.answers[path] = never
    began = time.monotonic()
    assert isinstance(await bench.refusal(id_token=bench.fake.id_token()), Upstream)
    assert time.monotonic() - began < 6


async def test_slow_answers_do_not_add_up(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of the real times: each answer comes within its own limit of 5 s, and the whole is given up after 8."""
    assert time_limit.ALTOGETHER_SECONDS == 8
    monkeypatch.setattr(time_limit, "ALTOGETHER_SECONDS", 0.8)

    async def slow(asked: Asked) -> Reply:
        await asyncio.sleep(0.3)
        return bench.fake._answer(asked)

    bench.fake.answers = dict.fromkeys((DISCOVERY, JWKS, INTROSPECTION, USERINFO), slow)
    two = (bench.provider(client_ids=("first",)), bench.provider(id=2, client_ids=("second",)))
    opaque, jwt = bench.fake.opaque_token(OPAQUE), bench.fake.id_token(aud="second")
    for given in ({"access_token": opaque, "id": 3}, {"id_token": jwt, "providers": two}):
        error = await bench.refusal(**given)
        assert (type(error), error.step) == (UpstreamTimeout, "time")
        assert error.provider_id
    elsewhere = tuple(msgspec.structs.replace(each, workspace_id="other") for each in two)
    with pytest.raises(UpstreamTimeout):
        await ProviderSignOut(bench.reader).verify("other", elsewhere, bench.fake.logout_token(aud="second"))
    # What they had asked for did not end with them.
    monkeypatch.undo()
    asked = bench.fake.asked[DISCOVERY]
    assert (await bench.verify(access_token=opaque, id=3)).subject is not None
    assert (await bench.verify(id_token=jwt, providers=two)).subject is not None
    assert bench.fake.asked[DISCOVERY] == asked
