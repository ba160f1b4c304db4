"""Lets people in at the dashboard and shuts it to them; it must not keep a password or a secret."""

from __future__ import annotations

from vestibule.administration import workspaces
from vestibule.administration.desk import Desk
from vestibule.administration.passwords import Passwords
from vestibule.clock import DAY_MS, now_ms
from vestibule.errors import AlreadyExists, Conflict, InvalidField, InvalidLink, NotFound, PasswordsOff
from vestibule.identity.email import email_key
from vestibule.ids import new_id
from vestibule.model.staff import Role, Staff
from vestibule.storage import staff as rows
from vestibule.storage.store import UniqueViolation
from vestibule.tokens.api_key import KeyKind, fingerprint, generate, workspace_of

LINK = KeyKind("vst_link_", InvalidLink)
LINK_LIFETIME_MS = DAY_MS
_LONGEST_NAME = 100


async def add(desk: Desk, workspace_id: str, *, email: str, name: str, role: str) -> Staff:
    """A new member, who cannot sign in before they have a password. Raises NotFound, InvalidField, AlreadyExists."""
    await workspaces.get(desk, workspace_id)
    member, key = made(workspace_id, email, name, _role(role))
    try:
        await rows.insert(desk.store, member, key)
    except UniqueViolation:
        raise AlreadyExists("Somebody with this e-mail is staff here already.") from None
    await desk.record("staff.add", workspace_id, member.id, detail=member.role.value)
    return member


def made(workspace_id: str, email: str, name: str, role: Role) -> tuple[Staff, str]:
    """A new member, who is not kept yet, and the key of their e-mail. Raises InvalidField."""
    key = email_key(email.strip())
    name = checked_name(name.strip() or email.partition("@")[0])
    return Staff(workspace_id, new_id(), email.strip(), name, role, now_ms()), key


async def list_all(desk: Desk, workspace_id: str) -> list[Staff]:
    """Oldest first. Raises NotFound."""
    await workspaces.get(desk, workspace_id)
    return await rows.list_all(desk.store, workspace_id)


async def get(desk: Desk, workspace_id: str, staff_id: str) -> Staff:
    """Raises NotFound."""
    found = await rows.find(desk.store, workspace_id, staff_id)
    if found is None:
        raise NotFound("There is no such member of staff.")
    return found


async def find_by_email(desk: Desk, email: str) -> Staff | None:
    """Whoever of the installation has it. Raises InvalidField."""
    found = await rows.find_by_email(desk.store, email_key(email))
    return found[0] if found is not None else None


async def set_role(desk: Desk, workspace_id: str, staff_id: str, role: str) -> Staff:
    """From the next request on. Raises NotFound, InvalidField."""
    known, wanted = await get(desk, workspace_id, staff_id), _role(role)
    await rows.set_role(desk.store, workspace_id, staff_id, wanted)
    await desk.record("staff.role", workspace_id, staff_id, detail=f"{known.role} to {wanted}")
    return await get(desk, workspace_id, staff_id)


async def set_name(desk: Desk, workspace_id: str, staff_id: str, name: str) -> Staff:
    """What visitors see from the next reply on. Raises NotFound, InvalidField."""
    await get(desk, workspace_id, staff_id)
    await rows.set_name(desk.store, workspace_id, staff_id, checked_name(name.strip()))
    await desk.record("staff.name", workspace_id, staff_id)
    return await get(desk, workspace_id, staff_id)


async def set_disabled(desk: Desk, workspace_id: str, staff_id: str, *, disabled: bool) -> Staff:
    """Shuts a member out at once, or lets them in again with the password that they had. Raises NotFound."""
    known = await get(desk, workspace_id, staff_id)
    if disabled == (known.disabled_at is not None):
        return known
    await rows.set_disabled(desk.store, workspace_id, staff_id, now_ms() if disabled else None)
    await desk.record("staff.disable" if disabled else "staff.enable", workspace_id, staff_id)
    return await get(desk, workspace_id, staff_id)


async def end_sessions(desk: Desk, workspace_id: str, staff_id: str) -> Staff:
    """Signs a member out everywhere. Raises NotFound."""
    known = await get(desk, workspace_id, staff_id)
    await rows.end_sessions(desk.store, workspace_id, staff_id)
    await desk.record("staff.end_sessions", workspace_id, staff_id)
    return known


