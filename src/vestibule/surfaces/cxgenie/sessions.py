"""`bots/public/{id}` and `bot-sessions/guest-auth/start-bot-session`: what the app shows, and who its visitor is; it
must not let a refused token in as a guest."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vestibule.auth_endpoint.user_token import usable
from vestibule.conversations.admission import admit_call
from vestibule.edge.arrivals import let_in
from vestibule.edge.http import Reply, Request
from vestibule.edge.request_limits import count_stranger
from vestibule.edge.strict_json import decode
from vestibule.edge.surface import Route
from vestibule.edge.user_tokens import PageFields, SignedIn, sign_in
from vestibule.errors import InvalidField, NotFound, WorkspaceDisabled
from vestibule.identity import profile_rules as rules
from vestibule.identity.email import LONGEST as LONGEST_EMAIL
from vestibule.ids import is_id
from vestibule.model.claims import Method
from vestibule.model.workspace import Workspace
from vestibule.runtime import Runtime
from vestibule.surfaces.cxgenie.customer_ids import keep
from vestibule.surfaces.cxgenie.dialect import data_reply
from vestibule.surfaces.cxgenie.shapes import bot_of, customer_of, guest_of
from vestibule.tokens.contact_token import Said


class StartSession(msgspec.Struct, frozen=True):
    """With `customer_auth_token` the rest is what the app says of its visitor; without, `name` and `email` are whom a
    guest claims to be."""

    bot_id: str
    customer_auth_token: str | None = None
    user_id: str | None = None
    name: str | None = None
    email: str | None = None
    phone_number: str | None = None


class Sessions:
    """The handlers."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._start = msgspec.json.Decoder(StartSession)

    def routes(self) -> Sequence[Route]:
        return [
            Route("GET", "/api/v1/bots/public/{bot_id}", self.bot),
            Route("POST", "/api/v1/bot-sessions/guest-auth/start-bot-session", self.start),
        ]

    async def bot(self, request: Request) -> Reply:
        workspace = await self._workspace(request, request.params["bot_id"])
        await admit_call(self._runtime, workspace.id, request.headers(b"origin"))
        settings = await self._runtime.tenancy.auth_endpoint(workspace.id)
        return data_reply(bot_of(workspace, settings))

    async def start(self, request: Request) -> Reply:
        settings = self._runtime.settings
        body = await request.body(most=settings.max_body_bytes, within=settings.body_timeout / 1000)
        payload = decode(body, self._start)
        workspace = await self._workspace(request, payload.bot_id)
        request.facts["workspace"] = workspace.id
        if usable(payload.customer_auth_token) is None:
            return await self._guest(request, workspace, payload)
        fields = PageFields(payload.user_id, payload.email, payload.name, payload.phone_number)
        done = await sign_in(self._runtime, request, workspace, payload.customer_auth_token, fields)
        return await self._started(workspace, done, Said())

    async def _guest(self, request: Request, workspace: Workspace, payload: StartSession) -> Reply:
        """A visitor by their own word, as in the app's form."""
        request.proves = Method.UNVERIFIED.value
        arrived = await let_in(self._runtime, request, workspace.id, lambda: _said(payload))
        return await self._started(workspace, SignedIn(arrived.token, None, arrived.contact_id, None), _said(payload))

    async def _started(self, workspace: Workspace, done: SignedIn, said: Said) -> Reply:
        """`said` is a guest's own word."""
        customer_id = await keep(self._runtime, workspace.id, done.token, contact_id=done.contact_id, life=done.life)
        if done.contact is not None:
            customer = customer_of(customer_id, done.contact)
        else:
            customer = guest_of(customer_id, done.contact_id, said.name, said.email)
        return data_reply(
            {"customer": customer, "guest_token": done.token, "expires_in": done.life, "verified": done.verified}
        )

    async def _workspace(self, request: Request, bot_id: str) -> Workspace:
        """Raises RateLimited, NotFound, WorkspaceDisabled."""
        count_stranger(self._runtime, request)
        found = await self._runtime.tenancy.by_id(bot_id.lower()) if is_id(bot_id.lower()) else None
        if found is None:
            raise NotFound("There is no such bot.", step="bot_id")
        if found.disabled_at is not None:
            raise WorkspaceDisabled(step="bot_id")
        return found


def _said(payload: StartSession) -> Said:
    return Said(_given("name", payload.name, rules.LONGEST_NAME), _given("email", payload.email, LONGEST_EMAIL))


def _given(field: str, value: str | None, longest: int) -> str:
    text = (value or "").strip()
    if not text:
        raise InvalidField(field, "is required")
    return rules.text(field, text, longest)
