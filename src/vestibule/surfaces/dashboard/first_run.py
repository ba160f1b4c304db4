"""`/dashboard/first-run`: where the first member of staff comes in, and the workspace if there is none; it must not be
there for anybody after."""

from __future__ import annotations

from collections.abc import Sequence

from vestibule.administration import first_run, passwords, workspaces
from vestibule.administration.desk import Desk
from vestibule.administration.first_run import Wanted
from vestibule.administration.passwords import Passwords
from vestibule.edge.http import Reply, Request
from vestibule.edge.problem import status_of
from vestibule.edge.surface import Route
from vestibule.errors import Conflict, InvalidField
from vestibule.ids import is_id
from vestibule.runtime import Runtime
from vestibule.surfaces.dashboard import door
from vestibule.surfaces.dashboard.rendering import page
from vestibule.surfaces.dashboard.seat import PREFIX, desk_for, form_of, require_own_page

_ATTEMPTS = 30


def routes(runtime: Runtime) -> Sequence[Route]:
    kept = Passwords()

    async def greet(request: Request) -> Reply:
        desk, link = desk_for(runtime, request, None), request.query("link") or ""
        await runtime.rate_limiter.take("", f"staff-link:{door.bucket(runtime, request)}", _ATTEMPTS)
        await first_run.check(desk, link)
        return await _page(desk, {"link": link}, {})

    async def follow(request: Request) -> Reply:
        return await _follow(runtime, kept, request)

    path = f"{PREFIX}/first-run"
    return [Route("GET", path, greet), Route("POST", path, follow)]


async def _follow(runtime: Runtime, kept: Passwords, request: Request) -> Reply:
    require_own_page(runtime.settings, request)
    await runtime.rate_limiter.take("", f"staff-link:{door.bucket(runtime, request)}", _ATTEMPTS)
    form = await form_of(runtime, request)
    desk = desk_for(runtime, request, None)
    await first_run.check(desk, form.get("link", ""))
    try:
        _require_clean(form)
        wanted = Wanted(
            email=form.get("email", ""),
            name=form.get("name", ""),
            password=None if runtime.settings.staff_oidc_only else form.get("password", ""),
            workspace_id=form.get("workspace", ""),
            workspace_name=form.get("workspace_name", ""),
        )
        member = await first_run.follow(desk, kept, form.get("link", ""), wanted)
    except (InvalidField, Conflict) as error:
        request.facts["code"] = error.code
        name, sentence = (
            (error.field, error.message.partition(": ")[2]) if isinstance(error, InvalidField) else ("", "")
        )
        return await _page(desk, form, {name: sentence or error.message}, status_of(error).value)
    if runtime.settings.staff_oidc_only:
        return page("first_run_done.html", {"member": member})
    return await door.let_in(runtime, request, member)


def _require_clean(form: dict[str, str]) -> None:
    """Raises InvalidField."""
    for name, value in form.items():
        if "\0" in value:
            raise InvalidField(name, "must not contain a NUL character")
    if form.get("workspace") and not is_id(form["workspace"]):
        raise InvalidField("workspace", "is none of those that are here")
    if form.get("password", "") != form.get("again", ""):
        raise InvalidField("again", "the two are not the same")


async def _page(desk: Desk, form: dict[str, str], problems: dict[str, str], status: int = 200) -> Reply:
    values = {
        "form": form,
        "problems": problems,
        "workspaces": await workspaces.list_all(desk),
        "with_password": not desk.settings.staff_oidc_only,
        "shortest": passwords.SHORTEST,
    }
    return page("first_run.html", values, status)
