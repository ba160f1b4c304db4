"""`/v1/admin/workspaces/{id}/contacts`; it must not touch a key that finds a contact."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vestibule.administration import contact_export, contacts
from vestibule.administration.contact_export import Held, ProviderIdentity
from vestibule.administration.contacts import Correction, Place
from vestibule.administration.desk import Desk
from vestibule.edge.http import Reply
from vestibule.edge.operation import Operation, Parameter
from vestibule.edge.parameters import choice, cursor, cursor_of, number, text
from vestibule.edge.surface import Route
from vestibule.errors import CannotUnseal, Conflict, ContactBusy, InvalidField, NotFound
from vestibule.model import contact as stored
from vestibule.runtime import Runtime
from vestibule.storage import contact_search
from vestibule.surfaces.admin_api import documenting as doc
from vestibule.surfaces.admin_api import shapes
from vestibule.surfaces.admin_api.seat import WORKSPACE, Seat, answer, endpoint, showing
from vestibule.times import rfc3339

_ALL = f"{WORKSPACE}/contacts"
_ONE = f"{_ALL}/{{contact_id}}"
_TRUST = {"": contact_search.ANY, "verified": contact_search.VERIFIED, "unverified": contact_search.UNVERIFIED}


class ContactPage(msgspec.Struct, frozen=True):
    """`next` is the `cursor` of the next page, null on the last one."""

    items: list[shapes.Contact]
    next: str | None


class Merge(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`into` is the contact that stays."""

    into: shapes.Uuid


class Receipt(msgspec.Struct, frozen=True):
    """The ids of the contacts that the person is: the one that leads, and those merged into it."""

    contact_ids: list[str]


class SignIn(msgspec.Struct, frozen=True):
    """That they said who they are, as far as the audit goes back. `address` is a network."""

    at: shapes.Time
    method: str
    outcome: str
    code: str
    origin: str
    address: str | None


class ExportedFile(msgspec.Struct, frozen=True):
    id: str
    name: str
    media_type: str
    size: int
    created_at: shapes.Time


class ExportedThread(msgspec.Struct, frozen=True):
    conversation: shapes.WholeConversation
    messages: list[shapes.Message]


class Exported(msgspec.Struct, frozen=True):
    """Everything that is kept about one contact. `sign_ins`: the latest first."""

    contact: shapes.Contact
    provider_identities: list[ProviderIdentity]
    sign_ins: list[SignIn]
    conversations: list[ExportedThread]
    files: list[ExportedFile]


class Export(msgspec.Struct, frozen=True):
    """A person: the contact that leads, and those merged into it."""

    contact: Exported
    merged: list[Exported]


_CORRECTION = msgspec.json.Decoder(Correction)
_MERGE = msgspec.json.Decoder(Merge)


def routes(runtime: Runtime) -> Sequence[Route]:
    return [
        endpoint(runtime, "GET", _ALL, _search, _SEARCH),
        endpoint(runtime, "GET", _ONE, showing(_contact), _READ),
        endpoint(runtime, "PATCH", _ONE, _correct, _CORRECT),
        endpoint(runtime, "DELETE", _ONE, _erase, _ERASE),
        endpoint(runtime, "GET", f"{_ONE}/export", _export, _EXPORT),
        endpoint(runtime, "POST", f"{_ONE}/merge", _merge, _MERGE_INTO),
        endpoint(runtime, "POST", f"{_ONE}/unmerge", _unmerge, _UNMERGE),
        endpoint(runtime, "POST", f"{_ONE}/sign-out", _sign_out, _SIGN_OUT),
    ]


async def _search(seat: Seat) -> Reply:
    request = seat.request
    found, following = await contacts.search(
        seat.desk,
        seat.workspace_id,
        name=text(request, "name"),
        email=text(request, "email"),
        phone=text(request, "phone"),
        trust=_TRUST[choice(request, "trust", ("verified", "unverified"))],
        after=cursor(request, Place, Place.is_storable),
        most=number(request, "limit", default=doc.PAGE, low=1, high=doc.LARGEST_PAGE),
    )
    page = ContactPage(
        [shapes.contact_of(contact) for contact in found], cursor_of(following) if following is not None else None
    )
    return answer(200, page)


async def _correct(seat: Seat) -> Reply:
    wanted = seat.read(_CORRECTION)
    desk = await seat.editing(_contact)
    await contacts.correct(desk, seat.workspace_id, _id(seat), wanted)
    return await seat.shown(_contact)


async def _erase(seat: Seat) -> Reply:
    desk = await seat.editing(_contact)
    return answer(200, Receipt(await contacts.erase(desk, seat.workspace_id, _id(seat))))


