"""`/dashboard/inbox`: chats and their messages, answering, taking over, resolving; it must not decide who sees what."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from vestibule.administration import conversations
from vestibule.administration.conversations import LONGEST_REPLY
from vestibule.edge.http import Reply
from vestibule.edge.parameters import choice, cursor, cursor_of
from vestibule.edge.surface import Route
from vestibule.errors import InvalidField
from vestibule.ids import is_id
from vestibule.model.contact import Contact
from vestibule.model.conversation import Conversation, Message, Sender, Status
from vestibule.model.staff import Role
from vestibule.runtime import Runtime
from vestibule.surfaces.dashboard.rendering import go_to, page
from vestibule.surfaces.dashboard.seat import PREFIX, Seat, action, view
from vestibule.surfaces.dashboard.words import Mark, mark_of, mark_of_message, name_of

_PAGE = 30
_ONE = "/inbox/{conversation_id}"
# What a filter asks for: status, and whether only those that people answer.
_FILTERS: dict[str, tuple[Status | None, bool]] = {
    "open": (Status.OPEN, False),
    "handed-off": (Status.OPEN, True),
    "resolved": (Status.RESOLVED, False),
    "closed": (Status.UNRESOLVED, False),
    "all": (None, False),
}
_NAMES = {"open": "Open", "handed-off": "Handed off", "resolved": "Resolved", "closed": "Closed", "all": "All"}


class Line(msgspec.Struct, frozen=True):
    """One chat in the list."""

    conversation: Conversation
    name: str
    mark: Mark


class Bubble(msgspec.Struct, frozen=True):
    """One message. `side` is whose it is: theirs or ours."""

    message: Message
    mark: Mark
    side: str
    calls: tuple[str, ...]


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
    chosen = await _chosen(seat)
    person = await _person(seat, chosen)
    return seat.show(
        "inbox.html",
        chosen=chosen,
        person=person,
        name=name_of(person),
        mark=mark_of(person),
        bubbles=await _bubbles(seat, chosen, person),
        longest=LONGEST_REPLY,
        **await _lines(seat),
    )


async def _live_thread(seat: Seat) -> Reply:
    chosen = await _chosen(seat)
    bubbles = await _bubbles(seat, chosen, await _person(seat, chosen))
    return page("thread.html", {"bubbles": bubbles, "public_url": seat.desk.settings.public_url})


async def _reply(seat: Seat) -> Reply:
    # Browsers end lines of a form with two characters.
    text = seat.text("text").replace("\r\n", "\n")
    await conversations.reply(seat.desk, seat.workspace_id, _id(seat), text=text, name=seat.member.name)
    return _back(seat, "replied")


async def _take(seat: Seat) -> Reply:
    await conversations.take(seat.desk, seat.workspace_id, _id(seat), name=seat.member.name)
    return _back(seat, "taken")


async def _resolve(seat: Seat) -> Reply:
    await conversations.resolve(seat.desk, seat.workspace_id, _id(seat))
    return _back(seat, "resolved")


async def _lines(seat: Seat) -> dict[str, object]:
    filter_ = choice(seat.request, "show", tuple(_FILTERS)) or "open"
    status, handed_off = _FILTERS[filter_]
    last = cursor(seat.request, str)
    if last is not None and not is_id(last):
        raise InvalidField("cursor", "is not one that this service gave out")
    desk, workspace_id = seat.desk, seat.workspace_id
    after = await conversations.get(desk, workspace_id, last) if last is not None else None
    found = await conversations.list_page(
        desk, workspace_id, status=status, handed_off=handed_off, after=after, most=_PAGE
    )
    people = await asyncio.gather(*(_person(seat, each) for each in found))
    return {
        "lines": [Line(each, name_of(person), mark_of(person)) for each, person in zip(found, people, strict=True)],
        "filters": _NAMES,
        "filter": filter_,
        "following": cursor_of(found[-1].id) if len(found) == _PAGE else "",
        "is_first": after is None,
        "public_url": desk.settings.public_url,
    }


async def _bubbles(seat: Seat, chosen: Conversation, person: Contact | None) -> list[Bubble]:
    return [
        Bubble(
            message,
            mark_of_message(message, person),
            "theirs" if message.sender is Sender.USER else "ours",
            tuple(str(call.get("action") or call.get("name") or "action") for call in message.action_calls),
        )
        for message in await conversations.history(seat.desk, chosen)
    ]


async def _person(seat: Seat, conversation: Conversation) -> Contact | None:
    return await seat.desk.contacts.find(seat.workspace_id, conversation.contact_id)


async def _chosen(seat: Seat) -> Conversation:
    return await conversations.get(seat.desk, seat.workspace_id, _id(seat))


def _id(seat: Seat) -> str:
    return seat.request.params["conversation_id"]


def _back(seat: Seat, done: str) -> Reply:
    return go_to(f"{PREFIX}/inbox/{_id(seat)}?done={done}")
