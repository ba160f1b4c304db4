"""Tokens that were ended before their time, as rows; it must not check one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection

import msgspec

from vestibule.storage.purging import delete_in_batches, purging
from vestibule.storage.statement import statement
from vestibule.storage.store import Query, Store, Work, query

INSERT = statement(
    "token_endings.insert",
    """
    INSERT INTO token_endings (workspace_id, contact_id, token_id, issued_before, created_at)
    VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (workspace_id, contact_id, token_id)
    DO UPDATE SET issued_before = excluded.issued_before, created_at = excluded.created_at RETURNING created_at
    """,
)
SINCE = statement(
    "token_endings.since",
    """
    SELECT workspace_id, contact_id, token_id, issued_before, created_at FROM token_endings
    WHERE created_at >= $1 AND (created_at, workspace_id, contact_id, token_id) > ($1, $2, $3, $4)
    ORDER BY created_at, workspace_id, contact_id, token_id LIMIT $5
    """,
)
# A process that starts reads all there are: millions of them in one answer would take longer than a statement may.
_PIECE = 10_000
OF_CONTACT = statement(
    "token_endings.of_contact",
    """
    SELECT workspace_id, contact_id, token_id, issued_before FROM token_endings
    WHERE workspace_id = $1 AND contact_id = $2
    """,
)
FIND = statement(
    "token_endings.find",
    "SELECT created_at FROM token_endings WHERE workspace_id = $1 AND contact_id = $2 AND token_id = $3",
)
# A token that had an end of its own is over by it, so it needs no other. A contact's ending stays: an unverified
# visitor's token has none. So does that of one such token.
PURGE = purging(
    "token_endings",
    "workspace_id, contact_id, token_id",
    "created_at < $1 AND token_id <> '' AND issued_before <> $2",
    "created_at",
)
# In place of a token's id, where no id that is made here can be: every token of a contact who is verified, each of
# which has an end of its own; those of them that came of no known session of a provider; and what stands before a
# session's name, of whatever contact.
EVERYWHERE, NO_SESSION, SESSION = "*", "-", "sid:"
# In place of a time, with one token's id: the token has no end of its own, so this one stays.
FOR_EVER = 2**53


class Ending(msgspec.Struct, frozen=True):
    """`token_id` empty, EVERYWHERE or NO_SESSION: such tokens of the contact as were issued before `issued_before`
    (epoch ms). After SESSION it names a session, and no contact. Otherwise it is one token, whenever it was issued."""

    workspace_id: str
    contact_id: str
    token_id: str
    issued_before: int


async def insert(store: Store, ending: Ending, created_at: int) -> None:
    await store.write(INSERT, ending.workspace_id, ending.contact_id, ending.token_id, ending.issued_before, created_at)


def insert_query(ending: Ending, created_at: int) -> Query:
    """The same as part of a larger unit of work."""
    return query(INSERT, ending.workspace_id, ending.contact_id, ending.token_id, ending.issued_before, created_at)


async def list_since(store: Store, created_at: int) -> AsyncIterator[tuple[Ending, int]]:
    """Each with when it was noted, by the clock of whoever did."""
    after: tuple[int, str, str, str] = (created_at, "", "", "")
    while True:
        found = await store.read(SINCE, *after, _PIECE)
        for row in found:
            yield Ending(*row[:4]), int(row[4])
        if len(found) < _PIECE:
            return
        last = found[-1]
        after = int(last[4]), last[0], last[1], last[2]


async def of_contact(store: Store, workspace_id: str, contact_id: str) -> list[Ending]:
    return [Ending(*row) for row in await store.read(OF_CONTACT, workspace_id, contact_id)]


def ended_since(workspace_id: str, visitor_id: str, began: int) -> Work[bool]:
    """Whether a visitor session that began then was ended: by its token, whose id is the visitor's, or with all of the
    visitor's."""
    endings = [Ending(*row) for row in (yield query(OF_CONTACT, workspace_id, visitor_id))]
    return ends(endings, visitor_id, began, {""})


def ends(endings: Collection[Ending], token_id: str, issued: int, kinds: Collection[str]) -> bool:
    """Whether one of a contact's endings is of this token, or is of one of these kinds and came after it was issued."""
    before = max((each.issued_before for each in endings if each.token_id in kinds), default=0)
    return issued < before or token_id in {each.token_id for each in endings}


async def is_session_over(store: Store, workspace_id: str, session: str) -> bool:
    """By a provider's session as `session_of` names it."""
    return bool(await store.read(FIND, workspace_id, "", SESSION + session))


async def purge(store: Store, before: int) -> int:
    """Deletes the endings of tokens with an end of their own that were noted before a moment; how many."""
    return await delete_in_batches(store, PURGE, before, FOR_EVER)
