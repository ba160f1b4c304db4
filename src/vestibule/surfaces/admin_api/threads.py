"""`/v1/admin/workspaces/{id}/conversations`; it must not speak as the visitor or the responder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from vestibule.administration import conversations, staff
from vestibule.edge.http import Reply
from vestibule.edge.operation import Operation, Parameter
from vestibule.edge.parameters import choice, number
from vestibule.edge.surface import Route
from vestibule.errors import ConversationClosed, InvalidField, NotFound
from vestibule.ids import is_id
from vestibule.model.conversation import Status
from vestibule.runtime import Runtime
from vestibule.surfaces.admin_api import documenting as doc
from vestibule.surfaces.admin_api import shapes
from vestibule.surfaces.admin_api.seat import WORKSPACE, Seat, answer, endpoint

_ALL = f"{WORKSPACE}/conversations"
_ONE = f"{_ALL}/{{conversation_id}}"
_STATUSES = tuple(status.value for status in Status)
StaffName = Annotated[str, Meta(min_length=1, max_length=100)]


class ConversationPage(msgspec.Struct, frozen=True):
    """The latest activity first. `next` is the `cursor` of the next page, null on the last one."""

    items: list[shapes.Conversation]
    next: str | None


class MessageList(msgspec.Struct, frozen=True):
    """Oldest first, internal ones as well."""

    items: list[shapes.Message]


class Assignment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who answers: a member of staff, whose name the visitor reads, or a name."""

    name: StaffName = "Team"
    staff_id: shapes.Uuid | None = None


class NewReply(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to say, and who says it."""

    text: Annotated[str, Meta(min_length=1, max_length=conversations.LONGEST_REPLY)]
    name: StaffName = "Team"


_ASSIGNMENT = msgspec.json.Decoder(Assignment)
_REPLY = msgspec.json.Decoder(NewReply)


def routes(runtime: Runtime) -> Sequence[Route]:
    return [
        endpoint(runtime, "GET", _ALL, _list, _LIST),
        endpoint(runtime, "GET", _ONE, _read, _READ),
        endpoint(runtime, "GET", f"{_ONE}/messages", _messages, _MESSAGES),
        endpoint(runtime, "POST", f"{_ONE}/reply", _reply, _SAY),
        endpoint(runtime, "POST", f"{_ONE}/assign", _assign, _ASSIGN),
        endpoint(runtime, "POST", f"{_ONE}/resolve", _resolve, _RESOLVE),
    ]


async def _list(seat: Seat) -> Reply:
    request = seat.request
    status = choice(request, "status", _STATUSES)
    found, following = await conversations.list_page(
        seat.desk,
        seat.workspace_id,
        status=Status(status) if status else None,
        handed_off=choice(request, "handed_off", ("true", "false")) == "true",
        cursor=request.query("cursor"),
        most=number(request, "limit", default=doc.PAGE, low=1, high=doc.LARGEST_PAGE),
    )
    return answer(200, ConversationPage([shapes.conversation_of(each) for each in found], following))


async def _read(seat: Seat) -> Reply:
    return answer(200, shapes.conversation_of(await conversations.get(seat.desk, seat.workspace_id, _id(seat))))


async def _messages(seat: Seat) -> Reply:
    found = await conversations.get(seat.desk, seat.workspace_id, _id(seat))
    history = await conversations.history(seat.desk, found)
    return answer(200, MessageList([shapes.message_of(message) for message in history]))


async def _reply(seat: Seat) -> Reply:
    wanted = seat.read(_REPLY)
    sent = await conversations.reply(seat.desk, seat.workspace_id, _id(seat), text=wanted.text, name=wanted.name)
    return answer(201, shapes.message_of(sent))


async def _assign(seat: Seat) -> Reply:
    wanted, name = seat.read(_ASSIGNMENT), ""
    if wanted.staff_id is not None:
        if not is_id(wanted.staff_id):
            raise NotFound("There is no such member of staff.")
        name = (await staff.get(seat.desk, seat.workspace_id, wanted.staff_id)).name
    taken = await conversations.take(seat.desk, seat.workspace_id, _id(seat), name=name or wanted.name)
    return answer(200, shapes.conversation_of(taken))


async def _resolve(seat: Seat) -> Reply:
    return answer(200, shapes.conversation_of(await conversations.resolve(seat.desk, seat.workspace_id, _id(seat))))


def _id(seat: Seat) -> str:
    return seat.request.params["conversation_id"]


_LIST = Operation(
    name="listConversations",
    summary="List a workspace's conversations",
    parameters=(
        Parameter(name="status", location="query", about="Only those of this status.", type=Status),
        Parameter(name="handed_off", location="query", about="`true`: only those that people answer.", type=bool),
        doc.CURSOR,
        doc.LIMIT,
    ),
    answers=doc.answer(ConversationPage, "A page of conversations."),
    errors=(InvalidField,),
)
_READ = Operation(
    name="getConversation", summary="Show a conversation", answers=doc.answer(shapes.Conversation, "The conversation.")
)
_MESSAGES = Operation(
    name="listMessages", summary="Show everything in a conversation", answers=doc.answer(MessageList, "Its messages.")
)
_SAY = Operation(
    name="reply",
    summary="Reply to the visitor; the conversation is taken with it",
    request=NewReply,
    answers=doc.answer(shapes.Message, "The message.", 201),
    errors=(ConversationClosed,),
)
_ASSIGN = Operation(
    name="assignConversation",
    summary="Give a conversation to somebody of the staff: the responder is silent from now on",
    request=Assignment,
    answers=doc.answer(shapes.Conversation, "The conversation."),
    errors=(ConversationClosed,),
)
_RESOLVE = Operation(
    name="resolveConversation",
    summary="Close a conversation as resolved, and ask for a rating",
    answers=doc.answer(shapes.Conversation, "The conversation."),
)
