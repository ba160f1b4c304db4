"""Ends here what somebody has ended at their provider; it must not judge whether they did.

One session of theirs, where the provider names it: exactly the tokens that came of it, and those of the person that
came of no known session, since an access token seldom names one. Else everything of the person. Every worker refuses
these tokens within 5 s.
"""

from __future__ import annotations

from vestibule.clock import now_ms
from vestibule.errors import InvalidProviderToken
from vestibule.model.claims import ProviderSubject, SignOut
from vestibule.storage import sign_outs as rows
from vestibule.storage.contacts import Contacts
from vestibule.storage.provider_identities import ProviderIdentities
from vestibule.storage.spent_tokens import until
from vestibule.storage.store import Store
from vestibule.storage.token_endings import EVERYWHERE, NO_SESSION, SESSION, Ending
from vestibule.tokens.contact_token import session_of


async def end_sessions(store: Store, contacts: Contacts, sign_out: SignOut) -> list[str]:
    """The contacts whose tokens are ended, as far as they are known by the sign-out. Raises InvalidProviderToken where
    this logout token was taken before, StorageUnavailable."""
    now = now_ms()
    workspace_id = sign_out.workspace_id
    people = await _people(store, contacts, sign_out)
    session = session_of(sign_out.issuer, sign_out.session)
    which = EVERYWHERE if session is None else NO_SESSION
    ended = [Ending(workspace_id, person, which, now) for person in people]
    if session is not None:
        ended.append(Ending(workspace_id, "", SESSION + session, now))
    first = await rows.write(
        store,
        workspace_id,
        once=sign_out.once,
        once_until=until(sign_out.expires_at),
        endings=ended,
        session=(sign_out.session, sign_out.issuer) if sign_out.session is not None else None,
        contacts=people,
        now=now,
    )
    if not first:
        raise InvalidProviderToken(detail="this logout token was taken before", step="jti")
    return people


async def _people(store: Store, contacts: Contacts, sign_out: SignOut) -> list[str]:
    """The contact of the subject, and those merged into it, whose tokens are theirs, too."""
    if sign_out.subject is None:
        return []
    subject = ProviderSubject(sign_out.issuer, sign_out.subject, provider_id=0)
    proven = await ProviderIdentities(store, contacts).find_contact(sign_out.workspace_id, subject)
    contact = await contacts.lead(proven)
    if contact is None:
        return []
    merged = await contacts.merged_into(sign_out.workspace_id, contact.id)
    return [contact.id, *(other.id for other in merged)]