async def _export(seat: Seat) -> Reply:
    found = await contact_export.gather(seat.desk, seat.workspace_id, _id(seat))
    first, *merged = [_exported(contact, held) for contact, held in found]
    return answer(200, Export(first, merged))


async def _merge(seat: Seat) -> Reply:
    into = seat.read(_MERGE).into
    if "\0" in into:
        raise NotFound("There is no such contact.")
    return answer(200, shapes.contact_of(await contacts.merge(seat.desk, seat.workspace_id, _id(seat), into)))


async def _unmerge(seat: Seat) -> Reply:
    return answer(200, shapes.contact_of(await contacts.unmerge(seat.desk, seat.workspace_id, _id(seat))))


async def _sign_out(seat: Seat) -> Reply:
    return answer(200, Receipt(await contacts.sign_out(seat.desk, seat.workspace_id, _id(seat))))


def _id(seat: Seat) -> str:
    return seat.request.params["contact_id"]


async def _contact(seat: Seat, desk: Desk) -> shapes.Contact:
    return shapes.contact_of(await contacts.get(desk, seat.workspace_id, _id(seat)))


def _exported(contact: stored.Contact, held: Held) -> Exported:
    return Exported(
        contact=shapes.contact_of(contact),
        provider_identities=held.provider_identities,
        sign_ins=[shapes.shown(SignIn, each, at=rfc3339(each.at)) for each in held.sign_ins],
        conversations=[
            ExportedThread(shapes.whole_conversation_of(thread), [shapes.message_of(message) for message in messages])
            for thread, messages in held.conversations
        ],
        files=[shapes.shown(ExportedFile, file) for file in held.files],
    )


def _beginning(name: str, about: str) -> Parameter:
    return Parameter(name=name, location="query", about=about)


_SEARCH = Operation(
    name="searchContacts",
    summary="Find contacts, or list them all, the newest first",
    about="By one of `name`, `email` and `phone`; a contact's id stands in its path.",
    parameters=(
        _beginning("name", "How the name begins, in any case."),
        _beginning("email", "How the e-mail begins, also one that was only claimed."),
        _beginning("phone", "The whole number, with its country code; verified contacts only."),
        _beginning("trust", "`verified` or `unverified` contacts only."),
        doc.CURSOR,
        doc.LIMIT,
    ),
    answers=doc.answer(ContactPage, "A page of contacts."),
    errors=(InvalidField, CannotUnseal),
)
_READ = Operation(
    name="getContact",
    summary="Show a contact, with where each value came from",
    answers=doc.one(shapes.Contact, "The contact itself, merged or not."),
    errors=(CannotUnseal,),
)
_CORRECT = Operation(
    name="correctContact",
    summary="Correct a contact's profile",
    about="What is absent stays, null clears. E-mail and phone are proven, and cannot be changed here.",
    request=Correction,
    answers=doc.one(shapes.Contact, "The contact as it is now."),
    errors=(ContactBusy, CannotUnseal),
)
_ERASE = Operation(
    name="eraseContact",
    summary="Delete a person and everything merged into theirs, with chats and files",
    about="This cannot be undone. Their tokens open nothing any more. A contact that was merged into another one is not"
    " erased by its id: erase that one, or undo the merge first.",
    answers=doc.answer(Receipt, "What was erased."),
    errors=(Conflict, CannotUnseal),
)
_EXPORT = Operation(
    name="exportContact",
    summary="Show everything kept about a person",
    about="Whichever of their contacts is named.",
    answers=doc.answer(Export, "The contact that leads, and those merged into it."),
    errors=(CannotUnseal,),
)
_MERGE_INTO = Operation(
    name="mergeContact",
    summary="Make one person of two; `unmerge` undoes it",
    request=Merge,
    answers=doc.answer(shapes.Contact, "The contact that was merged."),
    errors=(Conflict, CannotUnseal),
)
_UNMERGE = Operation(
    name="unmergeContact",
    summary="Undo a merge",
    about="Of verified contacts both sign in anew: tokens of the one that led end within 5 seconds. Chats that were"
    " begun while they were merged stay with it.",
    answers=doc.answer(shapes.Contact, "The contact, which stands for itself again."),
    errors=(Conflict, ContactBusy, CannotUnseal),
)
_SIGN_OUT = Operation(
    name="signOutContact",
    summary="End every token of a person, on all devices",
    about="Whichever of their contacts is named. Every worker refuses them within 5 seconds.",
    answers=doc.answer(Receipt, "Whose tokens were ended."),
    errors=(CannotUnseal,),
)
