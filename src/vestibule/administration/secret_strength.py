"""Judges whether a shared secret is one that nobody guesses; it must not repeat it.

A token signed with HS256 can be tried against lists of words without asking anybody, so a secret must be random, and
must not be one that stands in a manual.
"""

from __future__ import annotations

import hashlib
import re

SHORTEST_BYTES = 32  # RFC 7518 section 3.2: as long as the hash
_FEWEST_CHARACTERS = 10
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
# What people write when they write a secret instead of making one.
_WORDS = re.compile(
    r"secret|passw|pass_|key|token|jwt|hmac|sign|auth|admin|example|change|insert|replace|default|sample|test|demo|your"
    r"|should|long|super|private|random|string|qwert|abcdef|12345|letmein|exposed|yaz|00000",
    re.IGNORECASE,
)
# Random enough to look at, and published: the first bytes of the SHA-256 of long secrets from wallarm/jwt-secrets
# (MIT), which attackers' tools carry.
_PUBLISHED = frozenset(
    {
        "039db0a41a2f342f",
        "1eb60937468f42ef",
        "5ec835b2eb53b5d9",
        "66df73c36c52ba8b",
        "bad459aeec697c61",
        "ddc97546e2e73aa1",
    }
)


def weakness(secret: str) -> str | None:
    """Why the secret is not to be used, as a sentence that goes on from "it"; None where nothing speaks against it."""
    raw = secret.encode("utf-8", "surrogatepass")
    if len(raw) < SHORTEST_BYTES:
        return f"must have at least {SHORTEST_BYTES} bytes"
    if len(set(raw)) < _FEWEST_CHARACTERS or secret in (secret + secret)[1:-1]:
        return "repeats itself"
    if _UUID.fullmatch(secret):
        return "is a UUID: a name, not a secret"
    if hashlib.sha256(raw.strip()).hexdigest()[:16] in _PUBLISHED:
        return "is a published example"
    # In a long random text a short word can come about by chance; not two, and not where no other character helps.
    words = _WORDS.findall(secret)
    if len(words) > 1 or (words and len(set(raw)) < 20):
        return "is made of words"
    return None
