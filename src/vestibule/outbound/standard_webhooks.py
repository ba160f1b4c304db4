"""Signs outgoing requests as Standard Webhooks has it (standardwebhooks.com, specification 1.0); it sends nothing.

    webhook-id, webhook-timestamp, webhook-signature: v1,<base64 of HMAC-SHA256 over "id.timestamp.body">

Several secrets give several signatures, so that a receiver can change to a new secret at its leisure.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Sequence

from vestibule.clock import SECOND_MS, now_ms

_PREFIX = "whsec_"
_SHORTEST = 24


def new_secret() -> str:
    """A fresh secret in the form that the libraries of the standard take."""
    return _PREFIX + base64.b64encode(os.urandom(32)).decode()


def secret_bytes(secret: str) -> bytes:
    """The key of a secret. Raises ValueError without repeating it."""
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) < _SHORTEST:
        raise ValueError(f"must be {_PREFIX} and base64 of at least {_SHORTEST} bytes")
    return key


def signature_headers(secrets: Sequence[str], message_id: str, body: bytes) -> dict[str, str]:
    """The three headers for this body, as of now."""
    timestamp = str(now_ms() // SECOND_MS)
    signed = f"{message_id}.{timestamp}.".encode() + body
    signatures = [
        "v1," + base64.b64encode(hmac.digest(secret_bytes(secret), signed, hashlib.sha256)).decode()
        for secret in secrets
    ]
    return {"webhook-id": message_id, "webhook-timestamp": timestamp, "webhook-signature": " ".join(signatures)}
