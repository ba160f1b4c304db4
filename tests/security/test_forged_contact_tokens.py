"""A contact token is believed only if every octet of it was made here, for this installation, and is still good: forged
ones of every known kind are 401 in the same words (RFC 8725; SECURITY 2.3)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.fixtures.front_door import Installation, Workspace, beside
from tests.fixtures.server import RunningServer
from tests.fixtures.siege import Siege

PATHS = ("/v1/me", "/v1/conversations")


def encode(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


class Token:
    """A good token, taken apart."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.head, self.payload, self.signature = text.split(".")
        self.header: dict[str, Any] = json.loads(decode(self.head))
        self.claims: dict[str, Any] = json.loads(decode(self.payload))

    def with_header(self, **members: Any) -> str:
        header = {name: value for name, value in {**self.header, **members}.items() if value is not None}
        return f"{encode(json.dumps(header, separators=(',', ':')).encode())}.{self.payload}.{self.signature}"

    def with_claims(self, **members: Any) -> str:
        claims = {name: value for name, value in {**self.claims, **members}.items() if value is not None}
        return f"{self.head}.{encode(json.dumps(claims, separators=(',', ':')).encode())}.{self.signature}"


@pytest.fixture
def token(workspace: Workspace) -> Token:
    text, _ = workspace.sign_in("ada@example.com")
    assert workspace.me(text).status_code == 200
    return Token(text)


@pytest.fixture(autouse=True)
def besieged(workspace: Workspace, token: Token, besiege: Callable[[Workspace], Siege]) -> Iterator[None]:  # noqa: ARG001
    """Around every test of this file; whom its tokens are forged from is there before."""
    with besiege(workspace).laid(audited=["invalid_token"]):
        yield


@pytest.fixture
def jwk(installation: Installation, token: Token) -> dict[str, Any]:
    """The public key that the good token was signed with."""
    keys = installation.http.get("/.well-known/jwks.json").json()["keys"]
    return next(key for key in keys if key["kid"] == token.header["kid"])


def refuse(workspace: Workspace, *forged: str) -> None:
    """Holds that none of them opens anything, all asked at once: a key nobody knows is looked for, which takes time."""
    calls = [(text, path) for text in forged for path in PATHS]

    def call(text: str, path: str) -> httpx.Response:
        return workspace.installation.http.get(path, headers={"authorization": f"Bearer {text}"})

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(call, *zip(*calls, strict=True)))
    for (text, _), answer in zip(calls, answers, strict=True):
        assert answer.status_code == 401, text[:200]
        assert answer.json()["code"] in {"invalid_token", "missing_credentials"}
        assert answer.headers["www-authenticate"].startswith('Bearer realm="vestibule"')
        assert len(text) < 30 or text[-20:] not in answer.text


def own_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def test_without_a_signature_are_refused(workspace: Workspace, token: Token) -> None:
    """RFC 8725 section 3.1; `none` in every spelling."""
    for algorithm in ("none", "None", "NONE", "nOnE", "", None, 0, ["none"]):
        head, payload, _ = token.with_header(alg=algorithm).split(".")
        refuse(workspace, f"{head}.{payload}.", f"{head}.{payload}", f"{head}.{payload}.{token.signature}")
    refuse(workspace, f"{token.head}.{token.payload}.", f"{token.head}.{token.payload}")
    refuse(workspace, f"{token.head}.{token.payload}.{encode(bytes(64))}")  # CVE-2022-21449: r = s = 0


