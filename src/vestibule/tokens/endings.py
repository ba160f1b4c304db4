"""Knows which tokens were ended before their time, and ends one that is shown; it must not end another by itself.

Few tokens ever are, so every process holds all endings in memory and asks for new ones every two seconds.
"""

from __future__ import annotations

import asyncio
import contextlib

from vestibule.clock import SECOND_MS, now_ms
from vestibule.errors import InvalidContactToken, StorageUnavailable
from vestibule.storage import token_endings as rows
from vestibule.storage.store import Store
from vestibule.storage.token_endings import Ending
from vestibule.tokens.contact_token import ContactClaims

_ASK_EVERY_SECONDS = 2.0
# Clocks of two nodes may differ a little, and a transaction may be committed a moment after its time was read.
_OVERLAP_MS = 30 * SECOND_MS


class TokenEndings:
    """The endings of an installation."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._tokens: set[tuple[str, str]] = set()
        self._contacts: dict[tuple[str, str], int] = {}
        self._since = 0
        self._known = False

    def check(self, claims: ContactClaims) -> None:
        """Raises InvalidContactToken for a token that was ended, StorageUnavailable while no ending is known yet."""
        if not self._known:
            raise StorageUnavailable(detail="the ended tokens were not read yet", step="ended")
        before = self._contacts.get((claims.org_id, claims.sub), 0)
        if claims.iat * SECOND_MS < before or (claims.org_id, claims.jti) in self._tokens:
            raise InvalidContactToken(detail="ended", step="ended")

    async def end(self, claims: ContactClaims) -> None:
        """Ends this one token: here at once, for the other processes with their next refresh. Raises
        StorageUnavailable."""
        now = now_ms()
        await rows.insert(self._store, Ending(claims.org_id, claims.sub, claims.jti, now), now)
        self._tokens.add((claims.org_id, claims.jti))

    async def refresh(self) -> None:
        """Raises StorageUnavailable."""
        began = now_ms()
        for ending in await rows.list_since(self._store, self._since):
            if ending.token_id:
                self._tokens.add((ending.workspace_id, ending.token_id))
            else:
                key = (ending.workspace_id, ending.contact_id)
                self._contacts[key] = max(ending.issued_before, self._contacts.get(key, 0))
        self._since = began - _OVERLAP_MS
        self._known = True

    async def run(self) -> None:
        """Asks for new endings until cancelled."""
        while True:
            with contextlib.suppress(StorageUnavailable):
                await self.refresh()
            await asyncio.sleep(_ASK_EVERY_SECONDS)
