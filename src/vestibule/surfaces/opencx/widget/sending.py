"""`POST /chat/send` (contracts/opencx.md 4.5): store, then answer; it must not lose a message that it has stored."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from vestibule.conversations.files import Reference, attachments_of
from vestibule.conversations.messages import Appended, Draft
from vestibule.conversations.neutralise import neutralise
from vestibule.conversations.opening import open_conversation
from vestibule.conversations.visitor import Visitor, recognise
from vestibule.edge.bearer import bearer
from vestibule.edge.http import Reply, Request, json_reply
from vestibule.edge.message_limits import count_message
from vestibule.edge.strict_json import read_body, refuse_nul
from vestibule.edge.surface import Route
from vestibule.errors import InvalidField, NotAllowed, NotAuthenticated, NotFound
from vestibule.identity import profile_rules as rules
from vestibule.model.conversation import Conversation, Document, Message, Sender, Trust
from vestibule.model.responder import Mode
from vestibule.responder.action_desk import is_form
from vestibule.responder.posting import Written, page_input, post
from vestibule.responder.question import JobInput
from vestibule.responder.runner import Runner
from vestibule.responder.tools import mode_named
from vestibule.runtime import Runtime
from vestibule.surfaces.opencx.widget.caller import visitor
from vestibule.surfaces.opencx.widget.reading import PREFIX
from vestibule.surfaces.opencx.widget.shapes import Session, session_of
from vestibule.surfaces.opencx.widget.writing import LONGEST_TEXT, require_uuid

_ENCODER = msgspec.json.Encoder()
_MOST_INITIAL = 20
_LONGEST_LANGUAGE = 35  # BCP 47's longest well-known tags
# Longer than any responder may take: the client sets no time-out, and what comes later comes by polling.
_WAIT_SECONDS = 100.0


class SentAttachment(msgspec.Struct, frozen=True):
    """The widget sends name, size and type as well, which are not read: they are known since the upload."""

    id: str
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


class _Response(msgspec.Struct, frozen=True, omit_defaults=True):
    type: str
    value: _Value
    id: str
    mightSolveUserIssue: bool  # noqa: N815
    completelyAndFullyCoveredUserIssue: bool  # noqa: N815
    mode: Mode | None = None
    didExitMode: bool | None = None  # noqa: N815


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
        await count_message(self._runtime, author, request)
        payload = await read_body(self._runtime, request, self._decoder)
        given = _checked(payload)
        conversation = await open_conversation(self._runtime, author, payload.session_id)
        appended = await self._append(author, conversation, payload, given)
        return json_reply(201, _ENCODER.encode(await self._told(request, author, appended)))

    async def _append(self, author: Visitor, conversation: Conversation, payload: Send, given: JobInput) -> Appended:
        """The visitor's message, and before it the greetings that the widget had only shown until now. Of a file only
        its address is believed."""
        references = [Reference(item.id, item.url) for item in payload.attachments or ()]
        # By the page's word only, and at the beginning only: nobody puts words into the AI's mouth (question.py).
        greetings = [
            Draft(Sender.AI, Trust.UNVERIFIED, text=greeting.content, public_id=greeting.uuid)
            for greeting in payload.initial_messages or ()
            if conversation.next_seq == 1
        ]
        attachments = await attachments_of(self._runtime, author, references, field="attachments.url")
        written = Written(payload.content, payload.uuid, attachments, payload.custom_data or None)
        return await post(self._runtime, self._runner, author, conversation, written, given=given, greetings=greetings)

    async def _wait(self, appended: Appended) -> Message | None:
        if appended.job is None and not appended.duplicate:
            return None
        # The client may hang up while we wait: the answer is found in a task of its own, and stored all the same.
        return await self._runner.answer_of(appended.messages[-1], _WAIT_SECONDS)

    async def _as_seen(self, request: Request, author: Visitor, conversation_id: str) -> Conversation | None:
        """None where it is the author's no more: the wait may have been long, and they were signed out, their token
        ran out, or the chat was given to somebody. A refusal would have the widget send what is stored once more."""
        try:
            await recognise(self._runtime, bearer(request))
            return await open_conversation(self._runtime, author, conversation_id)
        except (NotAuthenticated, NotAllowed, NotFound):
            return None

    async def _told(self, request: Request, author: Visitor, appended: Appended) -> _Answer:
        conversation = appended.conversation
        now: Conversation | None
        try:
            answer = await self._wait(appended)
            now = await self._as_seen(request, author, conversation.id)
        except asyncio.CancelledError:
            # By the server alone, when its time to stop is over (edge/surface.py). The message is stored, and the next
            # process answers it: told of an error, the widget would have its visitor write it once more. Nothing is
            # read any more, as the database may be closed.
            answer, now = None, conversation
        code = "duplicate_message_ignored" if appended.duplicate else None
        if now is None:
            return _Answer(success=True, code=code)
        if answer is None and now.handed_off:
            code = code or "session_assigned_to_human_agent"
        mode = None
        if now.mode_id not in {None, conversation.mode_id}:
            mode = mode_named((await self._runtime.tenancy.widget(now.workspace_id)).modes, now.mode_id)
        exited = now.mode_id is None and conversation.mode_id is not None
        return _Answer(
            success=True,
            code=code,
            # A form is in the history's row. The widget tells rows apart by their id only, so one that it has from here
            # it would never look at there (contracts/opencx.md 0.3): without it, the reply comes by polling.
            autopilotResponse=_response(answer, mode, exited=exited) if answer and not _has_form(answer) else None,
            sessionIsHandedOff=now.handed_off,
            session=session_of(now),
        )


def _has_form(answer: Message) -> bool:
    return any(is_form(call) for call in answer.action_calls)


def _response(answer: Message, mode: Mode | None, *, exited: bool) -> _Response:
    """The same id as the history row's: the widget tells a reply from its repetition by the id only."""
    payload: Document = answer.payload or {}
    return _Response(
        type="text",
        value=_Value(error=False, content=neutralise(answer.text or "")),
        id=answer.public_id,
        mightSolveUserIssue=bool(payload.get("might_solve")),
        completelyAndFullyCoveredUserIssue=False,
        mode=mode,
        didExitMode=exited or None,
    )


def _checked(payload: Send) -> JobInput:
    """What the page sends for the answer only."""
    require_uuid("uuid", payload.uuid)
    rules.text("content", payload.content, LONGEST_TEXT)
    if not payload.content.strip() and not payload.attachments:
        raise InvalidField("content", "must not be empty without attachments")
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
    return page_input(
        context=payload.clientContext,
        language=payload.language,
        headers=payload.headers,
        query_params=payload.query_params,
        body_properties=payload.body_properties,
        exit_mode_prompt=payload.exit_mode_prompt,
    )
