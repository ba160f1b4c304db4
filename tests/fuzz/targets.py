"""What is fuzzed beneath HTTP: each target takes any octets and holds what must be true of them; it makes no input.

A target raises for a fault of ours only: a refusal that is by design ends it. Seeds are the shared vectors.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import random
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from tests.fixtures import sample_files
from tests.fuzz.mutation import json_mutants, mutants
from vestibule.auth_endpoint.question import Question
from vestibule.auth_endpoint.reply import LONGEST_LIFE
from vestibule.auth_endpoint.reply import read as read_reply
from vestibule.auth_endpoint.user_token import ends_at, usable
from vestibule.conversations.file_types import EXTENSIONS, media_type_of
from vestibule.errors import (
    AuthBadResponse,
    AuthIdentityMissing,
    AuthRejected,
    InvalidField,
    InvalidProviderToken,
    UpstreamForbidden,
    VestibuleError,
)
from vestibule.identity.email import email_key
from vestibule.identity.phone import phone_key
from vestibule.model.auth_endpoint import AuthEndpointSettings, IdentityMethod
from vestibule.model.claims import ProfileClaims
from vestibule.model.identity_provider import ClaimMapping, IdentityProvider, TokenKind
from vestibule.oidc import access_token, id_token, introspection, logout_token
from vestibule.oidc.claim_rules import Setting, moment
from vestibule.oidc.key_set import UnusableKeySet, read_key_set
from vestibule.oidc.strict_jws import parse, read_claims
from vestibule.oidc.token_reader import Reading
from vestibule.outbound.address_guard import parse_url
from vestibule.outbound.messages import Answer
from vestibule.strict_json import DEEPEST, NotStrict, read_object, read_value
from vestibule.tokens import api_key, pkce
from vestibule.verification.auth_endpoint import claims_of as claims_of_reply
from vestibule.verification.token_exchange import claims_of

VECTORS = Path(__file__).parents[1] / "vectors"
_MOST_SEED = 4_096
ATTACKS: dict[str, Any] = json.loads((VECTORS / "jwt/id_token_attacks.json").read_text(encoding="utf-8"))
# With every rule and every way of mapping that looks into claims.
PROVIDER = IdentityProvider(
    workspace_id="w",
    id=1,
    position=1,
    name="vectors",
    issuer=ATTACKS["issuer"],
    client_ids=(ATTACKS["audience"],),
    audiences=(ATTACKS["audience"],),
    access_token_client_claim="client_id",
    required_scopes=("openid",),
    required_acr=("2",),
    max_age=3_600,
    claims=ClaimMapping(custom={"groups": "groups", "deep": "address.country"}),
    mask=("email",),
    link_by_email=True,
)


@dataclass(frozen=True)
class Target:
    """`words` are put in by the mutator: what the format is made of. `is_json`: also by its members, whole."""

    check: Callable[[bytes], None]
    seeds: tuple[bytes, ...]
    words: tuple[bytes, ...] = ()
    is_json: bool = False

    def mutants(self, chance: random.Random) -> Iterator[bytes]:
        """Of its seeds, without end."""
        plain = mutants(self.seeds, self.words, chance)
        if not self.is_json:
            return plain
        return (made for pair in zip(plain, json_mutants(self.seeds, chance), strict=False) for made in pair)


def check_json(octets: bytes) -> None:
    """What we take, Python's reader takes as the same value, and no reader can take as another."""
    try:
        value = read_value(octets)
    except NotStrict:
        return
    pairs: list[bool] = []

    def unique(found: list[tuple[str, Any]]) -> dict[str, Any]:
        pairs.append(len(found) == len({name for name, _ in found}))
        return dict(found)

    assert json.loads(octets, object_pairs_hook=unique) == value
    assert all(pairs), "a name twice"
    assert _depth(value) <= DEEPEST


def _depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max((_depth(each) for each in value.values()), default=0)
    if isinstance(value, list):
        return 1 + max((_depth(each) for each in value), default=0)
    return 0


def check_token(octets: bytes) -> None:
    """What is taken apart can be put together again, to the letter: one token has one spelling."""
    token = octets.decode("utf-8", errors="surrogateescape")
    with contextlib.suppress(VestibuleError):
        usable(token)
        ends_at(token)
    try:
        jws = parse(token)
        claims = read_claims(jws)
    except InvalidProviderToken:
        return
    header, payload, signature = token.split(".")
    assert [encoded(jws.payload), encoded(jws.signature)] == [payload, signature]
    plain = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))
    assert plain["alg"] == jws.algorithm
    assert plain.get("kid") == jws.kid
    assert not plain.keys() & {"crit", "b64", "zip", "jwk", "jku", "x5u", "x5c"}
    assert json.loads(jws.payload) == claims


