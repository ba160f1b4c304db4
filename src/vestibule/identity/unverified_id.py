"""Names the unverified contact behind a claimed e-mail; it must not find anybody."""

from __future__ import annotations

import hashlib
import hmac
import uuid


def unverified_contact_id(secret: bytes, workspace_id: str, claimed_email: str) -> str:
    """The id of the unverified contact behind a claimed e-mail: the same each time, so that a page which names its
    visitor on every load goes on with one contact, without a look-up by an unproven key and without a row before the
    first message. It cannot be the id of a contact that was verified from the start: those are version 7, this is
    version 8 (RFC 9562 5.8)."""
    # ASCII only, so that no folding joins what two people wrote (identity/email.py).
    claimed = claimed_email.lower() if claimed_email.isascii() else claimed_email
    digest = hmac.digest(secret, f"{workspace_id}\0{claimed}".encode(), hashlib.sha256)
    number = int.from_bytes(digest[:16], "big") & ~(0xF << 76) & ~(0b11 << 62)
    return str(uuid.UUID(int=number | 0x8 << 76 | 0b10 << 62))
