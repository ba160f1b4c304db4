"""What each profile value may look like, one rule a function, whoever says it; it must not store or compare.

Every rule raises InvalidField with the path of the member at fault, in the words of the wire that it came by. The
limits are in docs/methods/server-to-server.md.
"""

from __future__ import annotations

import re

from vestibule.errors import InvalidField
from vestibule.model.claims import CustomData, HttpOverrides

LONGEST_NAME = 256
LONGEST_URL = 2048
LONGEST_PHONE = 64
LONGEST_CONTEXT = 32_768
MOST_CUSTOM_MEMBERS = 200
MOST_OVERRIDES = 100
LONGEST_MEMBER_NAME = 128
LONGEST_CUSTOM_TEXT = 8_192
LONGEST_OVERRIDE = 8_192
_WEB_URL = re.compile(r"https?://[^\s/]", re.IGNORECASE)
# What a 64-bit database column and every JSON reader that people use can hold without changing it.
_LARGEST_INTEGER = 2**63 - 1

# RFC 9110 section 5.6.2 (token) and 5.5 (field value: visible characters, space, tab, and of obs-text what is printable
# in Latin-1, which is what a header can carry).
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`|~]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\xa0-\xff]*")
# Headers that frame the message or belong to the connection (RFC 9110 section 7.6.1, RFC 9112): setting one would let
# an override smuggle a second request or speak for another host. `x-opencx-` are ours to send, and must be unforgeable.
_FORBIDDEN_HEADERS = frozenset(
    {
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "proxy-connection",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "upgrade",
        "expect",
        "http2-settings",
    }
)
_FORBIDDEN_HEADER_PREFIXES = ("x-opencx-", "x-vestibule-", "x-forwarded-", "sec-", ":")


def text(field: str, value: str, longest: int) -> str:
    """A text without NUL (no database column holds one) and not over-long."""
    if len(value) > longest:
        raise InvalidField(field, f"must be at most {longest} characters")
    if "\0" in value:
        raise InvalidField(field, "must not contain a NUL character")
    return value


def is_web_url(value: str) -> bool:
    """Whether a picture may be loaded from it: `javascript:` and its kin end up in pages that show it."""
    return _WEB_URL.match(value) is not None and value.isprintable()


def custom_data(field: str, value: CustomData) -> CustomData:
    """A flat map with texts, numbers and booleans."""
    if len(value) > MOST_CUSTOM_MEMBERS:
        raise InvalidField(field, f"must have at most {MOST_CUSTOM_MEMBERS} members")
    for name, member in value.items():
        path = _member(field, name)
        if isinstance(member, str):
            text(path, member, LONGEST_CUSTOM_TEXT)
        elif isinstance(member, int) and abs(member) > _LARGEST_INTEGER:
            raise InvalidField(path, "must be a number of at most 64 bits; send larger ones as text")
    return value


def http_overrides(field: str, value: HttpOverrides) -> HttpOverrides:
    """Overrides whose names and values can stand in a request without changing its frame."""
    prefix = f"{field}." if field else ""
    maps = {
        "query_params": value.query_params,
        "path_params": value.path_params,
        "body_params": value.body_params,
        "headers": value.headers,
    }
    for kind, members in maps.items():
        if len(members) > MOST_OVERRIDES:
            raise InvalidField(f"{prefix}{kind}", f"must have at most {MOST_OVERRIDES} members")
        for name, member in members.items():
            text(_member(f"{prefix}{kind}", name), member, LONGEST_OVERRIDE)
    seen: set[str] = set()
    for name, member in value.headers.items():
        _header(_member(f"{prefix}headers", name), name, member)
        if name.lower() in seen:
            raise InvalidField(f"{prefix}headers", "must not name a header twice in different letter case")
        seen.add(name.lower())
    return value


def _header(path: str, name: str, value: str) -> None:
    # Many servers (CGI, WSGI) cannot tell `Content_Length` from `Content-Length`.
    lowered = name.lower().replace("_", "-")
    if _HEADER_NAME.fullmatch(name) is None:
        raise InvalidField(path, "is not the name of a header")
    if lowered in _FORBIDDEN_HEADERS or lowered.startswith(_FORBIDDEN_HEADER_PREFIXES):
        raise InvalidField(path, "is a header that may not be set")
    if _HEADER_VALUE.fullmatch(value) is None:
        raise InvalidField(path, "must be of characters that a header can carry: printable Latin-1")


def _member(field: str, name: str) -> str:
    if len(name) > LONGEST_MEMBER_NAME:
        raise InvalidField(field, f"must have member names of at most {LONGEST_MEMBER_NAME} characters")
    if "\0" in name:
        raise InvalidField(field, "must not have a NUL character in a member's name")
    # The path is shown to the caller and logged: printable, so that a name cannot write lines of its own.
    return f"{field}.{name if name.isprintable() else ascii(name)}"
