"""Wraps every page and form: who is signed in, what their role covers, whose form it is; it must not hold a page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from vestibule.administration import staff_sessions
from vestibule.administration.desk import Desk, desk_of
from vestibule.edge.editing import desk_for_editing, tag_of
from vestibule.edge.form import read_form
from vestibule.edge.http import Header, Reply, Request
from vestibule.edge.surface import Route
from vestibule.errors import ForeignPage, InvalidField, NotFound, NotSignedIn, RoleRequired, WorkspaceDisabled
from vestibule.ids import is_id
from vestibule.model.audit import Actor
from vestibule.model.staff import Role, Staff
from vestibule.runtime import Runtime
from vestibule.settings import Settings
from vestibule.surfaces.dashboard.rendering import page

PREFIX = "/dashboard"
# A reply of 32,768 characters, each of which may take nine in a form.
_LARGEST_FORM = 300_000
# What a page says after it was led to. The address chooses among these, and says nothing itself.
_DONE = {
    "replied": "Sent.",
    "taken": "This chat is yours now; the AI leaves it to you.",
    "resolved": "Resolved.",
    "merged": "Merged. You can undo it on this page.",
    "unmerged": "Undone: both stand for themselves again. Who is verified signs in anew.",
    "erased": "Erased. The audit keeps the receipt.",
    "enforcement": "Set. Every worker goes by it within five seconds.",
    "token-ended": "Ended. Every worker refuses it within five seconds.",
    "signed-out": "Signed out on all devices, within five seconds.",
    # Set-up and staff
    "saved": "Saved.",
    "added": "Added.",
    "removed": "Removed.",
    "revoked": "Revoked: every worker refuses it within five seconds.",
    "rotated": "Rotated. Change your pages to the new token now.",
    "moved": "Moved.",
    "ended": "Sessions ended.",
    "password": "Password changed. Every other session has ended.",
}
# Counted by number, everything else by id.
_NUMBERS = frozenset({"provider_id"})


@dataclass(frozen=True, slots=True)
class Seat:
    """Who is at the dashboard, and what they sent. `desk` acts in their name."""

    request: Request
    runtime: Runtime
    desk: Desk
    member: Staff
    session: str
    form: dict[str, str]

    @property
    def workspace_id(self) -> str:
        return self.member.workspace_id

    def may(self, role: Role) -> bool:
        return self.member.role.covers(role)

    def text(self, name: str) -> str:
        """Of the form, or an empty text. Raises InvalidField."""
        found = self.form.get(name, "")
        if "\0" in found:
            raise InvalidField(name, "must not contain a NUL character")
        return found

    async def version(self, view: View) -> str:
        """What a form carries, so that only what was seen is changed."""
        return version_of(await view(self, self.desk))

    async def editing(self, view: View) -> Desk:
        """The desk at which to change what the form's page has shown. Raises StaleEdit."""
        tag = f'"{self.text("version")}"'.encode("ascii", "replace")
        return await desk_for_editing(self.desk, self.workspace_id, partial(view, self), {tag})

    def show(self, template: str, status: int = 200, /, **values: Any) -> Reply:
        """A page with the navigation around it."""
        done = _DONE.get(self.request.query("done") or "", "")
        rights = {"may_answer": self.may(Role.RESPONDER), "may_change": self.may(Role.ADMIN)}
        here = self.request.path.removeprefix(PREFIX).strip("/").partition("/")[0]
        rights["may_own"] = self.may(Role.OWNER)
        return page(template, {"member": self.member, "done": done, "here": here, **rights, **values}, status)


def version_of(shown: object) -> str:
    """Of what a view has returned already."""
    return tag_of(shown).decode().strip('"')


Handler = Callable[[Seat], Awaitable[Reply]]
# What a form changes, as it is found at a desk.
View = Callable[[Seat, Desk], Awaitable[object]]


def view(runtime: Runtime, path: str, handler: Handler, role: Role = Role.VIEWER, *, active: bool = True) -> Route:
    """A page. `active` False: a browser asks for it by itself, which does not keep a session from ending."""

    async def handle(request: Request) -> Reply:
        return await handler(await _seat(runtime, request, role, {}, active=active))

    return Route("GET", PREFIX + path, handle)