def test_signed_with_the_public_key_as_a_shared_secret_are_refused(
    workspace: Workspace, token: Token, jwk: dict[str, Any]
) -> None:
    """RFC 8725 section 2.1, algorithm confusion."""
    public = jwt.PyJWK(jwk).key
    forms = serialization.PublicFormat
    secrets = [
        public.public_bytes(serialization.Encoding.PEM, forms.SubjectPublicKeyInfo),
        public.public_bytes(serialization.Encoding.DER, forms.SubjectPublicKeyInfo),
        public.public_bytes(serialization.Encoding.X962, forms.UncompressedPoint),
        json.dumps(jwk).encode(),
        json.dumps(jwk, separators=(",", ":")).encode(),
        decode(jwk["x"]),
        b"",
        b"secret",
    ]
    for algorithm, digest in (("HS256", hashlib.sha256), ("HS384", hashlib.sha384), ("HS512", hashlib.sha512)):
        head, payload, _ = token.with_header(alg=algorithm).split(".")
        for secret in secrets:
            signed = f"{head}.{payload}"
            mac = hmac.new(secret, signed.encode(), digest).digest()
            refuse(workspace, f"{signed}.{encode(mac)}", f"{token.head}.{payload}.{encode(mac)}")


def test_of_another_key_are_refused(workspace: Workspace, token: Token) -> None:
    kid = token.header["kid"]
    typ = token.header["typ"]
    rsa_key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    for algorithm, key in (
        ("ES256", own_key()),
        ("RS256", rsa_key),
        ("PS256", rsa_key),
        ("ES384", ec.generate_private_key(ec.SECP384R1())),
    ):
        refuse(workspace, jwt.encode(token.claims, key, algorithm, headers={"kid": kid, "typ": typ}))
        refuse(workspace, jwt.encode(token.claims, key, algorithm, headers={"kid": "another", "typ": typ}))


def test_of_an_unknown_or_odd_kid_are_refused(workspace: Workspace, token: Token) -> None:
    """RFC 8725 section 3.10: `kid` is a name that strangers write, not a path, not SQL, not an address."""
    odd: tuple[Any, ...] = (
        "../../../../dev/null",
        "/dev/null",
        "' UNION SELECT 'x",
        "x' OR 1=1 --",
        "http://127.0.0.1/key",
        "|whoami",
        "",
        None,
        0,
        True,
        {},
        ["a"],
        "a" * 2_000,
        "\0",
        "\u0000\ud83d\ude00",
        token.header["kid"].lower(),
        token.header["kid"] + " ",
        "unknownunknown00",
    )
    for kid in odd:
        forged = jwt.encode(token.claims, own_key(), "ES256", headers={"typ": "contact+jwt"}).split(".")
        head = token.with_header(kid=kid).split(".")[0]
        refuse(workspace, token.with_header(kid=kid), f"{head}.{forged[1]}.{forged[2]}")


def test_that_bring_their_key_along_are_refused(workspace: Workspace, token: Token) -> None:
    """RFC 8725 section 3.10, CVE-2018-0114: jwk, jku, x5u and x5c are never followed."""
    key = own_key()
    public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
    for members in (
        {"jwk": public},
        {"jwk": public, "kid": None},
        {"jku": "http://127.0.0.1:1/jwks.json"},
        {"x5u": "http://127.0.0.1:1/cert.pem"},
        {"x5c": ["MIIB"]},
        {"x5t": "abc"},
    ):
        headers = {name: value for name, value in {**token.header, **members}.items() if value is not None}
        refuse(workspace, jwt.encode(token.claims, key, "ES256", headers=headers), token.with_header(**members))


def test_with_a_header_that_is_not_ours_to_the_letter_are_refused(workspace: Workspace, token: Token) -> None:
    """RFC 7515 section 4.1.11 (crit), RFC 8725 section 3.11 (typ)."""
    foreign: tuple[dict[str, Any], ...] = (
        {"crit": ["exp"]},
        {"crit": []},
        {"crit": ["b64"], "b64": False},
        {"zip": "DEF"},
        {"cty": "JWT"},
        {"typ": "JWT"},
        {"typ": None},
        {"typ": "CONTACT+JWT"},
        {"typ": "application/contact+jwt"},
        {"alg": "es256"},
        {"alg": "ES256K"},
        {"unknown": 1},
    )
    for members in foreign:
        refuse(workspace, token.with_header(**members))
    spaced = encode(json.dumps(token.header).encode())
    turned = encode(json.dumps(dict(reversed(token.header.items())), separators=(",", ":")).encode())
    twice = encode(decode(token.head)[:-1] + b',"alg":"ES256"}')
    for head in (
        spaced,
        turned,
        twice,
        encode(b"\xef\xbb\xbf" + decode(token.head)),
        encode(b"null"),
        encode(b"[]"),
        "",
    ):
        refuse(workspace, f"{head}.{token.payload}.{token.signature}")


