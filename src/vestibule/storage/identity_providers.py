"""Identity providers as rows, sealed whole; it must not judge their settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from vestibule.clock import now_ms
from vestibule.model.identity_provider import IdentityProvider, ProviderSettings
from vestibule.sealing import Sealer
from vestibule.storage.json_columns import from_json, to_json
from vestibule.storage.statement import statement
from vestibule.storage.store import Row, Store, Work, query

Providers = tuple[IdentityProvider, ...]
_SETTINGS = ProviderSettings.__struct_fields__

# Numbers go up for ever: what still names a removed provider must not mean another one.
NEXT_ID = statement(
    "identity_providers.next_id",
    """
    INSERT INTO counters (workspace_id, name, value) VALUES ($1, 'identity_provider', 1)
    ON CONFLICT (workspace_id, name) DO UPDATE SET value = counters.value + 1 RETURNING value
    """,
)
# Who changes a workspace's providers holds this row until the change is made, on either engine: what was decided about
# all of them together (no two take the same tokens, each has its place) is still so when it is written.
LOCK = statement(
    "identity_providers.lock",
    "UPDATE counters SET value = value WHERE workspace_id = $1 AND name = 'identity_provider' RETURNING value",
)
INSERT = statement(
    "identity_providers.insert",
    """
    INSERT INTO identity_providers (workspace_id, id, position, issuer, sealed_document, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6) RETURNING id
    """,
)
UPDATE = statement(
    "identity_providers.update",
    """
    UPDATE identity_providers SET position = $3, issuer = $4, sealed_document = $5, updated_at = $6
    WHERE workspace_id = $1 AND id = $2 RETURNING id
    """,
)
DELETE = statement(
    "identity_providers.delete", "DELETE FROM identity_providers WHERE workspace_id = $1 AND id = $2 RETURNING id"
)
LIST = statement(
    "identity_providers.list",
    "SELECT id, position, sealed_document FROM identity_providers WHERE workspace_id = $1 ORDER BY position, id",
)


async def insert(
    store: Store, sealer: Sealer, workspace_id: str, settings: ProviderSettings, check: Callable[[Providers], None]
) -> IdentityProvider:
    """The provider as stored, last in the order; `check` is shown the others and raises where it may not be."""

    def work() -> Work[IdentityProvider]:
        rows = yield query(NEXT_ID, workspace_id)
        number = int(rows[0][0])
        rows = yield query(LIST, workspace_id)
        check(_providers(sealer, workspace_id, rows))
        # Its number is its place until it is moved: later ones come after earlier ones.
        sealed = sealer.seal(to_json(settings), sealing_context(workspace_id, number))
        yield query(INSERT, workspace_id, number, number, settings.issuer, sealed, now_ms())
        return settings.stored(workspace_id, number, number)

    return await store.transact(work)


async def change(
    store: Store, sealer: Sealer, workspace_id: str, decide: Callable[[Providers], Iterable[IdentityProvider]]
) -> None:
    """Writes what `decide` makes of the providers as they are; it may raise, and then nothing is written."""

    def work() -> Work[None]:
        yield query(LOCK, workspace_id)
        rows = yield query(LIST, workspace_id)
        for provider in decide(_providers(sealer, workspace_id, rows)):
            settings = ProviderSettings(**{name: getattr(provider, name) for name in _SETTINGS})
            sealed = sealer.seal(to_json(settings), sealing_context(workspace_id, provider.id))
            yield query(UPDATE, workspace_id, provider.id, provider.position, provider.issuer, sealed, now_ms())

    await store.transact(work)


async def delete(store: Store, workspace_id: str, provider_id: int) -> bool:
    return bool(await store.write(DELETE, workspace_id, provider_id))


async def list_all(store: Store, sealer: Sealer, workspace_id: str) -> Providers:
    """In their order. Raises CannotUnseal, StorageUnavailable."""
    return _providers(sealer, workspace_id, await store.read(LIST, workspace_id))


def _providers(sealer: Sealer, workspace_id: str, rows: list[Row]) -> Providers:
    return tuple(
        from_json(sealer.unseal(row[2], sealing_context(workspace_id, int(row[0]))), ProviderSettings).stored(
            workspace_id, int(row[0]), int(row[1])
        )
        for row in rows
    )


def sealing_context(workspace_id: str, number: int) -> str:
    return f"identity_providers:{workspace_id}:{number}"