def action(runtime: Runtime, path: str, handler: Handler, role: Role) -> Route:
    """A form. Who may not send it is told so before its body is read, and whoever may not any more once it is here."""
    check_again = partial(_seat, runtime, role=role, form={})

    async def handle(request: Request) -> Reply:
        require_own_page(runtime.settings, request)
        seat = await _seat(runtime, request, role, {})
        request.again = check_again
        form = await form_of(runtime, request)
        return await handler(Seat(seat.request, runtime, seat.desk, seat.member, seat.session, form))

    return Route("POST", PREFIX + path, handle)


async def form_of(runtime: Runtime, request: Request) -> dict[str, str]:
    return await read_form(request, most=_LARGEST_FORM, within=runtime.settings.body_timeout / 1000)


async def _seat(runtime: Runtime, request: Request, role: Role, form: dict[str, str], *, active: bool = True) -> Seat:
    for name, value in request.params.items():
        if name not in _NUMBERS and not is_id(value):
            raise NotFound(step=name)
    session = session_of(runtime.settings, request)
    member = await staff_sessions.find(desk_of(runtime), session, active=active)
    request.facts |= {"staff": member.id, "workspace": member.workspace_id}
    await require_open(runtime, member)
    if not member.role.covers(role):
        raise RoleRequired(role.value)
    return Seat(request, runtime, desk_for(runtime, request, member), member, session, form)


async def require_open(runtime: Runtime, member: Staff) -> None:
    """A workspace that an operator has disabled is closed to its own staff as well. Raises WorkspaceDisabled."""
    workspace = await runtime.tenancy.by_id(member.workspace_id)
    if workspace is None or workspace.disabled_at is not None:
        raise WorkspaceDisabled(step="workspace")


def desk_for(runtime: Runtime, request: Request, member: Staff | None) -> Desk:
    """A desk at which what is done is the member's doing, or (nobody) the dashboard's."""
    request_id = request.scope.get("vestibule.request_id", "")
    return desk_of(runtime, Actor("staff", member.id if member is not None else "", request_id))


def require_own_page(settings: Settings, request: Request) -> None:
    """Cookies come along whoever's page sends a form; browsers say whose it is (Fetch Metadata section 2.3, RFC 6454
    section 7). Who says neither is no browser that we know. Raises ForeignPage."""
    sites, origins = request.headers(b"sec-fetch-site"), request.headers(b"origin")
    if not sites and not origins:
        raise ForeignPage(detail="neither Sec-Fetch-Site nor Origin", step="origin")
    parts = urlsplit(settings.public_url)
    own = {f"{parts.scheme}://{parts.netloc}".encode()}
    if sites:
        # No page can have its browser say "same-origin" of another's. So it holds at whatever address the dashboard is
        # open, such as a port that public_url does not know of; a cookie is of one host, and comes to no other.
        own |= {scheme + host for host in request.headers(b"host") for scheme in (b"http://", b"https://")}
    if any(site != b"same-origin" for site in sites) or any(origin not in own for origin in origins):
        raise ForeignPage(step="origin")


def session_of(settings: Settings, request: Request) -> str:
    """What the cookie holds. Raises NotSignedIn where there is none, or two: a neighbour's page may have set one."""
    name = cookie_name(settings)
    pairs = [pair.strip().partition(b"=") for value in request.headers(b"cookie") for pair in value.split(b";")]
    found = [value for key, _, value in pairs if key == name]
    if len(found) != 1 or not found[0].isascii():
        raise NotSignedIn(step="cookie")
    return found[0].decode("ascii")


def cookie_name(settings: Settings) -> bytes:
    # RFC 6265bis section 4.1.3.2: a browser takes such a name from this very host only, over TLS only.
    return b"__Host-vestibule_staff" if _is_secure(settings) else b"vestibule_staff"


def cookie(settings: Settings, text: str) -> Header:
    """Empty: the browser forgets it."""
    seconds = staff_sessions.LONGEST_MS // 1000 if text else 0
    value = b"%s=%s; Path=/; Max-Age=%d; HttpOnly; SameSite=Lax" % (cookie_name(settings), text.encode(), seconds)
    return (b"set-cookie", value + (b"; Secure" if _is_secure(settings) else b""))


def _is_secure(settings: Settings) -> bool:
    return settings.public_url.startswith("https://")
