"""Staff, their sessions and links as rows: hashes, never secrets; it must not judge whether one is good."""

from __future__ import annotations

import msgspec

from vestibule.model.audit import INSTALLATION
from vestibule.model.staff import Role, Staff, StaffSession
from vestibule.model.workspace import Workspace
from vestibule.storage import workspaces
from vestibule.storage.conditional import TAKE_TURN
from vestibule.storage.purging import delete_in_batches, purging
from vestibule.storage.statement import statement
from vestibule.storage.store import Row, Store, Value, Work, query

# Whose the first link is.
NOBODY = ""

_COLUMNS = (
    "s.workspace_id, s.id, s.email, s.name, s.role, s.created_at, s.password_hash IS NOT NULL, s.signed_in_at,"
    " s.disabled_at"
)
_WIDTH = 9

INSERT = statement(
    "staff.insert",
    """
    INSERT INTO staff (workspace_id, id, email, name, role, password_hash, created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    """,
)
INSERT_EMAIL = statement(
    "staff_emails.insert",
    "INSERT INTO staff_emails (workspace_id, email_key, home_id, staff_id) VALUES ($1, $2, $3, $4)",
)
FIND = statement("staff.find", f"SELECT {_COLUMNS} FROM staff s WHERE s.workspace_id = $1 AND s.id = $2")
# The e-mail's row is the installation's, the member's that of their workspace.
FIND_BY_EMAIL = statement(
    "staff.find_by_email",
    f"""
    SELECT {_COLUMNS}, s.password_hash
    FROM staff_emails e JOIN staff s ON s.workspace_id = e.home_id AND s.id = e.staff_id
    WHERE e.workspace_id = $1 AND e.email_key = $2
    """,
)
LIST = statement("staff.list", f"SELECT {_COLUMNS} FROM staff s WHERE s.workspace_id = $1 ORDER BY s.created_at, s.id")
ANYBODY = statement("staff_emails.anybody", "SELECT email_key FROM staff_emails WHERE workspace_id = $1 LIMIT 1")
SET_ROLE = statement("staff.set_role", "UPDATE staff SET role = $3 WHERE workspace_id = $1 AND id = $2 RETURNING id")
SET_PASSWORD = statement(
    "staff.set_password", "UPDATE staff SET password_hash = $3 WHERE workspace_id = $1 AND id = $2 RETURNING id"
)
SET_NAME = statement("staff.set_name", "UPDATE staff SET name = $3 WHERE workspace_id = $1 AND id = $2 RETURNING id")
SET_DISABLED = statement(
    "staff.set_disabled", "UPDATE staff SET disabled_at = $3 WHERE workspace_id = $1 AND id = $2 RETURNING id"
)
# Empty where no password was compared: else the one that was must be theirs still. The row is locked with it, so that
# whoever sets another one, or shuts them out, at the same moment comes before this or finds the session that follows.
NOTE_SIGN_IN = statement(
    "staff.note_sign_in",
    """
    UPDATE staff SET signed_in_at = $3
    WHERE workspace_id = $1 AND id = $2 AND disabled_at IS NULL AND ($4 = '' OR password_hash = $4) RETURNING id
    """,
)
DELETE = statement("staff.delete", "DELETE FROM staff WHERE workspace_id = $1 AND id = $2")
DELETE_EMAIL = statement(
    "staff_emails.delete", "DELETE FROM staff_emails WHERE workspace_id = $1 AND email_key = $2 AND staff_id = $3"
)
INSERT_SESSION = statement(
    "staff_sessions.insert",
    """
    INSERT INTO staff_sessions (workspace_id, secret_hash, staff_id, created_at, last_used_at)
    VALUES ($1, $2, $3, $4, $4)
    """,
)
FIND_SESSION = statement(
    "staff_sessions.find",
    f"""
    SELECT {_COLUMNS}, n.created_at, n.last_used_at
    FROM staff_sessions n JOIN staff s ON s.workspace_id = n.workspace_id AND s.id = n.staff_id
    WHERE n.workspace_id = $1 AND n.secret_hash = $2 AND s.disabled_at IS NULL
    """,
)
TOUCH_SESSION = statement(
    "staff_sessions.touch", "UPDATE staff_sessions SET last_used_at = $3 WHERE workspace_id = $1 AND secret_hash = $2"
)
END_SESSION = statement(
    "staff_sessions.end", "DELETE FROM staff_sessions WHERE workspace_id = $1 AND secret_hash = $2 RETURNING staff_id"
)
PURGE_SESSIONS = purging("staff_sessions", "workspace_id, secret_hash", "created_at < $1", "created_at")
INSERT_LINK = statement(
    "staff_links.insert",
    "INSERT INTO staff_links (workspace_id, secret_hash, staff_id, expires_at) VALUES ($1, $2, $3, $4)",
)
FIND_LINK = statement(
    "staff_links.find",
    f"""
    SELECT {_COLUMNS} FROM staff_links k JOIN staff s ON s.workspace_id = k.workspace_id AND s.id = k.staff_id
    WHERE k.workspace_id = $1 AND k.secret_hash = $2 AND k.expires_at > $3 AND s.disabled_at IS NULL
    """,
)
# Of two who follow a link at once, one deletes it.
USE_LINK = statement(
    "staff_links.use",
    """
    DELETE FROM staff_links WHERE workspace_id = $1 AND secret_hash = $2 AND expires_at > $3 RETURNING staff_id
    """,
)
IS_LINK = statement(
    "staff_links.is_one",
    """
    SELECT secret_hash FROM staff_links
    WHERE workspace_id = $1 AND secret_hash = $2 AND staff_id = $3 AND expires_at > $4
    """,
)
END_LINKS_OF = statement("staff_links.end_all", "DELETE FROM staff_links WHERE workspace_id = $1 AND staff_id = $2")
END_OTHER_SESSIONS = statement(
    "staff_sessions.end_others",
    "DELETE FROM staff_sessions WHERE workspace_id = $1 AND staff_id = $2 AND secret_hash <> $3",
)
COUNT_SESSIONS = statement(
    "staff_sessions.count",
    """
    SELECT staff_id, COUNT(*) FROM staff_sessions WHERE workspace_id = $1 AND created_at > $2 AND last_used_at > $3
    GROUP BY staff_id
    """,
)
# At the installation's own identity provider. Like the e-mails, the rows are the installation's.
FIND_BY_SUBJECT = statement(
    "staff_subjects.find_staff",
    f"""
    SELECT {_COLUMNS}
    FROM staff_subjects b JOIN staff s ON s.workspace_id = b.home_id AND s.id = b.staff_id
    WHERE b.workspace_id = $1 AND b.issuer = $2 AND b.subject = $3
    """,
)
INSERT_SUBJECT = statement(
    "staff_subjects.insert",
    "INSERT INTO staff_subjects (workspace_id, issuer, subject, home_id, staff_id) VALUES ($1, $2, $3, $4, $5)",
)
BOUND = statement(
    "staff_subjects.bound", "SELECT staff_id, issuer FROM staff_subjects WHERE workspace_id = $1 AND home_id = $2"
)
DELETE_SUBJECTS_OF = statement(
    "staff_subjects.delete", "DELETE FROM staff_subjects WHERE workspace_id = $1 AND home_id = $2 AND staff_id = $3"
)
PURGE_LINKS = purging("staff_links", "workspace_id, secret_hash", "expires_at < $1", "expires_at")


