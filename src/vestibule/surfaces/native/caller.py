"""Who calls: the bearer of a good contact token; it opens nothing."""

from __future__ import annotations

from vestibule.conversations.visitor import Visitor, recognise, visitor_of
from vestibule.edge.bearer import bearer
from vestibule.edge.http import Request
from vestibule.runtime import Runtime
from vestibule.tokens.contact_token import ContactClaims


async def claims_of(runtime: Runtime, request: Request) -> ContactClaims:
    """Raises MissingCredentials, AmbiguousCredentials, InvalidContactToken, WorkspaceDisabled."""
    claims = await recognise(runtime, bearer(request))
    request.facts |= {"workspace": claims.org_id, "contact": claims.sub}
    return claims


async def visitor(runtime: Runtime, request: Request) -> Visitor:
    """The token names the workspace, too: nothing else does on this wire."""
    return visitor_of(await claims_of(runtime, request))
