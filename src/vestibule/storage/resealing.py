"""Every column that holds a sealed value, to be sealed again with another key, and those that once held them in clear;
it must not know what a value says.

A test compares the list with the schema: a column named `sealed_…` that is missing here would be lost with the old key.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import msgspec

from vestibule.errors import CannotUnseal
from vestibule.sealing import Sealer
from vestibule.storage import (
    contacts,
    idempotency,
    identity_providers,
    responder_jobs,
    signing_keys,
    socket_rooms,
    webhooks,
    workspace_settings,
)
from vestibule.storage.statement import Statement, statement
from vestibule.storage.store import Row, Store, Value

_PAGE = 200


class SealedColumn(msgspec.Struct, frozen=True):
    """`context` makes, of the keys of a row, the text that its value is sealed with. `clear`: what is to be sealed is
    in another column, in clear."""

    table: str
    column: str
    keys: tuple[str, ...]
    context: Callable[..., str]
    page: Statement
    put: Statement
    first: tuple[Value, ...]
    clear: bool


def _sealed(
    table: str,
    column: str,
    keys: dict[str, Value],
    context: Callable[..., str],
    *,
    only: str = "TRUE",
    clear: str = "",
) -> SealedColumn:
    """`keys` with a value below every one that a row has: the primary key, so that each page goes by its index.
    `clear`: the column that a release before wrote instead."""
    count, read = len(keys), clear or column
    name = f"resealing.{table}.{column}" + (".clear" if clear else "")
    names, places = ", ".join(keys), ", ".join(f"${number}" for number in range(1, count + 1))
    page = statement(
        f"{name}.page",
        f"""
        SELECT {names}, {read} FROM {table}
        WHERE ({names}) > ({places}) AND {read} IS NOT NULL AND {read} NOT LIKE ${count + 1} AND {only}
        ORDER BY {names} LIMIT ${count + 2}
        """,
    )
    # Only over the value that was read: whoever has written meanwhile has sealed with the new key already.
    here = " AND ".join(f"{key} = ${number}" for number, key in enumerate(keys, 1))
    emptied = f", {clear} = NULL" if clear else ""
    put = statement(
        f"{name}.put",
        f"UPDATE {table} SET {column} = ${count + 2}{emptied} WHERE {here} AND {read} = ${count + 1}",
    )
    return SealedColumn(table, column, tuple(keys), context, page, put, tuple(keys.values()), bool(clear))


def _of_contacts(value: str, clear: str = "") -> SealedColumn:
    return _sealed(
        "contacts",
        f"sealed_{value}",
        {"workspace_id": "", "id": ""},
        lambda _, contact: contacts.sealing_context(value, contact),
        clear=clear,
    )


COLUMNS = (
    _sealed("installation", "value", {"name": ""}, str, only="name = 'unverified_contact_secret'"),
    _sealed("signing_keys", "sealed_private_jwk", {"id": ""}, signing_keys.sealing_context),
    _sealed(
        "workspace_settings", "sealed_document", {"workspace_id": "", "kind": ""}, workspace_settings.sealing_context
    ),
    _sealed(
        "identity_providers", "sealed_document", {"workspace_id": "", "id": -1}, identity_providers.sealing_context
    ),
    _of_contacts("http_overrides"),
    _of_contacts("custom_data"),
    _of_contacts("custom_data", clear="custom_data"),
    _of_contacts("non_verified_custom_data"),
    _of_contacts("non_verified_custom_data", clear="non_verified_custom_data"),
    _sealed(
        "responder_jobs",
        "sealed_input",
        {"workspace_id": "", "conversation_id": "", "seq": -1},
        lambda _, conversation, _seq: responder_jobs.sealing_context(conversation),
    ),
    _sealed(
        "idempotency_keys",
        "sealed_answer",
        {"workspace_id": "", "admin_key_id": "", "name_hash": ""},
        lambda *keys: idempotency.Place(*keys).sealing_context,
    ),
    _sealed("socket_rooms", "sealed_token", {"workspace_id": "", "room_hash": ""}, socket_rooms.sealing_context),
    _sealed("webhook_endpoints", "sealed_document", {"workspace_id": "", "id": ""}, webhooks.sealing_context),
)
SEALED_WITH = statement(
    "resealing.sealed_with", "UPDATE installation SET value = $1 WHERE name = 'secret_key' RETURNING name"
)


async def rows_of_other_keys(store: Store, column: SealedColumn, sealer: Sealer) -> AsyncIterator[Row]:
    """The rows whose value is not sealed with the first key, or not at all: their keys, then the value."""
    mine = f"v1.{sealer.fingerprints[0]}.%"
    after = column.first
    while found := await store.read(column.page, *after, mine, _PAGE):
        for row in found:
            yield row
        after = tuple(found[-1][: len(column.keys)])


def can_be_opened(column: SealedColumn, sealer: Sealer, row: Row) -> bool:
    try:
        _text(column, sealer, row)
    except CannotUnseal:
        return False
    return True


def _text(column: SealedColumn, sealer: Sealer, row: Row) -> str:
    *keys, read = row
    return str(read) if column.clear else sealer.unseal(read, column.context(*keys))


async def reseal(store: Store, column: SealedColumn, sealer: Sealer, row: Row) -> None:
    """Raises CannotUnseal for a value of a key that is not known, or one that was altered."""
    *keys, read = row
    await store.write(column.put, *keys, read, sealer.seal(_text(column, sealer, row), column.context(*keys)))


async def note_sealed_with(store: Store, fingerprint: str) -> None:
    """What every node must hold from now on."""
    await store.write(SEALED_WITH, fingerprint)
