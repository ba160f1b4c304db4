"""Knows which tokens were ended before their time, and ends one that is shown; it must not end another by itself.

Few tokens ever are, so every process holds all endings in memory and asks for new ones every two seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys

from vestibule.clock import SECOND_MS, now_ms
from vestibule.errors import InvalidContactToken, StorageUnavailable
from vestibule.model.claims import Method
from vestibule.storage import attached_identities, contacts, pending_identities, refresh_tokens
from vestibule.storage import token_endings as rows
from vestibule.storage.attached_identities import AttachedRow
from vestibule.storage.store import Store, Work
from vestibule.storage.token_endings import EVERYWHERE, FOR_EVER, NO_SESSION, SESSION, Ending
from vestibule.tokens.contact_token import ContactClaims

_ASK_EVERY_SECONDS = 2.0
# Clocks of two nodes may differ a little, and a transaction may be committed a moment after its time was read.
_OVERLAP_MS = 30 * SECOND_MS
_log = logging.getLogger(__name__)
# What ends all of a contact's tokens, and what of them ends as well if they name no session of their provider.
_ALL = ("", EVERYWHERE)
_ALL_WITHOUT_SESSION = (*_ALL, NO_SESSION)


def end_one(ending: Ending, now: int) -> Work[None]:
    """Ends one token, and what it stands for in a conversation that it was given for: its holder goes on as nobody
    there, who proves themselves again gets another token, and no userInfoId that opened it does so again. A visitor
    session, whose id is its token's, is over: it would go on with further texts of this very token."""
    yield refresh_tokens.end(ending.workspace_id, ending.token_id)
    cleared = yield attached_identities.clear_token(ending.workspace_id, ending.contact_id, ending.token_id, now)
    for row in (AttachedRow(*columns) for columns in cleared):
        yield pending_identities.end(row.workspace_id, row.conversation_id, row.holder)
    yield rows.insert_query(ending, now)


class TokenEndings:
    """The endings of an installation."""

    def __init__(self, store: Store) -> None:
        self._store = store
        # By workspace, single tokens and sessions of providers: when each was noted, or FOR_EVER. Every process
        # may have hundreds of thousands: with pairs for keys they would take half as much again.
        self._tokens: dict[str, dict[str, int]] = {}
        # By workspace, contact and which of their tokens: before when these were issued.
        self._contacts: dict[tuple[str, str, str], int] = {}
        self._newest = 0  # when the last ending was noted, as far as is known
        self._since = 0
        self._known = False

    def check(self, claims: ContactClaims) -> None:
        """Raises InvalidContactToken for a token that was ended, StorageUnavailable while no ending is known yet."""
        issued, of_provider = claims.iat * SECOND_MS, claims.method is Method.TOKEN_EXCHANGE
        if self.ended_by_itself(claims.org_id, claims.jti) or self.ended(
            claims.org_id, claims.sub, issued, session=claims.sid, of_provider=of_provider
        ):
            raise InvalidContactToken(detail="ended", step="ended")

    def ended_by_itself(self, workspace_id: str, token_id: str) -> bool:
        """Whether this one token was ended, as far as is known yet."""
        return token_id in self._tokens.get(workspace_id, ())

    def ended(
        self, workspace_id: str, contact_id: str, since: int, *, session: str | None, of_provider: bool = True
    ) -> bool:
        """Whether what has stood for a contact since then (epoch ms) does so no more: they were signed out everywhere,
        or from the session of their provider that it came of, which may be unknown. Raises StorageUnavailable."""
        which = _ALL_WITHOUT_SESSION if of_provider and session is None else _ALL
        for kind in which:
            if since < self._contacts.get((workspace_id, contact_id, kind), 0):
                return True
        return self.is_over(workspace_id, session)

    def is_over(self, workspace_id: str, session: str | None) -> bool:
        """Whether a provider's session, as `session_of` names it, has ended: it does not begin again, so no proof of it
        counts from then on. Raises StorageUnavailable while no ending is known yet."""
        self.require_known()
        return session is not None and self.ended_by_itself(workspace_id, SESSION + session)

    def require_known(self) -> None:
        """Raises StorageUnavailable while no ending is known yet."""
        if not self._known:
            raise StorageUnavailable(detail="the ended tokens were not read yet", step="ended")

    async def end(self, claims: ContactClaims) -> None:
        """Ends this one token: here at once, for the other processes with their next refresh. Raises
        StorageUnavailable."""
        now = now_ms()

        def work() -> Work[int]:
            # For ever only what could open something by then: anybody can have as many tokens as they like that never
            # wrote a word, and would fill every process with their endings.
            lasting = claims.exp is None and (yield contacts.hold(claims.org_id, claims.sub))
            until = FOR_EVER if lasting else now
            yield from end_one(Ending(claims.org_id, claims.sub, claims.jti, until), now)
            return until

        self._keep(claims.org_id, claims.jti, await self._store.transact(work))

    async def refresh(self) -> None:
        """Raises StorageUnavailable."""
        began = now_ms()
        async for ending, noted in rows.list_since(self._store, self._since):
            self._newest = max(self._newest, noted)
            workspace_id = sys.intern(ending.workspace_id)  # all are kept, of few workspaces
            if ending.token_id in _ALL_WITHOUT_SESSION:
                key = (workspace_id, ending.contact_id, ending.token_id)
                self._contacts[key] = max(ending.issued_before, self._contacts.get(key, 0))
            else:
                kept_from = FOR_EVER if ending.issued_before == FOR_EVER else began
                self._keep(workspace_id, ending.token_id, kept_from)
        # By our clock or by that of the last one's author, whichever is behind: a clock that has jumped ahead, ours or
        # one of theirs, must not hide what is noted by those that are right.
        self._since = min(began, self._newest) - _OVERLAP_MS
        self._known = True

    async def purge(self, before: int) -> int:
        """Forgets the endings that were noted before a moment, of tokens which are over by themselves by now. How many.
        Raises StorageUnavailable."""
        for workspace_id, tokens in list(self._tokens.items()):
            self._tokens[workspace_id] = {token: noted for token, noted in tokens.items() if noted >= before}
        self._contacts = {key: noted for key, noted in self._contacts.items() if not key[2] or noted >= before}
        return await rows.purge(self._store, before)

    def _keep(self, workspace_id: str, token_id: str, kept_from: int) -> None:
        self._tokens.setdefault(workspace_id, {})[token_id] = kept_from

    async def run(self) -> None:
        """Asks for new endings until cancelled."""
        while True:
            try:
                with contextlib.suppress(StorageUnavailable):
                    await self.refresh()
            except Exception:
                _log.exception("the ended tokens cannot be read")
            await asyncio.sleep(_ASK_EVERY_SECONDS)
