"""`POST /chat/send` (contracts/opencx.md 4.5): store, then answer; it must not lose a message that it has stored."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import msgspec

from vestibule.conversations.messages import Appended, Draft, append
from vestibule.conversations.neutralise import neutralise
from vestibule.conversations.opening import open_conversation
from vestibule.conversations.visitor import Visitor, ensure_contact
from vestibule.edge.http import Reply, Request, json_reply
from vestibule.edge.surface import Route
from vestibule.errors import InvalidField
from vestibule.identity import profile_rules as rules
from vestibule.model.claims import HttpOverrides
from vestibule.model.conversation import Attachment, Conversation, Document, Message, Sender, Trust
from vestibule.responder.question import JobInput
from vestibule.responder.runner import Runner
from vestibule.runtime import Runtime
from vestibule.storage import conversations as rows
from vestibule.storage.responder_jobs import Job
from vestibule.surfaces.opencx.widget.caller import visitor
from vestibule.surfaces.opencx.widget.reading import PREFIX
from vestibule.surfaces.opencx.widget.shapes import Session, session_of
from vestibule.surfaces.opencx.widget.writing import LONGEST_TEXT, read_body, refuse_nul, require_uuid

_ENCODER = msgspec.json.Encoder()
_MOST_ATTACHMENTS = 10
_MOST_INITIAL = 20
_LONGEST_LANGUAGE = 35  # BCP 47's longest well-known tags
# Longer than any responder may take: the client sets no time-out, and what comes later comes by polling.
_WAIT_SECONDS = 100.0


class SentAttachment(msgspec.Struct, frozen=True):
    id: str
    name: str
    size: int
    type: str
    url: str


class InitialMessage(msgspec.Struct, frozen=True):
    uuid: str
    content: str


class Send(msgspec.Struct, frozen=True):
    uuid: str
    session_id: str
    content: str = ""
    bot_token: str | None = None
    attachments: tuple[SentAttachment, ...] | None = None
    custom_data: dict[str, Any] | None = None
    headers: dict[str, str] | None = None
    query_params: dict[str, str] | None = None
    body_properties: dict[str, Any] | None = None
    clientContext: dict[str, Any] | None = None  # noqa: N815 - the wire's names
    language: str | None = None
    exit_mode_prompt: str | None = None
    initial_messages: tuple[InitialMessage, ...] | None = None


class _Value(msgspec.Struct, frozen=True):
    error: bool
    content: str


class _Response(msgspec.Struct, frozen=True):
    type: str
    value: _Value
    id: str
    mightSolveUserIssue: bool  # noqa: N815
    completelyAndFullyCoveredUserIssue: bool  # noqa: N815


class _Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    success: bool = msgspec.field()
    code: str | None = None
    autopilotResponse: _Response | None = None  # noqa: N815
    sessionIsHandedOff: bool | None = None  # noqa: N815
    session: Session | None = None


class Sending:
    """The handler."""

    def __init__(self, runtime: Runtime, runner: Runner) -> None:
        self._runtime = runtime
        self._runner = runner
        self._decoder = msgspec.json.Decoder(Send)

    def routes(self) -> Sequence[Route]:
        return [Route("POST", f"{PREFIX}/chat/send", self.send)]

    async def send(self, request: Request) -> Reply:
        author = await visitor(self._runtime, request)
        payload = await read_body(self._runtime, request, self._decoder)
        _check(payload)
        conversation = await open_conversation(self._runtime, author, payload.session_id)
        appended = await self._append(author, conversation, payload)
        message = appended.messages[-1]
        if appended.job is not None:
            self._runner.start(appended.job)
        answer = await self._wait(appended, message)
        return json_reply(201, _ENCODER.encode(await self._told(appended, answer)))

    async def _append(self, author: Visitor, conversation: Conversation, payload: Send) -> Appended:
        """The visitor's message, and before it the greetings that the widget had only shown until now."""
        greetings = [
            Draft(Sender.AI, Trust.SYSTEM, text=greeting.content, public_id=greeting.uuid.lower())
            for greeting in payload.initial_messages or ()
        ]
        draft = Draft(
            Sender.USER,
            author.trust,
            text=payload.content,
            public_id=payload.uuid.lower(),
            attachments=tuple(
                Attachment(item.id, item.name, item.size, item.type, item.url) for item in payload.attachments or ()
            ),
            custom_data=payload.custom_data or None,
        )
        responder = await self._runtime.tenancy.responder(author.workspace_id)
        given = JobInput(
            method=author.method.value,
            auth_time=author.auth_time,
            client_context=payload.clientContext,
            language=payload.language,
            exit_mode_prompt=payload.exit_mode_prompt,
            headers=payload.headers or {},
            query_params=payload.query_params or {},
            body_properties=payload.body_properties or {},
        )

        def make_job(current: Conversation, message: Message) -> Job | None:
            return self._runner.new_job(message, given) if responder.answers and not current.handed_off else None

        def change(current: Conversation) -> Conversation:
            language = payload.language or current.language
            mode = None if payload.exit_mode_prompt else current.mode_id
            return msgspec.structs.replace(current, language=language, mode_id=mode)

        if conversation.next_seq == 1:
            await ensure_contact(self._runtime, author)
        return await append(self._runtime, conversation, [*greetings, draft], change=change, make_job=make_job)

    async def _wait(self, appended: Appended, message: Message) -> Message | None:
        if appended.job is None and not appended.duplicate:
            return None
        # Shielded: the client may hang up while we wait, and the answer is stored all the same.
        with contextlib.suppress(asyncio.TimeoutError):
            return await self._runner.answer_of(message, _WAIT_SECONDS)
        return None

    async def _told(self, appended: Appended, answer: Message | None) -> _Answer:
        conversation = appended.conversation
        now = await rows.get(self._runtime.store, conversation.workspace_id, conversation.id) or conversation
        code = "duplicate_message_ignored" if appended.duplicate else None
        if answer is None and now.handed_off:
            code = code or "session_assigned_to_human_agent"
        return _Answer(
            success=True,
            code=code,
            autopilotResponse=_response(answer) if answer is not None else None,
            sessionIsHandedOff=now.handed_off,
            session=session_of(now),
        )


