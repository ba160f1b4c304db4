"""`GET /v1/me` and `/v1/conversations`: the bearer of a contact token sees themselves; it shows no other contact."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from vestibule.edge.bearer import bearer
from vestibule.edge.http import Reply, Request, json_reply
from vestibule.edge.surface import Route
from vestibule.errors import InvalidContactToken, WorkspaceDisabled
from vestibule.model.claims import CustomData
from vestibule.model.contact import Contact
from vestibule.runtime import Runtime
from vestibule.tokens.contact_token import ContactClaims


class ValueSource(msgspec.Struct, frozen=True):
    """Where a value came from, and when (RFC 3339, UTC)."""

    source: str
    at: str


class Me(msgspec.Struct, frozen=True):
    """The contact as the contact may see it: without `chat_context` and `http_action_overrides`, which are between the
    customer's backend and the responder and may hold credentials."""

    id: str
    workspace_id: str
    verified: bool
    method: str
    authenticated_at: str
    name: str | None
    email: str | None
    phone: str | None
    avatar_url: str | None
    language: str | None
    custom_data: CustomData
    provenance: dict[str, ValueSource]


_HIDDEN = frozenset({"chat_context", "http_action_overrides"})
_ENCODER = msgspec.json.Encoder()


def routes(runtime: Runtime) -> Sequence[Route]:
    async def me(request: Request) -> Reply:
        contact, claims = await _contact(runtime, request)
        return json_reply(200, _ENCODER.encode(_me(contact, claims)))

    async def conversations(request: Request) -> Reply:
        await _contact(runtime, request)
        return json_reply(200, b'{"items":[],"next":null}')

    return [Route("GET", "/v1/me", me), Route("GET", "/v1/conversations", conversations)]


async def _contact(runtime: Runtime, request: Request) -> tuple[Contact, ContactClaims]:
    """The contact that a good token names, followed to where it was merged; a token of an erased contact is as good as
    none."""
    claims = await runtime.contact_tokens.check(bearer(request))
    workspace = await runtime.tenancy.by_id(claims.org_id)
    if workspace is None:
        raise InvalidContactToken(detail="its workspace is gone", step="workspace")
    if workspace.disabled_at is not None:
        raise WorkspaceDisabled(step="workspace")
    contact = await runtime.contacts.find_leading(claims.org_id, claims.sub)
    if contact is None:
        raise InvalidContactToken(detail="its contact is gone", step="contact")
    request.facts |= {"workspace": claims.org_id, "contact": contact.id}
    return contact, claims


def _me(contact: Contact, claims: ContactClaims) -> Me:
    return Me(
        id=contact.id,
        workspace_id=contact.workspace_id,
        verified=contact.verified and claims.contact.verified,
        method=claims.method.value,
        authenticated_at=_rfc3339(claims.auth_time * 1000),
        name=contact.name,
        email=contact.email,
        phone=contact.phone,
        avatar_url=contact.avatar_url,
        language=contact.language,
        custom_data=contact.custom_data or {},
        provenance={
            name: ValueSource(origin.source.value, _rfc3339(origin.at))
            for name, origin in contact.provenance.items()
            if name not in _HIDDEN
        },
    )


def _rfc3339(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
