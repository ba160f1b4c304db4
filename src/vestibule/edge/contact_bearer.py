"""Who calls, on every wire where the contact token names the workspace, too: its bearer; it opens nothing."""

from __future__ import annotations

from vestibule.conversations.admission import admit_unverified
from vestibule.conversations.visitor import Visitor, visitor_of
from vestibule.edge.bearer import bearer
from vestibule.edge.http import READING, Request
from vestibule.errors import InvalidContactToken, WorkspaceDisabled
from vestibule.runtime import Runtime
from vestibule.tokens.contact_token import ContactClaims


async def recognise(runtime: Runtime, token: str) -> ContactClaims:
    """The claims of a token that is ours, in time, not ended, and of a workspace that is open. Raises
    InvalidContactToken, WorkspaceDisabled."""
    claims = await runtime.contact_tokens.check(token)
    runtime.token_endings.check(claims)
    workspace = await runtime.tenancy.by_id(claims.org_id)
    if workspace is None:
        raise InvalidContactToken(detail="its workspace is gone", step="workspace")
    if workspace.disabled_at is not None:
        raise WorkspaceDisabled(step="workspace")
    return claims


async def claims_of(runtime: Runtime, request: Request) -> ContactClaims:
    """Raises MissingCredentials, AmbiguousCredentials, InvalidContactToken, WorkspaceDisabled."""
    claims = await recognise(runtime, bearer(request))
    request.facts |= {"workspace": claims.org_id, "contact": claims.sub}
    return claims


async def visitor(runtime: Runtime, request: Request) -> Visitor:
    """Raises LoginRequired as well, where an unverified visitor may not write."""
    claims = await claims_of(runtime, request)
    if not claims.contact.verified and request.method not in READING:
        await admit_unverified(runtime, claims.org_id)
    return visitor_of(claims)
