"""Encrypts values at rest with the installation's secret keys, and proves that a text is ours; it must not decide what
is worth sealing or proving.

AES-256-GCM with a random 96-bit nonce (NIST SP 800-38D). The first key seals, every key opens, so a secret is rotated
by putting the new one in front. The context is authenticated with the value: a sealed text copied into another row,
column or workspace does not open there.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vestibule.errors import CannotUnseal

KEY_BYTES = 32
_NONCE_BYTES = 12
_FORMAT = "v1"


def new_secret_key() -> str:
    """A fresh secret key in the form the settings take: 43 characters of base64url."""
    return base64.urlsafe_b64encode(os.urandom(KEY_BYTES)).rstrip(b"=").decode()


def parse_secret_key(text: str) -> bytes:
    """The 32 bytes of a secret key. Raises ValueError without repeating the text, which is a secret."""
    try:
        key = base64.b64decode(text.strip() + "=", altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("must be 43 characters of base64url") from None
    if len(key) != KEY_BYTES:
        raise ValueError("must be 43 characters of base64url, carrying 32 bytes")
    return key


class Sealer:
    """Seals and opens texts. Keys never appear in its repr."""

    def __init__(self, keys: tuple[bytes, ...]) -> None:
        if not keys:
            raise ValueError("at least one secret key is needed")
        self._ciphers = {_key_name(key): AESGCM(key) for key in keys}
        # Another key for another purpose, derived one way (NIST SP 800-108, counter mode, one block).
        # Keyed once and only ever copied: keying takes longer than a text.
        self._macs = {
            _key_name(key): hmac.new(hmac.digest(key, b"\x01vestibule mac key", "sha256"), digestmod="sha256")
            for key in keys
        }
        self.fingerprints = tuple(self._ciphers)

    def __repr__(self) -> str:
        return f"Sealer({len(self._ciphers)} keys)"

    def seal(self, text: str, context: str) -> str:
        """`v1.<key name>.<base64url>`; opens only with the same `context`."""
        name = self.fingerprints[0]
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._ciphers[name].encrypt(nonce, text.encode(), context.encode())
        return f"{_FORMAT}.{name}.{base64.urlsafe_b64encode(nonce + sealed).decode()}"

    def unseal(self, sealed: str, context: str) -> str:
        """Raises CannotUnseal where the key is missing, or where value or context are not the sealed ones."""
        try:
            version, name, body = sealed.split(".")
            raw = base64.urlsafe_b64decode(body)
            cipher = self._ciphers[name]
            if version != _FORMAT or base64.urlsafe_b64encode(raw).decode() != body:
                # Also another spelling of the same bytes: what is stored is what was sealed, to the letter.
                raise CannotUnseal(detail="unknown format", step="unseal")
            return cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], context.encode()).decode()
        except (KeyError, ValueError, InvalidTag):
            raise CannotUnseal(detail="sealed with another key, or altered", step="unseal") from None

    def mac(self, text: bytes) -> str:
        """`<key name>.<hexadecimal HMAC-SHA256>`: what only a holder of the secret key can have made of `text`."""
        name = self.fingerprints[0]
        return f"{name}.{self._made(name, text)}"

    def is_mac(self, mac: str, text: bytes) -> bool:
        """Whether it is the text's, by any of the keys; in constant time."""
        name, _, made = mac.partition(".")
        return name in self._macs and hmac.compare_digest(
            self._made(name, text).encode(), made.encode("utf-8", "surrogatepass")
        )

    def _made(self, name: str, text: bytes) -> str:
        keyed = self._macs[name].copy()
        keyed.update(text)
        return keyed.hexdigest()


def _key_name(key: bytes) -> str:
    # A name to find the key by, derived one way: it may be stored beside what the key seals.
    return hashlib.sha256(b"vestibule secret key name\0" + key).hexdigest()[:12]
