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
        issued, of_provider = claims.iat * SECOND_MS, claims.method is Method.TOKEN_EXCHANGE
        if (
            self.ended(claims.org_id, claims.sub, issued, session=claims.sid, of_provider=of_provider)
            or (claims.org_id, claims.jti) in self._ended.tokens
        ):
            raise InvalidContactToken(detail="ended", step="ended")

    def ended(
        self, workspace_id: str, contact_id: str, since: int, *, session: str | None, of_provider: bool = True
    ) -> bool:
        """Whether what has stood for a contact since then (epoch ms) does so no more: they were signed out everywhere,
        or from the session of their provider that it came of, which may be unknown. Raises StorageUnavailable."""
        self._require_known()
        before = self._ended.contacts.get((workspace_id, contact_id), 0)
        if of_provider and session is None:
            before = max(before, self._ended.without_session.get((workspace_id, contact_id), 0))
        return since < before or self.is_over(workspace_id, session)

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
