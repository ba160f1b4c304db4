"""`POST /v1/backchannel-logout/{customerId}`: an identity provider tells that somebody signed out there (OpenID Connect
Back-Channel Logout 1.0); it must not judge a token itself."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from vestibule.clock import now_ms
from vestibule.edge.client_address import address_bucket, client_address
from vestibule.edge.form import MEDIA_TYPE, read_form
from vestibule.edge.http import Reply, Request
from vestibule.edge.oauth import OAuthError, oauth_status, speaking_oauth
from vestibule.edge.operation import Answer, ErrorForm, Operation, Parameter
from vestibule.edge.request_limits import count_stranger
from vestibule.edge.surface import Route
from vestibule.errors import (
    InvalidClient,
    InvalidField,
    InvalidProviderToken,
    InvalidRequest,
    NotAuthenticated,
    ProviderUnavailable,
    RateLimited,
    Upstream,
    UpstreamTimeout,
    WorkspaceDisabled,
)
from vestibule.model.audit import DONE, AuditEntry, AuditKind
from vestibule.model.workspace import Workspace
from vestibule.runtime import Runtime
from vestibule.surfaces.native.token import workspace_of
from vestibule.tokens.sign_outs import end_sessions

_LARGEST = 32_768


def routes(runtime: Runtime) -> Sequence[Route]:
    sign_out = speaking_oauth(partial(_sign_out, runtime))
    return [Route("POST", "/v1/backchannel-logout/{customer_id}", sign_out, _SIGN_OUT)]


async def _sign_out(runtime: Runtime, request: Request) -> Reply:
    count_stranger(runtime, request)
    try:
        workspace = await workspace_of(runtime, request.params["customer_id"])
        request.facts["workspace"] = workspace.id
        await _end(runtime, request, workspace)
    except (InvalidRequest, NotAuthenticated):
        # Providers tell of everybody's sign-outs from one address, so only what is no good counts against it.
        settings = runtime.settings
        address = address_bucket(client_address(request, settings.trusted_proxies))
        await runtime.rate_limiter.take("", f"logout:{address}", settings.rate_limit_exchange_address)
        raise
    return Reply(200, b"", ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")))


async def _end(runtime: Runtime, request: Request, workspace: Workspace) -> None:
    settings = runtime.settings
    if workspace.disabled_at is not None:
        raise WorkspaceDisabled(step="guard")
    most = min(_LARGEST, settings.max_body_bytes)
    form = await read_form(request, most=most, within=settings.body_timeout / 1000)
    token = form.get("logout_token")
    if token is None:
        raise InvalidField("logout_token", "is required")
    providers = await runtime.tenancy.providers(workspace.id)
    proven = await runtime.provider_sign_out.verify(workspace.id, providers, token)
    # Only now: anybody could use up what a workspace's provider needs, and few providers tell twice.
    await runtime.rate_limiter.take(workspace.id, "logout", settings.rate_limit_exchange_workspace)
    # Somebody who is not known here is signed out already: that is what was asked for (section 2.7).
    people = await end_sessions(runtime.store, runtime.contacts, proven)
    which = "session" if proven.session is not None else "everywhere"
    request.facts["outcome"] = which
    if people:
        request.facts["contact"] = people[0]
    runtime.audit.note(
        AuditEntry(
            workspace_id=workspace.id,
            kind=AuditKind.ADMINISTRATION,
            action="contact.sign_out",
            outcome=DONE,
            at=now_ms(),
            actor=f"provider:{proven.provider_id}",
            provider_id=str(proven.provider_id),
            request_id=request.scope.get("vestibule.request_id", ""),
            contact_id=people[0] if people else None,
            detail=which,
        )
    )


_FORM: dict[str, Any] = {
    "type": "object",
    "properties": {"logout_token": {"type": "string", "description": "The provider's logout token (section 2.4)."}},
    "required": ["logout_token"],
}
_SIGN_OUT = Operation(
    name="backchannelLogout",
    summary="End a contact's tokens because they signed out at their identity provider",
    about="OpenID Connect Back-Channel Logout 1.0. With a `sid`, the tokens of that session end, else all of the"
    " person's; within 5 seconds. A logout token is good once.",
    parameters=(Parameter(name="customer_id", location="path", about="The workspace's customer id."),),
    form=(MEDIA_TYPE, _FORM),
    answers=(Answer(about="They are signed out here."),),
    errors=(
        InvalidRequest,
        InvalidClient,
        InvalidProviderToken,
        WorkspaceDisabled,
        RateLimited,
        Upstream,
        UpstreamTimeout,
        ProviderUnavailable,
    ),
    error_form=ErrorForm(media_type="application/json", type=OAuthError, status_of=oauth_status),
    public=True,
)
