"""Takes a compact JWS apart and checks its signature, refusing everything doubtful before a key is looked at; it must
not interpret claims.

Around joserfc's primitives, because libraries used as documented let 27 to 29 of 195 hostile ID tokens pass
(SECURITY.md section 2.2). The rules are RFC 7515 and RFC 8725, read narrowly: one token has one spelling.
"""

from __future__ import annotations

import binascii
import functools
import re
from typing import Any

import msgspec
from joserfc.jws import JWSRegistry

from vestibule.oidc.key_set import Key
from vestibule.oidc.refusal import refuse
from vestibule.strict_json import NotStrict, read_object

LONGEST_TOKEN = 16_384
_LONGEST_KID = 512
# RFC 7516 section 3.1: five parts, the second and third of which may be empty.
_JWE = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*){3}\.[A-Za-z0-9_-]*")
_CHARACTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_OBJECT = ("ew", "ex", "ey", "ez")  # "{" and the next character, in base64
# Base64 leaves two or four spare bits in its last character; only zeros there are the canonical spelling.
_LAST = {2: frozenset(b"AQgw"), 3: frozenset(b"AEIMQUYcgkosw048")}
# `crit` asks for extensions that are not understood here; `b64` and `zip` change what is signed; the others bring keys
# (RFC 8725 section 3.10). A provider has no need of any of them in its tokens.
_FORBIDDEN = ("crit", "b64", "zip", "jwk", "jku", "x5u", "x5c")


class Jws(msgspec.Struct, frozen=True, eq=False):
    """A JWS whose signature is not checked yet."""

    algorithm: str
    kid: str | None
    type: str | None
    payload: bytes
    signed: bytes
    signature: bytes

    def __repr__(self) -> str:
        return f"Jws({self.algorithm!r})"


def is_jwt_shaped(token: str) -> bool:
    """Whether a token is to be read as a JWT: three parts, the first of which is a JSON object in base64url. What looks
    like one and is none is refused as a JWT, never tried as an opaque token."""
    return token.startswith(_OBJECT) and _parts(token) is not None


def is_encrypted(token: str) -> bool:
    return token.count(".") == 4 and token.startswith(_OBJECT) and _JWE.fullmatch(token) is not None


def parse(token: str, longest: int = LONGEST_TOKEN) -> Jws:
    """Raises InvalidProviderToken."""
    if len(token) > longest:
        raise refuse("size", f"longer than {longest} characters")
    parts = _parts(token)
    if parts is None:
        raise refuse("form", "not three parts of base64url")
    header = _read_header(parts[0])
    return Jws(
        algorithm=header.algorithm,
        kid=header.kid,
        type=header.type,
        payload=_decode(parts[1]),
        signed=parts[0] + b"." + parts[1],
        signature=_decode(parts[2]),
    )


def _parts(token: str) -> list[bytes] | None:
    """Three parts of base64url, of which the first is not empty. None if it has another form. Not by a regular
    expression, which takes as long as everything else about the form together."""
    octets = token.encode("ascii", "replace")  # a question mark is none of the characters
    parts = octets.split(b".")
    return parts if len(parts) == 3 and parts[0] and not octets.translate(None, _CHARACTERS) else None


class _Header(msgspec.Struct, frozen=True):
    algorithm: str
    kid: str | None
    type: str | None


# All tokens of a key have the same header, to the letter. What is refused is not remembered.
@functools.lru_cache(maxsize=512)
def _read_header(part: bytes) -> _Header:
    try:
        header = read_object(_decode(part))
    except NotStrict as reason:
        raise refuse("header", f"the header {reason}") from None
    algorithm = header.get("alg")
    if not isinstance(algorithm, str):
        raise refuse("algorithm", "the header names no algorithm")
    forbidden = [name for name in _FORBIDDEN if name in header]
    if forbidden:
        raise refuse("header", f"the header has {', '.join(forbidden)}")
    return _Header(algorithm, _text(header, "kid"), _text(header, "typ"))


def check_algorithm(jws: Jws, allowed: tuple[str, ...]) -> None:
    """Raises InvalidProviderToken. Before any key is chosen: a header may only pick from our list (RFC 8725 3.1)."""
    if jws.algorithm not in allowed:
        raise refuse("algorithm", "not an algorithm that this provider may use")


def is_signed_by(jws: Jws, key: Key) -> bool:
    """Raises InvalidProviderToken for a key that is for other algorithms."""
    if jws.algorithm not in key.algorithms:
        raise refuse("key", "the key is not for this algorithm")
    return bool(jws.signature) and JWSRegistry.algorithms[jws.algorithm].verify(jws.signed, jws.signature, key.jose)


def read_claims(jws: Jws) -> dict[str, Any]:
    """The claim set. Raises InvalidProviderToken."""
    try:
        return read_object(jws.payload)
    except NotStrict as reason:
        raise refuse("payload", f"the payload {reason}") from None


def _decode(part: bytes) -> bytes:
    rest = len(part) % 4
    if rest == 1 or (rest and part[-1] not in _LAST[rest]):
        raise refuse("form", "not canonical base64url")
    return binascii.a2b_base64(part.translate(_TO_STANDARD) + b"==")


def _text(header: dict[str, Any], name: str) -> str | None:
    value = header.get(name)
    if name in header and not isinstance(value, str):
        raise refuse("header", f"{name} is not text")
    if value is not None and len(value) > _LONGEST_KID:
        raise refuse("header", f"{name} is too long")
    return value
