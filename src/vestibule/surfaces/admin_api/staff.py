"""`/v1/admin/workspaces/{id}/staff`; it must not see a password."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from vestibule.administration import staff
from vestibule.administration.desk import Desk
from vestibule.edge.http import Reply
from vestibule.edge.operation import Operation
from vestibule.edge.surface import Route
from vestibule.errors import AlreadyExists, Conflict, InvalidField, PasswordsOff
from vestibule.model import staff as stored
from vestibule.model.staff import Role
from vestibule.runtime import Runtime
from vestibule.surfaces.admin_api import documenting as doc
from vestibule.surfaces.admin_api import shapes
from vestibule.surfaces.admin_api.seat import WORKSPACE, Seat, answer, endpoint, gone, made

_ALL = f"{WORKSPACE}/staff"
_ONE = f"{_ALL}/{{staff_id}}"
_EDITED = ("id", "email", "name", "role", "disabled_at")


class StaffMember(msgspec.Struct, frozen=True):
    """Somebody who may sign in at the dashboard; without a password, from the moment at which they have chosen one."""

    id: shapes.Uuid
    email: str
    name: str
    role: Role
    has_password: bool
    created_at: shapes.Time
    signed_in_at: shapes.Time | None
    disabled_at: shapes.Time | None


class StaffPage(msgspec.Struct, frozen=True):
    """Oldest first; all there are."""

    items: list[StaffMember]
    next: str | None = None


class NewStaffMember(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`name` is what visitors see as the name of who answers; made of the e-mail if absent."""

    email: Annotated[str, Meta(min_length=3, max_length=320)]
    role: Role = Role.VIEWER
    name: Annotated[str, Meta(max_length=100)] = ""


class StaffChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is absent stays. Who is disabled is signed out at once, and cannot sign in."""

    name: Annotated[str, Meta(min_length=1, max_length=100)] | UnsetType = UNSET
    role: Role | UnsetType = UNSET
    disabled: bool | UnsetType = UNSET


class Invitation(msgspec.Struct, frozen=True):
    """`link` is where the member chooses a password, once, within a day; shown now and never again. It is null where
    staff sign in at their identity provider only."""

    link: str | None
    member: StaffMember

    def __repr__(self) -> str:
        return f"Invitation({self.member.id})"


_NEW = msgspec.json.Decoder(NewStaffMember)
_CHANGE = msgspec.json.Decoder(StaffChange)


def routes(runtime: Runtime) -> Sequence[Route]:
    return [
        endpoint(runtime, "GET", _ALL, _list, _LIST),
        endpoint(runtime, "POST", _ALL, _add, _ADD),
        endpoint(runtime, "GET", _ONE, _read, _READ),
        endpoint(runtime, "PATCH", _ONE, _change, _EDIT),
        endpoint(runtime, "DELETE", _ONE, _remove, _REMOVE),
        endpoint(runtime, "POST", f"{_ONE}/link", _link, _INVITE),
        endpoint(runtime, "POST", f"{_ONE}/sign-out", _sign_out, _SIGN_OUT),
    ]


async def _list(seat: Seat) -> Reply:
    return answer(200, StaffPage([_shape_of(each) for each in await staff.list_all(seat.desk, seat.workspace_id)]))


async def _add(seat: Seat) -> Reply:
    wanted, desk = seat.read(_NEW), seat.desk
    member = await staff.add(desk, seat.workspace_id, email=wanted.email, name=wanted.name, role=wanted.role)
    link = await staff.invite(desk, seat.workspace_id, member.id)
    return made(seat, Invitation(link, _shape_of(member)), f"staff/{member.id}")


async def _read(seat: Seat) -> Reply:
    return await seat.shown(_member, settings=_settings)


async def _change(seat: Seat) -> Reply:
    wanted = seat.read(_CHANGE)
    desk = await seat.editing(_settings)
    if wanted.name is not UNSET:
        await staff.set_name(desk, seat.workspace_id, _id(seat), wanted.name)
    if wanted.role is not UNSET:
        await staff.set_role(desk, seat.workspace_id, _id(seat), wanted.role)
    if wanted.disabled is not UNSET:
        await staff.set_disabled(desk, seat.workspace_id, _id(seat), disabled=wanted.disabled)
    return await _read(seat)


async def _remove(seat: Seat) -> Reply:
    desk = await seat.editing(_settings)
    await staff.remove(desk, seat.workspace_id, _id(seat))
    return gone()


async def _link(seat: Seat) -> Reply:
    link = await staff.make_link(seat.desk, seat.workspace_id, _id(seat))
    return answer(201, Invitation(link, _shape_of(await staff.get(seat.desk, seat.workspace_id, _id(seat)))))


async def _sign_out(seat: Seat) -> Reply:
    return answer(200, _shape_of(await staff.end_sessions(seat.desk, seat.workspace_id, _id(seat))))


def _id(seat: Seat) -> str:
    return seat.request.params["staff_id"]


async def _member(seat: Seat, desk: Desk) -> StaffMember:
    return _shape_of(await staff.get(desk, seat.workspace_id, _id(seat)))


async def _settings(seat: Seat, desk: Desk) -> dict[str, object]:
    """Without what moves by itself: who signs in, or chooses a password, makes no edit stale."""
    found = await staff.get(desk, seat.workspace_id, _id(seat))
    return {name: getattr(found, name) for name in _EDITED}


def _shape_of(member: stored.Staff) -> StaffMember:
    return shapes.shown(StaffMember, member)


_LIST = Operation(
    name="listStaff", summary="List who may sign in at the dashboard", answers=doc.answer(StaffPage, "All of them.")
)
_ADD = Operation(
    name="addStaff",
    summary="Let somebody in, by a link at which they choose a password",
    request=NewStaffMember,
    answers=doc.added(Invitation, "The member, with their link."),
    errors=(AlreadyExists,),
)
_READ = Operation(name="getStaff", summary="Show a member of staff", answers=doc.one(StaffMember, "The member."))
_EDIT = Operation(
    name="changeStaff",
    summary="Change somebody's name or role, or disable them",
    request=StaffChange,
    answers=doc.one(StaffMember, "The member as they are now."),
    errors=(InvalidField,),
)
_REMOVE = Operation(
    name="removeStaff", summary="Shut somebody out for good; what they did stays in the audit", answers=doc.GONE
)
_INVITE = Operation(
    name="inviteStaff",
    summary="Make a new link at which a member chooses a password",
    about="The one before is good no more.",
    answers=doc.answer(Invitation, "The member, with their link.", 201),
    errors=(Conflict, PasswordsOff),
)
_SIGN_OUT = Operation(
    name="signOutStaff", summary="Sign a member out in every browser", answers=doc.answer(StaffMember, "The member.")
)
