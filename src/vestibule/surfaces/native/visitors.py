"""`GET /v1/widget-config`, `POST /v1/visitors`: what a page needs before there is a contact token, and a token for a
visitor who only says who they are; it must not verify anybody."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from vestibule.conversations.admission import admit_call
from vestibule.edge.arrivals import let_in
from vestibule.edge.http import Reply, Request, json_reply
from vestibule.edge.operation import Answer, Operation, Parameter
from vestibule.edge.request_limits import count_stranger
from vestibule.edge.strict_json import read_body
from vestibule.edge.surface import Route
from vestibule.errors import InvalidField, InvalidWidgetToken, RateLimited, WorkspaceDisabled
from vestibule.identity import profile_rules as rules
from vestibule.identity.email import LONGEST as LONGEST_EMAIL
from vestibule.ids import is_id
from vestibule.model.claims import CustomData, Method
from vestibule.model.workspace import Workspace
from vestibule.runtime import Runtime
from vestibule.tokens.contact_token import Said

_LONGEST_WIDGET_TOKEN = 256
_LONGEST_CLAIM = 256
_ENCODER = msgspec.json.Encoder()
_WIDGET_TOKEN = Annotated[str, Meta(extra_json_schema={"minLength": 1, "maxLength": _LONGEST_WIDGET_TOKEN})]
_CLAIM = Annotated[str, Meta(extra_json_schema={"maxLength": _LONGEST_CLAIM})]


class WidgetConfig(msgspec.Struct, frozen=True):
    """What a widget shows and needs. Nothing of it is secret: `widget_token` is what pages carry, `customer_id` what
    the token exchange is addressed to. `login_required`: visitors without proof are refused."""

    workspace_id: str
    name: str
    widget_token: str
    customer_id: str
    poll_seconds: float
    login_required: bool


class NewVisitor(msgspec.Struct, frozen=True):
    """Claims, believed for nothing but this device's own chats. `phone` and `external_id` become members of the
    unverified custom data."""

    widget_token: _WIDGET_TOKEN
    name: Annotated[str, Meta(extra_json_schema={"maxLength": rules.LONGEST_NAME})] | None = None
    email: Annotated[str, Meta(extra_json_schema={"maxLength": LONGEST_EMAIL})] | None = None
    phone: _CLAIM | None = None
    external_id: _CLAIM | None = None
    custom_data: CustomData | None = None


class VisitorContact(msgspec.Struct, frozen=True):
    id: str


class VisitorToken(msgspec.Struct, frozen=True):
    """An unverified contact token, which has no end of its own, and the contact that it stands for."""

    token: str
    contact: VisitorContact


class Visitors:
    """The handlers."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._new = msgspec.json.Decoder(NewVisitor)

    def routes(self) -> Sequence[Route]:
        return [
            Route("GET", "/v1/widget-config", self.config, _CONFIG),
            Route("POST", "/v1/visitors", self.create, _CREATE, proves=Method.UNVERIFIED),
        ]

    async def config(self, request: Request) -> Reply:
        """One parameter and no header, so that browsers need no preflight before the launcher can be shown."""
        workspace = await self._workspace(request, request.query("widget_token") or "")
        widget = await self._runtime.tenancy.widget(workspace.id)
        signing_in = await self._runtime.tenancy.auth_endpoint(workspace.id)
        answer = WidgetConfig(
            workspace_id=workspace.id,
            name=workspace.name,
            widget_token=workspace.widget_token,
            customer_id=workspace.customer_id,
            poll_seconds=widget.poll_seconds,
            login_required=signing_in.required_login,
        )
        return json_reply(200, _ENCODER.encode(answer))

    async def create(self, request: Request) -> Reply:
        runtime = self._runtime
        payload = await read_body(runtime, request, self._new)
        workspace = await self._workspace(request, payload.widget_token)
        arrived = await let_in(runtime, request, workspace.id, lambda: _said(payload))
        return json_reply(201, _ENCODER.encode(VisitorToken(arrived.token, VisitorContact(arrived.contact_id))))

    async def _workspace(self, request: Request, named: str) -> Workspace:
        """By its widget token, or by its id as CX Genie's `data-aid` names it. Both are public, and neither proves
        anything. Raises RateLimited, InvalidWidgetToken, WorkspaceDisabled, OriginNotAllowed."""
        count_stranger(self._runtime, request)
        tenancy = self._runtime.tenancy
        found = None
        if is_id(named):
            found = await tenancy.by_id(named)
        elif 0 < len(named) <= _LONGEST_WIDGET_TOKEN and "\0" not in named:
            found = await tenancy.by_widget_token(named)
        if found is None:
            raise InvalidWidgetToken(step="widget_token")
        if found.disabled_at is not None:
            raise WorkspaceDisabled(step="workspace")
        request.facts["workspace"] = found.id
        await admit_call(self._runtime, found.id, request.headers(b"origin"))
        return found


def _said(payload: NewVisitor) -> Said:
    """Any text: it proves nothing and finds nobody. An empty one is none."""
    name = rules.text("name", payload.name, rules.LONGEST_NAME) if payload.name else None
    email = rules.text("email", payload.email.strip(), LONGEST_EMAIL) if payload.email else None
    claims = {"phone": payload.phone, "external_id": payload.external_id}
    told = {member: rules.text(member, value, _LONGEST_CLAIM) for member, value in claims.items() if value}
    custom = {**told, **(payload.custom_data or {})}
    return Said(name or None, email or None, rules.custom_data("custom_data", custom) if custom else None)


_CONFIG = Operation(
    name="getWidgetConfig",
    summary="Show what a widget needs to show itself",
    parameters=(
        Parameter(
            name="widget_token",
            location="query",
            about="The workspace's widget token, or its id.",
            type=_WIDGET_TOKEN,
            required=True,
        ),
    ),
    answers=(Answer(about="The widget's configuration.", type=WidgetConfig),),
    errors=(InvalidField, InvalidWidgetToken, WorkspaceDisabled, RateLimited),
    public=True,
)
_CREATE = Operation(
    name="createVisitor",
    summary="Get a token for a visitor who only says who they are",
    about="Nothing is stored before the visitor writes. With the same `email` the contact is the same, and another"
    " device still sees nothing of this one's chats.",
    request=NewVisitor,
    answers=(Answer(status=201, about="The token.", type=VisitorToken),),
    errors=(InvalidWidgetToken, WorkspaceDisabled, RateLimited),
    public=True,
)
