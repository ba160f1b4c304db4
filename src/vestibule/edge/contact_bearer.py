"""Who calls, on every wire where the contact token names the workspace, too: its bearer; it opens nothing."""

from __future__ import annotations

from vestibule.conversations.admission import Reason, admit_call, admit_unverified
from vestibule.conversations.visitor import Visitor, recognise, visitor_of
from vestibule.edge.bearer import bearer
from vestibule.edge.http import READING, Request
from vestibule.runtime import Runtime
from vestibule.tokens.contact_token import ContactClaims


async def claims_of(runtime: Runtime, request: Request) -> ContactClaims:
    """Raises MissingCredentials, AmbiguousCredentials, InvalidContactToken, WorkspaceDisabled, OriginNotAllowed."""
    claims = await recognise(runtime, bearer(request))
    request.facts |= {"workspace": claims.org_id, "contact": claims.sub}
    await admit_call(runtime, claims.org_id, request.headers(b"origin"))
    return claims


async def visitor(runtime: Runtime, request: Request) -> Visitor:
    """Raises LoginRequired as well, where there are no unverified visitors."""
    found = visitor_of(await claims_of(runtime, request))
    await admit(runtime, request, found)
    return found


async def admit(runtime: Runtime, request: Request, found: Visitor) -> None:
    """Whether who is known to call may go on. Raises LoginRequired."""
    if not found.verified:
        reason = Reason.READ if request.method in READING else Reason.WRITE
        await admit_unverified(runtime, found.workspace_id, reason, request.facts)
