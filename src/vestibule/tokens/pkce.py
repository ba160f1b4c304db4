"""Proof key for code exchange (RFC 7636), S256 only; it must not know what the proof is for.

`plain` does not exist here, not even as a default: a 43-character plain verifier looks like an S256 challenge, so a
server that took either would let whoever saw the challenge use it as the verifier (RFC 9700 sections 2.1.1 and 4.8).
"""

from __future__ import annotations

import base64
import hashlib
import re

# A SHA-256 in base64url: 43 characters, the last of which has two spare bits. They are not held to zero here: what
# does not match is refused all the same, and looks like any other wrong verifier.
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")  # RFC 7636 section 4.1


def is_challenge(text: str) -> bool:
    return _CHALLENGE.fullmatch(text) is not None


def is_verifier(text: str) -> bool:
    return _VERIFIER.fullmatch(text) is not None


def challenge_of(verifier: str) -> str:
    """RFC 7636 section 4.2: BASE64URL-ENCODE(SHA256(ASCII(code_verifier))). `verifier` must have a verifier's form."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode("ascii")).digest()).rstrip(b"=").decode()
