"""Reads a JSON Web Key Set into keys that may verify, each with what it may verify; it must not fetch one.

A key that is unfit is left out, and the rest of the set serves: providers publish keys for encryption beside those
for signatures (RFC 7517 section 5 says to ignore what is not understood).
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from vestibule.oidc.refusal import refuse

MOST_KEYS = 100
SMALLEST_RSA_BITS = 2048
LARGEST_RSA_BITS = 8192
_SMALLEST_EXPONENT = 65_537
_LARGEST_EXPONENT_BITS = 64  # OpenSSL's own bound; a larger one makes each check slow
_LONGEST_KID = 512

_RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_EDWARDS = frozenset({"EdDSA", "Ed25519"})
# One curve per algorithm (RFC 7518 section 3.4), so that a header cannot pair a curve with another hash.
_CURVES = {
    ("EC", "P-256"): frozenset({"ES256"}),
    ("EC", "P-384"): frozenset({"ES384"}),
    ("EC", "P-521"): frozenset({"ES512"}),
    ("OKP", "Ed25519"): _EDWARDS,
}
_SHARED = {"HS256": 32, "HS384": 48, "HS512": 64}  # RFC 7518 section 3.2: no shorter than the hash
# Primes for which the order of 65537 is small: keys of the broken Infineon generator (ROCA, CVE-2017-15361) lie in the
# subgroup that it generates for every one of them, others for hardly any.
_ROCA_PRIMES = (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)


class UnusableKeySet(Exception):
    """The document is no key set that could be trusted; the message is for the operator."""


class Key(msgspec.Struct, frozen=True, eq=False):
    """A key that verifies. `jose` is parsed once: parsing costs as much as a hundred signature checks."""

    kid: str | None
    algorithms: frozenset[str]
    jose: Any

    def __repr__(self) -> str:
        return f"Key({self.kid!r})"


class KeySet(msgspec.Struct, frozen=True, eq=False):
    """`left_out` tells, per key that is not used, why."""

    keys: tuple[Key, ...]
    left_out: tuple[str, ...] = ()

    def choose(self, algorithm: str, kid: str | None) -> Key | None:
        """The one key that a header means, or None where the set has none for it. Raises InvalidProviderToken where
        several could be meant: trying them in turn would let one key vouch for another's tokens."""
        found = [
            key
            for key in self.keys
            if algorithm in key.algorithms and (kid is None or key.kid is None or key.kid == kid)
        ]
        if kid is not None:
            # A set of one nameless key names none; beside it, names count.
            named = [key for key in found if key.kid == kid]
            found = named or (found if len(self.keys) == 1 else [])
        if len(found) > 1:
            raise refuse("key", "more than one key of the provider could be meant")
        return found[0] if found else None


def read_key_set(document: dict[str, Any]) -> KeySet:
    """Raises UnusableKeySet."""
    entries = document.get("keys")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UnusableKeySet("it has no list of keys")
    if len(entries) > MOST_KEYS:
        raise UnusableKeySet(f"it has more than {MOST_KEYS} keys")
    if any(entry.get("kty") == "oct" for entry in entries):
        # Published or configured by mistake: whoever reads the set could sign with it (key confusion).
        raise UnusableKeySet("it has a symmetric key")
    keys: list[Key] = []
    left_out: list[str] = []
    for number, entry in enumerate(entries):
        try:
            keys.append(_read_key(entry))
        except UnusableKeySet as reason:
            left_out.append(f"key {number + 1}: {reason}")
    if not keys:
        raise UnusableKeySet("; ".join(["it has no key that can be used", *left_out[:5]]))
    return KeySet(tuple(keys), tuple(left_out))


def shared_key(secret: bytes, algorithm: str = "HS256", kid: str | None = None) -> Key:
    """Raises UnusableKeySet for a secret shorter than the hash, and where the algorithm takes no secret."""
    if len(secret) < _SHARED.get(algorithm, len(secret) + 1):
        raise UnusableKeySet("the algorithm takes no shared secret, or a longer one")
    return Key(kid, frozenset({algorithm}), OctKey.import_key(secret))


def _read_key(entry: dict[str, Any]) -> Key:
    kid = entry.get("kid")
    if kid is not None and (not isinstance(kid, str) or len(kid) > _LONGEST_KID):
        raise UnusableKeySet("its kid is no text, or too long")
    # RFC 7517 sections 4.2 and 4.3.
    if entry.get("use", "sig") != "sig":
        raise UnusableKeySet("its use is not signatures")
    operations = entry.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise UnusableKeySet("its operations do not include verifying")
    if "d" in entry:
        raise UnusableKeySet("its private part is published")
    algorithms = _algorithms(entry)
    try:
        return Key(kid, algorithms, _import(entry))
    except (JoseError, ValueError, TypeError, binascii.Error):
        # Among them a point that is not on its curve (RFC 8725 section 3.4).
        raise UnusableKeySet("it cannot be read") from None


def _algorithms(entry: dict[str, Any]) -> frozenset[str]:
    kind = entry.get("kty")
    possible = _RSA if kind == "RSA" else _CURVES.get((str(kind), str(entry.get("crv"))), frozenset())
    named = entry.get("alg")
    if named is not None:
        # RFC 9864: the two names mean the same, as far as Ed25519 goes. What is no text is no algorithm's name.
        possible &= _EDWARDS if str(named) in _EDWARDS else {str(named)}
    if not possible:
        raise UnusableKeySet("its type, curve or algorithm is not one that is accepted")
    return possible


def _import(entry: dict[str, Any]) -> RSAKey | ECKey | OKPKey:
    # Only what the public key consists of: nothing else in the entry may say how it is used.
    if entry["kty"] == "RSA":
        _check_rsa(_integer(entry.get("n")), _integer(entry.get("e")))
        rsa = RSAKey.import_key({name: entry[name] for name in ("kty", "n", "e")})
        rsa.get_op_key("verify")
        return rsa
    if entry["kty"] == "EC":
        curve = ECKey.import_key({name: entry[name] for name in ("kty", "crv", "x", "y") if name in entry})
        curve.get_op_key("verify")
        return curve
    edwards = OKPKey.import_key({name: entry[name] for name in ("kty", "crv", "x") if name in entry})
    edwards.get_op_key("verify")
    return edwards


def _integer(text: object) -> int:
    if not isinstance(text, str) or not 0 < len(text) <= LARGEST_RSA_BITS // 4:
        raise ValueError
    return int.from_bytes(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True), "big")


def _check_rsa(modulus: int, exponent: int) -> None:
    bits = modulus.bit_length()
    if not SMALLEST_RSA_BITS <= bits <= LARGEST_RSA_BITS:
        raise UnusableKeySet(f"its size is {bits} bits, not {SMALLEST_RSA_BITS} to {LARGEST_RSA_BITS}")
    if not modulus & 1 or not exponent & 1 or exponent < _SMALLEST_EXPONENT:
        raise UnusableKeySet("its exponent is even or smaller than 65537, or its modulus even")
    if exponent.bit_length() > _LARGEST_EXPONENT_BITS:
        raise UnusableKeySet("its exponent is too large")
    if all(modulus % prime in _powers(prime) for prime in _ROCA_PRIMES):
        raise UnusableKeySet("it was made by a broken generator (ROCA)")


def _powers(prime: int) -> set[int]:
    """The subgroup that 65537 generates modulo a prime."""
    powers = {1}
    power = 65_537 % prime
    while power not in powers:
        powers.add(power)
        power = power * 65_537 % prime
    return powers
