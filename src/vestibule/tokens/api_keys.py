"""Recognises API keys and notes their use; it must not decide what a key may do."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import msgspec

from vestibule.clock import MINUTE_MS, elapsed, now_ms
from vestibule.errors import InvalidApiKey, StorageUnavailable
from vestibule.model.workspace import ApiKey, Workspace
from vestibule.short_memory import FRESH_SECONDS
from vestibule.storage import api_keys as rows
from vestibule.storage.store import Store
from vestibule.tokens.api_key import fingerprint, workspace_of

_FLUSH_SECONDS = 2.0
_IDLE_SECONDS = 60.0
_MOST_KNOWN = 10_000
_log = logging.getLogger(__name__)


class Holder(msgspec.Struct, frozen=True):
    """Who presented a good key."""

    api_key: ApiKey
    workspace: Workspace


class _Known:
    __slots__ = ("holder", "read_at", "reading")

    def __init__(self) -> None:
        self.holder: Holder | None = None
        self.read_at = float("-inf")
        self.reading: asyncio.Task[None] | None = None


class ApiKeys:
    """The API keys of an installation, as presented to one process."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, _Known] = {}
        self._used: dict[tuple[str, str], int] = {}
        self._written: dict[tuple[str, str], int] = {}

    async def identify(self, text: str) -> Holder:
        """Whose key this is. Raises InvalidApiKey, in the same words whatever is wrong with it; StorageUnavailable."""
        secret_hash = fingerprint(text)
        known = self._known.get(secret_hash)
        if known is None:
            known = await self._meet(text, secret_hash)
        elif elapsed() - known.read_at > FRESH_SECONDS:
            await self._read_once(known, secret_hash)
        holder = known.holder
        now = now_ms()
        if holder is None or not holder.api_key.usable_at(now):
            raise InvalidApiKey(detail="revoked or expired", step="api_key")
        self._used[holder.api_key.workspace_id, holder.api_key.id] = now
        return holder

    async def run(self) -> None:
        """Writes down when keys were last used, until cancelled."""
        while True:
            await asyncio.sleep(_FLUSH_SECONDS)
            try:
                with contextlib.suppress(StorageUnavailable):
                    await self.flush()
            except Exception:
                _log.exception("the keys' last use cannot be noted")

    async def flush(self) -> None:
        """To the minute while a key is busy: a key's row is written once a minute, not once a request."""
        for key, used_at in list(self._used.items()):
            if used_at - self._written.get(key, 0) >= MINUTE_MS:
                await rows.touch(self._store, key[0], key[1], used_at)
                self._written[key] = used_at
            if self._used[key] == used_at:
                del self._used[key]
        self._forget_idle()

    def _forget_idle(self) -> None:
        """What has not been asked for lately: a key that was rotated or revoked is shown no more."""
        since, now = elapsed() - _IDLE_SECONDS, now_ms()
        self._known = {
            text: known for text, known in self._known.items() if known.read_at > since or known.reading is not None
        }
        self._written = {key: at for key, at in self._written.items() if now - at < MINUTE_MS}

    async def _meet(self, text: str, secret_hash: str) -> _Known:
        # Unknown keys are not remembered: a flood of guesses must not fill the memory, and a key that was made a
        # moment ago must work.
        found = await rows.find_by_hash(self._store, workspace_of(text), secret_hash)
        if found is None:
            raise InvalidApiKey(detail="unknown", step="api_key")
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        known = self._known[secret_hash] = _Known()
        known.holder, known.read_at = Holder(*found), elapsed()
        return known

    async def _read_once(self, known: _Known, secret_hash: str) -> None:
        """Requests that find the same key stale at the same time share one read."""
        if known.reading is None:
            known.reading = asyncio.create_task(self._read(known, secret_hash))
        await asyncio.shield(known.reading)

    async def _read(self, known: _Known, secret_hash: str) -> None:
        try:
            before = known.holder
            workspace_id = before.api_key.workspace_id if before is not None else ""
            found = await rows.find_by_hash(self._store, workspace_id, secret_hash)
            known.holder, known.read_at = (Holder(*found) if found is not None else None), elapsed()
            if found is None:
                self._known.pop(secret_hash, None)
        finally:
            known.reading = None
