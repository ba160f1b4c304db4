"""`/v1/admin/workspaces/{id}/enforcement`: at which step visitors without proof are, and whom enforcing would refuse;
it must not count."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vestibule.administration import enforcement
from vestibule.administration.desk import Desk
from vestibule.edge.http import Reply
from vestibule.edge.operation import Operation
from vestibule.edge.parameters import moment
from vestibule.edge.surface import Route
from vestibule.errors import CannotUnseal, InvalidField
from vestibule.model.auth_endpoint import Enforcement
from vestibule.runtime import Runtime
from vestibule.surfaces.admin_api import documenting as doc
from vestibule.surfaces.admin_api import shapes
from vestibule.surfaces.admin_api.seat import WORKSPACE, Seat, answer, endpoint, showing
from vestibule.times import rfc3339

_HERE = f"{WORKSPACE}/enforcement"


class EnforcementStep(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`observe`: visitors without proof are let in, and counted. `warn`: each answer to them has a `Vestibule-Warning`
    as well. `enforce`: they are refused, also with tokens of earlier."""

    step: Enforcement


class RefusedRequests(msgspec.Struct, frozen=True):
    """Requests of one kind without proof. `reason` is `arrive` (a token was asked for), `read` or `write` (with one of
    earlier) or `fallback` (a guest, as the auth endpoint could not tell); `step` is that of then."""

    surface: str
    origin: str
    reason: str
    step: str
    count: int
    last_hour: shapes.Time


class EnforcementPreview(msgspec.Struct, frozen=True):
    """What enforcing would have refused between `since` and `until`, or has."""

    since: shapes.Time
    until: shapes.Time
    step: Enforcement
    total: int
    by_surface: dict[str, int]
    by_origin: dict[str, int]
    by_reason: dict[str, int]
    items: list[RefusedRequests]


_STEP = msgspec.json.Decoder(EnforcementStep)


def routes(runtime: Runtime) -> Sequence[Route]:
    return [
        endpoint(runtime, "GET", _HERE, showing(_view), _READ),
        endpoint(runtime, "PATCH", _HERE, _change, _CHANGE),
        endpoint(runtime, "GET", f"{_HERE}/preview", _preview, _PREVIEW),
    ]


async def _change(seat: Seat) -> Reply:
    wanted = seat.read(_STEP)
    desk = await seat.editing(_view)
    await enforcement.change(desk, seat.workspace_id, wanted.step)
    return await seat.shown(_view)


async def _preview(seat: Seat) -> Reply:
    await seat.desk.audit.flush()
    since, until = moment(seat.request, "since"), moment(seat.request, "until")
    found = await enforcement.preview(seat.desk, seat.workspace_id, since=since, until=until)
    items = [shapes.shown(RefusedRequests, each, last_hour=rfc3339(each.last_hour)) for each in found.items]
    times = {"since": rfc3339(found.since), "until": rfc3339(found.until)}
    return answer(200, shapes.shown(EnforcementPreview, found, items=items, **times))


async def _view(seat: Seat, desk: Desk) -> EnforcementStep:
    return EnforcementStep(await enforcement.read(desk, seat.workspace_id))


_READ = Operation(
    name="getEnforcement",
    summary="Show whether visitors without proof are let in",
    answers=doc.one(EnforcementStep, "The step."),
    errors=(CannotUnseal,),
)
_CHANGE = Operation(
    name="changeEnforcement",
    summary="Let visitors without proof in, announce that it ends, or refuse them",
    about="Every worker goes by it within 5 seconds. `enforce` is the auth endpoint's `required_login`.",
    request=EnforcementStep,
    answers=doc.one(EnforcementStep, "The step as it is now."),
    errors=(CannotUnseal,),
)
_PREVIEW = Operation(
    name="previewEnforcement",
    summary="Count the requests that enforcing would refuse, by surface, origin and reason",
    parameters=(doc.SINCE, doc.UNTIL),
    answers=doc.answer(EnforcementPreview, "Of the last day, if no time is given."),
    errors=(InvalidField, CannotUnseal),
)
