"""Conversations, their messages and the responder's work items as rows; it must not decide who sees them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from vestibule.ids import is_id
from vestibule.model.claims import CustomData
from vestibule.model.conversation import (
    Assignee,
    Attachment,
    Authorship,
    Conversation,
    Document,
    Glance,
    Message,
    Sender,
    Status,
    Trust,
)
from vestibule.storage.json_columns import to_json
from vestibule.storage.statement import Statement, statement
from vestibule.storage.store import Query, Row, Store, Value, query

# A row's columns are the members of what it becomes, in their order.
CONVERSATION = ", ".join(Conversation.__struct_fields__)
_MESSAGE = ", ".join(Message.__struct_fields__)
C = TypeVar("C", bound=Glance)

NEXT_TICKET = statement(
    "conversations.next_ticket",
    """
    INSERT INTO counters (workspace_id, name, value) VALUES ($1, 'ticket', 1)
    ON CONFLICT (workspace_id, name) DO UPDATE SET value = counters.value + 1 RETURNING value
    """,
)
INSERT = statement(
    "conversations.insert",
    f"""
    INSERT INTO conversations ({CONVERSATION})
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23,
        $24)
    RETURNING id
    """,
)
GET = statement("conversations.get", f"SELECT {CONVERSATION} FROM conversations WHERE workspace_id = $1 AND id = $2")
# In the order of its index and no further: to be spared sorting, SQLite would read the whole workspace by activity.
OF_CONTACT = statement(
    "conversations.of_contact",
    f"""
    SELECT {CONVERSATION} FROM conversations WHERE workspace_id = $1 AND contact_id = $2 AND contact_id IS NOT NULL
    ORDER BY updated_at
    """,
)
# Takes the next `$3` numbers, for `$5` characters, and shows the change; locks the row until the transaction ends, so
# messages keep order.
TAKE_NUMBERS = statement(
    "conversations.take_numbers",
    f"""
    UPDATE conversations SET next_seq = next_seq + $3, characters = characters + $5, version = version + 1,
        updated_at = CASE WHEN updated_at < $4 THEN $4 ELSE updated_at END
    WHERE workspace_id = $1 AND id = $2 RETURNING {CONVERSATION}
    """,
)
UPDATE = statement(
    "conversations.update",
    f"""
    UPDATE conversations SET title = $3, status = $4, handed_off = $5, assignee_kind = $6, assignee_name = $7,
        assignee_avatar_url = $8, mode_id = $9, checkpoint = $10, language = $11, last_message = $12, contact_id = $13,
        verified = $14, queue_key = $15
    WHERE workspace_id = $1 AND id = $2 RETURNING {CONVERSATION}
    """,
)
INSERT_MESSAGE = statement(
    "messages.insert",
    f"""
    INSERT INTO messages ({_MESSAGE})
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
    RETURNING seq
    """,
)
FIND_MESSAGE = statement(
    "messages.find",
    f"SELECT {_MESSAGE} FROM messages WHERE workspace_id = $1 AND conversation_id = $2 AND public_id = $3",
)
HISTORY = statement(
    "messages.history",
    f"""
    SELECT $slot, {_MESSAGE} FROM messages WHERE workspace_id = $1 AND conversation_id = $2 AND seq > $3 ORDER BY seq
    """,
)
LATEST = statement(
    "messages.latest",
    f"""
    SELECT {_MESSAGE} FROM messages WHERE workspace_id = $1 AND conversation_id = $2 AND seq < $3
    ORDER BY seq DESC LIMIT $4
    """,
)
ANSWER_TO = statement(
    "messages.answer_to",
    f"""
    SELECT {_MESSAGE} FROM messages WHERE workspace_id = $1 AND conversation_id = $2 AND answers = $3
    ORDER BY seq LIMIT 1
    """,
)
OF_TYPE = statement(
    "messages.of_type",
    "SELECT public_id FROM messages WHERE workspace_id = $1 AND conversation_id = $2 AND type = $3",
)
VOTE = statement(
    "messages.vote",
    """
    UPDATE messages SET vote = $4 WHERE workspace_id = $1 AND conversation_id = $2 AND public_id = $3 AND sender = 'ai'
    RETURNING public_id
    """,
)


class Extent(msgspec.Struct, Generic[C], frozen=True):
    """How much is read of each conversation that a visitor asks for."""

    find: Statement
    list_page: Statement
    width: int
    read: Callable[[Row], C]


def _extent(name: str, of: type[C], read: Callable[[Row], C]) -> Extent[C]:
    columns = ", ".join(f"c.{field}" for field in of.__struct_fields__)
    # One row: the conversation, who owns it, and what the viewer's token is good for. $3 is the contact of the token,
    # $4 the token's id. A merged contact stands for the one it was merged into.
    find = statement(
        f"conversations.find{name}",
        f"""
        SELECT $slot, {columns}, v.id, v.merged_into, o.merged_into,
            EXISTS (SELECT 1 FROM device_scopes d
                    WHERE d.workspace_id = c.workspace_id AND d.token_id = $4 AND d.scope = c.scope)
        FROM conversations c
        LEFT JOIN contacts o ON o.workspace_id = c.workspace_id AND o.id = c.contact_id
        LEFT JOIN contacts v ON v.workspace_id = c.workspace_id AND v.id = $3
        WHERE c.workspace_id = $1 AND c.id = $2
        """,
    )
    # Newest activity first, of the person that the contact $2 is by now: of the one that it was merged into, and of all
    # others that were, if it is verified. $4 empty: any scope; ($5, $6): the last row of the page before. With each:
    # whether the token $8 has shown the scope. "IS NOT NULL", which says nothing, lets SQLite take the index with that
    # condition (0011_narrow_indexes.py): of a column that is never NULL it concludes nothing by itself.
    page = statement(
        f"conversations.list{name}",
        f"""
        SELECT $slot, {columns}, EXISTS (
            SELECT 1 FROM device_scopes d WHERE d.workspace_id = $1 AND d.token_id = $8 AND d.scope = $4)
        FROM (
            SELECT CAST($2 AS TEXT) AS id
            UNION SELECT k.merged_into FROM contacts k
                WHERE k.workspace_id = $1 AND k.id = $2 AND k.verified = TRUE AND k.merged_into IS NOT NULL
            UNION SELECT p.id FROM contacts p WHERE p.workspace_id = $1 AND p.merged_into = COALESCE((
                SELECT k.merged_into FROM contacts k WHERE k.workspace_id = $1 AND k.id = $2 AND k.verified = TRUE), $2)
        ) AS person CROSS JOIN conversations c
        WHERE c.workspace_id = $1 AND c.contact_id = person.id AND c.contact_id IS NOT NULL
            AND c.verified = $3 AND ($4 = '' OR c.scope = $4)
            AND (c.updated_at < $5 OR (c.updated_at = $5 AND c.id < $6))
        ORDER BY c.updated_at DESC, c.id DESC LIMIT $7
        """,
    )
    return Extent(find, page, len(of.__struct_fields__), read)


def conversation_from(row: Row) -> Conversation:
    columns = dict(zip(Conversation.__struct_fields__, row, strict=True))
    checkpoint = columns["checkpoint"]
    columns |= {
        "verified": bool(columns["verified"]),
        "status": Status(columns["status"]),
        "handed_off": bool(columns["handed_off"]),
        "assignee_kind": Assignee(columns["assignee_kind"]),
        "checkpoint": _DOCUMENT.decode(checkpoint) if checkpoint is not None else None,
        "custom_data": _CUSTOM_DATA.decode(columns["custom_data"]),
    }
    return Conversation(**columns)


def _glance_from(row: Row) -> Glance:
    workspace_id, id_, contact_id, verified, scope, *times_and_version = row
    return Glance(workspace_id, id_, contact_id, bool(verified), scope, *times_and_version)


WHOLE = _extent("", Conversation, conversation_from)
# Most that widgets ask for again and again has not changed: that much is read to know it.
GLANCE = _extent("_glance", Glance, _glance_from)


class Found(msgspec.Struct, Generic[C], frozen=True):
    """A conversation beside what the viewer's token is good for."""

    conversation: C
    owner_lead: str | None
    viewer_known: bool
    viewer_lead: str | None
    on_device: bool


