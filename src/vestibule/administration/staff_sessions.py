"""Signs staff in and out, and knows which browser is whose; it must not decide what a role may do."""

from __future__ import annotations

import contextlib

from vestibule.administration.desk import Desk
from vestibule.administration.passwords import Passwords
from vestibule.clock import HOUR_MS, MINUTE_MS, now_ms
from vestibule.errors import InvalidField, NotSignedIn, SignInRefused, StorageUnavailable, WrongPassword
from vestibule.identity.email import email_key
from vestibule.model.audit import REFUSED, AuditEntry, AuditKind
from vestibule.model.staff import Staff
from vestibule.storage import staff as rows
from vestibule.tokens.api_key import KeyKind, NewApiKey, fingerprint, generate, workspace_of

SESSION = KeyKind("vst_staff_", NotSignedIn)
# A working day; and a lunch break's length for a browser that was left open.
LONGEST_MS = 12 * HOUR_MS
IDLE_MS = 2 * HOUR_MS


async def check(desk: Desk, passwords: Passwords, email: str, password: str) -> tuple[Staff, str]:
    """Who signs in, and the hash that the password was compared with, for `begin`. Raises WrongPassword, whatever is
    wrong."""
    try:
        found = await rows.find_by_email(desk.store, email_key(email.strip()))
    except InvalidField:
        found = None
    member, kept = found or (None, None)
    # Compared in any case: how long it takes tells nobody who is disabled.
    if await passwords.matches(password, kept) and member is not None and kept and member.disabled_at is None:
        return member, kept
    if member is not None:
        desk.audit.note(_refused(desk, member))
    raise WrongPassword(step="password")


async def begin(desk: Desk, member: Staff, *, by: str = "", password_hash: str = "") -> NewApiKey:
    """A session, whose text exists in the browser only. `by`: how they signed in, if not by a password. `password_hash`
    is what it was compared with, which takes seconds under load: whoever was shut out meanwhile, or has another one,
    gets no session. Raises WrongPassword, SignInRefused."""
    secret = generate(member.workspace_id, SESSION)
    if not await rows.insert_session(desk.store, member, secret.secret_hash, now_ms(), password_hash=password_hash):
        if not password_hash:
            raise SignInRefused(detail="this member is disabled", step="disabled")
        desk.audit.note(_refused(desk, member))
        raise WrongPassword(detail="another one was set meanwhile, or they were disabled", step="password")
    await desk.record("staff.sign_in", member.workspace_id, member.id, detail=by)
    return secret


async def find(desk: Desk, text: str, *, active: bool = True) -> Staff:
    """Who is signed in. `active`: somebody did something, which puts the idle end off. Raises NotSignedIn."""
    workspace_id, hashed, now = workspace_of(text, SESSION), fingerprint(text), now_ms()
    found = await rows.find_session(desk.store, workspace_id, hashed)
    if found is None or now - found.created_at > LONGEST_MS or now - found.last_used_at > IDLE_MS:
        raise NotSignedIn(step="session")
    if found.staff.disabled_at is not None:
        raise NotSignedIn(step="session")
    if active and now - found.last_used_at > MINUTE_MS:
        with contextlib.suppress(StorageUnavailable):
            await rows.touch_session(desk.store, workspace_id, hashed, now)
    return found.staff


async def counts(desk: Desk, workspace_id: str) -> dict[str, int]:
    """How many sessions each member of a workspace has now, by id."""
    now = now_ms()
    return await rows.count_sessions(desk.store, workspace_id, begun_after=now - LONGEST_MS, used_after=now - IDLE_MS)


async def end_all(desk: Desk, member: Staff, *, but: str = "") -> None:
    """Of a member, at once; `but` the one with this text."""
    kept = fingerprint(but) if but else ""
    await rows.end_sessions(desk.store, member.workspace_id, member.id, but=kept)
    await desk.record("staff.end_sessions", member.workspace_id, member.id)


async def end(desk: Desk, text: str, member: Staff) -> None:
    await rows.end_session(desk.store, member.workspace_id, fingerprint(text))
    await desk.record("staff.sign_out", member.workspace_id, member.id)


def _refused(desk: Desk, member: Staff) -> AuditEntry:
    return AuditEntry(
        workspace_id=member.workspace_id,
        kind=AuditKind.ADMINISTRATION,
        action="staff.sign_in",
        outcome=REFUSED,
        at=now_ms(),
        actor=str(desk.actor),
        code=WrongPassword.code,
        step="password",
        target=member.id,
        request_id=desk.actor.request_id,
    )
