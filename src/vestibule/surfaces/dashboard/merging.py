"""`/dashboard/contacts/…/merge` and `unmerge`: makes one person of two after a look at both, and undoes it; it must not
choose whom."""

from __future__ import annotations

from collections.abc import Sequence

from vestibule.administration import contact_export, contacts
from vestibule.edge.http import Reply
from vestibule.edge.parameters import text
from vestibule.edge.surface import Route
from vestibule.model.contact import PROFILE_FIELDS, Contact
from vestibule.model.staff import Role
from vestibule.runtime import Runtime
from vestibule.surfaces.dashboard.people import contact_id, values_of
from vestibule.surfaces.dashboard.rendering import go_to
from vestibule.surfaces.dashboard.seat import PREFIX, Seat, action, view
from vestibule.surfaces.dashboard.words import mark_of, name_of

_ONE = "/contacts/{contact_id}"


def routes(runtime: Runtime) -> Sequence[Route]:
    return [
        view(runtime, f"{_ONE}/merge", _preview, Role.ADMIN),
        action(runtime, f"{_ONE}/merge", _merge, Role.ADMIN),
        action(runtime, f"{_ONE}/unmerge", _unmerge, Role.ADMIN),
    ]


async def _preview(seat: Seat) -> Reply:
    desk, workspace_id = seat.desk, seat.workspace_id
    contact = await contacts.get(desk, workspace_id, contact_id(seat))
    into = await contacts.find(desk, workspace_id, text(seat.request, "into").strip())
    chats, _ = await contact_export.count(desk, contact)
    values, others = _values(contact), _values(into)
    return seat.show(
        "merge.html",
        contact=contact,
        into=into,
        names=(name_of(contact), name_of(into)),
        marks=(mark_of(contact), mark_of(into)),
        fields=[(name, values.get(name), others.get(name)) for name in PROFILE_FIELDS if {name} & {*values, *others}],
        chats=chats,
        problem=await _problem(seat, contact, into),
    )


async def _problem(seat: Seat, contact: Contact, into: Contact) -> str:
    """What would keep it from being done, told before it is tried; `contacts.merge` decides."""
    if contact.id == into.id:
        return "These are the same contact."
    if contact.verified != into.verified:
        return "One of them is verified and the other is not: what was only claimed must not come to look proven."
    if contact.merged_into or into.merged_into:
        return "One of them is merged into another contact already. Undo that first."
    if await seat.desk.contacts.merged_into(seat.workspace_id, contact.id):
        return "Others are merged into the first one. Undo that first, or merge the other way round."
    return ""


async def _merge(seat: Seat) -> Reply:
    into = seat.text("into")
    await contacts.merge(seat.desk, seat.workspace_id, contact_id(seat), into)
    return go_to(f"{PREFIX}/contacts/{into}?done=merged")


async def _unmerge(seat: Seat) -> Reply:
    await contacts.unmerge(seat.desk, seat.workspace_id, contact_id(seat))
    return go_to(f"{PREFIX}/contacts/{contact_id(seat)}?done=unmerged")


def _values(contact: Contact) -> dict[str, str]:
    return {each.name: each.text for verified in (False, True) for each in values_of(contact, verified=verified)}
