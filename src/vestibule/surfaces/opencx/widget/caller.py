"""Who calls: the workspace of the bot token, and the visitor of the contact token; it opens nothing."""

from __future__ import annotations

from vestibule.conversations.admission import admit_call
from vestibule.conversations.visitor import Visitor, visitor_of
from vestibule.edge.bearer import bearer
from vestibule.edge.contact_bearer import admit, shown
from vestibule.edge.http import Request
from vestibule.edge.request_limits import count_stranger
from vestibule.errors import InvalidWidgetToken, WorkspaceDisabled
from vestibule.model.workspace import Workspace
from vestibule.runtime import Runtime


async def workspace_of(runtime: Runtime, request: Request) -> Workspace:
    """The workspace that `X-Bot-Token` names. Raises InvalidWidgetToken, RateLimited, WorkspaceDisabled,
    OriginNotAllowed."""
    values = request.headers(b"x-bot-token")
    # White space around a value is none of it (RFC 9110 section 5.5); httptools strips it in front only.
    token = values[0].strip(b" \t").decode("latin-1") if len(values) == 1 else ""
    workspace = await runtime.tenancy.by_widget_token(token) if 0 < len(token) <= 256 else None
    if workspace is None:
        count_stranger(runtime, request)
        raise InvalidWidgetToken(step="widget_token")
    request.facts["workspace"] = workspace.id
    if workspace.disabled_at is not None:
        raise WorkspaceDisabled(step="workspace")
    await admit_call(runtime, workspace.id, request.headers(b"origin"))
    return workspace


async def visitor(runtime: Runtime, request: Request) -> Visitor:
    """The bearer of a good contact token of that very workspace. Trust is read from the token: where the page put it
    says nothing (DESIGN rule 2.1). Raises MissingCredentials, InvalidContactToken, RateLimited, LoginRequired."""
    workspace = await workspace_of(runtime, request)
    found = visitor_of(await shown(runtime, request, bearer(request), of=workspace.id))
    await admit(runtime, request, found)
    return found
