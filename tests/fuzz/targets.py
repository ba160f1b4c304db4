"""What is fuzzed beneath HTTP: each target takes any octets and holds what must be true of them; it makes no input.

A target raises for a fault of ours only: a refusal that is by design ends it. Seeds are the shared vectors.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from vestibule.auth_endpoint.user_token import ends_at, usable
from vestibule.errors import InvalidField, InvalidProviderToken, UpstreamForbidden, VestibuleError
from vestibule.identity.email import email_key
from vestibule.identity.phone import phone_key
from vestibule.oidc.key_set import UnusableKeySet, read_key_set
from vestibule.oidc.strict_jws import parse, read_claims
from vestibule.outbound.address_guard import parse_url
from vestibule.strict_json import DEEPEST, NotStrict, read_object, read_value
from vestibule.tokens import api_key, pkce

VECTORS = Path(__file__).parents[1] / "vectors"
_MOST_SEED = 4_096


@dataclass(frozen=True)
class Target:
    """`words` are put in by the mutator: what the format is made of."""

    check: Callable[[bytes], None]
    seeds: tuple[bytes, ...]
    words: tuple[bytes, ...] = ()


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
        assert pkce.matches(text, pkce.challenge_of(text))
    else:
        assert not pkce.is_challenge(text) or re.fullmatch(r"[A-Za-z0-9_-]{43}", text)


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


def _of_suite() -> list[bytes]:
    return [base64.b64decode(item["base64"]) for item in _load("json/JSONTestSuite.json")["items"] if "base64" in item]


def targets() -> dict[str, Target]:
    """By name."""
    attacks = _load("jwt/id_token_attacks.json")
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
            check_token, _short([_octets(case["token"]) for case in attacks["cases"]]), (b".", b"=", b"-", b"_", b"eyJ")
        ),
        "key set": Target(
            check_key_set, _short([json.dumps(attacks["jwks"]).encode(), *_of_wycheproof()]), (b'"kty":"oct"', b'"d":')
        ),
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
    }
