"""`/dashboard/account`: what members of staff do about their own sign-in; it must not touch another's."""

from __future__ import annotations

from collections.abc import Sequence

from vestibule.administration import passwords, staff, staff_sessions
from vestibule.administration.passwords import Passwords
from vestibule.edge.http import Reply
from vestibule.edge.surface import Route
from vestibule.errors import InvalidField, PasswordsOff, WrongPassword
from vestibule.model.staff import Role
from vestibule.runtime import Runtime
from vestibule.surfaces.dashboard.rendering import go_to
from vestibule.surfaces.dashboard.seat import PREFIX, Seat, action, cookie, view
from vestibule.surfaces.dashboard.set_up.fields import Field
from vestibule.surfaces.dashboard.set_up.saving import Problems, saving

_HERE = "/account"
_ATTEMPTS = 10
_FIELDS = tuple(Field(name, name) for name in ("current", "password", "again"))


def routes(runtime: Runtime) -> Sequence[Route]:
    kept = Passwords()

    async def change(seat: Seat) -> Reply:
        return await _change(seat, kept)

    saved = saving(_FIELDS, _page, back=_HERE)
    return [
        view(runtime, _HERE, _show),
        action(runtime, f"{_HERE}/password", saved(change), Role.VIEWER),
        action(runtime, f"{_HERE}/end", _end, Role.VIEWER),
    ]


async def _show(seat: Seat) -> Reply:
    return await _page(seat, {}, 200)


async def _page(seat: Seat, problems: Problems, status: int) -> Reply:
    member, desk = seat.member, seat.desk
    return seat.show(
        "account.html",
        status,
        problems=problems,
        sessions=(await staff_sessions.counts(desk, seat.workspace_id)).get(member.id, 0),
        issuer=(await staff.identities(desk, seat.workspace_id)).get(member.id, ""),
        shortest=passwords.SHORTEST,
        with_password=not desk.settings.staff_oidc_only,
    )


async def _change(seat: Seat, kept: Passwords) -> Reply:
    if seat.desk.settings.staff_oidc_only:
        raise PasswordsOff(step="password")
    # Whoever sits down at an open browser guesses no faster than at the door.
    await seat.runtime.rate_limiter.take("", f"staff-password:{seat.member.id}", _ATTEMPTS)
    if seat.text("password") != seat.text("again"):
        raise InvalidField("again", "the two are not the same")
    try:
        member, _ = await staff_sessions.check(seat.desk, kept, seat.member.email, seat.text("current"))
    except WrongPassword:
        raise InvalidField("current", "is not right") from None
    password_hash = await staff.change_password(seat.desk, kept, member, seat.text("password"))
    session = await staff_sessions.begin(seat.desk, member, password_hash=password_hash)
    return go_to(f"{PREFIX}{_HERE}?done=password", cookie(seat.desk.settings, session.text))


async def _end(seat: Seat) -> Reply:
    await staff_sessions.end_all(seat.desk, seat.member, but=seat.session)
    return go_to(f"{PREFIX}{_HERE}?done=ended")
