"""Conversations in lists for people who look at a whole workspace, a page at a time; it must not decide who looks.

Every list goes by an index that holds no more than what is asked for, so it costs the same however many there are.
"""

from __future__ import annotations

from vestibule.model.conversation import Conversation, Status
from vestibule.storage.conversations import CONVERSATION, conversation_from
from vestibule.storage.statement import statement
from vestibule.storage.store import Store

# What has no index of its own goes by that of all, whose condition SQLite wants said (see conversations.py).
_WITHOUT_INDEX = frozenset({"", Status.RESOLVED.value})
# A statement for each filter, written out: what is rare has an index of its own, which no parameter would lead to.
LIST_ALL = {
    (status, handed_off): statement(
        f"conversations.list_{status or 'any'}{'_handed_off' if handed_off else ''}",
        f"""
        SELECT {CONVERSATION} FROM conversations WHERE workspace_id = $1
            {"AND updated_at IS NOT NULL" if status in _WITHOUT_INDEX else ""}
            {f"AND status = '{status}'" if status else ""} {"AND handed_off = TRUE" if handed_off else ""}
            AND updated_at <= $2 AND (updated_at < $2 OR id < $3)
        ORDER BY updated_at DESC, id DESC LIMIT $4
        """,
    )
    for status in ("", *(status.value for status in Status))
    for handed_off in (False, True)
}
# Those that one of the staff has taken, by the name under which they answer.
OF_ASSIGNEE = statement(
    "conversations.list_of_assignee",
    f"""
    SELECT {CONVERSATION} FROM conversations
    WHERE workspace_id = $1 AND status = 'open' AND handed_off = TRUE AND assignee_name = $5
        AND updated_at <= $2 AND (updated_at < $2 OR id < $3)
    ORDER BY updated_at DESC, id DESC LIMIT $4
    """,
)
UNPROVEN = statement(
    "conversations.list_unproven",
    f"""
    SELECT {CONVERSATION} FROM conversations
    WHERE workspace_id = $1 AND verified = FALSE AND updated_at <= $2 AND (updated_at < $2 OR id < $3)
    ORDER BY updated_at DESC, id DESC LIMIT $4
    """,
)
UNVERIFIED = statement(
    "conversations.unverified",
    f"""
    SELECT {CONVERSATION} FROM conversations WHERE workspace_id = $1 AND verified = FALSE AND updated_at >= $2
    ORDER BY updated_at DESC, id DESC LIMIT $3
    """,
)
COUNT_OF_CONTACT = statement(
    "conversations.count_of_contact",
    "SELECT COUNT(*) FROM conversations WHERE workspace_id = $1 AND contact_id = $2 AND contact_id IS NOT NULL",
)
LATEST_OF_CONTACT = statement(
    "conversations.latest_of_contact",
    f"""
    SELECT {CONVERSATION} FROM conversations WHERE workspace_id = $1 AND contact_id = $2 AND contact_id IS NOT NULL
    ORDER BY updated_at DESC LIMIT $3
    """,
)


async def list_all(
    store: Store, workspace_id: str, *, status: str, handed_off: bool, before: tuple[int, str] | None, most: int
) -> list[Conversation]:
    """Conversations of a workspace, newest activity first; `status` empty: any."""
    at, last_id = before or (2**62, "")
    rows = await store.read(LIST_ALL[status, handed_off], workspace_id, at, last_id, most)
    return [conversation_from(row) for row in rows]


async def of_assignee(
    store: Store, workspace_id: str, name: str, *, before: tuple[int, str] | None, most: int
) -> list[Conversation]:
    """Open ones that people answer, of one of them."""
    rows = await store.read(OF_ASSIGNEE, workspace_id, *(before or (2**62, "")), most, name)
    return [conversation_from(row) for row in rows]


async def unproven(store: Store, workspace_id: str, *, before: tuple[int, str] | None, most: int) -> list[Conversation]:
    """Those that belong to nobody who is proven, whatever their status."""
    rows = await store.read(UNPROVEN, workspace_id, *(before or (2**62, "")), most)
    return [conversation_from(row) for row in rows]


async def unverified(store: Store, workspace_id: str, *, since: int, most: int) -> list[Conversation]:
    """Those that belong to nobody who is proven and were active since then, the last active one first."""
    return [conversation_from(row) for row in await store.read(UNVERIFIED, workspace_id, since, most)]


async def latest_of_contact(store: Store, workspace_id: str, contact_id: str, most: int) -> list[Conversation]:
    """The last active one first."""
    return [conversation_from(row) for row in await store.read(LATEST_OF_CONTACT, workspace_id, contact_id, most)]


async def count_of_contact(store: Store, workspace_id: str, contact_id: str) -> int:
    return int((await store.read(COUNT_OF_CONTACT, workspace_id, contact_id))[0][0])
