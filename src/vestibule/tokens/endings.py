"""Knows which tokens were ended before their time; it must not end one by itself.

Few tokens ever are, so every process holds all endings in memory and asks for new ones every two seconds.
"""

from __future__ import annotations

import asyncio
import contextlib

from vestibule.clock import SECOND_MS, elapsed, now_ms
from vestibule.errors import InvalidContactToken, StorageUnavailable
from vestibule.model.claims import Method
from vestibule.storage import token_endings as rows
from vestibule.storage.store import Store
from vestibule.storage.token_endings import NO_SESSION, SESSION, Ending
from vestibule.tokens.contact_token import ContactClaims

_ASK_EVERY_SECONDS = 2.0
# So that what was purged from the database goes from memory, too.
_READ_ALL_EVERY_SECONDS = 3600.0
# Clocks of two nodes may differ a little, and a transaction may be committed a moment after its time was read.
_OVERLAP_MS = 30 * SECOND_MS


class _Ended:
    """`without_session`: tokens that came of no known session of a provider."""

    __slots__ = ("contacts", "tokens", "without_session")

    def __init__(self) -> None:
        self.tokens: set[tuple[str, str]] = set()
        self.contacts: dict[tuple[str, str], int] = {}
        self.without_session: dict[tuple[str, str], int] = {}

    def add(self, ending: Ending) -> None:
        if ending.token_id in {"", NO_SESSION}:
            times = self.contacts if not ending.token_id else self.without_session
            key = (ending.workspace_id, ending.contact_id)
            times[key] = max(ending.issued_before, times.get(key, 0))
        else:
            self.tokens.add((ending.workspace_id, ending.token_id))


class TokenEndings:
    """The endings of an installation."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._ended = _Ended()
        self._since = 0
        self._read_all_at = -_READ_ALL_EVERY_SECONDS
        self._known = False

    def check(self, claims: ContactClaims) -> None:
        """Raises InvalidContactToken for a token that was ended, StorageUnavailable while no ending is known yet."""
        self._require_known()
        ended = self._ended
        of_contact = (claims.org_id, claims.sub)
        before = ended.contacts.get(of_contact, 0)
        if claims.sid is None and claims.method is Method.TOKEN_EXCHANGE:
            before = max(before, ended.without_session.get(of_contact, 0))
        if (
            claims.iat * SECOND_MS < before
            or (claims.org_id, claims.jti) in ended.tokens
            or self.is_over(claims.org_id, claims.sid)
        ):
            raise InvalidContactToken(detail="ended", step="ended")

    def is_over(self, workspace_id: str, session: str | None) -> bool:
        """Whether a provider's session, as `session_of` names it, has ended: it does not begin again, so no proof of it
        counts from then on. Raises StorageUnavailable while no ending is known yet."""
        self._require_known()
        return session is not None and (workspace_id, SESSION + session) in self._ended.tokens

    async def refresh(self) -> None:
        """Raises StorageUnavailable."""
        began, every = now_ms(), elapsed() - self._read_all_at >= _READ_ALL_EVERY_SECONDS
        found = await rows.list_since(self._store, 0 if every else self._since)
        ended = _Ended() if every else self._ended
        for ending in found:
            ended.add(ending)
        self._ended = ended
        self._since = began - _OVERLAP_MS
        self._known = True
        if every:
            self._read_all_at = elapsed()

    def _require_known(self) -> None:
        if not self._known:
            raise StorageUnavailable(detail="the ended tokens were not read yet", step="ended")

    async def run(self) -> None:
        """Asks for new endings until cancelled."""
        while True:
            with contextlib.suppress(StorageUnavailable):
                await self.refresh()
            await asyncio.sleep(_ASK_EVERY_SECONDS)
