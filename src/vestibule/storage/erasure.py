"""Finds contacts and closed conversations whose time is over, and deletes everything of them but files; it must not
decide what is forgotten."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vestibule.model.webhook import contact_erased
from vestibule.storage import webhooks
from vestibule.storage.contacts import MERGED_IDS, hold
from vestibule.storage.files import attached_in
from vestibule.storage.statement import statement
from vestibule.storage.store import Query, Store, Work, query

# Merged contacts go with the one they were merged into. ($2, $3): the last row of the batch before.
EXPIRED = statement(
    "erasure.expired",
    """
    SELECT expires_at, id, workspace_id FROM contacts
    WHERE expires_at < $1 AND verified = FALSE AND merged_into IS NULL
        AND (expires_at > $2 OR (expires_at = $2 AND id > $3))
    ORDER BY expires_at, id LIMIT $4
    """,
)
LAST_ACTIVITY = statement(
    "erasure.last_activity",
    "SELECT MAX(updated_at) FROM conversations WHERE workspace_id = $1 AND contact_id = $2 AND contact_id IS NOT NULL",
)
CONTACT = statement("erasure.contact", "DELETE FROM contacts WHERE workspace_id = $1 AND id = $2 RETURNING id")
EXPIRED_CONTACT = statement(
    "erasure.expired_contact",
    """
    DELETE FROM contacts WHERE workspace_id = $1 AND id = $2 AND verified = FALSE AND expires_at < $3 RETURNING id
    """,
)
CONVERSATIONS = statement(
    "erasure.conversations",
    "DELETE FROM conversations WHERE workspace_id = $1 AND contact_id = $2 AND contact_id IS NOT NULL RETURNING id",
)
OF_CONTACT = {
    table: statement(f"erasure.{table}", f"DELETE FROM {table} WHERE workspace_id = $1 AND {column} = $2")
    for table, column in (
        ("pending_identities", "contact_id"),
        ("provider_identities", "contact_id"),
        ("refresh_tokens", "visitor_id"),
        ("attached_identities", "contact_id"),
        ("socket_rooms", "contact_id"),
        ("device_scopes", "contact_id"),
        ("webhook_deliveries", "contact_id"),
    )
}
_IN_CONVERSATION = [
    statement(f"erasure.{table}_in", f"DELETE FROM {table} WHERE workspace_id = $1 AND conversation_id = $2")
    for table in ("messages", "responder_jobs", "attached_identities")
]
# The chain holds what stood here as a salted hash only (audit/chain.py), and stays whole.
AUDIT = statement(
    "erasure.audit",
    """
    UPDATE audit_entries SET contact_id = NULL, address = NULL, salt = NULL WHERE workspace_id = $1 AND contact_id = $2
    """,
)


# ($3, $4): the last row of the batch before.
CLOSED = statement(
    "erasure.closed",
    """
    SELECT updated_at, id FROM conversations
    WHERE workspace_id = $1 AND updated_at IS NOT NULL AND updated_at < $2 AND status <> 'open'
        AND (updated_at > $3 OR (updated_at = $3 AND id > $4))
    ORDER BY updated_at, id LIMIT $5
    """,
)
CLOSED_CONVERSATION = statement(
    "erasure.closed_conversation",
    """
    DELETE FROM conversations
    WHERE workspace_id = $1 AND id = $2 AND status <> 'open' AND updated_at < $3 RETURNING contact_id
    """,
)


class Expired(msgspec.Struct, frozen=True):
    expires_at: int
    contact_id: str
    workspace_id: str


async def expired(store: Store, before: int, after: Expired | None, most: int) -> list[Expired]:
    """Unverified contacts whose time was over at `before`, the longest over first."""
    place = (after.expires_at, after.contact_id) if after is not None else (-1, "")
    return [Expired(*row) for row in await store.read(EXPIRED, before, *place, most)]


async def people(store: Store, workspace_id: str, contact_id: str) -> list[str]:
    """The contact, then who was merged into it, whether it is there or not."""
    found = [contact_id]
    for person in found:  # who is found is asked for theirs as well
        found += [row[0] for row in await store.read(MERGED_IDS, workspace_id, person) if row[0] not in found]
    return found


async def last_activity(store: Store, workspace_id: str, contact_id: str) -> int:
    """When something last changed in a conversation of the contact; 0 if it has none."""
    return int((await store.read(LAST_ACTIVITY, workspace_id, contact_id))[0][0] or 0)


async def closed(
    store: Store, workspace_id: str, before: int, after: tuple[int, str] | None, most: int
) -> list[tuple[int, str]]:
    """Closed conversations in which nothing has changed since `before`: that time and the id, the oldest first."""
    rows = await store.read(CLOSED, workspace_id, before, *(after or (-1, "")), most)
    return [(row[0], row[1]) for row in rows]


def forget_proofs(workspace_id: str, contact_id: str) -> Query:
    """What waits to be claimed as a contact, and what was: the same claim could be repeated."""
    return query(OF_CONTACT["pending_identities"], workspace_id, contact_id)


async def forget_in_audit(store: Store, workspace_id: str, contact_id: str) -> None:
    """What has come into the audit of a contact since it was erased."""
    await store.write(AUDIT, workspace_id, contact_id)


def erase_closed(workspace_id: str, conversation_id: str, before: int) -> Work[tuple[str, list[str]] | None]:
    """Deletes a conversation with all that hangs on it; whose it was, and the links of what was attached in it. None,
    and nothing deleted, where it has changed since `before`."""
    found = yield query(CLOSED_CONVERSATION, workspace_id, conversation_id, before)
    if not found:
        return None
    links = yield from attached_in(workspace_id, conversation_id)
    yield from _erase_in(workspace_id, conversation_id)
    return str(found[0][0]), links


def erase_if_expired(workspace_id: str, people: Sequence[str], before: int) -> Work[int | None]:
    """Deletes a contact and who was merged into it; how many conversations they had. None, and nothing deleted, where
    the first one's time was not over at `before`, or somebody was merged into them or parted from them meanwhile."""
    if (yield from _held(workspace_id, people[0])) != [*people]:
        return None
    if not (yield query(EXPIRED_CONTACT, workspace_id, people[0], before)):
        return None
    conversations = 0
    for person in people:
        conversations += yield from erase(workspace_id, person)
    return conversations


