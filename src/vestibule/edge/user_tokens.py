"""Takes a user token that a page shows, for every surface: limited, its page checked, proven; it must not word the
answer."""

from __future__ import annotations

import msgspec

from vestibule.auth_endpoint.question import Question
from vestibule.auth_endpoint.user_token import usable
from vestibule.authenticate import Caller, authenticate, guard
from vestibule.conversations.admission import Reason, admit_page, admit_unverified
from vestibule.edge.arrivals import note_proven, note_unproven
from vestibule.edge.client_address import address_bucket, client_address
from vestibule.edge.http import Request
from vestibule.errors import (
    AuthBadResponse,
    AuthIdentityMissing,
    AuthRejected,
    AuthTimeout,
    AuthUnavailable,
    InvalidField,
    LoginRequired,
    NotFound,
)
from vestibule.identity import profile_rules as rules
from vestibule.ids import is_own_secret, new_id
from vestibule.model.auth_endpoint import AuthEndpointSettings, Fallback
from vestibule.model.claims import Method
from vestibule.model.contact import Contact
from vestibule.model.workspace import Workspace
from vestibule.runtime import Runtime

_LONGEST_FIELD = 320


class PageFields(msgspec.Struct, frozen=True):
    """What a page says of its visitor."""

    user_id: str | None = None
    email: str | None = None
    name: str | None = None
    phone_number: str | None = None


class SignedIn(msgspec.Struct, frozen=True):
    """`life` is in seconds; None, as is the contact, for a guest."""

    token: str
    life: int | None
    contact_id: str
    contact: Contact | None

    @property
    def verified(self) -> bool:
        return self.contact is not None


async def admit(runtime: Runtime, request: Request, workspace: Workspace) -> None:
    """What everybody passes who shows a user token. Raises WorkspaceDisabled, RateLimited, DomainNotAllowed,
    AuthUnavailable."""
    request.facts["workspace"] = workspace.id
    address = address_bucket(client_address(request, runtime.settings.trusted_proxies))
    await guard(runtime, Caller(workspace, f"user_tokens:{address}", runtime.settings.rate_limit_user_tokens))
    await admit_page(runtime, workspace.id, request.headers(b"origin"))


async def sign_in(
    runtime: Runtime, request: Request, workspace: Workspace, token: str | None, fields: PageFields | None
) -> SignedIn:
    """A contact token for whom the workspace's auth endpoint says this is. Raises what `admit` does, InvalidField,
    NotFound, LoginRequired, AuthRejected, AuthBadResponse, AuthIdentityMissing, AuthUnavailable, AuthTimeout,
    IdentityConflict, ContactBusy."""
    request.proves = Method.AUTH_ENDPOINT.value
    await admit(runtime, request, workspace)
    settings = await runtime.tenancy.auth_endpoint(workspace.id)
    found = usable(token)
    if found is None:
        await admit_unverified(runtime, workspace.id, Reason.ARRIVE, request.facts)
        raise InvalidField("user_token", "is required")
    if not settings.url:
        raise NotFound("This workspace has no auth endpoint.", step="auth_endpoint")
    if is_own_secret(found):
        # Not to be shown to the customer's server, which has no business with it.
        raise AuthRejected(step="own_secret")
    question = Question(workspace.id, settings, found, _said(fields))
    try:
        done = await authenticate(runtime, runtime.auth_endpoint, question)
    except (AuthBadResponse, AuthIdentityMissing, AuthUnavailable, AuthTimeout) as error:
        guest = await _guest(runtime, workspace.id, settings, request)
        if guest is None:
            raise
        request.facts |= {"code": error.code, "step": error.step, "detail": error.detail}
        return guest
    note_proven(request, Method.AUTH_ENDPOINT, done)
    return SignedIn(done.token, done.life, done.contact.id, done.contact)


async def _guest(
    runtime: Runtime, workspace_id: str, settings: AuthEndpointSettings, request: Request
) -> SignedIn | None:
    """A visitor of whom nothing is known: where it could not be told who it is, where the workspace wants that, and
    never where login is required."""
    if settings.fallback is not Fallback.GUEST:
        return None
    try:
        await admit_unverified(runtime, workspace_id, Reason.FALLBACK, request.facts)
    except LoginRequired:  # why it could not be told says more
        return None
    contact_id, token_id = new_id(), new_id()
    token = runtime.contact_tokens.issue_unverified(workspace_id, contact_id, None, token_id=token_id)
    note_unproven(request, contact_id, token_id)
    return SignedIn(token, None, contact_id, None)


def _said(fields: PageFields | None) -> dict[str, str]:
    if fields is None:
        return {}
    given = {name: value for name, value in msgspec.structs.asdict(fields).items() if value}
    return {name: rules.text(f"fields.{name}", value, _LONGEST_FIELD) for name, value in given.items()}
