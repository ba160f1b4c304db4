"""Signs our own tokens in JWS compact form (RFC 7515 section 7.1) with ES256 (RFC 7518 section 3.4); it checks none.

Every token issued passes here, and joserfc's general way of signing costs more than the signature itself (28 of 50 µs,
measured): it parses and checks a header that is the same each time. What is signed is decided here to the letter, so
there is nothing to check. Checking, where the input is a stranger's, stays with joserfc.
"""

from __future__ import annotations

import base64
import functools

import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from vestibule.errors import NoSigningKey
from vestibule.tokens.signing_keys import ALGORITHM, SigningKey

_ES256 = ECDSA(SHA256())
_COORDINATE = 32  # bytes of each half of an ES256 signature


@functools.lru_cache(maxsize=256)
def header_text(kid: str, type_: str) -> str:
    """The one header that tokens of this key and type have, encoded."""
    return _encoded(msgspec.json.encode({"alg": ALGORITHM, "kid": kid, "typ": type_})).decode()


def sign_compact(key: SigningKey, type_: str, payload: bytes) -> str:
    """`header.payload.signature`. Raises NoSigningKey where the key only verifies."""
    if key.private is None:
        raise NoSigningKey(detail="this key has no private half here", step="sign")
    signed = header_text(key.id, type_).encode() + b"." + _encoded(payload)
    r, s = decode_dss_signature(key.private.sign(signed, _ES256))
    # JWS has the two integers side by side, not ASN.1 (RFC 7518 section 3.4).
    signature = r.to_bytes(_COORDINATE, "big") + s.to_bytes(_COORDINATE, "big")
    return (signed + b"." + _encoded(signature)).decode()


def _encoded(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")
