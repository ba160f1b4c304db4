"""Brings verified claims to their contact: find, decide, write, and again if somebody was faster; the decision itself
is in `matching`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from vestibule.errors import ContactBusy
from vestibule.identity.matching import Decision, Known, Outcome, decide
from vestibule.model.claims import VerifiedClaims
from vestibule.storage.contacts import Contacts

# A writer that loses a race looks again. Within one process nobody races (see `_turn`), so the number of rounds is
# bounded by the number of processes, and this is generous.
_ROUNDS = 12


class Resolver:
    """Resolves claims to contacts."""

    def __init__(self, contacts: Contacts) -> None:
        self._contacts = contacts
        self._turns: dict[tuple[str, str], _Turn] = {}

    async def resolve(self, claims: VerifiedClaims) -> Decision:
        """The contact of the claims, created or updated. Raises ContactBusy, StorageUnavailable."""
        if claims.email_key is None:
            raise ValueError("these claims have no key that could find a contact")
        decision = decide(claims, await self._look(claims, claims.email_key))
        if decision.outcome is Outcome.UNCHANGED:
            return decision
        async with self._turn(claims.workspace_id, claims.email_key) as waited:
            if waited:  # somebody else wrote meanwhile
                decision = decide(claims, await self._look(claims, claims.email_key))
            for round_ in range(_ROUNDS):
                if decision.outcome is Outcome.UNCHANGED or await self._write(decision):
                    return decision
                if round_:
                    await asyncio.sleep(0.002 * round_)
                decision = decide(claims, await self._look(claims, claims.email_key))
        raise ContactBusy(detail="lost every race", step="resolve")

    async def _look(self, claims: VerifiedClaims, email_key: str) -> Known:
        by_email = await self._contacts.find_by_email(claims.workspace_id, email_key)
        if claims.phone_key is None or (by_email is not None and by_email.phone_key == claims.phone_key):
            return Known(by_email)
        return Known(by_email, await self._contacts.find_by_phone(claims.workspace_id, claims.phone_key))

    async def _write(self, decision: Decision) -> bool:
        if decision.outcome is Outcome.CREATED:
            return await self._contacts.insert(decision.contact)
        return await self._contacts.update(decision.contact)

    @contextlib.asynccontextmanager
    async def _turn(self, workspace_id: str, key: str) -> AsyncIterator[bool]:
        """One writer per contact in this process; tells whether there was somebody to wait for."""
        turn = self._turns.get((workspace_id, key))
        if turn is None:
            turn = self._turns[workspace_id, key] = _Turn()
        waited = turn.takers > 0
        turn.takers += 1
        try:
            async with turn.lock:
                yield waited
        finally:
            turn.takers -= 1
            if not turn.takers:
                del self._turns[workspace_id, key]


class _Turn:
    __slots__ = ("lock", "takers")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.takers = 0
