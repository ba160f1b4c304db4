"""Signing keys as rows, private halves sealed; it must not decide which key signs."""

from __future__ import annotations

import msgspec

from vestibule.storage.statement import statement
from vestibule.storage.store import Store, Work, query


class SigningKeyRow(msgspec.Struct, frozen=True):
    """`signs_from`: first moment it may sign. `last_expiry`: the latest `exp` a token signed by it can have.
    `sealed_private_jwk` is gone once the key is withdrawn. All times epoch ms."""

    id: str
    public_jwk: str
    sealed_private_jwk: str | None
    created_at: int
    signs_from: int
    last_expiry: int
    withdrawn_at: int | None

    def __repr__(self) -> str:
        return f"SigningKeyRow({self.id})"


def sealing_context(key_id: str) -> str:
    return f"signing_keys.private_jwk:{key_id}"


_COLUMNS = "id, public_jwk, sealed_private_jwk, created_at, signs_from, last_expiry, withdrawn_at"

INSERT = statement(
    "signing_keys.insert", f"INSERT INTO signing_keys ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id"
)
# Takes turns: the row is locked until the unit of work is committed, and the statement after it sees what others have
# done. `NOT EXISTS` alone lets processes that start at once each make a first key on PostgreSQL.
TAKE_TURN = statement(
    "signing_keys.take_turn",
    """
    INSERT INTO installation (name, value) VALUES ('first_signing_key', '') ON CONFLICT (name)
    DO UPDATE SET value = excluded.value RETURNING name
    """,
)
INSERT_FIRST = statement(
    "signing_keys.insert_first",
    f"""
    INSERT INTO signing_keys ({_COLUMNS})
    SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS BIGINT), CAST($5 AS BIGINT),
        CAST($6 AS BIGINT), CAST(NULL AS BIGINT)
    WHERE NOT EXISTS (SELECT 1 FROM signing_keys WHERE withdrawn_at IS NULL) RETURNING id
    """,
)
LIST = statement("signing_keys.list", f"SELECT {_COLUMNS} FROM signing_keys ORDER BY signs_from, created_at, id")
WITHDRAW = statement(
    "signing_keys.withdraw",
    """
    UPDATE signing_keys SET withdrawn_at = COALESCE(withdrawn_at, $2), sealed_private_jwk = NULL WHERE id = $1
    RETURNING id
    """,
)
EXTEND = statement(
    "signing_keys.extend", "UPDATE signing_keys SET last_expiry = $2 WHERE id = $1 AND last_expiry < $2 RETURNING id"
)


async def insert(store: Store, row: SigningKeyRow) -> None:
    await store.write(INSERT, *msgspec.structs.astuple(row))


async def insert_first(store: Store, row: SigningKeyRow) -> None:
    """Inserts unless a key that is not withdrawn exists."""

    def work() -> Work[None]:
        yield query(TAKE_TURN)
        yield query(INSERT_FIRST, *msgspec.structs.astuple(row)[:-1])

    await store.transact(work)


async def list_all(store: Store) -> list[SigningKeyRow]:
    return [SigningKeyRow(*row) for row in await store.read(LIST)]


async def withdraw(store: Store, key_id: str, at: int) -> bool:
    return bool(await store.write(WITHDRAW, key_id, at))


async def extend(store: Store, key_id: str, last_expiry: int) -> None:
    """Notes that the key signs tokens that live until `last_expiry`; it never moves back."""
    await store.write(EXTEND, key_id, last_expiry)
