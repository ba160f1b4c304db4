"""`/v1/admin/workspaces/{id}/contacts/{id}/…`: what leads to a contact, which tokens it holds, whom it was merged with;
it must not see a token."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vestibule.administration import contacts, devices
from vestibule.administration.contacts import MergeNote
from vestibule.edge.http import Reply
from vestibule.edge.operation import Operation
from vestibule.edge.surface import Route
from vestibule.errors import CannotUnseal
from vestibule.runtime import Runtime
from vestibule.surfaces.admin_api import documenting as doc
from vestibule.surfaces.admin_api import shapes
from vestibule.surfaces.admin_api.seat import WORKSPACE, Seat, answer, endpoint
from vestibule.times import rfc3339

_ONE = f"{WORKSPACE}/contacts/{{contact_id}}"


class Identity(msgspec.Struct, frozen=True):
    """A verified key that finds the person. `kind` is `email`, `phone`, `external_id` or `provider`; `issuer` is the
    identity provider's, of which `value` is the subject. `contact_id` is the one of their contacts that it is of."""

    kind: str
    value: str
    issuer: str | None
    contact_id: shapes.Uuid


class IdentityList(msgspec.Struct, frozen=True):
    items: list[Identity]


class Device(msgspec.Struct, frozen=True):
    """A token that was issued and not ended. `ends_at`: at the latest; null: it has no end of its own. `address` is the
    network that it was asked for from; `conversation_id`: it was issued for this one."""

    token_id: shapes.Uuid
    contact_id: shapes.Uuid
    method: str
    issued_at: shapes.Time
    ends_at: shapes.Time | None
    origin: str
    address: str | None
    conversation_id: str | None


class DeviceList(msgspec.Struct, frozen=True):
    """The latest first."""

    items: list[Device]


class ContactMerge(msgspec.Struct, frozen=True):
    """That a contact was merged into another one, or (`undone`) parted from it, and by whom."""

    contact_id: shapes.Uuid
    into: shapes.Uuid
    undone: bool
    at: shapes.Time
    actor: str


class ContactMergeList(msgspec.Struct, frozen=True):
    """The latest first, as far as the audit goes back."""

    items: list[ContactMerge]


def routes(runtime: Runtime) -> Sequence[Route]:
    return [
        endpoint(runtime, "GET", f"{_ONE}/identities", _identities, _IDENTITIES),
        endpoint(runtime, "GET", f"{_ONE}/devices", _devices, _DEVICES),
        endpoint(runtime, "POST", f"{_ONE}/devices/{{token_id}}/end", _end, _END),
        endpoint(runtime, "GET", f"{_ONE}/merges", _merges, _MERGES),
    ]


async def _identities(seat: Seat) -> Reply:
    found = await contacts.identities(seat.desk, seat.workspace_id, _id(seat))
    return answer(200, IdentityList([shapes.shown(Identity, each) for each in found]))


async def _devices(seat: Seat) -> Reply:
    await seat.desk.audit.flush()
    found = await devices.list_all(seat.desk, seat.workspace_id, _id(seat))
    return answer(200, DeviceList([shapes.shown(Device, each) for each in found]))


async def _end(seat: Seat) -> Reply:
    ended = await devices.end(seat.desk, seat.workspace_id, _id(seat), seat.request.params["token_id"])
    return answer(200, shapes.shown(Device, ended))


async def _merges(seat: Seat) -> Reply:
    await seat.desk.audit.flush()
    found = await contacts.merges(seat.desk, seat.workspace_id, _id(seat))
    return answer(200, ContactMergeList([_merge_of(each) for each in found]))


def _id(seat: Seat) -> str:
    return seat.request.params["contact_id"]


def _merge_of(found: MergeNote) -> ContactMerge:
    return shapes.shown(ContactMerge, found, at=rfc3339(found.at))


_IDENTITIES = Operation(
    name="listIdentities",
    summary="List the verified keys that find a person",
    about="Whichever of their contacts is named: of the one that leads, and of those merged into it.",
    answers=doc.answer(IdentityList, "All of them."),
    errors=(CannotUnseal,),
)
_DEVICES = Operation(
    name="listDevices",
    summary="List the tokens that a person holds, and so their browsers and apps",
    about="Those that the audit knows of, whichever of their contacts is named. What a sign-out at an identity provider"
    " has ended is among them still; `signOutContact` ends all.",
    answers=doc.answer(DeviceList, "All of them."),
    errors=(CannotUnseal,),
)
_END = Operation(
    name="endDevice",
    summary="End one token of a person",
    about="Every worker refuses it within 5 seconds.",
    answers=doc.answer(Device, "The token that was ended."),
    errors=(CannotUnseal,),
)
_MERGES = Operation(
    name="listMerges",
    summary="List whom a contact was merged with, and parted from",
    answers=doc.answer(ContactMergeList, "All of them."),
    errors=(CannotUnseal,),
)
