"""`/dashboard/set-up/responder`: who answers visitors first, and the actions it may call; it must not show a secret,
but for a new one at the only moment at which it is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from vestibule.administration import actions, responders
from vestibule.administration.desk import Desk
from vestibule.edge.http import Reply
from vestibule.edge.surface import Route
from vestibule.errors import InvalidDeclaration
from vestibule.model.action import Action
from vestibule.model.responder import ResponderKind, ResponderSettings
from vestibule.model.staff import Role
from vestibule.runtime import Runtime
from vestibule.surfaces.dashboard.rendering import go_to
from vestibule.surfaces.dashboard.seat import PREFIX, Seat, action, version_of, view
from vestibule.surfaces.dashboard.set_up.fields import Field, kept, typed, untyped
from vestibule.surfaces.dashboard.set_up.saving import Problems, refuse, saving

_HERE = "/set-up/responder"
_FIELDS = (
    Field("kind", "Who answers first", "choice", choices=tuple(ResponderKind), help="none: people."),
    Field("url", "URL", "url", help="Of your bot, or of the chat completions."),
    Field("model", "Model", help="For openai."),
    Field("api_key", "API key of the model", "secret"),
    Field("instructions", "Instructions", "area"),
    Field("timeout_ms", "Waits for an answer, in milliseconds", "number"),
    Field("notice", "What visitors read when it failed", help="Empty: in English."),
    Field("handoff_notice", "What they read when it hands over", help="Empty: in English."),
)


def routes(runtime: Runtime) -> Sequence[Route]:
    saved = saving(_FIELDS, _again, back=_HERE)
    return [
        view(runtime, _HERE, _show, Role.ADMIN),
        action(runtime, _HERE, saving(_FIELDS, _again_as_typed, back=_HERE)(_change), Role.ADMIN),
        action(runtime, f"{_HERE}/rotate", saved(_rotate), Role.ADMIN),
        action(runtime, f"{_HERE}/forget", saved(_forget), Role.ADMIN),
        action(runtime, f"{_HERE}/action", saved(_change_action), Role.ADMIN),
    ]


async def _show(seat: Seat) -> Reply:
    return await _page(seat, await _known(seat))


async def _page(
    seat: Seat, values: Mapping[str, str], problems: Problems | None = None, status: int = 200, *, secret: str = ""
) -> Reply:
    desk, workspace_id = seat.desk, seat.workspace_id
    typed_on = seat.form.get("version") if problems else None
    return seat.show(
        "set_up/responder.html",
        status,
        settings=await responders.read(desk, workspace_id),
        fields=_FIELDS,
        form={"values": values, "problems": problems or {}},
        version=typed_on or await seat.version(_view),
        actions=[(each, version_of(_shown(each))) for each in await actions.list_all(desk, workspace_id)],
        workspace_id=workspace_id,
        secret=secret,
    )


async def _change(seat: Seat) -> Reply:
    desk = await seat.editing(_view)
    known = await responders.read(desk, seat.workspace_id)
    given, problems = untyped(seat.form, _FIELDS)
    if given.get("timeout_ms", 0) is None:
        problems["timeout_ms"] = "is required"
    refuse(problems)
    if given["url"] == _values(known)["url"]:
        del given["url"]  # its query is not shown, and stays
    settings, secret = await responders.change(desk, seat.workspace_id, _wanted(given))
    if secret is None:
        return go_to(f"{PREFIX}{_HERE}?done=saved")
    return await _page(seat, _values(settings), secret=secret)


def _wanted(given: dict[str, Any]) -> responders.Change:
    try:
        return msgspec.convert(given, responders.Change)
    except msgspec.ValidationError as error:
        raise InvalidDeclaration([str(error)]) from None


async def _rotate(seat: Seat) -> Reply:
    desk = await seat.editing(_view)
    settings, secret = await responders.change(desk, seat.workspace_id, responders.Change(new_secret=True))
    return await _page(seat, _values(settings), secret=secret or "")


async def _forget(seat: Seat) -> Reply:
    desk = await seat.editing(_view)
    await responders.change(desk, seat.workspace_id, responders.Change(one_secret=True))
    return go_to(f"{PREFIX}{_HERE}?done=saved")


async def _change_action(seat: Seat) -> Reply:
    name, wanted = seat.text("name"), seat.text("do")
    if wanted not in {"enable", "disable", "remove"}:
        raise InvalidDeclaration(["An action is enabled, disabled or removed."])
    desk = await seat.editing(_action_view)
    if wanted == "remove":
        await actions.remove(desk, seat.workspace_id, name)
        return go_to(f"{PREFIX}{_HERE}?done=removed")
    await actions.enable(desk, seat.workspace_id, name, enabled=wanted == "enable")
    return go_to(f"{PREFIX}{_HERE}?done=saved")


async def _again(seat: Seat, problems: Problems, status: int) -> Reply:
    return await _page(seat, await _known(seat), problems, status)


async def _again_as_typed(seat: Seat, problems: Problems, status: int) -> Reply:
    return await _page(seat, kept(await _known(seat)) | seat.form, problems, status)


async def _known(seat: Seat) -> dict[str, str]:
    return _values(await responders.read(seat.desk, seat.workspace_id))


def _values(settings: ResponderSettings) -> dict[str, str]:
    """As the form shows them: the address without its query, which may hold a secret."""
    return typed(settings, _FIELDS) | {"url": responders.shown(settings).address}


async def _view(seat: Seat, desk: Desk) -> object:
    return responders.shown(await responders.read(desk, seat.workspace_id))


async def _action_view(seat: Seat, desk: Desk) -> object:
    return _shown(await actions.get(desk, seat.workspace_id, seat.text("name")))


def _shown(found: Action) -> object:
    return found.name, found.enabled
