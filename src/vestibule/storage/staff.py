"""Staff, their sessions and links as rows: hashes, never secrets; it must not judge whether one is good."""

from __future__ import annotations

import msgspec

from vestibule.model.audit import INSTALLATION
from vestibule.model.staff import Role, Staff, StaffSession
from vestibule.storage.statement import statement
from vestibule.storage.store import Row, Store, Work, query

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
NOTE_SIGN_IN = statement("staff.note_sign_in", "UPDATE staff SET signed_in_at = $3 WHERE workspace_id = $1 AND id = $2")
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
    WHERE n.workspace_id = $1 AND n.secret_hash = $2
    """,
)
TOUCH_SESSION = statement(
    "staff_sessions.touch", "UPDATE staff_sessions SET last_used_at = $3 WHERE workspace_id = $1 AND secret_hash = $2"
)
END_SESSION = statement(
    "staff_sessions.end", "DELETE FROM staff_sessions WHERE workspace_id = $1 AND secret_hash = $2 RETURNING staff_id"
)
END_SESSIONS_OF = statement(
    "staff_sessions.end_all", "DELETE FROM staff_sessions WHERE workspace_id = $1 AND staff_id = $2"
)
PURGE_SESSIONS = statement("staff_sessions.purge", "DELETE FROM staff_sessions WHERE created_at < $1")
INSERT_LINK = statement(
    "staff_links.insert",
    "INSERT INTO staff_links (workspace_id, secret_hash, staff_id, expires_at) VALUES ($1, $2, $3, $4)",
)
FIND_LINK = statement(
    "staff_links.find",
    f"""
    SELECT {_COLUMNS} FROM staff_links k JOIN staff s ON s.workspace_id = k.workspace_id AND s.id = k.staff_id
    WHERE k.workspace_id = $1 AND k.secret_hash = $2 AND k.expires_at > $3
    """,
)
# Of two who follow a link at once, one deletes it.
USE_LINK = statement(
    "staff_links.use",
    """
    DELETE FROM staff_links WHERE workspace_id = $1 AND secret_hash = $2 AND expires_at > $3 RETURNING staff_id
    """,
)
END_LINKS_OF = statement("staff_links.end_all", "DELETE FROM staff_links WHERE workspace_id = $1 AND staff_id = $2")
PURGE_LINKS = statement("staff_links.purge", "DELETE FROM staff_links WHERE expires_at < $1")


async def insert(store: Store, staff: Staff, email_key: str) -> None:
    """Raises UniqueViolation where somebody of the installation has the e-mail."""

    def work() -> Work[None]:
        yield query(INSERT_EMAIL, INSTALLATION, email_key, staff.workspace_id, staff.id)
        values = (staff.workspace_id, staff.id, staff.email, staff.name, staff.role.value, None, staff.created_at)
        yield query(INSERT, *values)

    await store.transact(work)


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


async def set_role(store: Store, workspace_id: str, staff_id: str, role: Role) -> bool:
    return bool(await store.write(SET_ROLE, workspace_id, staff_id, role.value))


async def set_name(store: Store, workspace_id: str, staff_id: str, name: str) -> None:
    await store.write(SET_NAME, workspace_id, staff_id, name)


async def set_disabled(store: Store, workspace_id: str, staff_id: str, at: int | None) -> bool:
    """With a time: ends every session and link. False where there is no such member."""

    def work() -> Work[bool]:
        rows = yield query(SET_DISABLED, workspace_id, staff_id, at)
        if at is not None:
            yield from _end(workspace_id, staff_id)
        return bool(rows)

    return await store.transact(work)


async def end_sessions(store: Store, workspace_id: str, staff_id: str) -> None:
    await store.write(END_SESSIONS_OF, workspace_id, staff_id)


async def set_password(store: Store, workspace_id: str, staff_id: str, password_hash: str) -> bool:
    """Ends every session and link that was there before. False where there is no such member."""

    def work() -> Work[bool]:
        rows = yield query(SET_PASSWORD, workspace_id, staff_id, password_hash)
        yield from _end(workspace_id, staff_id)
        return bool(rows)

    return await store.transact(work)


async def delete(store: Store, staff: Staff, email_key: str) -> None:
    def work() -> Work[None]:
        yield from _end(staff.workspace_id, staff.id)
        yield query(DELETE_EMAIL, INSTALLATION, email_key, staff.id)
        yield query(DELETE, staff.workspace_id, staff.id)

    await store.transact(work)


async def insert_session(store: Store, staff: Staff, secret_hash: str, now: int) -> None:
    def work() -> Work[None]:
        yield query(INSERT_SESSION, staff.workspace_id, secret_hash, staff.id, now)
        yield query(NOTE_SIGN_IN, staff.workspace_id, staff.id, now)

    await store.transact(work)


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
    await store.write(PURGE_SESSIONS, sessions_before)
    await store.write(PURGE_LINKS, now)


def _end(workspace_id: str, staff_id: str) -> Work[None]:
    yield query(END_SESSIONS_OF, workspace_id, staff_id)
    yield query(END_LINKS_OF, workspace_id, staff_id)


def _from_row(row: Row) -> Staff:
    staff = Staff(row[0], row[1], row[2], row[3], Role(row[4]), row[5])
    return msgspec.structs.replace(staff, has_password=bool(row[6]), signed_in_at=row[7], disabled_at=row[8])