async def insert(store: Store, staff: Staff, email_key: str) -> None:
    """Raises UniqueViolation where somebody of the installation has the e-mail."""

    def work() -> Work[None]:
        yield query(INSERT_EMAIL, INSTALLATION, email_key, staff.workspace_id, staff.id)
        yield query(INSERT, *_values(staff, None))

    await store.transact(work)


async def insert_first_link(store: Store, secret_hash: str, expires_at: int) -> None:
    """The installation's own, and nobody's: whoever follows it becomes the first."""
    await store.write(INSERT_LINK, INSTALLATION, secret_hash, NOBODY, expires_at)


async def is_first_link(store: Store, secret_hash: str, now: int) -> bool:
    """Whether it is one that is good, and nobody is staff."""
    return bool(await store.read(IS_LINK, INSTALLATION, secret_hash, NOBODY, now)) and not await is_anybody(store)


async def use_first_link(
    store: Store,
    secret_hash: str,
    now: int,
    *,
    member: Staff,
    email_key: str,
    password_hash: str | None,
    home: Workspace | None,
) -> bool:
    """False where the link is not good any more, or somebody is staff by now. Raises UniqueViolation."""

    def work() -> Work[bool]:
        # Two links of two nodes, followed at once: they take turns, and the second finds the first's owner.
        yield query(TAKE_TURN, INSTALLATION)
        if (yield query(ANYBODY, INSTALLATION)):
            return False
        if not (yield query(USE_LINK, INSTALLATION, secret_hash, now)):
            return False
        yield query(END_LINKS_OF, INSTALLATION, NOBODY)
        if home is not None:
            yield workspaces.insertion(home)
        yield query(INSERT_EMAIL, INSTALLATION, email_key, member.workspace_id, member.id)
        yield query(INSERT, *_values(member, password_hash))
        return True

    return await store.transact(work)


