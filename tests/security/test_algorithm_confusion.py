"""An attacker signs a provider's token with what is no key, with a public key, or with a key of their own that the
token itself brings (RFC 8725 sections 2.1, 3.1, 3.5, 3.10): on both wires that take tokens."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

from tests.fixtures.fake_provider import FakeProvider, make_key
from tests.fixtures.puzzel import Front
from tests.fixtures.siege import Canary, Siege
from tests.fixtures.token_doors import ASKED_AT_MOST, doors, encoded


def mac_signed(header: dict[str, Any], payload: str, key: bytes, digest: str = "sha256") -> str:
    signed = f"{encoded(header)}.{payload}"
    return f"{signed}.{encoded(hmac.new(key, signed.encode(), digest).digest())}"


NONE: tuple[Any, ...] = (
    *("none", "None", "NONE", "nOnE", "none ", "", "null"),
    *(None, True, 0, [], {}, ["RS256"]),
)


def refused(siege: Siege, front: Front, token: str) -> None:
    for each in doors(front, token):
        siege.refuses(each, {400, 401}, "invalid_token")


def test_no_spelling_of_none_is_a_signature(front: Front, fake: FakeProvider, siege: Siege) -> None:
    real = fake.id_token(sub="victim")
    _, payload, signature = real.split(".")
    with siege.laid(audited=["invalid_token"], provider=fake, most_asked=ASKED_AT_MOST):
        for algorithm in NONE:
            for kid in ({"kid": fake.key.kid}, {}):
                header = encoded({"alg": algorithm, "typ": "JWT", **kid})
                for end in ("", signature):
                    refused(siege, front, f"{header}.{payload}.{end}")
        refused(siege, front, f"{encoded({'typ': 'JWT'})}.{payload}.{signature}")
        refused(siege, front, f"{real.split('.')[0]}.{payload}.")


def test_a_public_key_is_no_shared_secret(front: Front, fake: FakeProvider, siege: Siege) -> None:
    key = fake.key
    published = key.as_dict(private=False)
    public = [
        key.as_pem(private=False),
        key.as_pem(private=False).strip(),
        key.as_der(private=False),
        json.dumps(published).encode(),
        json.dumps(published, separators=(",", ":"), sort_keys=True).encode(),
        base64.urlsafe_b64decode(str(published["n"]) + "=="),
        b"",
        b"\0",
        b"secret",
        front.customer_id.encode(),
    ]
    payload = fake.id_token(sub="victim").split(".")[1]
    with siege.laid(audited=["invalid_token"], provider=fake, most_asked=ASKED_AT_MOST):
        for secret in public:
            for algorithm, digest in (("HS256", "sha256"), ("HS384", "sha384"), ("HS512", "sha512")):
                for kid in ({"kid": key.kid}, {}):
                    refused(siege, front, mac_signed({"alg": algorithm, **kid}, payload, secret, digest))


def test_a_key_that_the_token_brings_is_no_key(front: Front, fake: FakeProvider, siege: Siege, canary: Canary) -> None:
    """Nor is one fetched from where the token says, which would be a request of the attacker's choice besides."""
    stranger = make_key("stranger")
    own, there = stranger.as_dict(private=False), f"http://127.0.0.1:{canary.port}/jwks"
    certificate = base64.b64encode(hashlib.sha256(b"x").digest() * 8).decode()
    with siege.laid(audited=["invalid_token"], provider=fake, most_asked=ASKED_AT_MOST):
        headers: tuple[dict[str, Any], ...] = (
            {"jwk": own},
            {"jwk": {**own, "kid": fake.key.kid}, "kid": fake.key.kid},
            {"jku": there},
            {"jku": f"{fake.issuer}/jwks#{there}"},
            {"jku": f"{fake.issuer}@127.0.0.1:{canary.port}/"},
            {"x5u": there},
            {"x5c": [certificate]},
            {"x5t": "AAAA"},
            {"x5t#S256": "AAAA"},
            {"kid": there},
            {"kid": "../../../../../dev/null"},
            {"kid": "x' UNION SELECT 'secret"},
            {"kid": "${jndi:ldap://127.0.0.1/}"},
            {"kid": "|sleep 5"},
            {"crit": ["exp"], "exp": 1},
            {"crit": []},
            {"b64": False, "crit": ["b64"]},
            {"zip": "DEF"},
        )
        for header in headers:
            given = {"alg": "RS256", "kid": fake.key.kid, **header}
            refused(siege, front, f"{encoded(given)}.{signed_part(fake, given, stranger)}")


def signed_part(fake: FakeProvider, header: dict[str, Any], key: Any) -> str:
    """Payload and signature by a key, under a header that a library would refuse to sign."""
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15  # noqa: PLC0415 - one use
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415

    payload = fake.id_token(sub="victim").split(".")[1]
    made = key.get_op_key("sign").sign(f"{encoded(header)}.{payload}".encode(), PKCS1v15(), SHA256())
    return f"{payload}.{encoded(made)}"


def test_an_empty_or_absent_signature_of_another_algorithm(front: Front, fake: FakeProvider, siege: Siege) -> None:
    """CVE-2022-21449 and its kin: r and s of zero, the algorithm of another family, a weaker hash."""
    payload = fake.id_token(sub="victim").split(".")[1]
    with siege.laid(audited=["invalid_token"], provider=fake, most_asked=ASKED_AT_MOST):
        for algorithm, length in (
            ("ES256", 64),
            ("ES384", 96),
            ("ES512", 132),
            ("EdDSA", 64),
            ("ES256K", 64),
            ("RS1", 256),
            ("RS256", 256),
            ("PS256", 256),
            ("RSA-OAEP", 256),
            ("dir", 0),
        ):
            for octet in (b"\0", b"\xff"):
                token = f"{encoded({'alg': algorithm, 'kid': fake.key.kid})}.{payload}.{encoded(octet * length)}"
                refused(siege, front, token) if algorithm not in {"RSA-OAEP", "dir"} else encrypted(siege, front, token)


def encrypted(siege: Siege, front: Front, token: str) -> None:
    for each in doors(front, token):
        siege.refuses(each, {400, 401}, {"invalid_token", "encrypted_token_not_supported"})
