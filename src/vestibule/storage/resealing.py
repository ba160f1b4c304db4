"""Every column that holds a sealed value, to be sealed again with another key; it must not know what a value says.

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
    """`context` makes, of the keys of a row, the text that its value is sealed with."""

    table: str
    column: str
    keys: tuple[str, ...]
    context: Callable[..., str]
    page: Statement
    put: Statement
    first: tuple[Value, ...]


def _sealed(
    table: str, column: str, keys: dict[str, Value], context: Callable[..., str], only: str = "TRUE"
) -> SealedColumn:
    """`keys` with a value below every one that a row has: the primary key, so that each page goes by its index."""
    count = len(keys)
    names, places = ", ".join(keys), ", ".join(f"${number}" for number in range(1, count + 1))
    page = statement(
        f"resealing.{table}.page",
        f"""
        SELECT {names}, {column} FROM {table}
        WHERE ({names}) > ({places}) AND {column} IS NOT NULL AND {column} NOT LIKE ${count + 1} AND {only}
        ORDER BY {names} LIMIT ${count + 2}
        """,
    )
    # Only over the value that was read: whoever has written meanwhile has sealed with the new key already.
    here = " AND ".join(f"{name} = ${number}" for number, name in enumerate(keys, 1))
    put = statement(
        f"resealing.{table}.put",
        f"UPDATE {table} SET {column} = ${count + 2} WHERE {here} AND {column} = ${count + 1}",
    )
    return SealedColumn(table, column, tuple(keys), context, page, put, tuple(keys.values()))


COLUMNS = (
    _sealed("installation", "value", {"name": ""}, str, only="name = 'unverified_contact_secret'"),
    _sealed("signing_keys", "sealed_private_jwk", {"id": ""}, signing_keys.sealing_context),
    _sealed(
        "workspace_settings", "sealed_document", {"workspace_id": "", "kind": ""}, workspace_settings.sealing_context
    ),
    _sealed(
        "identity_providers", "sealed_document", {"workspace_id": "", "id": -1}, identity_providers.sealing_context
    ),
    _sealed(
        "contacts",
        "sealed_http_overrides",
        {"workspace_id": "", "id": ""},
        lambda _, contact: contacts.sealing_context(contact),
    ),
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
    """The rows whose value is not sealed with the first key: their keys, then the value."""
    mine = f"v1.{sealer.fingerprints[0]}.%"
    after = column.first
    while found := await store.read(column.page, *after, mine, _PAGE):
        for row in found:
            yield row
        after = tuple(found[-1][: len(column.keys)])


def can_be_opened(column: SealedColumn, sealer: Sealer, row: Row) -> bool:
    *keys, sealed = row
    try:
        sealer.unseal(sealed, column.context(*keys))
    except CannotUnseal:
        return False
    return True


async def reseal(store: Store, column: SealedColumn, sealer: Sealer, row: Row) -> None:
    """Raises CannotUnseal for a value of a key that is not known, or one that was altered."""
    *keys, sealed = row
    context = column.context(*keys)
    await store.write(column.put, *keys, sealed, sealer.seal(sealer.unseal(sealed, context), context))


async def note_sealed_with(store: Store, fingerprint: str) -> None:
    """What every node must hold from now on."""
    await store.write(SEALED_WITH, fingerprint)
