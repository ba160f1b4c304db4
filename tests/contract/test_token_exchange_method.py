"""Token exchange against a real provider on loopback: what proves somebody, what does not, and who is asked."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest
from joserfc.jwk import OctKey
from msgspec import UNSET

from tests.fixtures.exchange import LOOPBACK, OPAQUE, Bench
from tests.fixtures.fake_provider import (
    API,
    CLIENT,
    CLIENT_SECRET,
    INTROSPECTION,
    USERINFO,
    make_key,
    running_provider,
)
from vestibule.administration import provider_rules
from vestibule.errors import (
    BoundTokenNotSupported,
    EncryptedTokenNotSupported,
)
from vestibule.model.identity_provider import (
    SHARED_SECRET,
    ClaimMapping,
    ClientAuth,
    ClientCredentials,
    ProviderSettings,
    UserinfoUse,
)
from vestibule.outbound.client import Outbound
from vestibule.verification.token_exchange import ProviderToken

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


@pytest.mark.parametrize("opaque", [False, True])
@pytest.mark.parametrize("said", [False, None])
async def test_nor_does_a_proof_without_an_address_speak_for_another_answer_s(
    bench: Bench, *, opaque: bool, said: bool | None
) -> None:
    """Who may change their profile at the provider would be whoever they name there."""
    theirs: dict[str, Any] = {"email": "boss@example.com", "email_verified": said}
    token = bench.fake.opaque_token(OPAQUE, **theirs) if opaque else bench.fake.access_token(**theirs)
    bench.fake.people[token] = {"sub": "u-1", "email_verified": True}
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


def test_a_mask_that_hides_nothing_is_warned_of() -> None:
    """What it was meant for would be shown to everybody."""
    settings = ProviderSettings(
        name="p",
        issuer="https://p.example",
        claims=ClaimMapping(language="", custom={"deep": "address.country", "whole": "employee"}),
        mask=("phone", "locale", "employee.salary", "sub", "phone_number", "address", "address.country", "employee"),
    )
    warned = [warning.split()[1] for warning in provider_rules.warnings(settings) if warning.startswith("mask:")]
    assert warned == ["phone", "locale", "employee.salary", "sub"]


async def test_absent_keeps_and_null_clears(bench: Bench) -> None:
    claims = await bench.verify(id_token=bench.fake.sign({**bench.fake._person(), "aud": CLIENT, "nonce": "n"}))
    assert claims.profile.phone is UNSET
    assert claims.profile.custom_data is UNSET


async def test_a_token_that_has_no_custom_claim_says_nothing_of_custom_data(bench: Bench) -> None:
    """An access token seldom has them, and whether an ID token does is a matter of the scope that the browser chose."""
    mapping = ClaimMapping(custom={"plan": "tier.plan", "odd": "odd"})
    for silent in (bench.fake.id_token(), bench.fake.id_token(odd={"not": "flat"})):
        assert (await bench.verify(id_token=silent, claims=mapping)).profile.custom_data is UNSET
    said = await bench.verify(id_token=bench.fake.id_token(tier={"plan": None}), claims=mapping)
    assert said.profile.custom_data == {}
    assert said.no_custom == frozenset({"plan"})


async def test_nothing_that_is_refused_quotes_the_token(bench: Bench) -> None:
    for token in (bench.fake.id_token(aud="x"), bench.fake.id_token(sub=""), bench.fake.access_token()):
        error = await bench.refusal(id_token=token)
        for part in token.split("."):
            assert part not in f"{error!r} {error.detail} {error.step}"
    assert OPAQUE not in repr(ProviderToken("w", (), None, OPAQUE, None))
    assert CLIENT_SECRET not in repr(bench.provider())