async def find(
    store: Store, extent: Extent[C], workspace_id: str, conversation_id: str, *, viewer_contact: str, token_id: str
) -> Found[C] | None:
    rows = await store.read(extent.find, workspace_id, conversation_id, viewer_contact, token_id)
    if not rows:
        return None
    viewer_id, viewer_into, owner_into, on_device = rows[0][extent.width :]
    conversation = extent.read(rows[0][: extent.width])
    return Found(
        conversation=conversation,
        owner_lead=owner_into or conversation.contact_id,
        viewer_known=viewer_id is not None,
        viewer_lead=viewer_into or viewer_contact,
        on_device=bool(on_device),
    )


async def get(store: Store, workspace_id: str, conversation_id: str) -> Conversation | None:
    rows = await store.read(GET, workspace_id, conversation_id)
    return conversation_from(rows[0]) if rows else None


async def list_page(
    store: Store,
    extent: Extent[C],
    workspace_id: str,
    contact_id: str,
    *,
    token_id: str,
    verified: bool,
    scope: str | None,
    before: tuple[int, str] | None,
    most: int,
) -> tuple[list[C], bool]:
    """Conversations of the person that a contact is by now, newest activity first; and whether the token has shown the
    scope, where there are any."""
    at, last_id = before or (2**62, "")
    rows = await store.read(
        extent.list_page, workspace_id, contact_id, verified, scope or "", at, last_id, most, token_id
    )
    width = extent.width
    return [extent.read(row[:width]) for row in rows], bool(rows and rows[0][width])


