"""Writes what a sign-out at a provider ends here, in one unit of work; it must not decide what that is."""

from __future__ import annotations

from collections.abc import Iterable

from vestibule.storage import erasure, spent_tokens, token_endings
from vestibule.storage.statement import statement
from vestibule.storage.store import Store, Work, query
from vestibule.storage.token_endings import Ending

UNCLAIMED_OF_SESSION = statement(
    "sign_outs.unclaimed_of_session",
    "DELETE FROM pending_identities WHERE workspace_id = $1 AND provider_session = $2 AND issuer = $3",
)
UNCLAIMED_WITHOUT_SESSION = statement(
    "sign_outs.unclaimed_without_session",
    "DELETE FROM pending_identities WHERE workspace_id = $1 AND contact_id = $2 AND provider_session IS NULL",
)


class _SpentBefore(Exception):
    """Undoes the unit of work: this logout token was taken before."""


async def write(
    store: Store,
    workspace_id: str,
    *,
    once: str,
    once_until: int,
    endings: Iterable[Ending],
    session: tuple[str, str] | None,
    contacts: Iterable[str],
    now: int,
) -> bool:
    """Ends tokens and forgets the proofs that wait to be claimed, claimed ones too: the same claim could be repeated.
    `session` is the provider's, as (its name, issuer); without one, everything of the contacts is meant, with one what
    of theirs came of no known session. False where the logout token was taken before."""

    def work() -> Work[None]:
        if not (yield query(spent_tokens.SPEND, workspace_id, once, once_until)):
            raise _SpentBefore
        if session is not None:
            yield query(UNCLAIMED_OF_SESSION, workspace_id, *session)
        for contact_id in contacts:
            unclaimed = erasure.OF_CONTACT["pending_identities"] if session is None else UNCLAIMED_WITHOUT_SESSION
            yield query(unclaimed, workspace_id, contact_id)
        for ending in endings:
            yield token_endings.insert_query(ending, now)

    try:
        await store.transact(work)
    except _SpentBefore:
        return False
    return True