async def set_password(desk: Desk, workspace_id: str, staff_id: str, password: str) -> Staff:
    """Signs them out everywhere. Raises NotFound, InvalidField."""
    await get(desk, workspace_id, staff_id)
    await rows.set_password(desk.store, workspace_id, staff_id, await Passwords().hash(password))
    await desk.record("staff.password", workspace_id, staff_id)
    return await get(desk, workspace_id, staff_id)


async def make_link(desk: Desk, workspace_id: str, staff_id: str) -> str:
    """The address at which they choose a password, once, within a day. Raises PasswordsOff, NotFound, Conflict."""
    if desk.settings.staff_oidc_only:
        raise PasswordsOff(step="password")
    known = await get(desk, workspace_id, staff_id)
    if known.disabled_at is not None:
        raise Conflict("This member is disabled; enable them first.")
    secret = generate(workspace_id, LINK)
    await rows.insert_link(desk.store, known, secret.secret_hash, now_ms() + LINK_LIFETIME_MS)
    await desk.record("staff.link", workspace_id, staff_id)
    return f"{desk.settings.public_url.rstrip('/')}/dashboard/welcome?link={secret.text}"


async def invite(desk: Desk, workspace_id: str, staff_id: str) -> str | None:
    """Likewise for somebody who was let in just now; None where they need no link, for there are no passwords."""
    return None if desk.settings.staff_oidc_only else await make_link(desk, workspace_id, staff_id)


async def of_link(desk: Desk, link: str) -> Staff:
    """Whom a link is for; it stays good. Raises InvalidLink."""
    found = await rows.find_link(desk.store, workspace_of(link, LINK), fingerprint(link), now_ms())
    if found is None:
        raise InvalidLink(step="link")
    return found


async def follow_link(desk: Desk, passwords: Passwords, link: str, password: str) -> Staff:
    """Sets the password, and uses the link up. Raises InvalidLink, InvalidField."""
    member = await of_link(desk, link)
    kept = await passwords.hash(password)
    if await rows.use_link(desk.store, member.workspace_id, fingerprint(link), kept, now_ms()) is None:
        raise InvalidLink(step="link")
    await desk.record("staff.password", member.workspace_id, member.id, detail="by link")
    return member


async def require_other_owner(desk: Desk, workspace_id: str, staff_id: str) -> None:
    """Raises Conflict where nobody else could do what an owner can: the command line alone could, then."""
    for member in await list_all(desk, workspace_id):
        if member.id != staff_id and member.role is Role.OWNER and member.disabled_at is None:
            return
    raise Conflict("There must be another owner first, who is not disabled.")


async def identities(desk: Desk, workspace_id: str) -> dict[str, str]:
    """Who signs in at an identity provider, and at which issuer; by id."""
    return await rows.bound(desk.store, workspace_id)


async def forget_identity(desk: Desk, workspace_id: str, staff_id: str) -> None:
    """Signs them out everywhere. The next account there with their verified e-mail becomes theirs. Raises NotFound."""
    known = await get(desk, workspace_id, staff_id)
    await rows.unbind(desk.store, workspace_id, staff_id)
    await desk.record("staff.unbind", workspace_id, known.id)


async def change_password(desk: Desk, passwords: Passwords, member: Staff, password: str) -> str:
    """By themselves, who have shown the current one. Ends every session; the hash is for the next (`begin`). Raises
    InvalidField."""
    kept = await passwords.hash(password)
    await rows.set_password(desk.store, member.workspace_id, member.id, kept)
    await desk.record("staff.password", member.workspace_id, member.id, detail="by themselves")
    return kept


async def remove(desk: Desk, workspace_id: str, staff_id: str) -> Staff:
    """Ends their sessions with them; what they did stays in the audit, under their id. Raises NotFound."""
    known = await get(desk, workspace_id, staff_id)
    await rows.delete(desk.store, known, email_key(known.email))
    await desk.record("staff.remove", workspace_id, staff_id)
    return known


def checked_name(name: str) -> str:
    """Raises InvalidField."""
    if not 0 < len(name) <= _LONGEST_NAME or not name.isprintable():
        raise InvalidField("name", f"must have 1 to {_LONGEST_NAME} printable characters")
    return name


def _role(text: str) -> Role:
    try:
        return Role(text)
    except ValueError:
        raise InvalidField("role", f"must be one of {', '.join(Role)}") from None
