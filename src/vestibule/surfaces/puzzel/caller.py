"""Who calls, and what proof they show; it opens nothing.

A conversation's id is the client's own. A UUID is the id that the conversation has everywhere; of any other text one is
made, always the same, so that nothing needs to be looked up.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import uuid
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from vestibule.conversations.visitor import Visitor, visitor_of
from vestibule.edge.client_address import address_bucket, client_address
from vestibule.edge.contact_bearer import claims_of
from vestibule.edge.http import Request
from vestibule.edge.strict_json import convert, decode
from vestibule.errors import InvalidField, InvalidRequest
from vestibule.ids import is_id
from vestibule.model.claims import Method
from vestibule.model.unshown import Unshown
from vestibule.runtime import Runtime

_LARGEST_BODY = 32_768
_LONGEST_NAME = 64
_CLIENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,127}")


class Shown(Unshown, frozen=True):
    """A userInfoId and its verifier. A null is not an absent one: a proof that was lost on the way must not end in a
    chat without it."""

    userInfoId: str | UnsetType = UNSET  # noqa: N815 - the seed's name
    codeVerifier: str | UnsetType = UNSET  # noqa: N815


class Proof(Unshown, frozen=True):
    """Both of them."""

    user_info_id: str
    code_verifier: str


_BODY = msgspec.json.Decoder(dict[str, Any] | list[Any])
# How each is spelt, by what is left of a name without case, `_` and `-`.
_SPELT = {name.lower(): name for name in Shown.__struct_fields__}


async def visitor(runtime: Runtime, request: Request) -> Visitor:
    """Raises MissingCredentials, AmbiguousCredentials, InvalidContactToken, RateLimited, WorkspaceDisabled,
    OriginNotAllowed."""
    return visitor_of(await claims_of(runtime, request))


async def visitor_if_any(runtime: Runtime, request: Request) -> Visitor | None:
    """None where no credential was sent; one that is no good is refused, never passed over."""
    return await visitor(runtime, request) if request.headers(b"authorization") else None


async def read_proof(runtime: Runtime, request: Request) -> Proof | None:
    """What the query and the body show; None where neither shows anything. Raises InvalidRequest."""
    body = await read_body(runtime, request)
    shown = decode(body, _BODY) if body else {}
    _refuse_misplaced(shown, request.query_names("userInfoId"))
    # A list is what one client sends; of what it would hold nothing is known, but that it shall be no proof.
    inside = convert(shown, Shown) if isinstance(shown, dict) else Shown()
    user_info_id = _one(request.query("userInfoId"), inside.userInfoId)
    code_verifier = _one(request.query("codeVerifier"), inside.codeVerifier)
    if user_info_id is None and code_verifier is None:
        return None
    if user_info_id is None or code_verifier is None:
        raise InvalidRequest("Send userInfoId and codeVerifier together.", step="proof")
    request.proves = Method.TOKEN_EXCHANGE.value  # for the audit: from here on it is decided who this is
    return Proof(user_info_id, code_verifier)


async def read_body(runtime: Runtime, request: Request) -> bytes:
    """The body, empty where none was sent. Raises UnsupportedMedia, BodyTooLarge, BodyTooSlow."""
    length = request.headers(b"content-length")
    if not request.headers(b"transfer-encoding") and (not length or not length[0].strip(b" 0")):
        return b""
    settings = runtime.settings
    return await request.body(most=min(_LARGEST_BODY, settings.max_body_bytes), within=settings.body_timeout / 1000)


def conversation_id(workspace_id: str, request: Request) -> str:
    """The conversation's id here. Raises InvalidField."""
    given = request.params["conversation_id"]
    if _CLIENT_ID.fullmatch(given) is None:
        wanted = "must have 1 to 128 letters, digits, `.`, `_`, `~` or `-`, and begin with a letter or digit"
        raise InvalidField("conversationId", wanted)
    if is_id(given.lower()):
        return given.lower()
    digest = hashlib.sha256(f"puzzel\0{workspace_id}\0{given}".encode()).digest()
    number = int.from_bytes(digest[:16], "big") & ~(0xF << 76) & ~(0b11 << 62)
    return str(uuid.UUID(int=number | 0x8 << 76 | 0b10 << 62))  # RFC 9562 section 5.8


async def limit_proofs(runtime: Runtime, request: Request) -> None:
    """Counts an attempt to start or identify a chat. Raises RateLimited."""
    limit = runtime.settings.rate_limit_new_visitors
    await runtime.rate_limiter.take("", f"proofs:{_address(runtime, request)}", limit)


async def count_refused_proof(runtime: Runtime, request: Request) -> None:
    """Raises RateLimited where too many came from there."""
    limit = runtime.settings.rate_limit_bad_keys
    await runtime.rate_limiter.take("", f"bad_proofs:{_address(runtime, request)}", limit)


def _refuse_misplaced(body: dict[str, Any] | list[Any], in_query: list[str]) -> None:
    """A proof that is not read as one must not end in a chat without it. Raises InvalidField."""
    members = body if isinstance(body, dict) else {}
    for name in (*in_query, *members):
        right = _spelt(name)
        if right not in {None, name}:
            raise InvalidField(name[:_LONGEST_NAME], f"is spelt {right}")
    inside = [value for value in members.values() if not isinstance(value, str)] if members else body
    for text in _texts(inside):
        right = _spelt(text)
        if right is not None:
            raise InvalidField(right, "must be in the query, or a member of the body itself")


def _spelt(name: str) -> str | None:
    return _SPELT.get(name.replace("_", "").replace("-", "").lower())


def _texts(value: Any) -> Iterator[str]:
    """Every name and text within: clients also write `{"name": …, "value": …}`."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        yield from value
        yield from _texts(list(value.values()))


def _address(runtime: Runtime, request: Request) -> str:
    return address_bucket(client_address(request, runtime.settings.trusted_proxies))


def _one(in_query: str | None, in_body: str | UnsetType) -> str | None:
    if isinstance(in_body, UnsetType):
        return in_query
    if in_query is not None and not hmac.compare_digest(in_query.encode(), in_body.encode()):
        raise InvalidRequest("The query and the body show different proofs.", step="proof")
    return in_body
