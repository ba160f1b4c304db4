"""What every process knows of ended tokens, however many there are, on both engines."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from vestibule.errors import StorageUnavailable
from vestibule.storage import token_endings as rows
from vestibule.storage.opening import ensure_schema, open_store
from vestibule.storage.store import Store
from vestibule.storage.token_endings import Ending
from vestibule.tokens.endings import TokenEndings


@pytest.fixture
def migrated(database_url: str) -> str:
    ensure_schema(database_url, may_migrate=True)
    return database_url


@pytest.fixture
async def store(migrated: str) -> AsyncIterator[Store]:
    opened = await open_store(migrated)
    yield opened
    await opened.close()


async def test_all_are_read_piece_by_piece(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "_PIECE", 3)
    noted = [(f"t-{number}", 1_000 + number // 4) for number in range(10)]  # four at a moment: more than a piece
    for token, at in noted:
        await rows.insert(store, Ending("w", "c", token, 0), at)
    endings = TokenEndings(store)
    with pytest.raises(StorageUnavailable):
        endings.require_known()  # nor is a process ready that knows none
    await endings.refresh()
    endings.require_known()
    assert all(endings.ended_by_itself("w", token) for token, _ in noted)
    await rows.insert(store, Ending("w", "c", "t-later", 0), 1_010)
    await endings.refresh()
    assert endings.ended_by_itself("w", "t-later")
