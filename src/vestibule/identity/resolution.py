"""Brings verified claims to their contact: find, decide, write, and again if somebody was faster; the decision itself
is in `matching`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from vestibule.errors import ContactBusy, InvalidProviderToken
from vestibule.identity.matching import Decision, Known, KnownSubject, Outcome, decide, decide_by_subject
from vestibule.model.claims import ProviderSubject, VerifiedClaims
from vestibule.storage.contacts import Contacts
from vestibule.storage.provider_identities import ProviderIdentities

# A writer that loses a race looks again. Within one process nobody races (see `_turn`), so the number of rounds is
# bounded by the number of processes, and this is generous.
_ROUNDS = 12


class Resolver:
    """Resolves claims to contacts."""

    def __init__(self, contacts: Contacts, provider_identities: ProviderIdentities) -> None:
        self._contacts = contacts
        self._provider_identities = provider_identities
        self._turns: dict[tuple[str, ...], _Turn] = {}

    async def resolve(self, claims: VerifiedClaims) -> Decision:
        """The contact of the claims, created, linked or updated. A proof that is good only once is used up by it.

        Raises InvalidProviderToken for one that was used before, IdentityConflict, ContactBusy, StorageUnavailable."""
        if claims.subject is not None and not await self._provider_identities.use_up(
            claims.workspace_id, claims.subject
        ):
            raise InvalidProviderToken(detail="used before, and its provider's tokens are good once", step="single_use")
        decision = await self.preview(claims)
        if decision.outcome is Outcome.UNCHANGED:
            return decision
        async with self._turn(_key(claims)) as waited:
            if waited:  # somebody else wrote meanwhile
                decision = await self.preview(claims)
            for round_ in range(_ROUNDS):
                if decision.outcome is Outcome.UNCHANGED or await self._write(claims, decision):
                    return decision
                if round_:
                    await asyncio.sleep(0.002 * round_)
                decision = await self.preview(claims)
        raise ContactBusy(detail="lost every race", step="resolve")

    async def preview(self, claims: VerifiedClaims) -> Decision:
        """What `resolve` would come to now; nothing is written. Raises IdentityConflict, StorageUnavailable."""
        if claims.subject is not None:
            return decide_by_subject(claims, await self._look_by_subject(claims, claims.subject))
        if claims.email_key is None:
            raise ValueError("these claims have no key that could find a contact")
        return decide(claims, await self._look(claims, claims.email_key))

    async def _look(self, claims: VerifiedClaims, email_key: str) -> Known:
        by_email = await self._contacts.find_by_email(claims.workspace_id, email_key)
        if claims.phone_key is None or (by_email is not None and by_email.phone_key == claims.phone_key):
            return Known(by_email)
        return Known(by_email, await self._contacts.find_by_phone(claims.workspace_id, claims.phone_key))

    async def _look_by_subject(self, claims: VerifiedClaims, subject: ProviderSubject) -> KnownSubject:
        found = await self._provider_identities.find_contact(claims.workspace_id, subject)
        if claims.email_key is None or (found is not None and found.email_key is not None):
            return KnownSubject(found)
        by_email = await self._contacts.find_by_email(claims.workspace_id, claims.email_key)
        if by_email is None or found is not None:
            return KnownSubject(found, by_email)
        anothers = await self._provider_identities.has_other_subject(claims.workspace_id, by_email.id, subject)
        return KnownSubject(found, by_email, anothers)

    async def _write(self, claims: VerifiedClaims, decision: Decision) -> bool:
        subject = claims.subject
        if decision.outcome is Outcome.UPDATED:
            return await self._contacts.update(decision.contact)
        if decision.outcome is Outcome.LINKED and subject is not None:
            return await self._provider_identities.link(decision.contact, subject)
        if subject is not None:
            return await self._provider_identities.create(decision.contact, subject)
        return await self._contacts.insert(decision.contact)

    @contextlib.asynccontextmanager
    async def _turn(self, key: tuple[str, ...]) -> AsyncIterator[bool]:
        """One writer per contact in this process; tells whether there was somebody to wait for."""
        turn = self._turns.get(key)
        if turn is None:
            turn = self._turns[key] = _Turn()
        waited = turn.takers > 0
        turn.takers += 1
        try:
            async with turn.lock:
                yield waited
        finally:
            turn.takers -= 1
            if not turn.takers:
                del self._turns[key]


def _key(claims: VerifiedClaims) -> tuple[str, ...]:
    """What requests of the same person have in common. Two that meet in one contact by different keys still race, and
    the loser looks again."""
    if claims.subject is not None:
        return claims.workspace_id, claims.subject.issuer, claims.subject.subject
    return claims.workspace_id, claims.email_key or ""


class _Turn:
    __slots__ = ("lock", "takers")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.takers = 0