async def of_contact(store: Store, workspace_id: str, contact_id: str) -> list[Conversation]:
    """All of a contact's, the last active one last."""
    return [conversation_from(row) for row in await store.read(OF_CONTACT, workspace_id, contact_id)]


async def history(store: Store, workspace_id: str, conversation_id: str, *, after: int = 0) -> list[Message]:
    """Oldest first."""
    return [message_from(row) for row in await store.read(HISTORY, workspace_id, conversation_id, after)]


async def latest(store: Store, workspace_id: str, conversation_id: str, *, before: int, most: int) -> list[Message]:
    """The last ones before a number, oldest first."""
    rows = await store.read(LATEST, workspace_id, conversation_id, before, most)
    return [message_from(row) for row in reversed(rows)]


async def find_message(store: Store, workspace_id: str, conversation_id: str, public_id: str) -> Message | None:
    rows = await store.read(FIND_MESSAGE, workspace_id, conversation_id, public_id)
    return message_from(rows[0]) if rows else None


async def answer_to(store: Store, workspace_id: str, conversation_id: str, seq: int) -> Message | None:
    rows = await store.read(ANSWER_TO, workspace_id, conversation_id, seq)
    return message_from(rows[0]) if rows else None


async def vote(store: Store, workspace_id: str, conversation_id: str, public_id: str, direction: str) -> bool:
    """Whether there is such an answer. A visitor names it: what is no message's id is asked of no database."""
    return is_id(public_id.lower()) and bool(
        await store.write(VOTE, workspace_id, conversation_id, public_id, direction)
    )


def insert(conversation: Conversation) -> Query:
    return query(INSERT, *_conversation_row(conversation))


def take_numbers(workspace_id: str, conversation_id: str, count: int, now: int, characters: int) -> Query:
    return query(TAKE_NUMBERS, workspace_id, conversation_id, count, now, characters)


def update(conversation: Conversation) -> Query:
    """Writes what can change, but the counters. Only inside a transaction that holds the row (`take_numbers`)."""
    return query(
        UPDATE,
        conversation.workspace_id,
        conversation.id,
        conversation.title,
        conversation.status.value,
        conversation.handed_off,
        conversation.assignee_kind.value,
        conversation.assignee_name,
        conversation.assignee_avatar_url,
        conversation.mode_id,
        _optional(conversation.checkpoint),
        conversation.language,
        conversation.last_message,
        conversation.contact_id,
        conversation.verified,
        conversation.queue_key,
    )


def length(text: str | None, *documents: object) -> int:
    """How many characters of a conversation a message takes, in all whose length a visitor has a part in; a document
    that is not there is empty or None."""
    return len(text or "") + sum(len(to_json(each)) for each in documents if each)


def of_type(workspace_id: str, conversation_id: str, kind: str) -> Query:
    """The public ids of all messages of a type."""
    return query(OF_TYPE, workspace_id, conversation_id, kind)


def insert_message(message: Message) -> Query:
    return query(
        INSERT_MESSAGE,
        message.workspace_id,
        message.conversation_id,
        message.seq,
        message.public_id,
        message.type,
        message.sender.value,
        message.text,
        message.sent_at,
        message.trust.value,
        message.sender_name,
        message.sender_avatar_url,
        to_json(message.attachments) if message.attachments else None,
        to_json(message.action_calls) if message.action_calls else None,
        _optional(message.payload),
        _optional(message.custom_data),
        message.answers,
        message.vote,
        to_json(message.author) if message.author is not None else None,
        to_json(message.action_requests) if message.action_requests else None,
    )


def message_from(row: Row) -> Message:
    columns = list(row)
    columns[5], columns[8] = Sender(row[5]), Trust(row[8])
    columns[11] = _ATTACHMENTS.decode(row[11]) if row[11] is not None else ()
    columns[12], columns[18] = (_DOCUMENTS.decode(row[at]) if row[at] is not None else () for at in (12, 18))
    columns[13], columns[14] = (_DOCUMENT.decode(row[at]) if row[at] is not None else None for at in (13, 14))
    columns[17] = _AUTHORSHIP.decode(row[17]) if row[17] is not None else None
    return Message(*columns)


def _conversation_row(conversation: Conversation) -> tuple[Value, ...]:
    columns = msgspec.structs.asdict(conversation) | {
        "status": conversation.status.value,
        "assignee_kind": conversation.assignee_kind.value,
        "checkpoint": _optional(conversation.checkpoint),
        "custom_data": to_json(conversation.custom_data),
    }
    return tuple(columns.values())


def _optional(document: Document | None) -> str | None:
    return to_json(document) if document is not None else None


_CUSTOM_DATA = msgspec.json.Decoder(CustomData)
_DOCUMENT = msgspec.json.Decoder(Document)
_AUTHORSHIP = msgspec.json.Decoder(Authorship)
_DOCUMENTS = msgspec.json.Decoder(tuple[Document, ...])
_ATTACHMENTS = msgspec.json.Decoder(tuple[Attachment, ...])
