"""`/dashboard/contacts`: finds and shows people, signs them out and erases them; it must not touch a key that finds
one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from vestibule.administration import audit, contact_export, contacts, devices
from vestibule.administration.contacts import Place
from vestibule.edge.http import Reply
from vestibule.edge.parameters import choice, cursor, cursor_of, text
from vestibule.edge.surface import Route
from vestibule.errors import InvalidField
from vestibule.ids import is_id
from vestibule.model.contact import PROFILE_FIELDS, Contact, Provenance
from vestibule.model.staff import Role
from vestibule.runtime import Runtime
from vestibule.storage import contact_search, conversation_lists
from vestibule.storage.provider_identities import ProviderIdentities
from vestibule.surfaces.dashboard.rendering import SAFE, go_to
from vestibule.surfaces.dashboard.seat import PREFIX, Seat, action, view
from vestibule.surfaces.dashboard.words import Mark, mark_of, name_of

_PAGE = 30
_ONE = "/contacts/{contact_id}"
_TRUST = {"": contact_search.ANY, "verified": contact_search.VERIFIED, "unverified": contact_search.UNVERIFIED}
_WORD = "erase"
_LATEST_CHATS = 10
_LATEST_DEVICES = 30


class Line(msgspec.Struct, frozen=True):
    """One contact in the list."""

    contact: Contact
    name: str
    mark: Mark


class Value(msgspec.Struct, frozen=True):
    """One value of a profile, and where it came from."""

    name: str
    text: str
    source: Provenance | None


def routes(runtime: Runtime) -> Sequence[Route]:
    return [
        view(runtime, "/contacts", _search),
        view(runtime, _ONE, _show),
        action(runtime, f"{_ONE}/sign-out", _sign_out, Role.ADMIN),
        action(runtime, f"{_ONE}/end-token", _end_token, Role.ADMIN),
        view(runtime, f"{_ONE}/export", _export, Role.ADMIN),
        view(runtime, f"{_ONE}/erase", _ask_to_erase, Role.ADMIN),
        action(runtime, f"{_ONE}/erase", _erase, Role.ADMIN),
    ]


async def _search(seat: Seat) -> Reply:
    asked = text(seat.request, "q").strip()
    trust = choice(seat.request, "trust", tuple(_TRUST))
    found, following = await _found(seat, asked, trust)
    return seat.show(
        "contacts.html",
        asked=asked,
        trust_=trust,
        lines=[Line(each, name_of(each), mark_of(each)) for each in found],
        following=cursor_of(following) if following is not None else "",
    )


async def _found(seat: Seat, asked: str, trust: str) -> tuple[list[Contact], Place | None]:
    """By id, e-mail, phone number or name, whichever what was typed looks like."""
    if is_id(asked):
        found = await seat.desk.contacts.find(seat.workspace_id, asked)
        return [found] if found is not None else [], None
    kind = "email" if "@" in asked else "phone" if asked.startswith("+") else "name"
    place = cursor(seat.request, Place, Place.is_storable)
    wanted = {kind: asked} if asked else {}
    return await contacts.search(seat.desk, seat.workspace_id, trust=_TRUST[trust], after=place, most=_PAGE, **wanted)


async def _show(seat: Seat) -> Reply:
    contact = await contacts.get(seat.desk, seat.workspace_id, contact_id(seat))
    desk = seat.desk
    await desk.audit.flush()
    history = await audit.list_page(desk, seat.workspace_id, contact_id=contact.id, most=20)
    chats = await conversation_lists.latest_of_contact(desk.store, seat.workspace_id, contact.id, _LATEST_CHATS)
    return seat.show(
        "contact.html",
        contact=contact,
        name=name_of(contact),
        mark=mark_of(contact),
        proven=values_of(contact, verified=True),
        claimed=values_of(contact, verified=False),
        keys={
            "Contact id": contact.id,
            "E-mail": contact.email_key,
            "Phone": contact.phone_key,
            "Your id": contact.external_id,
        },
        identities=await ProviderIdentities(desk.store, desk.contacts).list_of(seat.workspace_id, contact.id),
        merged=[
            Line(each, name_of(each), mark_of(each))
            for each in await desk.contacts.merged_into(seat.workspace_id, contact.id)
        ],
        chats=chats,
        devices=(await devices.list_all(desk, seat.workspace_id, contact.id))[:_LATEST_DEVICES],
        merges=await contacts.merges(desk, seat.workspace_id, contact.id),
        history=[(stored.entry, stored.seq) for stored in history.entries],
    )


async def _export(seat: Seat) -> Reply:
    """Everything that is kept about the person, for them. Who took it is in the audit."""
    document = await contact_export.document(seat.desk, seat.workspace_id, contact_id(seat))
    headers = (
        (b"content-type", b"application/json"),
        (b"content-disposition", b'attachment; filename="contact-%s.json"' % contact_id(seat).encode()),
        (b"cache-control", b"no-store"),
        *SAFE,
    )
    return Reply(200, msgspec.json.format(msgspec.json.encode(document)), headers)


async def _end_token(seat: Seat) -> Reply:
    await devices.end(seat.desk, seat.workspace_id, contact_id(seat), seat.text("token_id"))
    return go_to(f"{PREFIX}/contacts/{contact_id(seat)}?done=token-ended")


async def _sign_out(seat: Seat) -> Reply:
    await contacts.sign_out(seat.desk, seat.workspace_id, contact_id(seat))
    return go_to(f"{PREFIX}/contacts/{contact_id(seat)}?done=signed-out")


async def _ask_to_erase(seat: Seat) -> Reply:
    await contacts.erasable(seat.desk, seat.workspace_id, contact_id(seat))
    people = await contacts.one_person(seat.desk, seat.workspace_id, contact_id(seat))
    held = await asyncio.gather(*(contact_export.count(seat.desk, each) for each in people))
    return seat.show(
        "erase.html",
        contact=people[0],
        name=name_of(people[0]),
        others=len(people) - 1,
        chats=sum(chats for chats, _ in held),
        uploads=sum(uploads for _, uploads in held),
        word=_WORD,
    )


async def _erase(seat: Seat) -> Reply:
    if seat.text("word").strip().lower() != _WORD:
        raise InvalidField("word", f"must be {_WORD}, so that nobody is erased by a slip")
    await contacts.erase(seat.desk, seat.workspace_id, contact_id(seat))
    return go_to(f"{PREFIX}/contacts?done=erased")


def values_of(contact: Contact, *, verified: bool) -> list[Value]:
    """What is proven or was said by an operator, or what the visitor claimed, in the order in which people read it."""
    found = []
    for name in PROFILE_FIELDS:
        value, source = getattr(contact, name), contact.provenance.get(name)
        proven = contact.verified if source is None else source.source.value != "unverified"
        if value is not None and proven is verified:
            found.append(Value(name, _text(name, value), source))
    if not verified and contact.non_verified_custom_data:
        claimed = contact.non_verified_custom_data
        source = contact.provenance.get("non_verified_custom_data")
        found.append(Value("custom_data", _text("custom_data", claimed), source))
    return found


def contact_id(seat: Seat) -> str:
    return seat.request.params["contact_id"]


def _text(name: str, value: object) -> str:
    if name == "http_action_overrides":
        return "set (sealed, and not shown)"
    if isinstance(value, dict):
        return "\n".join(
            f"{key}: {str(each).lower() if isinstance(each, bool) else each}" for key, each in value.items()
        )
    return ", ".join(value) if isinstance(value, tuple) else str(value)
