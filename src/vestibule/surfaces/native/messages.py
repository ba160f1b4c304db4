"""`/v1/conversations/{id}/messages`: what was said, and what the visitor says; it must not wait for an answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from vestibule.conversations.files import LONGEST_LINK, MOST_ATTACHMENTS, Reference, attachments_of
from vestibule.conversations.opening import open_conversation
from vestibule.edge.contact_bearer import visitor
from vestibule.edge.http import Reply, Request, json_reply
from vestibule.edge.message_limits import count_message
from vestibule.edge.operation import Answer, Operation, Parameter
from vestibule.edge.parameters import number
from vestibule.edge.strict_json import read_body, refuse_nul
from vestibule.edge.surface import Route
from vestibule.errors import AlreadyExists, ConversationClosed, ConversationFull, InvalidField, NotFound
from vestibule.identity import profile_rules as rules
from vestibule.ids import is_id
from vestibule.responder.posting import Written, page_input, post
from vestibule.responder.question import JobInput
from vestibule.responder.runner import Runner
from vestibule.runtime import Runtime
from vestibule.storage import conversations as rows
from vestibule.surfaces.native.conversations import CONVERSATION_ID, ONE
from vestibule.surfaces.native.shapes import Message, MessageList, Uuid, message_of, messages_of

_LONGEST_TEXT = 32_768
_LONGEST_LANGUAGE = 35  # BCP 47's longest well-known tags
_ENCODER = msgspec.json.Encoder()


class NewAttachment(msgspec.Struct, frozen=True):
    """A file that this contact has uploaded to this workspace, by its address."""

    url: Annotated[str, Meta(extra_json_schema={"format": "uri", "maxLength": LONGEST_LINK})]


class NewMessage(msgspec.Struct, frozen=True):
    """`id` is the client's own, new for each message: a repeated one is stored once, so a request can be repeated.
    `text` may be empty where there are attachments. `context` is for the responder; `headers`, `query_params` and
    `body_properties` go with the actions that it calls for this message. None of these is kept with the message;
    `custom_data` is, for staff."""

    id: Uuid
    text: Annotated[str, Meta(extra_json_schema={"maxLength": _LONGEST_TEXT})] = ""
    attachments: Annotated[tuple[NewAttachment, ...], Meta(extra_json_schema={"maxItems": MOST_ATTACHMENTS})] = ()
    language: Annotated[str, Meta(extra_json_schema={"maxLength": _LONGEST_LANGUAGE})] | None = None
    context: dict[str, Any] | None = None
    headers: dict[str, str] | None = None
    query_params: dict[str, str] | None = None
    body_properties: dict[str, Any] | None = None
    custom_data: dict[str, Any] | None = None


class Messages:
    """The handlers."""

    def __init__(self, runtime: Runtime, runner: Runner) -> None:
        self._runtime = runtime
        self._runner = runner
        self._new = msgspec.json.Decoder(NewMessage)

    def routes(self) -> Sequence[Route]:
        path = f"{ONE}/messages"
        return [Route("GET", path, self.history, _LIST), Route("POST", path, self.send, _SEND)]

    async def history(self, request: Request) -> Reply:
        viewer = await visitor(self._runtime, request)
        after = number(request, "after", default=0)
        conversation = await open_conversation(self._runtime, viewer, request.params["conversation_id"])
        found = await rows.history(self._runtime.store, conversation.workspace_id, conversation.id, after=after)
        return json_reply(200, _ENCODER.encode(MessageList(messages_of(found))))

    async def send(self, request: Request) -> Reply:
        author = await visitor(self._runtime, request)
        await count_message(self._runtime, author, request)
        payload = await read_body(self._runtime, request, self._new)
        given = _checked(payload)
        conversation = await open_conversation(self._runtime, author, request.params["conversation_id"])
        references = [Reference("", item.url) for item in payload.attachments]
        attachments = await attachments_of(self._runtime, author, references, field="attachments.url")
        written = Written(payload.text, payload.id.lower(), attachments, payload.custom_data or None)
        done = await post(self._runtime, self._runner, author, conversation, written, given=given)
        message = message_of(done.messages[-1])
        return json_reply(200 if done.duplicate else 201, _ENCODER.encode(message))


def _checked(payload: NewMessage) -> JobInput:
    """What the page sends for the answer only."""
    if not is_id(payload.id.lower()):
        raise InvalidField("id", "must be a UUID")
    rules.text("text", payload.text, _LONGEST_TEXT)
    if not payload.text.strip() and not payload.attachments:
        raise InvalidField("text", "must not be empty without attachments")
    if payload.language is not None:
        rules.text("language", payload.language, _LONGEST_LANGUAGE)
    refuse_nul("context", payload.context)
    refuse_nul("body_properties", payload.body_properties)
    refuse_nul("custom_data", payload.custom_data)
    return page_input(
        context=payload.context,
        language=payload.language,
        headers=payload.headers,
        query_params=payload.query_params,
        body_properties=payload.body_properties,
    )


_LIST = Operation(
    name="listMessages",
    summary="Show what was said, oldest first",
    parameters=(
        CONVERSATION_ID,
        Parameter(
            name="after",
            location="query",
            about="Only messages whose `seq` is greater.",
            type=Annotated[int, Meta(ge=0, le=2**53)],
        ),
    ),
    answers=(Answer(about="The messages.", type=MessageList),),
    errors=(InvalidField, NotFound),
)
_SEND = Operation(
    name="sendMessage",
    summary="Write into a conversation",
    about="Answers as soon as the message is stored. The responder's answer comes through the events, or by asking for"
    " messages again.",
    parameters=(CONVERSATION_ID,),
    request=NewMessage,
    answers=(
        Answer(status=201, about="The message.", type=Message),
        Answer(status=200, about="The message, which was stored before under this `id`.", type=Message),
    ),
    errors=(NotFound, ConversationClosed, ConversationFull, AlreadyExists),
)
