"""The strict layer around joserfc against shared vectors: hostile ID tokens, Wycheproof, RFC examples, JSON."""

from __future__ import annotations

import base64
import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import JWKRegistry

from vestibule.errors import EncryptedTokenNotSupported, InvalidProviderToken, VestibuleError
from vestibule.model.identity_provider import IdentityProvider, TokenKind
from vestibule.oidc.jwks import ProviderKeys
from vestibule.oidc.key_set import Key, KeySet, UnusableKeySet, read_key_set, shared_key
from vestibule.oidc.provider_choice import choose
from vestibule.oidc.strict_jws import Jws, check_algorithm, is_signed_by, parse
from vestibule.oidc.token_reader import TokenReader
from vestibule.outbound.client import Outbound
from vestibule.strict_json import NotStrict, read_object
from vestibule.tokens import pkce

VECTORS = Path(__file__).parents[1] / "vectors"
# What the layer could be allowed at the most; a provider's own list is narrower.
EVERY_ALGORITHM = (
    *(f"{family}{size}" for family in ("HS", "RS", "PS", "ES") for size in ("256", "384", "512")),
    "EdDSA",
    "Ed25519",
)
# Wycheproof calls this header readable, with a "?" inside its base64url; RFC 7515 section 2 knows no such character.
STRICTER = {372}


def load(name: str) -> Any:
    return json.loads((VECTORS / name).read_text(encoding="utf-8"))


ATTACKS = load("jwt/id_token_attacks.json")


class KnownKeys(ProviderKeys):
    """A provider whose keys are given, and do not change."""

    def __init__(self, keys: KeySet) -> None:
        super().__init__(Outbound())
        self._given = keys
        self.asked_anew = 0

    async def keys(self, provider: IdentityProvider) -> KeySet:  # noqa: ARG002
        return self._given

    async def newer_keys(self, provider: IdentityProvider, seen: KeySet) -> KeySet:  # noqa: ARG002
        self.asked_anew += 1
        return seen


def provider_of_vectors(**changes: Any) -> IdentityProvider:
    settings: dict[str, Any] = {
        "workspace_id": "w",
        "id": 1,
        "position": 1,
        "name": "vectors",
        "issuer": ATTACKS["issuer"],
        "client_ids": (ATTACKS["audience"],),
        "algorithms": tuple(ATTACKS["allowed_algs"]),
        "leeway": ATTACKS["leeway_s"],
        "oldest_iat": ATTACKS["max_age_s"],
    }
    return IdentityProvider(**{**settings, **changes})


async def read_id_token(token: str, **changes: Any) -> str:
    provider = provider_of_vectors(**changes)
    keys = KnownKeys(read_key_set(ATTACKS["jwks"]))
    reader = TokenReader(Outbound(), keys, clock=lambda: ATTACKS["now"] * 1000)
    (candidate,) = choose([provider], provider_id=None, token=token, is_id_token=True)
    return (await reader.read(candidate.provider, candidate.kind, token)).subject


@pytest.mark.parametrize("case", ATTACKS["cases"], ids=lambda case: f"{case['id']} {case['why']}")
async def test_takes_good_id_tokens_and_refuses_hostile_ones(case: dict[str, str]) -> None:
    if case["expect"] == "accept":
        assert await read_id_token(case["token"])
    else:
        with pytest.raises(VestibuleError) as refused:
            await read_id_token(case["token"])
        assert refused.value.code in {"invalid_token", "encrypted_token_not_supported"}
        assert refused.value.step
        assert case["token"][:20] not in f"{refused.value} {refused.value.detail}" or not case["token"]


@pytest.mark.parametrize(
    "case", [case for case in ATTACKS["cases"] if case["expect"] == "accept"], ids=lambda case: case["why"]
)
async def test_no_id_token_passes_as_an_access_token(case: dict[str, str]) -> None:
    provider = provider_of_vectors(audiences=(ATTACKS["audience"],))
    reader = TokenReader(Outbound(), KnownKeys(read_key_set(ATTACKS["jwks"])), clock=lambda: ATTACKS["now"] * 1000)
    with pytest.raises(InvalidProviderToken) as refused:
        await reader.read(provider, TokenKind.JWT_ACCESS_TOKEN, case["token"])
    assert refused.value.step == "kind"


# ------------------------------------------------------------------------------------------------------- Wycheproof


def wycheproof(name: str) -> list[Any]:
    return [
        pytest.param(group, test, id=f"{test['tcId']} {test['comment']}")
        for group in load(f"wycheproof/{name}.json")["testGroups"]
        for test in group["tests"]
    ]


def keys_of(group: dict[str, Any]) -> KeySet:
    """The key or key set of a group, read as we read keys: published ones as a set, secrets as a provider's secret."""
    given = group.get("public") or group["private"]
    entries = given.get("keys", [given])
    if all(entry["kty"] == "oct" for entry in entries):
        return KeySet(tuple(secret_of(entry) for entry in entries))
    return read_key_set({"keys": entries})