def test_altered_in_any_octet_are_refused(workspace: Workspace, token: Token) -> None:
    for at in range(0, len(token.text), 7):
        if token.text[at] != ".":
            other = "A" if token.text[at] != "A" else "Q"
            refuse(workspace, token.text[:at] + other + token.text[at + 1 :])
    refuse(
        workspace,
        token.with_claims(sub="01900000-0000-7000-8000-000000000000"),
        token.with_claims(exp=int(time.time()) + 10**9),
        token.with_claims(exp=None),
        token.with_claims(contact={"id": token.claims["sub"], "verified": False}),
        token.text[:-1],
        token.text[1:],
        token.text + "A",
    )


def test_spelled_in_other_ways_are_refused(workspace: Workspace, token: Token) -> None:
    """RFC 7515 section 2 and RFC 4648 sections 3.2 to 3.5: no padding, no line breaks, no other alphabet, and of the
    last character's spare bits none set. One signature is one text."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet.index(token.signature[-1])
    same_octets = [token.text[:-1] + alphabet[(last & ~15) | spare] for spare in range(16) if spare != last & 15]
    assert all(decode(text.split(".")[2]) == decode(token.signature) for text in same_octets)
    refuse(workspace, *same_octets)
    refuse(
        workspace,
        token.text + "=",
        token.text + "==",
        f"{token.head}=.{token.payload}.{token.signature}",
        f"{token.head}.{token.payload}=.{token.signature}",
        f"{token.head}.{token.payload}.{token.signature[:40]} {token.signature[40:]}",
        f"{token.head}.{token.payload}.{token.signature[:40]}~{token.signature[40:]}",
        f"{token.head}.{token.payload}.{token.signature[:40]}.{token.signature[40:]}",
        f"{token.head}.{token.payload}.{token.signature.swapcase()}",
    )
    standard = token.text.replace("-", "+").replace("_", "/")
    if standard != token.text:
        refuse(workspace, standard)


def test_with_a_signature_of_another_form_are_refused(workspace: Workspace, token: Token) -> None:
    """RFC 7518 section 3.4: R and S, 32 octets each; DER, S with the order added, and cut or padded ones are not it."""
    raw = decode(token.signature)
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    der = b"\x30\x44\x02\x20" + raw[:32] + b"\x02\x20" + raw[32:]
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    octets = [
        der,
        raw[:63],
        raw + b"\0",
        b"\0" + raw,
        raw[32:] + raw[:32],
        bytes(32) + raw[32:],
        raw[:32] + bytes(32),
        raw * 2,
    ]
    for other_r, other_s in ((r, 0), (0, s), (order, s), (r, order), (order, order), (r + order, s), (r, s + order)):
        if max(other_r, other_s) < 1 << 256:
            octets.append(other_r.to_bytes(32, "big") + other_s.to_bytes(32, "big"))
    refuse(workspace, *(f"{token.head}.{token.payload}.{encode(signature)}" for signature in octets))


def test_of_another_number_of_parts_are_refused(workspace: Workspace, token: Token) -> None:
    refuse(
        workspace,
        ".",
        "..",
        "...",
        f".{token.text}",
        f"{token.text}.",
        f"{token.text}.x",
        f"{token.head}..{token.signature}",
        f".{token.payload}.{token.signature}",
        f"{token.head}.{token.payload}.{token.payload}.{token.signature}.x",
        token.head,
        f"{token.text}.{token.text}",
        "." * 3_000,
    )


def test_of_great_length_are_refused_at_once(workspace: Workspace, token: Token) -> None:
    began = time.monotonic()
    refuse(
        workspace,
        token.text + "A" * 3_300,
        token.text + "A" * 20_000,
        "A" * 30_000,
        f"{token.head}.{'A' * 8_000}.{token.signature}",
    )
    answer = workspace.installation.http.get("/v1/me", headers={"authorization": f"Bearer {'A' * 1_000_000}"})
    assert answer.status_code == 431
    assert time.monotonic() - began < 2
    assert workspace.me(token.text).status_code == 200


def test_of_another_workspace_see_that_workspace_only(workspace: Workspace, installation: Installation) -> None:
    """RFC 8725 section 3.9. A payload with another workspace, audience or contact is an altered one."""
    other = installation.workspace()
    mine, theirs = Token(workspace.sign_in("ada@example.com")[0]), Token(other.sign_in("ada@example.com")[0])
    assert workspace.me(theirs.text).json()["workspace_id"] == other.id
    assert mine.claims["aud"] != theirs.claims["aud"]
    refuse(
        workspace,
        f"{mine.head}.{theirs.payload}.{mine.signature}",
        mine.with_claims(aud=theirs.claims["aud"]),
        mine.with_claims(org_id=other.id),
        mine.with_claims(org_id=other.id, aud=theirs.claims["aud"]),
    )


@pytest.fixture(scope="module")
def short_lived(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server on the same database with another name, whose keys are the same."""
    settings = {"public_url": "http://other.example"}
    with beside(installation, tmp_path_factory.mktemp("other"), **settings) as server:
        yield server


