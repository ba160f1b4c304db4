"""`/dashboard/set-up/widget`: what pages embed, which pages may, and whether visitors without proof come in; it must
not know how the widget works."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from vestibule.administration import auth_endpoints, method_state, responders, workspaces
from vestibule.administration.desk import Desk
from vestibule.edge.http import Reply
from vestibule.edge.surface import Route
from vestibule.errors import InvalidDeclaration
from vestibule.model.claims import Method
from vestibule.model.staff import Role
from vestibule.runtime import Runtime
from vestibule.surfaces.dashboard.rendering import go_to
from vestibule.surfaces.dashboard.seat import PREFIX, Seat, action, view
from vestibule.surfaces.dashboard.set_up import auth_endpoint
from vestibule.surfaces.dashboard.set_up.fields import Field, typed, untyped
from vestibule.surfaces.dashboard.set_up.saving import Problems, refuse, saving

_HERE = "/set-up/widget"
_FIELDS = (
    Field(
        "allowed_origins",
        "Pages that may call",
        "lines",
        help="One a line, as a browser writes them: https://shop.example.com or https://*.example.com. Empty: any.",
    ),
    Field("poll_seconds", "Asks for messages every so many seconds", "decimal"),
    Field("list_seconds", "Asks for the list of chats every so many seconds", "decimal"),
)
_ACCESS = (
    Field(
        "required_login",
        "Visitors must be signed in",
        "check",
        help="Nobody comes in without proof, by whatever method.",
    ),
    Field("restrict_domains", "Only pages of these domains may open the chat", "check"),
    Field("domains", "Domains", "lines", help="One a line: example.com or *.example.com."),
    Field("domains_url", "Or an address that tells them", "url"),
    Field("native_apps", "Apps, which have no page, may as well", "check"),
)


def routes(runtime: Runtime) -> Sequence[Route]:
    saved = saving(_FIELDS, _again, back=_HERE)
    access_saved = saving(_ACCESS, _access_again, back=_HERE)
    return [
        view(runtime, _HERE, _show, Role.ADMIN),
        action(runtime, _HERE, saved(_change), Role.ADMIN),
        action(runtime, f"{_HERE}/access", access_saved(_change_access), Role.ADMIN),
        action(runtime, f"{_HERE}/rotate", access_saved(_rotate), Role.ADMIN),
    ]


async def _show(seat: Seat) -> Reply:
    return await _page(seat)


async def _page(
    seat: Seat,
    status: int = 200,
    *,
    pages: Mapping[str, Mapping[str, str]] | None = None,
    access: Mapping[str, Mapping[str, str]] | None = None,
    secret: str = "",
) -> Reply:
    desk, workspace_id = seat.desk, seat.workspace_id
    settings = await responders.read_widget(desk, workspace_id)
    entry = await auth_endpoints.read(desk, workspace_id)
    return seat.show(
        "set_up/widget.html",
        status,
        fields=_FIELDS,
        access_fields=_ACCESS,
        form=pages or {"values": typed(settings, _FIELDS), "problems": {}},
        access=access or {"values": auth_endpoint.shown_as(entry, _ACCESS), "problems": {}},
        versions=(
            await seat.version(_settings),
            await seat.version(auth_endpoint.view_of),
            await seat.version(_token),
        ),
        state=(await method_state.read(desk, workspace_id))[Method.UNVERIFIED],
        workspace=await workspaces.get(desk, workspace_id),
        public_url=desk.settings.public_url,
        secret=secret,
    )


async def _change(seat: Seat) -> Reply:
    desk = await seat.editing(_settings)
    given, problems = untyped(seat.form, _FIELDS)
    refuse(problems)
    given["allowed_origins"] = tuple(given["allowed_origins"])
    known = await responders.read_widget(desk, seat.workspace_id)
    wrong = responders.widget_problems(msgspec.structs.replace(known, **given))
    if wrong:  # all of it at once
        raise InvalidDeclaration([problem.message for problem in wrong])
    await responders.change_widget(desk, seat.workspace_id, **given)
    return go_to(f"{PREFIX}{_HERE}?done=saved")


async def _again(seat: Seat, problems: Problems, status: int) -> Reply:
    return await _page(seat, status, pages={"values": seat.form, "problems": problems})


async def _change_access(seat: Seat) -> Reply:
    desk = await seat.editing(auth_endpoint.view_of)
    given, problems = untyped(seat.form, _ACCESS)
    refuse(problems)
    known = auth_endpoint.shown_as(await auth_endpoints.read(desk, seat.workspace_id), _ACCESS)
    if given["domains_url"] == known["domains_url"]:
        del given["domains_url"]  # its query is not shown, and stays
    changed = await auth_endpoints.change(desk, seat.workspace_id, given)
    if changed.secret is not None:
        return await _page(seat, secret=changed.secret)
    return go_to(f"{PREFIX}{_HERE}?done=saved")


async def _access_again(seat: Seat, problems: Problems, status: int) -> Reply:
    return await _page(seat, status, access={"values": seat.form, "problems": problems})


async def _rotate(seat: Seat) -> Reply:
    await workspaces.rotate_widget_token(await seat.editing(_token), seat.workspace_id)
    return go_to(f"{PREFIX}{_HERE}?done=rotated")


async def _settings(seat: Seat, desk: Desk) -> object:
    return await responders.read_widget(desk, seat.workspace_id)


async def _token(seat: Seat, desk: Desk) -> object:
    return (await workspaces.get(desk, seat.workspace_id)).widget_token
