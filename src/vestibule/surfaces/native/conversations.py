"""`/v1/conversations`: starts, lists, shows and resolves conversations; it must not post into one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from vestibule.conversations import course
from vestibule.conversations.opening import list_conversations, open_conversation
from vestibule.conversations.pages import read_cursor
from vestibule.conversations.start import start_conversation
from vestibule.edge.contact_bearer import visitor
from vestibule.edge.http import Reply, Request, json_reply
from vestibule.edge.message_limits import count_message
from vestibule.edge.operation import Answer, Operation, Parameter
from vestibule.edge.parameters import number
from vestibule.edge.strict_json import read_body
from vestibule.edge.surface import Route
from vestibule.errors import InvalidField, NotFound, ScopeRequired
from vestibule.identity import profile_rules as rules
from vestibule.model.claims import CustomData
from vestibule.runtime import Runtime
from vestibule.surfaces.native.shapes import Conversation, ConversationPage, Uuid, conversation_of

PATH = "/v1/conversations"
ONE = f"{PATH}/{{conversation_id}}"
CONVERSATION_ID = Parameter(name="conversation_id", location="path", about="The conversation.", type=Uuid)
_CHANNEL = "api"
_PAGE, _LARGEST_PAGE = 50, 100
_LONGEST_SCOPE = 256
_SCOPE = Annotated[str, Meta(extra_json_schema={"maxLength": _LONGEST_SCOPE})]
_ENCODER = msgspec.json.Encoder()


class NewConversation(msgspec.Struct, frozen=True):
    """`scope` keeps conversations apart, such as those of one device or one order; unverified visitors must name one,
    and it should be hard to guess. `custom_data` is shown to staff."""

    scope: _SCOPE | None = None
    custom_data: CustomData | None = None


class Conversations:
    """The handlers."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._new = msgspec.json.Decoder(NewConversation)

    def routes(self) -> Sequence[Route]:
        return [
            Route("POST", PATH, self.create, _CREATE),
            Route("GET", PATH, self.page, _LIST),
            Route("GET", ONE, self.read, _READ),
            Route("POST", f"{ONE}/resolve", self.resolve, _RESOLVE),
        ]

    async def create(self, request: Request) -> Reply:
        author = await visitor(self._runtime, request)
        await count_message(self._runtime, author, request, "conversations")
        payload = await read_body(self._runtime, request, self._new)
        custom = rules.custom_data("custom_data", payload.custom_data or {})
        named = _scope(payload.scope)
        if named is None and not author.verified:
            raise ScopeRequired(step="scope")
        made = await start_conversation(self._runtime, author, scope=named, custom_data=custom, channel=_CHANNEL)
        location = (b"location", f"{PATH}/{made.id}".encode())
        return json_reply(201, _ENCODER.encode(conversation_of(made)), location)

    async def page(self, request: Request) -> Reply:
        viewer = await visitor(self._runtime, request)
        named = _scope(request.query("scope"))
        if named is None and not viewer.verified:
            raise ScopeRequired(step="scope")
        most = number(request, "limit", default=_PAGE, low=1, high=_LARGEST_PAGE)
        before = read_cursor(request.query("cursor"))
        found, following = await list_conversations(self._runtime, viewer, scope=named, before=before, most=most)
        page = ConversationPage([conversation_of(conversation) for conversation in found], following)
        return json_reply(200, _ENCODER.encode(page))

    async def read(self, request: Request) -> Reply:
        viewer = await visitor(self._runtime, request)
        conversation = await open_conversation(self._runtime, viewer, request.params["conversation_id"])
        return json_reply(200, _ENCODER.encode(conversation_of(conversation)))

    async def resolve(self, request: Request) -> Reply:
        author = await visitor(self._runtime, request)
        conversation = await open_conversation(self._runtime, author, request.params["conversation_id"])
        closed = await course.resolve(self._runtime, conversation, by="contact")
        return json_reply(200, _ENCODER.encode(conversation_of(closed)))


def _scope(value: str | None) -> str | None:
    """A conversation scope; an empty one is none. Raises InvalidField."""
    return rules.text("scope", value, _LONGEST_SCOPE) if value else None


_CREATE = Operation(
    name="createConversation",
    summary="Start a conversation",
    request=NewConversation,
    answers=(Answer(status=201, about="The conversation.", type=Conversation, headers={"Location": "Its path."}),),
    errors=(ScopeRequired,),
)
_LIST = Operation(
    name="listConversations",
    summary="List the contact's conversations, latest activity first",
    about="A verified contact sees what was made through a verified method, on every device; an unverified visitor what"
    " this token has made, in the scope that is named.",
    parameters=(
        Parameter(
            name="scope", location="query", about="Only this scope; unverified visitors must name it.", type=_SCOPE
        ),
        Parameter(name="cursor", location="query", about="The `next` of the page before."),
        Parameter(
            name="limit",
            location="query",
            about=f"How many at the most; {_PAGE} if absent.",
            type=Annotated[int, Meta(ge=1, le=_LARGEST_PAGE)],
        ),
    ),
    answers=(Answer(about="A page of conversations.", type=ConversationPage),),
    errors=(InvalidField, ScopeRequired),
)
_READ = Operation(
    name="getConversation",
    summary="Show a conversation",
    parameters=(CONVERSATION_ID,),
    answers=(Answer(about="The conversation.", type=Conversation),),
    errors=(NotFound,),
)
_RESOLVE = Operation(
    name="resolveConversation",
    summary="Close a conversation",
    about="Nothing can be written into it any more, and a rating is asked for. Closing it twice changes nothing.",
    parameters=(CONVERSATION_ID,),
    answers=(Answer(about="The closed conversation.", type=Conversation),),
    errors=(NotFound,),
)