def secret_of(entry: dict[str, Any]) -> Key:
    secret = entry["k"]
    return shared_key(base64.urlsafe_b64decode(secret + "=" * (-len(secret) % 4)), entry["alg"], entry["kid"])


def verify(token: str, keys: KeySet) -> bytes:
    jws = parse(token)
    check_algorithm(jws, EVERY_ALGORITHM)
    key = keys.choose(jws.algorithm, jws.kid)
    if key is None or not is_signed_by(jws, key):
        raise InvalidProviderToken(step="key")
    return jws.payload


JWS_TESTS = [
    *wycheproof("json_web_signature_test"),
    *wycheproof("json_web_key_test"),
    *(param for param in wycheproof("json_web_crypto_test") if "jws" in param.values[1]),
]


@pytest.mark.parametrize(("group", "test"), JWS_TESTS)
def test_signatures_follow_wycheproof(group: dict[str, Any], test: dict[str, Any]) -> None:
    token = test["jws"] if isinstance(test["jws"], str) else json.dumps(test["jws"])
    if test["result"] == "valid" and test["tcId"] not in STRICTER:
        verify(token, keys_of(group))
    else:
        with pytest.raises((InvalidProviderToken, UnusableKeySet)):
            verify(token, keys_of(group))


@pytest.mark.parametrize(("group", "test"), JWS_TESTS)
async def test_every_wycheproof_token_is_refused_as_an_id_token(group: dict[str, Any], test: dict[str, Any]) -> None:
    """Their payloads are no claim sets: a good signature by a good key must not carry them through."""
    token = test["jws"] if isinstance(test["jws"], str) else json.dumps(test["jws"])
    provider = provider_of_vectors(algorithms=EVERY_ALGORITHM)
    with pytest.raises((VestibuleError, UnusableKeySet)):
        await TokenReader(Outbound(), KnownKeys(keys_of(group))).read(provider, TokenKind.ID_TOKEN, token)


JWE_TESTS = [
    *wycheproof("json_web_encryption_test"),
    *(param for param in wycheproof("json_web_crypto_test") if "jwe" in param.values[1]),
]


@pytest.mark.parametrize(("_group", "test"), JWE_TESTS)
async def test_no_encrypted_token_is_taken(_group: dict[str, Any], test: dict[str, Any]) -> None:
    token = test["jwe"] if isinstance(test["jwe"], str) else json.dumps(test["jwe"])
    with pytest.raises(VestibuleError):
        await read_id_token(token)


@pytest.mark.parametrize(("group", "test"), wycheproof("ecdsa_secp256r1_sha256_p1363_test"))
def test_es256_signatures_follow_wycheproof(group: dict[str, Any], test: dict[str, Any]) -> None:
    check_raw("ES256", group, test)


@pytest.mark.parametrize(("group", "test"), wycheproof("ed25519_test"))
def test_eddsa_signatures_follow_wycheproof(group: dict[str, Any], test: dict[str, Any]) -> None:
    check_raw("EdDSA", group, test)


def check_raw(algorithm: str, group: dict[str, Any], test: dict[str, Any]) -> None:
    """Messages here are any octets, so the signature check is asked beneath the compact form."""
    jws = Jws(algorithm, None, None, b"", bytes.fromhex(test["msg"]), bytes.fromhex(test["sig"]))
    public = JWKRegistry.import_key(group["publicKeyPem"], "EC" if algorithm == "ES256" else "OKP").as_dict()
    (key,) = read_key_set({"keys": [public]}).keys
    assert is_signed_by(jws, key) is (test["result"] == "valid")


# --------------------------------------------------------------------------------------------------------- RFCs, JSON


APPENDIX: dict[str, dict[str, Any]] = {item["id"]: item for item in load("rfc/rfc_appendix.json")["items"]}
APPENDIX_JWS = [name for name, item in APPENDIX.items() if "jws" in item]
THUMBPRINT, PKCE = "RFC7638-3.1", "RFC7636-B"


@pytest.mark.parametrize("name", APPENDIX_JWS)
def test_reads_the_examples_of_the_rfcs(name: str) -> None:
    item = APPENDIX[name]
    if not item["valid"]:
        with pytest.raises(InvalidProviderToken):
            verify(item["jws"], KeySet(()))
        return
    if item["alg"] == "HS256":
        keys = KeySet((secret_of({**item["key"], "alg": "HS256"}),))
    else:
        keys = read_key_set({"keys": [item["key"]]})
    assert verify(item["jws"], keys) == item["payload_utf8"].encode()


