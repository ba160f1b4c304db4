"""Brings everything that is sealed at rest under another secret key, while the service runs; it must not show a key."""

from __future__ import annotations

import msgspec

from vestibule.administration.desk import Desk
from vestibule.model.audit import INSTALLATION
from vestibule.storage import resealing


class Resealed(msgspec.Struct, frozen=True):
    """By table: how many values are sealed anew, and how many could not be opened with any of the keys."""

    resealed: dict[str, int]
    unreadable: dict[str, int]

    @property
    def is_whole(self) -> bool:
        return not self.unreadable


async def reseal(desk: Desk) -> Resealed:
    """Seals with the first key what another one sealed; then the other keys can be taken away. Nothing is changed where
    something cannot be opened: one key that opens all the rest must not become two that each open a part. Raises
    StorageUnavailable."""
    unreadable: dict[str, int] = {}
    for column in resealing.COLUMNS:
        async for row in resealing.rows_of_other_keys(desk.store, column, desk.sealer):
            if not resealing.can_be_opened(column, desk.sealer, row):
                unreadable[column.table] = unreadable.get(column.table, 0) + 1
    if unreadable:
        return Resealed({}, unreadable)
    done: dict[str, int] = {}
    for column in resealing.COLUMNS:
        async for row in resealing.rows_of_other_keys(desk.store, column, desk.sealer):
            await resealing.reseal(desk.store, column, desk.sealer, row)
            done[column.table] = done.get(column.table, 0) + 1
    await resealing.note_sealed_with(desk.store, desk.sealer.fingerprints[0])
    await desk.record("secret_keys.reseal", INSTALLATION, desk.sealer.fingerprints[0])
    return Resealed(done, {})
