"""Names what an answer holds, so that a client that has it already need not get it again (RFC 9110 section 8.8.3); it
must not decide who may have it."""

from __future__ import annotations

import hashlib

from vestibule.edge.http import Request


def digest_of(body: bytes) -> bytes:
    """What stands between the quotation marks: the same for equal bodies, on every machine."""
    return hashlib.blake2b(body, digest_size=12).hexdigest().encode()


def entity_tag(body: bytes) -> bytes:
    """A strong tag."""
    return b'"' + digest_of(body) + b'"'


def is_known(request: Request, tag: bytes) -> bool:
    """Whether the client says that it has it (section 13.1.2). Weak tags compare equal here."""
    return any(tag in value or value.strip() == b"*" for value in request.headers(b"if-none-match"))
