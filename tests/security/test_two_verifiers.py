"""Two readers of the same ID tokens, ours and PyJWT's: we take only what both take. A token that another careful
library refuses is one that a customer's own code may refuse, or that we have read wrongly."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import warnings
from collections.abc import Mapping
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OKPKey, RSAKey

from tests.contract.test_oidc_vectors import ATTACKS, KnownKeys
from vestibule.errors import VestibuleError
from vestibule.model.identity_provider import IdentityProvider, TokenKind
from vestibule.oidc.key_set import read_key_set
from vestibule.oidc.provider_choice import choose
from vestibule.oidc.token_reader import TokenReader
from vestibule.outbound.client import Outbound

EXAMPLES = 4_000 if os.environ.get("VESTIBULE_FUZZ") == "long" else 150
ISSUER, CLIENT, NOW, LEEWAY = "https://login.example.com", "widget", 1_800_000_000, 60
ALGORITHMS = ("RS256", "ES256", "EdDSA")


def keys() -> dict[str, Any]:
    return {
        "RS256": rsa.generate_private_key(public_exponent=65_537, key_size=2048),
        "ES256": ec.generate_private_key(ec.SECP256R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    }


KEYS = keys()
_READERS: dict[str, Any] = {"RS256": RSAKey, "ES256": ECKey, "EdDSA": OKPKey}
PUBLISHED = {
    "keys": [
        {**_READERS[name].import_key(key.public_key()).as_dict(private=False), "kid": name, "alg": name, "use": "sig"}
        for name, key in KEYS.items()
    ]
}
PROVIDER = IdentityProvider(
    workspace_id="w",
    id=1,
    position=1,
    name="p",
    issuer=ISSUER,
    client_ids=(CLIENT,),
    algorithms=ALGORITHMS,
    leeway=LEEWAY,
)
READER = TokenReader(Outbound(), KnownKeys(read_key_set(PUBLISHED)), clock=lambda: NOW * 1000)


def sign(algorithm: str, signed: bytes) -> bytes:
    key = KEYS[algorithm]
    if algorithm == "RS256":
        made: bytes = key.sign(signed, padding.PKCS1v15(), SHA256())
        return made
    if algorithm == "ES256":
        r, s = utils.decode_dss_signature(key.sign(signed, ec.ECDSA(SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")
    return bytes(key.sign(signed))


def encoded(octets: bytes) -> bytes:
    return base64.urlsafe_b64encode(octets).rstrip(b"=")


def ours(token: str) -> str | None:
    """The subject, if we take it."""

    async def read() -> str:
        (candidate,) = choose([PROVIDER], provider_id=None, token=token, is_id_token=True)
        return (await READER.read(candidate.provider, TokenKind.ID_TOKEN, token)).subject

    try:
        return asyncio.run(read())
    except VestibuleError:
        return None


def theirs(token: str, algorithm: str) -> str | None:
    """Likewise by PyJWT, set up as its documentation shows, at the same moment."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            claims = jwt.decode(
                token,
                KEYS[algorithm].public_key(),
                algorithms=list(ALGORITHMS),
                audience=CLIENT,
                issuer=ISSUER,
                leeway=LEEWAY,
                # Its clock is the machine's: times are compared below.
                options={"require": sorted(GOOD), "verify_exp": False, "verify_iat": False, "verify_nbf": False},
            )
        except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError):
            return None
    times = [claims.get(name, default) for name, default in (("exp", 0), ("iat", NOW), ("nbf", NOW))]
    if not all(isinstance(each, int | float) for each in times):
        return None
    expires, issued, begins = times
    if expires <= NOW - LEEWAY or issued > NOW + LEEWAY or begins > NOW + LEEWAY:
        return None
    return str(claims["sub"])


ODD: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    st.text(max_size=8),
    st.lists(st.text(max_size=4), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)
