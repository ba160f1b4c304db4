"""`/v1/me`: the bearer of a contact token sees themselves, and ends this token; it shows and ends no other."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vestibule.clock import SECOND_MS
from vestibule.conversations.visitor import unverified_contact, visitor_of
from vestibule.edge.client_address import address_bucket, client_address
from vestibule.edge.contact_bearer import admit, claims_of
from vestibule.edge.http import Reply, Request, json_reply
from vestibule.edge.operation import Answer, Operation
from vestibule.edge.surface import Route
from vestibule.errors import InvalidContactToken
from vestibule.model.claims import CustomData, Method
from vestibule.model.contact import Contact
from vestibule.runtime import Runtime
from vestibule.surfaces.native.shapes import Time
from vestibule.times import rfc3339
from vestibule.tokens.contact_token import ContactClaims


class ValueSource(msgspec.Struct, frozen=True):
    """Where a value came from, and when."""

    source: Method
    at: Time


# Without labels, which are for staff, and without `chat_context` and `http_action_overrides`, which are between the
# customer's backend and the responder and may hold credentials.
class Me(msgspec.Struct, frozen=True):
    """The contact as the contact may see it. `provenance` tells of each value where it came from. Of an unverified
    visitor it is what they said with this very token; custom data without proof is in `non_verified_custom_data`, and
    never in `custom_data`."""

    id: str
    workspace_id: str
    verified: bool
    method: Method
    authenticated_at: Time
    name: str | None
    email: str | None
    phone: str | None
    avatar_url: str | None
    language: str | None
    custom_data: CustomData
    non_verified_custom_data: CustomData
    provenance: dict[str, ValueSource]


_HIDDEN = frozenset({"chat_context", "http_action_overrides", "labels"})
_ENCODER = msgspec.json.Encoder()


def routes(runtime: Runtime) -> Sequence[Route]:
    async def me(request: Request) -> Reply:
        claims = await claims_of(runtime, request)
        await admit(runtime, request, visitor_of(claims))
        contact = await _contact(runtime, claims)
        request.facts["contact"] = contact.id
        return json_reply(200, _ENCODER.encode(_me(contact, claims)))

    async def sign_out(request: Request) -> Reply:
        claims = await claims_of(runtime, request)
        if not claims.contact.verified:
            # Tokens that prove nothing are to be had for the asking, and each ending is held by every process.
            address = address_bucket(client_address(request, runtime.settings.trusted_proxies))
            limit = runtime.settings.rate_limit_sign_outs
            await runtime.rate_limiter.take(claims.org_id, f"sign_outs:{address}", limit)
        await runtime.token_endings.end(claims)
        return Reply(204, b"", ((b"cache-control", b"no-store"),))

    return [Route("GET", "/v1/me", me, _ME), Route("POST", "/v1/me/sign-out", sign_out, _SIGN_OUT)]


async def _contact(runtime: Runtime, claims: ContactClaims) -> Contact:
    """The contact that a good token names, followed to where it was merged; a token of an erased contact is as good as
    none."""
    if not claims.contact.verified:
        # From the token and not from the row: whoever says the same e-mail has the same row, and would be shown what
        # another device's visitor said of themselves (DESIGN rule 2.4).
        said_at = claims.auth_time * SECOND_MS
        return unverified_contact(claims.org_id, claims.sub, claims.said, retention_ms=0, now=said_at)
    contact = await runtime.contacts.find_leading(claims.org_id, claims.sub)
    if contact is None:
        raise InvalidContactToken(detail="its contact is gone", step="contact")
    return contact


def _me(contact: Contact, claims: ContactClaims) -> Me:
    return Me(
        id=contact.id,
        workspace_id=contact.workspace_id,
        verified=contact.verified and claims.contact.verified,
        method=claims.method,
        authenticated_at=rfc3339(claims.auth_time * SECOND_MS),
        name=contact.name,
        email=contact.email,
        phone=contact.phone,
        avatar_url=contact.avatar_url,
        language=contact.language,
        custom_data=contact.custom_data or {},
        non_verified_custom_data=contact.non_verified_custom_data or {},
        provenance={
            name: ValueSource(origin.source, rfc3339(origin.at))
            for name, origin in contact.provenance.items()
            if name not in _HIDDEN
        },
    )


_ME = Operation(
    name="getMe",
    summary="Show the contact that the token stands for",
    answers=(Answer(about="The contact.", type=Me),),
)
_SIGN_OUT = Operation(
    name="signOut",
    summary="End this token",
    about="It opens nothing any more: at once in the process that answers, within 5 seconds everywhere. Other tokens of"
    " the contact, such as those of other devices, go on.",
    answers=(Answer(status=204, about="Ended."),),
)
