"""`/dashboard/set-up/server`: API keys, and how a backend calls with one; a key is shown once, to who made it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vestibule.administration import api_keys, method_state
from vestibule.administration.desk import Desk
from vestibule.clock import DAY_MS, HOUR_MS
from vestibule.edge.http import Reply
from vestibule.edge.surface import Route
from vestibule.errors import InvalidDeclaration, InvalidField
from vestibule.model.claims import Method
from vestibule.model.staff import Role
from vestibule.model.workspace import ApiKey, Scope
from vestibule.runtime import Runtime
from vestibule.surfaces.dashboard.rendering import go_to
from vestibule.surfaces.dashboard.seat import PREFIX, Seat, action, version_of, view
from vestibule.surfaces.dashboard.set_up.fields import Field, untyped
from vestibule.surfaces.dashboard.set_up.saving import Problems, refuse, saving

_HERE = "/set-up/server"
_ONE = f"{_HERE}/{{key_id}}"
_FIELDS = (
    Field("name", "Name", help="What you call it: the backend that holds it."),
    Field("scope", "May", "checks", choices=tuple(Scope)),
    Field("lifetime_days", "Good for, in days", "number", help="Empty: until it is revoked."),
)
_OVERLAP = (Field("overlap_hours", "Old key stays good for, in hours", "number"),)
_LONGEST_DAYS, _LONGEST_HOURS = 3650, 24 * 90
_BLANK = {f"scope:{Scope.AUTHENTICATE}": "on"}


def routes(runtime: Runtime) -> Sequence[Route]:
    saved = saving(_FIELDS, _again, back=_HERE)
    return [
        view(runtime, _HERE, _show, Role.ADMIN),
        action(runtime, _HERE, saved(_create), Role.ADMIN),
        action(runtime, f"{_ONE}/rotate", saved(_rotate), Role.ADMIN),
        action(runtime, f"{_ONE}/revoke", saved(_revoke), Role.ADMIN),
    ]


async def _show(seat: Seat) -> Reply:
    return await _page(seat, _BLANK)


async def _page(
    seat: Seat,
    values: Mapping[str, str],
    problems: Problems | None = None,
    status: int = 200,
    *,
    secret: str = "",
) -> Reply:
    desk, workspace_id = seat.desk, seat.workspace_id
    reports = await api_keys.report(desk, workspace_id)
    return seat.show(
        "set_up/server.html",
        status,
        keys=[(report, version_of(_shown(report.key))) for report in reversed(reports)],
        state=(await method_state.read(desk, workspace_id))[Method.SERVER_TO_SERVER],
        fields=_FIELDS,
        form={"values": values, "problems": problems or {}},
        secret=secret,
        public_url=desk.settings.public_url,
    )


async def _create(seat: Seat) -> Reply:
    given, problems = untyped(seat.form, _FIELDS)
    refuse(problems)
    days = given["lifetime_days"]
    if days is not None and not 1 <= days <= _LONGEST_DAYS:
        raise InvalidField("lifetime_days", f"must be 1 to {_LONGEST_DAYS}")
    _, made = await api_keys.create(
        seat.desk,
        seat.workspace_id,
        scopes=tuple(given["scope"]),
        name=given["name"],
        lifetime_ms=days * DAY_MS if days is not None else None,
    )
    return await _page(seat, _BLANK, secret=made.text)


async def _rotate(seat: Seat) -> Reply:
    given, problems = untyped(seat.form, _OVERLAP)
    hours = given.get("overlap_hours") or 0
    if problems or hours > _LONGEST_HOURS:
        raise InvalidDeclaration([f"The overlap must be 0 to {_LONGEST_HOURS} hours."])
    desk = await seat.editing(_view)
    _, made = await api_keys.rotate(desk, seat.workspace_id, _id(seat), overlap_ms=hours * HOUR_MS)
    return await _page(seat, _BLANK, secret=made.text)


async def _revoke(seat: Seat) -> Reply:
    desk = await seat.editing(_view)
    await api_keys.revoke(desk, seat.workspace_id, _id(seat))
    return go_to(f"{PREFIX}{_HERE}?done=revoked")


async def _again(seat: Seat, problems: Problems, status: int) -> Reply:
    return await _page(seat, seat.form, problems, status)


async def _view(seat: Seat, desk: Desk) -> object:
    """Not when it was used last: that changes by itself."""
    return _shown(await api_keys.get(desk, seat.workspace_id, _id(seat)))


def _shown(key: ApiKey) -> object:
    return key.id, key.expires_at, key.revoked_at


def _id(seat: Seat) -> str:
    return seat.request.params["key_id"]