def check_claims(octets: bytes) -> None:
    """Whatever a provider has signed: rules refuse it or take it, and what is taken of it are plain values."""
    try:
        claims = read_object(octets)
    except NotStrict:
        return
    for rules in (id_token.RULES, access_token.RULES, introspection.RULES, logout_token.RULES):
        for _, rule in rules:
            with contextlib.suppress(VestibuleError):
                rule(claims, Setting(PROVIDER, ATTACKS["now"], "JWT"))
    times: list[float | None] = [None, None]
    for place, name in enumerate(("exp", "auth_time")):
        with contextlib.suppress(InvalidProviderToken):
            times[place] = moment(claims, name)
    taken = claims_of("w", Reading(PROVIDER, TokenKind.ID_TOKEN, "s", claims, times[0], times[1], None, None))
    _check_profile(taken.profile)


def _check_profile(profile: ProfileClaims) -> None:
    for value in msgspec.structs.astuple(profile):
        members = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else [value]
        assert all(member is None or isinstance(member, str | int | float | msgspec.UnsetType) for member in members)


_REPLY = b"""
{"status": true, "message": "no", "data": {"id": 7, "name": "A", "email": "a@example.com", "phone_number": "0301234567",
 "country_code": 49, "avatar": "https://example.com/a.png", "label": ["vip"], "expires_in": 60}}
"""


def check_reply(octets: bytes) -> None:
    """Whatever a customer's server answers: no proof, or one of whom its members name, in plain values."""
    answer = Answer(200, [("cache-control", "max-age=7")], octets, 1.0)
    with contextlib.suppress(AuthRejected, AuthBadResponse):
        reply = read_reply(answer, 1_700_000_000_000)
        assert 0 <= (reply.life if reply.life is not None else 0) <= LONGEST_LIFE
        for method in IdentityMethod:
            question = Question("w", AuthEndpointSettings(url="https://example.com/", identity_method=method), "t")
            with contextlib.suppress(AuthIdentityMissing):
                claims = claims_of_reply(question, reply)
                assert claims.email_key or claims.phone_key or claims.external_id
                _check_profile(claims.profile)


