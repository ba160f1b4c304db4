"""Lets the very first member of staff in, by a link that only a starting server makes; it must not do so where anybody
is staff already."""

from __future__ import annotations

from vestibule.administration import staff, workspaces
from vestibule.administration.desk import Desk
from vestibule.administration.passwords import Passwords
from vestibule.clock import HOUR_MS, now_ms
from vestibule.errors import AlreadyExists, InvalidField, InvalidLink
from vestibule.model.audit import INSTALLATION
from vestibule.model.staff import Role, Staff
from vestibule.model.unshown import Unshown
from vestibule.model.workspace import Workspace
from vestibule.settings import Settings
from vestibule.storage import staff as rows
from vestibule.storage.store import Store, UniqueViolation
from vestibule.tokens.api_key import KeyKind, fingerprint, generate, workspace_of

LINK = KeyKind("vst_first_", InvalidLink)
# For whoever has just started the server. Its output may be kept somewhere: what stands there later opens nothing.
LIFETIME_MS = HOUR_MS


class Wanted(Unshown, frozen=True):
    """What the first one says. `workspace_id` empty: a new one, of that name. `password` None: who signs in elsewhere
    has none here."""

    email: str
    name: str
    password: str | None
    workspace_id: str = ""
    workspace_name: str = ""


async def make_link(store: Store, settings: Settings) -> str | None:
    """The address, or None where somebody is staff. Links of other nodes stay good, until one was followed."""
    if await rows.is_anybody(store):
        return None
    secret = generate(INSTALLATION, LINK)
    await rows.insert_first_link(store, secret.secret_hash, now_ms() + LIFETIME_MS)
    return f"{settings.public_url.rstrip('/')}/dashboard/first-run?link={secret.text}"


async def check(desk: Desk, link: str) -> None:
    """Raises InvalidLink; it stays good."""
    if workspace_of(link, LINK) != INSTALLATION or not await rows.is_first_link(
        desk.store, fingerprint(link), now_ms()
    ):
        raise InvalidLink(step="link")


async def follow(desk: Desk, passwords: Passwords, link: str, wanted: Wanted) -> Staff:
    """Makes the owner, and the workspace if there is to be one, and uses every such link up: all of it, or nothing.
    Raises InvalidLink, InvalidField, NotFound, AlreadyExists."""
    await check(desk, link)
    home: Workspace | None = None
    if wanted.workspace_id:
        await workspaces.get(desk, wanted.workspace_id)
        if wanted.workspace_name.strip():  # whose owner they did not mean to become is not guessed
            raise InvalidField("workspace", "choose one of the two: this one, or a new one by its name")
    else:
        home = _workspace(wanted.workspace_name)
    member, key = staff.made(
        home.id if home is not None else wanted.workspace_id, wanted.email, wanted.name, Role.OWNER
    )
    kept = await passwords.hash(wanted.password) if wanted.password is not None else None
    try:
        done = await rows.use_first_link(
            desk.store, fingerprint(link), now_ms(), member=member, email_key=key, password_hash=kept, home=home
        )
    except UniqueViolation:
        raise AlreadyExists("Somebody was faster. Try again.") from None
    if not done:
        raise InvalidLink(step="link")
    if home is not None:
        await desk.record("workspace.create", home.id)
    await desk.record("staff.add", member.workspace_id, member.id, detail="owner, by the first link")
    return member


def _workspace(name: str) -> Workspace:
    try:
        return workspaces.made(name)
    except InvalidField as error:
        raise InvalidField("workspace_name", error.message.partition(": ")[2]) from None
