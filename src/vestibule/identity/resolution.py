"""Brings verified claims to their contact: find, decide, write, and again if somebody was faster; the decision itself
is in `matching`."""

from __future__ import annotations

import asyncio

from vestibule.errors import ContactBusy, InvalidProviderToken, StorageUnavailable
from vestibule.identity.matching import (
    Decision,
    Known,
    KnownKeys,
    KnownSubject,
    Outcome,
    decide,
    decide_by_key,
    decide_by_subject,
)
from vestibule.identity.unverified_id import unverified_contact_id
from vestibule.model.claims import KeyKind, ProviderSubject, VerifiedClaims
from vestibule.model.contact import Contact
from vestibule.storage.contacts import Contacts
from vestibule.storage.installation import UnverifiedSecret
from vestibule.storage.provider_identities import ProviderIdentities

# A writer that loses a race looks again. Within one process nobody races (see `_writers`), so the number of rounds is
# bounded by the number of processes, and this is generous.
_ROUNDS = 12


class Resolver:
    """Resolves claims to contacts. `unverified_secret` is for claims that may claim an unverified contact."""

    def __init__(
        self,
        contacts: Contacts,
        provider_identities: ProviderIdentities,
        unverified_secret: UnverifiedSecret | None = None,
    ) -> None:
        self._unverified_secret = unverified_secret
        self._contacts = contacts
        self._provider_identities = provider_identities
        # One writer per person in this process: many first requests of one person would race one another otherwise.
        # It tells whether the database did not answer it: those behind it fail with it, and not one after the other.
        self._writers: dict[tuple[str, ...], asyncio.Future[bool]] = {}

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
        key = _key(claims)
        waited = False
        while (writer := self._writers.get(key)) is not None:
            if await asyncio.shield(writer):
                raise StorageUnavailable(detail="who was before was not answered", step="resolve")
            waited = True
        self._writers[key] = writer = asyncio.get_running_loop().create_future()
        unanswered = False
        try:
            return await self._write_until_settled(claims, await self.preview(claims) if waited else decision)
        except StorageUnavailable:
            unanswered = True
            raise
        finally:
            del self._writers[key]
            writer.set_result(unanswered)

    async def _write_until_settled(self, claims: VerifiedClaims, decision: Decision) -> Decision:
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
        if claims.match_by is not None:
            return decide_by_key(claims, await self._look_by_key(claims, claims.match_by))
        if claims.email_key is None:
            raise ValueError("these claims have no key that could find a contact")
        return decide(claims, await self._look(claims, claims.email_key))

    async def _look(self, claims: VerifiedClaims, email_key: str) -> Known:
        by_email = await self._contacts.find_by_email(claims.workspace_id, email_key)
        if claims.phone_key is None or (by_email is not None and by_email.phone_key == claims.phone_key):
            return Known(by_email)
        return Known(by_email, await self._contacts.find_by_phone(claims.workspace_id, claims.phone_key))

    async def _look_by_subject(self, claims: VerifiedClaims, subject: ProviderSubject) -> KnownSubject:
        holder = await self._provider_identities.find_contact(claims.workspace_id, subject)
        found = await self._contacts.lead(holder)
        if found is not None:
            by_email = await self._by_email(claims) if found.email_key is None else None
            return KnownSubject(found, by_email, is_merged=found is not holder)
        if claims.email_key is None:
            return KnownSubject()
        holder = await self._contacts.holder_of_email(claims.workspace_id, claims.email_key)
        by_email = await self._contacts.lead(holder)
        if holder is None or by_email is None:
            return KnownSubject()
        anothers = await self._provider_identities.has_other_subject(claims.workspace_id, by_email.id, subject)
        return KnownSubject(
            None, by_email, email_is_anothers=anothers, holder_id=holder.id, is_merged=by_email is not holder
        )

    async def _look_by_key(self, claims: VerifiedClaims, kind: KeyKind) -> KnownKeys:
        by_email = await self._by_email(claims)
        by_phone = await self._by_phone(claims)
        if kind is KeyKind.EMAIL:
            found, others = by_email, [by_phone]
        elif kind is KeyKind.PHONE:
            found, others = by_phone, [by_email]
        else:
            found = await self._contacts.find_by_external_id(claims.workspace_id, claims.external_id or "")
            others = [by_email, by_phone]
        claimable = await self._claimable(claims) if found is None and claims.may_claim else None
        return KnownKeys(found, tuple(other for other in others if other is not None), claimable)

    async def _by_email(self, claims: VerifiedClaims) -> Contact | None:
        if claims.email_key is None:
            return None
        return await self._contacts.find_by_email(claims.workspace_id, claims.email_key)

    async def _by_phone(self, claims: VerifiedClaims) -> Contact | None:
        if claims.phone_key is None:
            return None
        return await self._contacts.find_by_phone(claims.workspace_id, claims.phone_key)

    async def _claimable(self, claims: VerifiedClaims) -> Contact | None:
        """The unverified contact of everybody who has said this e-mail. Of nothing else unproven there is a trace by
        which anybody could be found. Not where it was made one with others: those would be of a proven person, unproven
        as they are, who would be given what strangers wrote by another address."""
        if self._unverified_secret is None or claims.match_by is not KeyKind.EMAIL or claims.email_key is None:
            return None
        secret = await self._unverified_secret.get()
        contact_id = unverified_contact_id(secret, claims.workspace_id, claims.email_key)
        found = await self._contacts.find(claims.workspace_id, contact_id)
        if found is None or found.verified or found.merged_into is not None:
            return None
        return found if not await self._contacts.merged_into(claims.workspace_id, found.id) else None

    async def _write(self, claims: VerifiedClaims, decision: Decision) -> bool:
        subject = claims.subject
        first = decision.outcome in {Outcome.CREATED, Outcome.CLAIMED}
        news = await self._contacts.news_of(decision.contact) if first else None
        if decision.outcome in {Outcome.UPDATED, Outcome.CLAIMED}:
            return await self._contacts.update(decision.contact, news)
        if decision.outcome is Outcome.LINKED and subject is not None:
            holder_id = decision.holder_id or decision.contact.id
            return await self._provider_identities.link(decision.contact, holder_id, subject)
        if subject is not None:
            return await self._provider_identities.create(decision.contact, subject, news)
        return await self._contacts.insert(decision.contact, news)


def _key(claims: VerifiedClaims) -> tuple[str, ...]:
    """What requests of the same person have in common. Two that meet in one contact by different keys still race, and
    the loser looks again."""
    if claims.subject is not None:
        return claims.workspace_id, claims.subject.issuer, claims.subject.subject
    if claims.match_by is KeyKind.EXTERNAL_ID:
        return claims.workspace_id, "external_id", claims.external_id or ""
    if claims.match_by is KeyKind.PHONE:
        return claims.workspace_id, "phone", claims.phone_key or ""
    return claims.workspace_id, claims.email_key or ""
