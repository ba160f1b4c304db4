"""`/dashboard/sign-in`, `welcome`, `sign-out`: lets staff in and out; it must not tell who is staff."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from vestibule.administration import passwords, staff, staff_sessions
from vestibule.administration.passwords import Passwords
from vestibule.edge.client_address import address_bucket, client_address
from vestibule.edge.http import Header, Reply, Request
from vestibule.edge.surface import Route
from vestibule.errors import InvalidField, PasswordsOff, RateLimited, WrongPassword
from vestibule.model.staff import Role, Staff
from vestibule.runtime import Runtime
from vestibule.settings import Settings
from vestibule.storage import staff as rows
from vestibule.surfaces.dashboard.rendering import go_to, page
from vestibule.surfaces.dashboard.seat import (
    PREFIX,
    Seat,
    action,
    cookie,
    desk_for,
    form_of,
    require_open,
    require_own_page,
)

# A minute, of one account from one address: whoever else signs in to it, or from there to another, is not slowed down.
_ATTEMPTS = 10
# So many times the wrong keys that an address may send, of all accounts; right ones count, and many may sit behind it.
_OF_AN_ADDRESS = 3


def routes(runtime: Runtime) -> Sequence[Route]:
    kept = Passwords()

    async def ask(_request: Request) -> Reply:
        return sign_in_page(runtime.settings, nobody=not await rows.is_anybody(runtime.store))

    async def sign_in(request: Request) -> Reply:
        return await _sign_in(runtime, kept, request)

    async def greet(request: Request) -> Reply:
        _require_passwords(runtime.settings)
        link = request.query("link") or ""
        return _greeting(link, await staff.of_link(desk_for(runtime, request, None), link))

    async def follow(request: Request) -> Reply:
        return await _follow(runtime, kept, request)

    return [
        Route("GET", f"{PREFIX}/sign-in", ask),
        Route("POST", f"{PREFIX}/sign-in", sign_in),
        Route("GET", f"{PREFIX}/welcome", greet),
        Route("POST", f"{PREFIX}/welcome", follow),
        action(runtime, "/sign-out", _sign_out, Role.VIEWER),
    ]


async def _sign_in(runtime: Runtime, kept: Passwords, request: Request) -> Reply:
    require_own_page(runtime.settings, request)
    _require_passwords(runtime.settings)
    form = await form_of(runtime, request)
    email, address = form.get("email", ""), bucket(runtime, request)
    account = hashlib.sha256(email.strip().casefold().encode()).hexdigest()[:16]
    try:
        # Before the password is looked at: what was tried too late must let nobody in, and comparing costs much.
        most = _OF_AN_ADDRESS * runtime.settings.rate_limit_bad_keys
        await runtime.rate_limiter.take("", f"staff-address:{address}", most)
        await runtime.rate_limiter.take("", f"staff:{account}:{address}", _ATTEMPTS)
        desk = desk_for(runtime, request, None)
        member, password_hash = await staff_sessions.check(desk, kept, email, form.get("password", ""))
        return await let_in(runtime, request, member, password_hash=password_hash)
    except RateLimited as error:
        wait = f"Too many attempts. Try again in {error.retry_after} seconds."
        return sign_in_page(runtime.settings, wait, 429, (b"retry-after", str(error.retry_after).encode()), email=email)
    except WrongPassword as error:
        request.facts["code"] = error.code
        return sign_in_page(runtime.settings, error.message, 401, email=email)


async def _follow(runtime: Runtime, kept: Passwords, request: Request) -> Reply:
    require_own_page(runtime.settings, request)
    _require_passwords(runtime.settings)
    form = await form_of(runtime, request)
    link, desk = form.get("link", ""), desk_for(runtime, request, None)
    await runtime.rate_limiter.take("", f"staff-link:{bucket(runtime, request)}", 3 * _ATTEMPTS)
    member = await staff.of_link(desk, link)
    if form.get("password") != form.get("again"):
        return _greeting(link, member, "The two are not the same.")
    try:
        await staff.follow_link(desk_for(runtime, request, member), kept, link, form.get("password", ""))
    except InvalidField as error:
        return _greeting(link, member, f"{error.message}.")
    return await let_in(runtime, request, member)


async def let_in(runtime: Runtime, request: Request, member: Staff, *, by: str = "", password_hash: str = "") -> Reply:
    """`by` and `password_hash` as `staff_sessions.begin` takes them. Raises WorkspaceDisabled, WrongPassword,
    SignInRefused."""
    request.facts |= {"staff": member.id, "workspace": member.workspace_id}
    await require_open(runtime, member)
    # A session of its own for each sign-in: what the browser held before is worth nothing (ASVS 7.2.4).
    desk = desk_for(runtime, request, member)
    session = await staff_sessions.begin(desk, member, by=by, password_hash=password_hash)
    return go_to(PREFIX, cookie(runtime.settings, session.text))


async def _sign_out(seat: Seat) -> Reply:
    await staff_sessions.end(seat.desk, seat.session, seat.member)
    forget = (b"clear-site-data", b'"cache"')
    return go_to(f"{PREFIX}/sign-in", cookie(seat.desk.settings, ""), forget)


def _greeting(link: str, member: Staff, problem: str = "") -> Reply:
    values = {"link": link, "member": member, "problem": problem, "shortest": passwords.SHORTEST}
    return page("welcome.html", values, 400 if problem else 200)


def sign_in_page(
    settings: Settings, problem: str = "", status: int = 200, *headers: Header, email: str = "", nobody: bool = False
) -> Reply:
    values = {
        "problem": problem,
        "email": email[:254],
        "nobody": nobody,
        "elsewhere": settings.staff_oidc_name if settings.staff_oidc_issuer else "",
        "with_password": not settings.staff_oidc_only,
    }
    return page("sign_in.html", values, status, *headers)


def _require_passwords(settings: Settings) -> None:
    if settings.staff_oidc_only:
        raise PasswordsOff(step="password")


def bucket(runtime: Runtime, request: Request) -> str:
    return address_bucket(client_address(request, runtime.settings.trusted_proxies))
