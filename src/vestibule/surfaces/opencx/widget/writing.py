"""What a visitor does in the widget: get a token, start, send, resolve, rate, vote; it must not answer by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from vestibule.conversations import course
from vestibule.conversations.opening import open_conversation
from vestibule.conversations.start import start_conversation
from vestibule.edge.arrivals import let_in
from vestibule.edge.http import Reply, Request, json_reply
from vestibule.edge.message_limits import count_message
from vestibule.edge.strict_json import read_body, refuse_nul
from vestibule.edge.surface import Route
from vestibule.errors import InvalidField, ScopeRequired
from vestibule.identity import profile_rules as rules
from vestibule.identity.email import LONGEST as LONGEST_EMAIL
from vestibule.ids import is_id, new_id
from vestibule.model.claims import CustomData, CustomValue, Method
from vestibule.runtime import Runtime
from vestibule.storage import conversations as rows
from vestibule.surfaces.opencx.widget.caller import visitor, workspace_of
from vestibule.surfaces.opencx.widget.reading import PREFIX, checked_scope
from vestibule.surfaces.opencx.widget.shapes import session_of
from vestibule.tokens.contact_token import Said

_ENCODER = msgspec.json.Encoder()


class CreateUnverified(msgspec.Struct, frozen=True):
    email: str | None = None
    non_verified_name: str | None = None
    non_verified_custom_data: dict[str, CustomValue | None] | None = None


class CreateSession(msgspec.Struct, frozen=True):
    customData: dict[str, CustomValue | None] | None = None  # noqa: N815 - the wire's name


class ResolveSession(msgspec.Struct, frozen=True):
    session_id: str


class SubmitCsat(msgspec.Struct, frozen=True):
    session_id: str
    score: int
    feedback: str | None = None
    system_message_uuid: str | None = None


class Checkpoint(msgspec.Struct, frozen=True):
    session_id: str
    payload: dict[str, Any]


class Vote(msgspec.Struct, frozen=True):
    action: Literal["upvote", "downvote"]
    sessionId: str  # noqa: N815 - the wire's names
    messagePublicId: str  # noqa: N815


class Writing:
    """The handlers."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._create_unverified = msgspec.json.Decoder(CreateUnverified)
        self._create_session = msgspec.json.Decoder(CreateSession)
        self._resolve = msgspec.json.Decoder(ResolveSession)
        self._csat = msgspec.json.Decoder(SubmitCsat)
        self._checkpoint = msgspec.json.Decoder(Checkpoint)
        self._vote = msgspec.json.Decoder(Vote)

    def routes(self) -> Sequence[Route]:
        return [
            Route("POST", f"{PREFIX}/contact/create-unverified", self.create_unverified, proves=Method.UNVERIFIED),
            Route("POST", f"{PREFIX}/create-session", self.create_session),
            Route("POST", f"{PREFIX}/session/resolve", self.resolve),
            Route("POST", f"{PREFIX}/submit-csat", self.submit_csat),
            Route("POST", f"{PREFIX}/checkpoint", self.checkpoint),
            Route("POST", f"{PREFIX}/chat/vote", self.vote),
        ]

    async def create_unverified(self, request: Request) -> Reply:
        """A token for a visitor who says who they are. It proves nothing."""
        runtime = self._runtime
        workspace = await workspace_of(runtime, request)
        payload = await read_body(runtime, request, self._create_unverified)
        arrived = await let_in(runtime, request, workspace.id, lambda: _said(payload))
        return json_reply(200, _ENCODER.encode({"token": arrived.token}))

    async def create_session(self, request: Request) -> Reply:
        author = await visitor(self._runtime, request)
        await count_message(self._runtime, author, request, "conversations")
        payload = await read_body(self._runtime, request, self._create_session)
        custom = rules.custom_data("customData", _said_members(payload.customData))
        given = custom.pop("external_id", None)
        if given is not None and not isinstance(given, str):
            raise InvalidField("customData.external_id", "must be text")
        scope = checked_scope("customData.external_id", given)
        if scope is None and not author.verified:
            raise ScopeRequired(step="scope")
        conversation = await start_conversation(self._runtime, author, scope=scope, custom_data=custom)
        return json_reply(201, _ENCODER.encode(session_of(conversation)))

    async def resolve(self, request: Request) -> Reply:
        author = await visitor(self._runtime, request)
        payload = await read_body(self._runtime, request, self._resolve)
        conversation = await open_conversation(self._runtime, author, payload.session_id)
        closed = await course.resolve(self._runtime, conversation, by="contact")
        return json_reply(200, _ENCODER.encode(session_of(closed)))

    async def submit_csat(self, request: Request) -> Reply:
        author = await visitor(self._runtime, request)
        payload = await read_body(self._runtime, request, self._csat)
        conversation = await open_conversation(self._runtime, author, payload.session_id)
        feedback = rules.text("feedback", payload.feedback, LONGEST_TEXT) if payload.feedback else None
        public_id = payload.system_message_uuid or new_id()
        require_uuid("system_message_uuid", public_id)
        await course.rate(self._runtime, conversation, score=payload.score, feedback=feedback, public_id=public_id)
        return json_reply(200, b'{"success":true}')

    async def checkpoint(self, request: Request) -> Reply:
        author = await visitor(self._runtime, request)
        await count_message(self._runtime, author, request, "checkpoints")
        payload = await read_body(self._runtime, request, self._checkpoint)
        conversation = await open_conversation(self._runtime, author, payload.session_id)
        refuse_nul("payload", payload.payload)
        await course.checkpoint(self._runtime, conversation, payload.payload)
        return json_reply(200, b'{"success":true}')

    async def vote(self, request: Request) -> Reply:
        author = await visitor(self._runtime, request)
        payload = await read_body(self._runtime, request, self._vote)
        conversation = await open_conversation(self._runtime, author, payload.sessionId)
        done = await rows.vote(
            self._runtime.store, conversation.workspace_id, conversation.id, payload.messagePublicId, payload.action
        )
        answer = {"messagePublicId": payload.messagePublicId if done else None, "success": done}
        return json_reply(200, _ENCODER.encode(answer))


LONGEST_TEXT = 32_768


def require_uuid(field: str, value: str) -> None:
    if not is_id(value.lower()):
        raise InvalidField(field, "must be a UUID")


def _said_members(custom: Mapping[str, CustomValue | None] | None) -> CustomData:
    """Without those that are null, which a page's `user.plan ?? null` means as absent."""
    return {name: value for name, value in (custom or {}).items() if value is not None}


def _said(payload: CreateUnverified) -> Said:
    name = payload.non_verified_name
    custom = _said_members(payload.non_verified_custom_data)
    # Any text: it proves nothing and finds nobody, and the widget would show a refusal to nobody either.
    email = rules.text("email", payload.email.strip(), LONGEST_EMAIL) if payload.email else ""
    return Said(
        name=rules.text("non_verified_name", name[: rules.LONGEST_NAME], rules.LONGEST_NAME) if name else None,
        email=email or None,
        custom_data=rules.custom_data("non_verified_custom_data", custom) if custom else None,
    )
