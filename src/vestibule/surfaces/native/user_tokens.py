"""`POST /v1/visitors/authenticate`: a page shows its visitor's user token and gets a contact token; it must not
call the customer's server itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from vestibule.auth_endpoint.user_token import LONGEST
from vestibule.edge.http import Reply, Request, json_reply
from vestibule.edge.operation import Answer, Operation
from vestibule.edge.request_limits import count_stranger
from vestibule.edge.strict_json import read_body
from vestibule.edge.surface import Route
from vestibule.edge.user_tokens import PageFields, sign_in
from vestibule.errors import (
    AuthBadResponse,
    AuthIdentityMissing,
    AuthRejected,
    AuthTimeout,
    AuthUnavailable,
    ContactBusy,
    DomainNotAllowed,
    IdentityConflict,
    InvalidField,
    InvalidWidgetToken,
    LoginRequired,
    NoSigningKey,
    NotFound,
    RateLimited,
    WorkspaceDisabled,
)
from vestibule.model.workspace import Workspace
from vestibule.runtime import Runtime
from vestibule.surfaces.native.shapes import Uuid

_ENCODER = msgspec.json.Encoder()


class UserToken(msgspec.Struct, frozen=True):
    """Exactly one of `customer_id` and `widget_token` names the workspace. `user_token` is the customer's own, opaque
    here; an empty one, `%USER_TOKEN%`, `undefined`, `null` and an over-long one are none. `fields` are what the page
    says of its visitor: they are passed on where the workspace wants them, and prove nothing."""

    customer_id: str | None = None
    widget_token: str | None = None
    user_token: Annotated[str, Meta(description=f"At most {LONGEST} characters.")] | None = None
    fields: PageFields | None = None


class ProvenContact(msgspec.Struct, frozen=True):
    """`verified` is false for a guest: where the customer's server could not tell, and the workspace lets such visitors
    in without proof."""

    id: Uuid
    verified: bool


class ContactToken(msgspec.Struct, frozen=True):
    """`expires_in` is in seconds, an hour at most; null for a guest, whose token opens what this device makes."""

    token: str
    expires_in: int | None
    contact: ProvenContact


def routes(runtime: Runtime) -> Sequence[Route]:
    decoder = msgspec.json.Decoder(UserToken)

    async def authenticate(request: Request) -> Reply:
        payload = await read_body(runtime, request, decoder)
        count_stranger(runtime, request)
        workspace = await _workspace(runtime, payload)
        done = await sign_in(runtime, request, workspace, payload.user_token, payload.fields)
        answer = ContactToken(done.token, done.life, ProvenContact(done.contact_id, done.verified))
        return json_reply(200, _ENCODER.encode(answer))

    return [Route("POST", "/v1/visitors/authenticate", authenticate, _AUTHENTICATE)]


async def _workspace(runtime: Runtime, payload: UserToken) -> Workspace:
    if (payload.customer_id is None) == (payload.widget_token is None):
        raise InvalidField("customer_id", "or widget_token must be given, and not both")
    if payload.customer_id is not None:
        found = await runtime.tenancy.by_customer_id(payload.customer_id)
        if found is None:
            raise NotFound("There is no such customer.", step="customer_id")
        return found
    token = payload.widget_token or ""
    found = await runtime.tenancy.by_widget_token(token) if 0 < len(token) <= 256 and "\0" not in token else None
    if found is None:
        raise InvalidWidgetToken(step="widget_token")
    return found


_AUTHENTICATE = Operation(
    name="authenticateVisitor",
    summary="Exchange a user token for a contact token",
    about="The workspace's auth endpoint is asked whose the token is. Ask again with a fresh user token before"
    " `expires_in` is over. The page's `Origin` must be one of the workspace's, where it restricts them.",
    request=UserToken,
    answers=(Answer(about="The contact's token.", type=ContactToken),),
    errors=(
        InvalidWidgetToken,
        AuthRejected,
        LoginRequired,
        DomainNotAllowed,
        WorkspaceDisabled,
        NotFound,
        IdentityConflict,
        ContactBusy,
        RateLimited,
        AuthBadResponse,
        AuthIdentityMissing,
        AuthTimeout,
        AuthUnavailable,
        NoSigningKey,
    ),
    public=True,
)