def erase_all(workspace_id: str, people: Sequence[str]) -> Work[tuple[list[str], list[str]]]:
    """Deletes a contact and who is merged into it, not who was parted from them meanwhile; who that was. Where others
    were merged into them meanwhile, nobody is deleted, and these come back beside: their files are to go as well, and
    their tokens to end."""
    found = yield from _held(workspace_id, people[0])
    others = [person for person in found if person not in people]
    if others:  # they would point to a contact that is gone, and be locked out for ever
        return [], others
    for person in found:
        yield from erase(workspace_id, person)
    return found, []


def _held(workspace_id: str, contact_id: str) -> Work[list[str]]:
    """As `people` has them, and kept so: whoever merges into them or parts from them from here on waits, and finds them
    gone."""
    found = [contact_id]
    for person in found:
        yield hold(workspace_id, person)
        found += [row[0] for row in (yield query(MERGED_IDS, workspace_id, person)) if row[0] not in found]
    return found


def erase(workspace_id: str, contact_id: str) -> Work[int]:
    """Deletes the contact with its conversations and all that hangs on them; how many conversations it had."""
    # The contact first, and its conversations before what is in them: whoever leads a proof to it or writes something
    # of it at this moment holds its row or the conversation's, and is waited for; what they have written is seen, and
    # deleted, by the statements after.
    yield query(CONTACT, workspace_id, contact_id)
    deleted = yield query(CONVERSATIONS, workspace_id, contact_id)
    for (conversation_id,) in deleted:
        yield from _erase_in(workspace_id, conversation_id)
    # Among it what is still to be told of them; that they are gone is told.
    for each in OF_CONTACT.values():
        yield query(each, workspace_id, contact_id)
    yield query(AUDIT, workspace_id, contact_id)
    yield webhooks.note(contact_erased(workspace_id, contact_id))
    return len(deleted)


def _erase_in(workspace_id: str, conversation_id: str) -> Work[None]:
    for each in _IN_CONVERSATION:
        yield query(each, workspace_id, conversation_id)
