"""Uploaded files as rows: whose they are and what they are; their bytes lie elsewhere (`file_store.py`), and the secret
of their link is kept as a hash."""

from __future__ import annotations

import msgspec

from vestibule.model.conversation import Attachment, StoredFile
from vestibule.storage.statement import statement
from vestibule.storage.store import Query, Row, Store, Work, query

_COLUMNS = "workspace_id, id, contact_id, secret_hash, name, media_type, size, created_at, token_id"

INSERT = statement(
    "files.insert", f"INSERT INTO files ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING id"
)
FIND = statement("files.find", f"SELECT $slot, {_COLUMNS} FROM files WHERE workspace_id = $1 AND id = $2")
# Not by the id alone: to be spared sorting, SQLite would read the whole workspace by its primary key.
OF_CONTACT = statement(
    "files.of_contact",
    f"SELECT {_COLUMNS} FROM files WHERE workspace_id = $1 AND contact_id = $2 ORDER BY created_at, id",
)
COUNT_OF_CONTACT = statement(
    "files.count_of_contact", "SELECT COUNT(*) FROM files WHERE workspace_id = $1 AND contact_id = $2"
)
SIZE_OF_UPLOADER = statement(
    "files.size_of_uploader",
    "SELECT COALESCE(SUM(size), 0) FROM files WHERE workspace_id = $1 AND contact_id = $2 AND token_id = $3",
)
# What hangs on messages names its file by the link alone (conversations/files.py).
ATTACHED_IN = statement(
    "files.attached_in",
    """
    SELECT attachments FROM messages WHERE workspace_id = $1 AND conversation_id = $2 AND attachments IS NOT NULL
    """,
)
# CROSS JOIN: SQLite, which has no statistics, begins with the first table then, and not with every message.
ATTACHED_OF_CONTACT = statement(
    "files.attached_of_contact",
    """
    SELECT m.attachments FROM conversations c CROSS JOIN messages m
    WHERE m.workspace_id = c.workspace_id AND m.conversation_id = c.id AND m.attachments IS NOT NULL
        AND c.workspace_id = $1 AND c.contact_id = $2 AND c.contact_id IS NOT NULL
    """,
)
GIVE = statement("files.give", "UPDATE files SET contact_id = $3, token_id = '' WHERE workspace_id = $1 AND id = $2")
DELETE = statement("files.delete", "DELETE FROM files WHERE workspace_id = $1 AND id = $2 RETURNING id")


def insert(file: StoredFile) -> Query:
    return query(INSERT, *msgspec.structs.astuple(file))


async def find(store: Store, workspace_id: str, file_id: str) -> StoredFile | None:
    rows = await store.read(FIND, workspace_id, file_id)
    return _from_row(rows[0]) if rows else None


async def of_contact(store: Store, workspace_id: str, contact_id: str) -> list[StoredFile]:
    """In the order in which they were uploaded."""
    return [_from_row(row) for row in await store.read(OF_CONTACT, workspace_id, contact_id)]


async def count_of_contact(store: Store, workspace_id: str, contact_id: str) -> int:
    return int((await store.read(COUNT_OF_CONTACT, workspace_id, contact_id))[0][0])


async def size_beside(store: Store, file: StoredFile) -> int:
    """The bytes of all that whoever uploads this has uploaded: the contact, or the device of an unverified one."""
    return int((await store.read(SIZE_OF_UPLOADER, file.workspace_id, file.contact_id, file.token_id))[0][0])


def size_beside_work(file: StoredFile) -> Work[int]:
    """Likewise in a unit of work."""
    return int((yield query(SIZE_OF_UPLOADER, file.workspace_id, file.contact_id, file.token_id))[0][0])


def attached_in(workspace_id: str, conversation_id: str) -> Work[list[str]]:
    """The links of all that was attached in a conversation."""
    return _links((yield query(ATTACHED_IN, workspace_id, conversation_id)))


async def attached_of_contact(store: Store, workspace_id: str, contact_id: str) -> list[str]:
    """Likewise in all conversations that are a contact's by now, whoever has uploaded it."""
    return _links(await store.read(ATTACHED_OF_CONTACT, workspace_id, contact_id))


def give(workspace_id: str, file_id: str, contact_id: str) -> Query:
    return query(GIVE, workspace_id, file_id, contact_id)


async def delete(store: Store, workspace_id: str, file_id: str) -> bool:
    return bool(await store.write(DELETE, workspace_id, file_id))


def _from_row(row: Row) -> StoredFile:
    return StoredFile(*row)


def _links(rows: list[Row]) -> list[str]:
    return [attachment.url for (text,) in rows for attachment in _ATTACHMENTS.decode(text)]


_ATTACHMENTS = msgspec.json.Decoder(tuple[Attachment, ...])
