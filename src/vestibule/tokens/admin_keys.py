"""Recognises admin keys and notes their use; it must not decide what a key may do.

A key is read from the database each time: operators call seldom, and an ended key shall open nothing from that moment.
"""

from __future__ import annotations

import contextlib

from vestibule.clock import MINUTE_MS, now_ms
from vestibule.errors import InvalidAdminKey, StorageUnavailable
from vestibule.model.workspace import AdminKey
from vestibule.storage import admin_keys as rows
from vestibule.storage.store import Store
from vestibule.tokens.api_key import ADMIN_KEY, fingerprint, workspace_of


async def identify(store: Store, text: str) -> AdminKey:
    """Raises InvalidAdminKey, in the same words whatever is wrong with it; StorageUnavailable."""
    key = await rows.find_by_hash(store, workspace_of(text, ADMIN_KEY), fingerprint(text))
    now = now_ms()
    if key is None or not key.usable_at(now):
        raise InvalidAdminKey(detail="unknown, revoked or expired", step="admin_key")
    if key.last_used_at is None or now - key.last_used_at > MINUTE_MS:
        with contextlib.suppress(StorageUnavailable):
            await rows.touch(store, key.workspace_id, key.id, now)
    return key