async def find(store: Store, workspace_id: str, staff_id: str) -> Staff | None:
    rows = await store.read(FIND, workspace_id, staff_id)
    return _from_row(rows[0]) if rows else None


async def find_by_email(store: Store, email_key: str) -> tuple[Staff, str | None] | None:
    """With the hash of the password, for whoever is about to check one."""
    rows = await store.read(FIND_BY_EMAIL, INSTALLATION, email_key)
    return (_from_row(rows[0]), rows[0][_WIDTH]) if rows else None


async def list_all(store: Store, workspace_id: str) -> list[Staff]:
    return [_from_row(row) for row in await store.read(LIST, workspace_id)]


async def is_anybody(store: Store) -> bool:
    return bool(await store.read(ANYBODY, INSTALLATION))


async def set_role(store: Store, workspace_id: str, staff_id: str, role: Role) -> None:
    await store.write(SET_ROLE, workspace_id, staff_id, role.value)


async def set_name(store: Store, workspace_id: str, staff_id: str, name: str) -> None:
    await store.write(SET_NAME, workspace_id, staff_id, name)


async def set_disabled(store: Store, workspace_id: str, staff_id: str, at: int | None) -> None:
    """With a time: ends every session and link."""

    def work() -> Work[None]:
        yield query(SET_DISABLED, workspace_id, staff_id, at)
        if at is not None:
            yield from _end(workspace_id, staff_id)

    await store.transact(work)


async def set_password(store: Store, workspace_id: str, staff_id: str, password_hash: str) -> None:
    """Ends every session and link that was there before."""

    def work() -> Work[None]:
        yield query(SET_PASSWORD, workspace_id, staff_id, password_hash)
        yield from _end(workspace_id, staff_id)

    await store.transact(work)


async def delete(store: Store, staff: Staff, email_key: str) -> None:
    def work() -> Work[None]:
        yield from _end(staff.workspace_id, staff.id)
        yield query(DELETE_SUBJECTS_OF, INSTALLATION, staff.workspace_id, staff.id)
        yield query(DELETE_EMAIL, INSTALLATION, email_key, staff.id)
        yield query(DELETE, staff.workspace_id, staff.id)

    await store.transact(work)


async def find_by_subject(store: Store, issuer: str, subject: str) -> Staff | None:
    rows = await store.read(FIND_BY_SUBJECT, INSTALLATION, issuer, subject)
    return _from_row(rows[0]) if rows else None


async def bind_subject(store: Store, issuer: str, subject: str, staff: Staff) -> None:
    """Raises UniqueViolation where the account is another's, or the member has another one there."""
    await store.write(INSERT_SUBJECT, INSTALLATION, issuer, subject, staff.workspace_id, staff.id)


async def unbind(store: Store, workspace_id: str, staff_id: str) -> None:
    """Ends every session and link: the account that is forgotten has one."""

    def work() -> Work[None]:
        yield query(DELETE_SUBJECTS_OF, INSTALLATION, workspace_id, staff_id)
        yield from _end(workspace_id, staff_id)

    await store.transact(work)


