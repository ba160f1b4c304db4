"""`POST /connect/token`: sessions of visitors of whom nothing is proven, and their renewal; it must identify nobody."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

import msgspec

from vestibule.conversations.admission import admit_page
from vestibule.edge.arrivals import note_unproven
from vestibule.edge.client_address import address_bucket, client_address, parsed
from vestibule.edge.form import read_form
from vestibule.edge.http import Reply, Request, json_reply
from vestibule.edge.oauth import NO_CACHE
from vestibule.edge.surface import Route
from vestibule.errors import (
    AddressNotAllowed,
    InvalidClient,
    InvalidGrant,
    InvalidRequest,
    UnsupportedGrantType,
    WorkspaceDisabled,
)
from vestibule.model.claims import Method
from vestibule.model.workspace import Workspace
from vestibule.runtime import Runtime
from vestibule.tokens.visitor_session import VisitorSession, workspace_of

CLIENT_ID = "oneplatform_engage"
SCOPE = "visitor"
_LARGEST_FORM = 8_192


class _Answer(msgspec.Struct, frozen=True):
    access_token: str
    refresh_token: str
    expires_in: int
    token_type: str
    scope: str
    visitor_id: str


_ENCODER = msgspec.json.Encoder()


class Connect:
    """The handler."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def routes(self) -> Sequence[Route]:
        return [Route("POST", "/connect/token", self.token, proves=Method.UNVERIFIED)]

    async def token(self, request: Request) -> Reply:
        settings = self._runtime.settings
        address = client_address(request, settings.trusted_proxies)
        limit = settings.rate_limit_new_visitors
        await self._runtime.rate_limiter.take("", f"connect:{address_bucket(address)}", limit)
        form = await read_form(request, most=_LARGEST_FORM, within=settings.body_timeout / 1000)
        session = await self._grant(request, form, address)
        note_unproven(request, session.visitor_id, session.visitor_id)  # the session's id is its token's
        answer = _Answer(
            access_token=session.access_token,
            refresh_token=session.refresh_token,
            expires_in=session.expires_in,
            token_type="Bearer",  # noqa: S106 - RFC 6750's name
            scope=SCOPE,
            visitor_id=session.visitor_id,
        )
        return json_reply(200, _ENCODER.encode(answer), NO_CACHE)

    async def _grant(self, request: Request, form: dict[str, str], address: str) -> VisitorSession:
        grant = _required(form, "grant_type")
        if grant not in {"visitor", "refresh_token"}:
            raise UnsupportedGrantType(step="grant_type")
        if _required(form, "client_id") != CLIENT_ID:
            raise InvalidClient(step="client_id")
        if grant == "visitor":
            workspace = await self._by_customer_id(_required(form, "tenant_id"))
            await self._admit(request, workspace, address)
            return await self._runtime.visitor_sessions.start(workspace.id)
        token = _required(form, "refresh_token")
        named = await self._runtime.tenancy.by_id(workspace_of(token))
        if named is None or form.get("tenant_id", named.customer_id) != named.customer_id:
            raise InvalidGrant("The refresh token is not valid.", detail="of another tenant", step="tenant_id")
        await self._admit(request, named, address)
        return await self._runtime.visitor_sessions.refresh(token)

    async def _by_customer_id(self, customer_id: str) -> Workspace:
        workspace = await self._runtime.tenancy.by_customer_id(customer_id)
        if workspace is None:
            raise InvalidClient(step="tenant_id")
        return workspace

    async def _admit(self, request: Request, workspace: Workspace, address: str) -> None:
        """Raises WorkspaceDisabled, AddressNotAllowed, OriginNotAllowed, DomainNotAllowed, AuthUnavailable. A session
        proves nothing and is no visitor yet: where login is required, what it would write is refused."""
        request.facts["workspace"] = workspace.id
        if workspace.disabled_at is not None:
            raise WorkspaceDisabled(step="workspace")
        allowed = (await self._runtime.tenancy.visitor_sessions(workspace.id)).allowed_addresses
        if allowed and not _is_within(address, allowed):
            raise AddressNotAllowed(step="address")
        await admit_page(self._runtime, workspace.id, request.headers(b"origin"))


def _required(form: dict[str, str], name: str) -> str:
    value = form.get(name, "")
    if not value:
        raise InvalidRequest(f"{name} is required.", step="form")
    return value


def _is_within(text: str, networks: tuple[str, ...]) -> bool:
    address = parsed(text)
    return address is not None and any(address in ipaddress.ip_network(network) for network in networks)