CLAIMS: Mapping[str, Any] = {
    "iss": st.sampled_from([ISSUER, ISSUER + "/", ISSUER.upper(), [ISSUER]]) | ODD,
    "aud": st.sampled_from([CLIENT, [CLIENT], [CLIENT, "x"], ["x"], "x", f"{CLIENT} x", []]) | ODD,
    "sub": st.sampled_from(["u-1", "", " ", "\0", "x" * 256]) | ODD,
    "exp": st.integers(NOW - 120, NOW + 100_000) | ODD,
    "iat": st.integers(NOW - 90_000, NOW + 120) | ODD,
    "nbf": st.integers(NOW - 120, NOW + 120) | ODD,
    "azp": st.sampled_from([CLIENT, "x"]) | ODD,
    "nonce": ODD,
    "events": ODD,
    "scope": st.just("openid"),
}
GOOD = {"iss": ISSUER, "aud": CLIENT, "sub": "u-1", "exp": NOW + 300, "iat": NOW}
HEADERS: Mapping[str, Any] = {
    "typ": st.sampled_from(["JWT", "jwt", "at+jwt", "logout+jwt", ""]) | ODD,
    "kid": st.sampled_from([*ALGORITHMS, "x"]) | ODD,
    "crit": st.sampled_from([["b64"], [], ["exp"]]) | ODD,
    "b64": ODD,
    "zip": st.just("DEF"),
    "jwk": st.just({"kty": "oct", "k": "AA"}),
}
CHANGES: st.SearchStrategy[dict[str, Any]] = st.just({}) | st.dictionaries(
    st.sampled_from(sorted(CLAIMS)), st.none(), max_size=2
).flatmap(lambda names: st.fixed_dictionaries({name: CLAIMS[name] for name in names}))
HEADER_CHANGES: st.SearchStrategy[dict[str, Any]] = st.just({}) | st.dictionaries(
    st.sampled_from(sorted(HEADERS)), st.none(), max_size=2
).flatmap(lambda names: st.fixed_dictionaries({name: HEADERS[name] for name in names}))


@st.composite
def tokens(draw: st.DrawFn) -> tuple[str, str]:
    """A token and its algorithm: well signed, but for what is done to its text at the end."""
    algorithm = draw(st.sampled_from(ALGORITHMS))
    claims = {**GOOD, **draw(CHANGES)}
    absent = draw(st.sampled_from([None] * 8 + sorted(GOOD)))
    claims = {name: value for name, value in claims.items() if name != absent}
    header = {"alg": algorithm, "kid": algorithm, **draw(HEADER_CHANGES)}
    payload = json.dumps(claims).encode()
    repeated = draw(st.sampled_from([""] * 12 + [*GOOD]))
    if repeated:
        payload = payload[:-1] + f', "{repeated}": "other"}}'.encode()
    payload = draw(st.sampled_from([b""] * 8 + [b" ", b"\xef\xbb\xbf"])) + payload
    head = json.dumps(header).encode()
    signed = encoded(head) + b"." + encoded(payload)
    text = (signed + b"." + encoded(sign(algorithm, signed))).decode()
    match draw(st.integers(0, 11)):
        case 0:
            place = draw(st.integers(0, len(text) - 1))
            text = text[:place] + draw(st.sampled_from("Aa0.=-_ \n")) + text[place + 1 :]
        case 1:
            text = draw(st.sampled_from([text + "=", text + ".", " " + text, text + "\n", text.replace("-", "+")]))
        case _:
            pass
    return text, algorithm


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(tokens())
def test_we_take_only_what_both_take(made: tuple[str, str]) -> None:
    token, algorithm = made
    mine = ours(token)
    event("taken" if mine is not None else "refused")
    if mine is not None:
        assert theirs(token, algorithm) == mine


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_both_take_a_good_one(algorithm: str) -> None:
    signed = encoded(json.dumps({"alg": algorithm, "kid": algorithm}).encode()) + b"."
    signed += encoded(json.dumps(GOOD).encode())
    token = (signed + b"." + encoded(sign(algorithm, signed))).decode()
    assert ours(token) == theirs(token, algorithm) == "u-1"


@pytest.mark.parametrize(
    "case", [case for case in ATTACKS["cases"] if case["expect"] == "accept"], ids=lambda case: case["id"]
)
def test_of_the_vectors_too(case: dict[str, str]) -> None:
    """Which has another clock; there, PyJWT is told by the vectors' own verdict, and must take what we take."""
    published = jwt.PyJWKSet.from_dict(ATTACKS["jwks"])
    header = jwt.get_unverified_header(case["token"])
    [key] = [one for one in published.keys if one.key_id == header.get("kid")]
    claims = jwt.decode(
        case["token"],
        key.key,
        algorithms=ATTACKS["allowed_algs"],
        audience=ATTACKS["audience"],
        issuer=ATTACKS["issuer"],
        options={"verify_exp": False, "verify_iat": False, "verify_nbf": False},
    )
    assert claims["sub"]
