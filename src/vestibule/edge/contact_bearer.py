"""Who calls, on every wire: the bearer of a contact token, who is counted; it opens nothing."""

from __future__ import annotations

from functools import partial

from vestibule.conversations.admission import Reason, admit_call, admit_unverified
from vestibule.conversations.visitor import Visitor, recognise, require_open, visitor_of
from vestibule.edge.bearer import bearer
from vestibule.edge.http import READING, Request
from vestibule.edge.request_limits import count_stranger, count_visitor
from vestibule.errors import InvalidContactToken
from vestibule.runtime import Runtime
from vestibule.tokens.contact_token import ContactClaims


async def shown(runtime: Runtime, request: Request, token: str, *, of: str | None = None) -> ContactClaims:
    """The claims of a token that is ours, in time, not ended, and of the workspace `of` where that is known otherwise.
    Every call with a token comes through here. Raises InvalidContactToken, RateLimited."""
    try:
        claims = await runtime.contact_tokens.check(token)
        runtime.token_endings.check(claims)
        _require_of(claims, of)
    except InvalidContactToken:
        count_stranger(runtime, request)
        raise
    request.again = partial(check_again, runtime, token)
    request.facts |= {"workspace": claims.org_id, "contact": claims.sub}
    count_visitor(runtime, request, claims)
    return claims


async def check_again(runtime: Runtime, token: str, request: Request) -> None:
    """Of a token that was good when its request began, which is not counted once more. Raises InvalidContactToken,
    RateLimited, WorkspaceDisabled."""
    try:
        await recognise(runtime, token)
    except InvalidContactToken:
        count_stranger(runtime, request)
        raise


async def claims_of(runtime: Runtime, request: Request, token: str | None = None) -> ContactClaims:
    """Where the token names the workspace, too; it is the bearer's unless it came otherwise. Raises MissingCredentials,
    AmbiguousCredentials, InvalidContactToken, RateLimited, WorkspaceDisabled, OriginNotAllowed."""
    claims = await shown(runtime, request, bearer(request) if token is None else token)
    await require_open(runtime, claims.org_id)
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


def _require_of(claims: ContactClaims, workspace_id: str | None) -> None:
    if workspace_id is not None and claims.org_id != workspace_id:
        raise InvalidContactToken(detail="of another workspace", step="workspace")