async def bound(store: Store, workspace_id: str) -> dict[str, str]:
    """Who of a workspace signs in elsewhere, and at which issuer."""
    return {str(row[0]): str(row[1]) for row in await store.read(BOUND, INSTALLATION, workspace_id)}


async def count_sessions(store: Store, workspace_id: str, *, begun_after: int, used_after: int) -> dict[str, int]:
    rows = await store.read(COUNT_SESSIONS, workspace_id, begun_after, used_after)
    return {str(row[0]): int(row[1]) for row in rows}


async def end_sessions(store: Store, workspace_id: str, staff_id: str, *, but: str = "") -> None:
    """All of somebody's, `but` the one of this hash."""
    await store.write(END_OTHER_SESSIONS, workspace_id, staff_id, but)


async def insert_session(store: Store, staff: Staff, secret_hash: str, now: int, *, password_hash: str = "") -> bool:
    """Of somebody who was let in just now, by a password of that hash if one is given. False where they are shut out or
    have another password by now."""

    def work() -> Work[bool]:
        if not (yield query(NOTE_SIGN_IN, staff.workspace_id, staff.id, now, password_hash)):
            return False
        yield query(INSERT_SESSION, staff.workspace_id, secret_hash, staff.id, now)
        return True

    return await store.transact(work)


async def find_session(store: Store, workspace_id: str, secret_hash: str) -> StaffSession | None:
    rows = await store.read(FIND_SESSION, workspace_id, secret_hash)
    return StaffSession(_from_row(rows[0]), *rows[0][_WIDTH:]) if rows else None


async def touch_session(store: Store, workspace_id: str, secret_hash: str, now: int) -> None:
    await store.write(TOUCH_SESSION, workspace_id, secret_hash, now)


async def end_session(store: Store, workspace_id: str, secret_hash: str) -> None:
    await store.write(END_SESSION, workspace_id, secret_hash)


async def insert_link(store: Store, staff: Staff, secret_hash: str, expires_at: int) -> None:
    """One that was given before is good no more."""

    def work() -> Work[None]:
        yield query(END_LINKS_OF, staff.workspace_id, staff.id)
        yield query(INSERT_LINK, staff.workspace_id, secret_hash, staff.id, expires_at)

    await store.transact(work)


async def find_link(store: Store, workspace_id: str, secret_hash: str, now: int) -> Staff | None:
    rows = await store.read(FIND_LINK, workspace_id, secret_hash, now)
    return _from_row(rows[0]) if rows else None


async def use_link(store: Store, workspace_id: str, secret_hash: str, password_hash: str, now: int) -> str | None:
    """Sets the password by a link, once; whose it is."""

    def work() -> Work[str | None]:
        rows = yield query(USE_LINK, workspace_id, secret_hash, now)
        if not rows:
            return None
        yield query(SET_PASSWORD, workspace_id, rows[0][0], password_hash)
        yield from _end(workspace_id, rows[0][0])
        return str(rows[0][0])

    return await store.transact(work)


async def purge(store: Store, *, sessions_before: int, now: int) -> None:
    """Deletes sessions that began before a moment, and links that have run out."""
    await delete_in_batches(store, PURGE_SESSIONS, sessions_before)
    await delete_in_batches(store, PURGE_LINKS, now)


def _end(workspace_id: str, staff_id: str) -> Work[None]:
    yield query(END_OTHER_SESSIONS, workspace_id, staff_id, "")  # of no hash: all of them
    yield query(END_LINKS_OF, workspace_id, staff_id)


def _values(staff: Staff, password_hash: str | None) -> tuple[Value, ...]:
    role = staff.role.value
    return (staff.workspace_id, staff.id, staff.email, staff.name, role, password_hash, staff.created_at)


def _from_row(row: Row) -> Staff:
    staff = Staff(row[0], row[1], row[2], row[3], Role(row[4]), row[5])
    return msgspec.structs.replace(staff, has_password=bool(row[6]), signed_in_at=row[7], disabled_at=row[8])