def encoded(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def check_key_set(octets: bytes) -> None:
    """Any document is a set of usable keys, or unusable; nothing private or weak gets in."""
    try:
        document = read_object(octets)
    except NotStrict:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = read_key_set(document)
        except UnusableKeySet:
            return
    assert 0 < len(found.keys) <= len(document["keys"])
    assert not [key for key in found.keys if "none" in {name.lower() for name in key.algorithms}]
    assert not [key for key in found.keys if any(name.startswith("HS") for name in key.algorithms)]


def check_url(octets: bytes) -> None:
    """What may be called, other parsers read alike, and no address in it is behind the door."""
    url = octets.decode("utf-8", errors="surrogateescape")
    try:
        target = parse_url(url)
    except UpstreamForbidden:
        return
    parts = urlsplit(url)
    assert (target.scheme, parts.scheme.lower()) == ("https", "https")
    assert target.port == (parts.port or 443)
    assert parts.username is None
    assert parts.password is None
    assert target.host.isascii()
    if (parts.hostname or "").isascii():
        given = (parts.hostname or "").rstrip(".")
        assert target.host.rstrip(".") == given or target.address is not None, (target.host, given)
    if target.address is not None:
        assert target.address.is_global, target.address
    assert parse_url(f"https://{target.authority}{target.path}") == target


def check_email(octets: bytes) -> None:
    """A key is its own key, in lower case ASCII, with one @."""
    try:
        key = email_key(octets.decode("utf-8", errors="surrogateescape"))
    except InvalidField:
        return
    assert key.isascii()
    assert key == key.lower()
    assert key.count("@") == 1
    assert not re.search(r"[\x00-\x20\x7f<>\"(),:;\[\]]", key)
    assert email_key(key) == key


def check_phone(octets: bytes) -> None:
    """A key is E.164, and its own key."""
    text = octets.decode("utf-8", errors="surrogateescape")
    number, _, code = text.partition("|")
    for key in (phone_key(number), phone_key(number, code)):
        if key is not None:
            assert re.fullmatch(r"\+[1-9][0-9]{3,16}", key), key
            assert phone_key(key) == key


def check_credential(octets: bytes) -> None:
    """Forms of credentials: any text is one or none."""
    text = octets.decode("utf-8", errors="surrogateescape")
    with contextlib.suppress(VestibuleError):
        api_key.workspace_of(text)
    if pkce.is_verifier(text):
        assert pkce.is_challenge(pkce.challenge_of(text))
    else:
        assert not pkce.is_challenge(text) or re.fullmatch(r"[A-Za-z0-9_-]{43}", text)


def check_file(octets: bytes) -> None:
    """An upload is of a type that is accepted, or of none."""
    assert media_type_of(io.BytesIO(octets), len(octets), "a.csv") in {None, *EXTENSIONS}


def _load(name: str) -> Any:
    return json.loads((VECTORS / name).read_text(encoding="utf-8"))


def _short(seeds: list[bytes]) -> tuple[bytes, ...]:
    return tuple(seed for seed in seeds if len(seed) <= _MOST_SEED)


def _octets(text: str) -> bytes:
    return text.encode("utf-8", errors="surrogatepass")


def _of_wycheproof() -> list[bytes]:
    groups = _load("wycheproof/json_web_signature_test.json")["testGroups"]
    groups += _load("wycheproof/json_web_key_test.json")["testGroups"]
    keys = [group.get("public") or group["private"] for group in groups]
    return [json.dumps(key if "keys" in key else {"keys": [key]}).encode() for key in keys]


# Every claim that a rule or a mapping looks into.
_CLAIMS = b"""
{"iss": "%b", "aud": ["%b"], "azp": "%b", "sub": "s", "sid": "1", "exp": 1, "nbf": 1, "iat": 1, "auth_time": 1,
 "acr": "2", "scope": "openid", "scp": ["openid"], "client_id": "x", "active": true, "jti": "1", "cnf": {"jkt": "x"},
 "token_type": "Bearer", "token_use": "id", "typ": "Bearer", "nonce": "n", "at_hash": "h",
 "events": {"http://schemas.openid.net/event/backchannel-logout": {}}, "name": "A", "email": "a@example.com",
 "email_verified": true, "phone_number": "+4930123456", "picture": "https://example.com/a.png", "locale": "de",
 "groups": ["x", "y"], "address": {"country": "DE"}}
""" % (ATTACKS["issuer"].encode(), *[ATTACKS["audience"].encode()] * 2)


def _of_attacks() -> list[bytes]:
    found = []
    for case in ATTACKS["cases"]:
        with contextlib.suppress(VestibuleError):
            found.append(parse(case["token"]).payload)
    return found


def _of_suite() -> list[bytes]:
    return [base64.b64decode(item["base64"]) for item in _load("json/JSONTestSuite.json")["items"] if "base64" in item]


def _of_files() -> tuple[bytes, ...]:
    accepted = [content for content, _, _ in sample_files.ACCEPTED.values()]
    return _short([*accepted, *sample_files.REFUSED.values()])


def targets() -> dict[str, Target]:
    """By name."""
    emails = _load("email/isemail.json")["items"] + _load("email/python-email-validator.json")["items"]
    phones = _load("phone/libphonenumber_examples.json")["items"]
    json_words = (
        b'"alg":"none"',
        b'"a":1,"a":2',
        b"{",
        b"[",
        b"}",
        b"]",
        b"\\u0000",
        b"\\ud800",
        b"NaN",
        b"1e999",
        b",",
    )
    return {
        "json": Target(check_json, _short(_of_suite()), json_words),
        "token": Target(
            check_token, _short([_octets(case["token"]) for case in ATTACKS["cases"]]), (b".", b"=", b"-", b"_", b"eyJ")
        ),
        "claims": Target(
            check_claims,
            (*_of_attacks(), _CLAIMS),
            (b'"exp":', b'"scope":', b'"events":', b'"email_verified":true'),
            is_json=True,
        ),
        "key set": Target(
            check_key_set,
            _short([json.dumps(ATTACKS["jwks"]).encode(), *_of_wycheproof()]),
            (b'"kty":"oct"', b'"d":'),
            is_json=True,
        ),
        "reply": Target(check_reply, (_REPLY, b'{"status":false}', b'{"status":true,"data":{}}'), is_json=True),
        "url": Target(
            check_url,
            (
                *_short([_octets(item["url"]) for item in _load("ssrf/urls.json")["items"]]),
                *(b"https://example.com/a?b=c", "https://b\u00fccher.example/".encode(), b"https://8.8.8.8:8443/"),
                b"https://[2606:4700::1111]/",
            ),
            (b"@", b"\\", b"#", b"%", b"[", b"::ffff:", b"127.0.0.1", b"0x7f", b"\xe3\x80\x82", b".", b":443"),
        ),
        "email": Target(
            check_email,
            _short([_octets(str(item.get("address", item.get("input", "")))) for item in emails] + [b"a@b.de"]),
            (b"@", b".", b'"', b"\xe2\x84\xaa", b"\xc5\xbf", b"+", b"xn--"),
        ),
        "phone": Target(
            check_phone,
            _short(
                [
                    f"{item.get('national_formatted', item.get('input'))}|{item['country_code']}".encode()
                    for item in phones[::4]
                ]
            ),
            (b"+", b"00", b"tel:", b";ext=", b"\xd9\xa0", b"|", b"XXX"),
        ),
        "credential": Target(
            check_credential, (b"vst_key_" + b"0" * 71, b"A" * 43, b"dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"), ()
        ),
        "file": Target(check_file, _of_files(), (b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"\xff\xff\xff\xff")),
    }