def _response(answer: Message) -> _Response:
    """The same id as the history row's: the widget tells a reply from its repetition by the id only."""
    payload: Document = answer.payload or {}
    return _Response(
        type="text",
        value=_Value(error=False, content=neutralise(answer.text or "")),
        id=answer.public_id,
        mightSolveUserIssue=bool(payload.get("might_solve")),
        completelyAndFullyCoveredUserIssue=False,
    )


def _check(payload: Send) -> None:
    require_uuid("uuid", payload.uuid)
    rules.text("content", payload.content, LONGEST_TEXT)
    attachments = payload.attachments or ()
    if not payload.content.strip() and not attachments:
        raise InvalidField("content", "must not be empty without attachments")
    if len(attachments) > _MOST_ATTACHMENTS:
        raise InvalidField("attachments", f"must have at most {_MOST_ATTACHMENTS} members")
    for item in attachments:
        _check_attachment(item)
    if len(payload.initial_messages or ()) > _MOST_INITIAL:
        raise InvalidField("initial_messages", f"must have at most {_MOST_INITIAL} members")
    for greeting in payload.initial_messages or ():
        require_uuid("initial_messages.uuid", greeting.uuid)
        rules.text("initial_messages.content", greeting.content, LONGEST_TEXT)
    if payload.language is not None:
        rules.text("language", payload.language, _LONGEST_LANGUAGE)
    refuse_nul("custom_data", payload.custom_data)
    refuse_nul("clientContext", payload.clientContext)
    refuse_nul("body_properties", payload.body_properties)
    overrides = HttpOverrides(query_params=payload.query_params or {}, headers=payload.headers or {})
    # Named as on this wire: `headers.X`, `query_params.X`.
    rules.http_overrides("", overrides)


def _check_attachment(item: SentAttachment) -> None:
    for field, value in (("id", item.id), ("name", item.name), ("type", item.type)):
        rules.text(f"attachments.{field}", value, 256)
    rules.text("attachments.url", item.url, rules.LONGEST_URL)
    if item.size < 0:
        raise InvalidField("attachments.size", "must not be negative")