def test_a_key_that_was_read_is_the_one_that_was_published() -> None:
    """RFC 7638 section 3.1."""
    (key,) = read_key_set({"keys": [APPENDIX[THUMBPRINT]["jwk"]]}).keys
    assert key.jose.thumbprint() == APPENDIX[THUMBPRINT]["thumbprint_sha256"]


def test_a_challenge_is_made_of_its_verifier() -> None:
    """RFC 7636 appendix B."""
    item = APPENDIX[PKCE]
    assert item["method"] == "S256"
    assert pkce.challenge_of(item["code_verifier"]) == item["code_challenge"]


COOKBOOK: dict[str, dict[str, Any]] = load("rfc/rfc7520_cookbook.json")
PUBLISHED = ["jwk/3_1.ec_public_key.json", "jwk/3_3.rsa_public_key.json"]
COMPACT = [name for name, example in COOKBOOK.items() if "compact" in example.get("output", {})]
SIGNED = [name for name in COMPACT if "jws" in name]
ENCRYPTED = [name for name in COMPACT if "jwe" in name]
IN_JSON_ONLY = ["jws/4_6.protecting_specific_header_fields.json"]


def test_no_example_is_left_out() -> None:
    assert sorted([*APPENDIX_JWS, THUMBPRINT, PKCE]) == sorted(APPENDIX)
    assert sorted([*PUBLISHED, *SIGNED, *ENCRYPTED, *IN_JSON_ONLY]) == sorted(COOKBOOK)


def test_reads_the_published_keys_of_the_cookbook() -> None:
    """RFC 7520 sections 3.1 and 3.3 are two keys of one name, which have signed sections 4.3 and 4.1."""
    keys = read_key_set({"keys": [COOKBOOK[name] for name in PUBLISHED]})
    assert keys.left_out == ()
    for name in ("jws/4_1.rsa_v15_signature.json", "jws/4_3.ecdsa_signature.json"):
        example = COOKBOOK[name]
        assert verify(example["output"]["compact"], keys) == example["input"]["payload"].encode()


@pytest.mark.parametrize("name", ENCRYPTED)
async def test_no_encrypted_token_of_the_cookbook_is_taken(name: str) -> None:
    """RFC 7520 section 5: refused by its form, whatever the key."""
    with pytest.raises(EncryptedTokenNotSupported):
        await read_id_token(COOKBOOK[name]["output"]["compact"])
    with pytest.raises(InvalidProviderToken):
        parse(COOKBOOK[name]["output"]["compact"])


@pytest.mark.parametrize("name", [*ENCRYPTED, *SIGNED, *IN_JSON_ONLY])
def test_no_json_serialization_of_the_cookbook_is_taken(name: str) -> None:
    """RFC 7519 section 1: a token is a compact one."""
    for kind in ("json", "json_flat"):
        with pytest.raises(InvalidProviderToken):
            parse(json.dumps(COOKBOOK[name]["output"][kind]))


@pytest.mark.parametrize("name", SIGNED)
def test_reads_the_signatures_of_the_cookbook(name: str) -> None:
    """RFC 7520 section 4; detached and unencoded payloads (RFC 7797) are refused: `b64` has no place in a token."""
    example = COOKBOOK[name]
    entry = dict(example["input"]["key"])
    # RFC 7520's private keys stand for the public ones: what verifies has no private part.
    keys_ = {part: entry[part] for part in entry if part in {"kty", "kid", "use", "n", "e", "crv", "x", "y", "alg"}}
    keys = KeySet((secret_of({"alg": "HS256", **entry}),)) if entry["kty"] == "oct" else read_key_set({"keys": [keys_]})
    token = example["output"]["compact"]
    if ".." in token or "b64" in json.dumps(example["signing"].get("protected", {})):
        with pytest.raises(InvalidProviderToken):
            verify(token, keys)
    else:
        assert verify(token, keys) == example["input"]["payload"].encode()


@pytest.mark.parametrize("item", load("json/JSONTestSuite.json")["items"], ids=lambda item: item["name"].split("/")[1])
def test_reads_json_as_its_suite_says(item: dict[str, str]) -> None:
    if "base64" not in item:
        pytest.skip("named in the vectors, not carried")
    name = item["name"].split("/")[1]
    # A claim set is an object: the value becomes a member, which must not change whether it is JSON.
    octets = b'{"value":' + base64.b64decode(item["base64"]) + b"}"
    if name.startswith("y_"):
        # JSON by its grammar; but two readers see two values.
        duplicates = "duplicated_key" in name
        with pytest.raises(NotStrict) if duplicates else contextlib.nullcontext():
            read_object(octets)
    elif name.startswith("n_"):
        with pytest.raises(NotStrict):
            read_object(octets)
    else:
        # Free: whatever it comes to, it comes to an end and to nothing but a refusal.
        with contextlib.suppress(NotStrict):
            read_object(octets)