def test_of_another_issuer_with_the_same_keys_are_refused(workspace: Workspace, short_lived: RunningServer) -> None:
    """RFC 8725 section 3.8."""
    answer = workspace.authenticate(email="ada@example.com", url=short_lived.base_url)
    assert answer.status_code == 200
    foreign = answer.json()["token"]
    assert workspace.me(foreign, url=short_lived.base_url).status_code == 200
    refuse(workspace, foreign)


@pytest.mark.slow
def test_whose_time_is_over_are_refused(
    installation: Installation, workspace: Workspace, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """RFC 7519 section 4.1.4, also where the server has seen the token before."""
    with beside(installation, tmp_path_factory.mktemp("short"), contact_token_lifetime="1m") as server:
        text = workspace.authenticate(email="ada@example.com", url=server.base_url).json()["token"]
        token = Token(text)
        assert token.claims["exp"] - token.claims["iat"] == 60
        assert workspace.me(text, url=server.base_url).status_code == 200
        time.sleep(max(0.0, token.claims["exp"] - time.time()) + 0.05)
        answer = workspace.me(text, url=server.base_url)
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")


def test_all_wrong_ones_are_answered_in_the_same_words(workspace: Workspace, token: Token) -> None:
    """Unknown key, wrong signature and foreign header look alike (ASVS 16.5.1)."""
    own = {"date", "x-request-id"}
    seen = set()
    for forged in (
        token.text[:-1],
        token.with_header(kid="x"),
        token.with_claims(sub="x"),
        token.with_header(alg="none"),
        "a.b.c",
    ):
        answer = workspace.me(forged)
        seen.add((answer.status_code, answer.text, *((k, v) for k, v in answer.headers.items() if k not in own)))
    assert len(seen) == 1, seen


def test_two_or_half_or_none_or_elsewhere_are_no_token(workspace: Workspace, token: Token) -> None:
    http = workspace.installation.http
    calls: dict[Callable[[], httpx.Response], tuple[int, str]] = {
        lambda: http.get("/v1/me"): (401, "missing_credentials"),
        lambda: http.get("/v1/me", params={"token": token.text, "access_token": token.text}): (
            401,
            "missing_credentials",
        ),
        lambda: http.get("/v1/me", headers={"cookie": f"token={token.text}"}): (401, "missing_credentials"),
        lambda: http.get("/v1/me", headers={"authorization": token.text}): (401, "missing_credentials"),
        lambda: workspace.me(token.text[:-40]): (401, "invalid_token"),
        lambda: http.get("/v1/me", headers=[("authorization", f"Bearer {token.text}")] * 2): (
            400,
            "ambiguous_credentials",
        ),
    }
    for call, (status, code) in calls.items():
        answer = call()
        assert (answer.status_code, answer.json()["code"]) == (status, code)
