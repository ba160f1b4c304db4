"""`/dashboard/inbox`: chats and their messages, answering, taking over, resolving; it must not decide who sees what."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from vestibule.administration import conversations
from vestibule.administration.conversations import LONGEST_REPLY
from vestibule.edge.http import Reply
from vestibule.edge.parameters import choice, number
from vestibule.edge.problem import status_of
from vestibule.edge.surface import Route, note_refusal
from vestibule.errors import AlreadyExists, ConversationClosed, InvalidField, VestibuleError
from vestibule.ids import is_id, new_id
from vestibule.model.contact import Contact
from vestibule.model.conversation import Conversation, Document, Message, Sender, Status
from vestibule.model.staff import Role
from vestibule.runtime import Runtime
from vestibule.surfaces.dashboard.rendering import go_to, page
from vestibule.surfaces.dashboard.seat import PREFIX, Seat, action, view
from vestibule.surfaces.dashboard.words import Mark, as_claimed, mark_of, mark_of_message, name_of, plain

_PAGE = 30
_ONE = "/inbox/{conversation_id}"
# So many messages are shown at once; a chat of years has thousands.
_MESSAGES = 200


class Filter(msgspec.Struct, frozen=True):
    """What is asked for, by the words of `conversations.list_page`; `mine` by the name of who asks."""

    name: str
    status: Status | None = None
    handed_off: bool = False
    mine: bool = False
    unproven: bool = False


_FILTERS = {
    "open": Filter("Open", Status.OPEN),
    "mine": Filter("Mine", mine=True),
    "handed-off": Filter("Handed off", Status.OPEN, handed_off=True),
    "unproven": Filter("Unproven", unproven=True),
    "resolved": Filter("Resolved", Status.RESOLVED),
    "closed": Filter("Closed", Status.UNRESOLVED),
    "all": Filter("All"),
}
_NAMES = {value: filter_.name for value, filter_ in _FILTERS.items()}


class Line(msgspec.Struct, frozen=True):
    """One chat in the list."""

    conversation: Conversation
    name: str
    mark: Mark


class Sent(msgspec.Struct, frozen=True):
    """What was sent for an action call, without its credentials, and what came of it."""

    action: str
    told: str
    line: str
    values: tuple[tuple[str, str, str, str], ...]
    ignored: tuple[tuple[str, str], ...]


class Bubble(msgspec.Struct, frozen=True):
    """One message. `side` is whose it is: theirs or ours. `calls` are action calls of which no request was kept."""

    message: Message
    mark: Mark
    side: str
    calls: tuple[str, ...]
    requests: tuple[Sent, ...]


def routes(runtime: Runtime) -> Sequence[Route]:
    return [
        view(runtime, "/inbox", _list),
        view(runtime, "/inbox-live", _live_list, active=False),
        view(runtime, _ONE, _read),
        view(runtime, f"{_ONE}/live", _live_thread, active=False),
        action(runtime, f"{_ONE}/reply", _reply, Role.RESPONDER),
        action(runtime, f"{_ONE}/take", _take, Role.RESPONDER),
        action(runtime, f"{_ONE}/resolve", _resolve, Role.RESPONDER),
    ]


async def _list(seat: Seat) -> Reply:
    return seat.show("inbox.html", chosen=None, **await _lines(seat))


async def _live_list(seat: Seat) -> Reply:
    return page("inbox_list.html", {"chosen": None, **await _lines(seat)})


async def _read(seat: Seat) -> Reply:
    return await _page(seat)


async def _page(seat: Seat, typed: str = "", problem: VestibuleError | None = None) -> Reply:
    """A chat. `problem`: why it did not take what was typed, which is shown again."""
    chosen = await _chosen(seat)
    person = await _person(seat, chosen)
    return seat.show(
        "inbox.html",
        status_of(problem).value if problem is not None else 200,
        chosen=chosen,
        person=person,
        name=name_of(person),
        mark=mark_of(person),
        longest=LONGEST_REPLY,
        reply_id=new_id(),
        typed=typed,
        problem=problem,
        **await _history(seat, chosen, person),
        **await _lines(seat),
    )


async def _live_thread(seat: Seat) -> Reply:
    chosen = await _chosen(seat)
    history = await _history(seat, chosen, await _person(seat, chosen))
    return page("thread.html", {**history, "filter": _filter(seat), "public_url": seat.desk.settings.public_url})


async def _reply(seat: Seat) -> Reply:
    # Browsers end lines of a form with two characters.
    text, sent_as, back = seat.text("text").replace("\r\n", "\n"), seat.text("id"), _back(seat, "replied")
    try:
        await conversations.reply(
            seat.desk,
            seat.workspace_id,
            _id(seat),
            text=text,
            name=seat.member.name,
            # Of the page, so that a form which is sent twice is one message.
            public_id=sent_as if is_id(sent_as) else "",
        )
    except (InvalidField, ConversationClosed, AlreadyExists) as error:
        note_refusal(seat.request, error)
        return await _page(seat, text, error)
    return back


async def _take(seat: Seat) -> Reply:
    back = _back(seat, "taken")
    await conversations.take(seat.desk, seat.workspace_id, _id(seat), name=seat.member.name)
    return back


async def _resolve(seat: Seat) -> Reply:
    back = _back(seat, "resolved")
    await conversations.resolve(seat.desk, seat.workspace_id, _id(seat))
    return back


async def _lines(seat: Seat) -> dict[str, object]:
    filter_ = _filter(seat)
    wanted = _FILTERS[filter_]
    cursor = seat.request.query("cursor")
    found, following = await conversations.list_page(
        seat.desk,
        seat.workspace_id,
        status=wanted.status,
        handed_off=wanted.handed_off,
        assignee=seat.member.name if wanted.mine else "",
        unproven=wanted.unproven,
        cursor=cursor,
        most=_PAGE,
    )
    people = await asyncio.gather(*(_person(seat, each) for each in found))
    return {
        "lines": [Line(each, name_of(person), mark_of(person)) for each, person in zip(found, people, strict=True)],
        "filters": _NAMES,
        "filter": filter_,
        "following": following,
        "is_first": not cursor,
        "public_url": seat.desk.settings.public_url,
    }


async def _history(seat: Seat, chosen: Conversation, person: Contact | None) -> dict[str, object]:
    """The latest messages, or those before a number; only the latest are live."""
    before = number(seat.request, "before", default=0)
    found = await conversations.latest(seat.desk, chosen, before=before or None, most=_MESSAGES)
    return {
        "bubbles": [_bubble(message, person) for message in found],
        "earlier": found[0].seq if len(found) == _MESSAGES else 0,
        "is_latest": not before,
        "chat_id": chosen.id,
    }


def _bubble(message: Message, person: Contact | None) -> Bubble:
    requests = tuple(_sent(document) for document in message.action_requests)
    calls = () if requests else tuple(str(call.get("actionName") or "action") for call in message.action_calls)
    side = "theirs" if message.sender is Sender.USER or message.is_greeting else "ours"
    return Bubble(message, mark_of_message(message, person), side, calls, requests)


def _sent(document: Document) -> Sent:
    if "refused" in document:
        return Sent(str(document["action"]), f"not sent: {plain(str(document['refused']))}", "", (), ())
    outcome = document.get("error") or f"HTTP {document.get('status')}"
    values = tuple(
        (each["location"], each["name"], _text(each["value"]), each["source"]) for each in document["values"]
    )
    ignored = tuple((f"{each['location']} {each['name']}", each["reason"]) for each in document["ignored"])
    line = f"{document['method']} {document['url']}"
    return Sent(str(document["action"]), f"{outcome}, {document.get('milliseconds')} ms", line, values, ignored)


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


async def _person(seat: Seat, conversation: Conversation) -> Contact | None:
    found = await seat.desk.contacts.find(seat.workspace_id, conversation.contact_id)
    # Once a contact is claimed, everybody who types its e-mail still has it: the row's proof is not theirs.
    return as_claimed(found) if found is not None and found.verified and not conversation.verified else found


async def _chosen(seat: Seat) -> Conversation:
    return await conversations.get(seat.desk, seat.workspace_id, _id(seat))


def _id(seat: Seat) -> str:
    return seat.request.params["conversation_id"]


def _filter(seat: Seat) -> str:
    return choice(seat.request, "show", tuple(_FILTERS)) or "open"


def _back(seat: Seat, done: str) -> Reply:
    """Into the filter that a form was sent from. Made before what the form asks for is done: raises InvalidField."""
    show = choice(seat.request, "show", tuple(_FILTERS))
    return go_to(f"{PREFIX}/inbox/{_id(seat)}?done={done}" + (f"&show={show}" if show else ""))
