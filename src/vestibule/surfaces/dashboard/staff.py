"""`/dashboard/staff`: owners let people in, say what each may do, and shut them out; it must not know a password."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from vestibule.administration import staff, staff_sessions
from vestibule.administration.desk import Desk
from vestibule.edge.http import Reply
from vestibule.edge.surface import Route
from vestibule.model.staff import Role, Staff
from vestibule.runtime import Runtime
from vestibule.surfaces.dashboard.rendering import go_to
from vestibule.surfaces.dashboard.seat import PREFIX, Seat, action, version_of, view
from vestibule.surfaces.dashboard.set_up.fields import Field, untyped
from vestibule.surfaces.dashboard.set_up.saving import Problems, refuse, saving

_HERE = "/staff"
_ONE = f"{_HERE}/{{staff_id}}"
_FIELDS = (
    Field("email", "E-mail"),
    Field("name", "Name", help="What visitors see as the name of who answers."),
    Field("role", "Role", "choice", choices=tuple(reversed(Role))),
)
_BLANK = {"role": Role.RESPONDER.value}


class Line(msgspec.Struct, frozen=True):
    """One member. `issuer`: where they sign in, if not with a password."""

    member: Staff
    sessions: int
    issuer: str


def routes(runtime: Runtime) -> Sequence[Route]:
    saved = saving(_FIELDS, _again, back=_HERE)
    return [
        view(runtime, _HERE, _show, Role.OWNER),
        action(runtime, _HERE, saving(_FIELDS, _again_as_typed, back=_HERE)(_add), Role.OWNER),
        action(runtime, f"{_ONE}/role", saved(_set_role), Role.OWNER),
        action(runtime, f"{_ONE}/switch", saved(_switch), Role.OWNER),
        action(runtime, f"{_ONE}/end", _end, Role.OWNER),
        action(runtime, f"{_ONE}/link", saved(_link), Role.OWNER),
        action(runtime, f"{_ONE}/forget", _forget, Role.OWNER),
    ]


async def _show(seat: Seat) -> Reply:
    return await _page(seat, _BLANK)


async def _page(
    seat: Seat,
    values: Mapping[str, str],
    problems: Problems | None = None,
    status: int = 200,
    *,
    link: str = "",
    whose: str = "",
) -> Reply:
    desk, workspace_id = seat.desk, seat.workspace_id
    sessions = await staff_sessions.counts(desk, workspace_id)
    issuers = await staff.identities(desk, workspace_id)
    found = await staff.list_all(desk, workspace_id)
    return seat.show(
        "staff.html",
        status,
        lines=[Line(each, sessions.get(each.id, 0), issuers.get(each.id, "")) for each in found],
        roles=tuple(reversed(Role)),
        fields=_FIELDS,
        form={"values": values, "problems": problems or {}},
        version=version_of(_roles(found)),
        link=link,
        whose=whose,
        with_password=not desk.settings.staff_oidc_only,
    )


async def _add(seat: Seat) -> Reply:
    given, problems = untyped(seat.form, _FIELDS)
    refuse(problems)
    made = await staff.add(seat.desk, seat.workspace_id, **given)
    link = await staff.invite(seat.desk, seat.workspace_id, made.id)
    if link is None:
        return go_to(f"{PREFIX}{_HERE}?done=added")
    return await _page(seat, _BLANK, link=link, whose=made.name)


async def _set_role(seat: Seat) -> Reply:
    desk = await seat.editing(_all)
    role = seat.text("role")
    if role != Role.OWNER.value:
        await _keep_an_owner(desk, seat)
    await staff.set_role(desk, seat.workspace_id, _id(seat), role)
    return go_to(f"{PREFIX}{_HERE}?done=saved")


async def _switch(seat: Seat) -> Reply:
    desk = await seat.editing(_all)
    enabled = bool(seat.text("enabled"))
    if not enabled:
        await _keep_an_owner(desk, seat)
    await staff.set_disabled(desk, seat.workspace_id, _id(seat), disabled=not enabled)
    return go_to(f"{PREFIX}{_HERE}?done=saved")


async def _keep_an_owner(desk: Desk, seat: Seat) -> None:
    """Raises Conflict, NotFound. Of two owners who do this to each other at once, the second's page is stale."""
    if (await staff.get(desk, seat.workspace_id, _id(seat))).role is Role.OWNER:
        await staff.require_other_owner(desk, seat.workspace_id, _id(seat))


async def _end(seat: Seat) -> Reply:
    member = await staff.get(seat.desk, seat.workspace_id, _id(seat))
    await staff_sessions.end_all(seat.desk, member)
    return go_to(f"{PREFIX}{_HERE}?done=ended")


async def _link(seat: Seat) -> Reply:
    member = await staff.get(seat.desk, seat.workspace_id, _id(seat))
    link = await staff.make_link(seat.desk, seat.workspace_id, member.id)
    return await _page(seat, _BLANK, link=link, whose=member.name)


async def _forget(seat: Seat) -> Reply:
    await staff.forget_identity(seat.desk, seat.workspace_id, _id(seat))
    return go_to(f"{PREFIX}{_HERE}?done=saved")


async def _again(seat: Seat, problems: Problems, status: int) -> Reply:
    return await _page(seat, _BLANK, problems, status)


async def _again_as_typed(seat: Seat, problems: Problems, status: int) -> Reply:
    return await _page(seat, seat.form, problems, status)


async def _all(seat: Seat, desk: Desk) -> object:
    """Who may do what. When they signed in last changes by itself."""
    return _roles(await staff.list_all(desk, seat.workspace_id))


def _roles(found: Sequence[Staff]) -> object:
    return [(each.id, each.role, each.disabled_at) for each in found]


def _id(seat: Seat) -> str:
    return seat.request.params["staff_id"]
