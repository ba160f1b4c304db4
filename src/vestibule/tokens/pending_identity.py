"""Hands out userInfoIds for proofs and takes each back once, with its verifier; it must not know how the proof was
made or what it opens.

    usr_<workspace id, 22><secret, 43>      base 62; 256 bits, single use; kept as a SHA-256 (there is nothing to guess)

Bound to workspace, conversation and visitor (DESIGN rule 2.6): whoever finds a userInfoId in a URL has neither the
verifier, nor a second use. The workspace inside says where to look: Puzzel's route names nothing else that could.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import uuid

from vestibule.clock import HOUR_MS, MINUTE_MS, SECOND_MS, now_ms
from vestibule.errors import InvalidGrant
from vestibule.ids import long_id, random_base62, short_id
from vestibule.model.claims import VerifiedClaims
from vestibule.storage import pending_identities as rows
from vestibule.storage.pending_identities import PendingRow
from vestibule.storage.purging import delete_in_batches
from vestibule.storage.store import Store
from vestibule.tokens import pkce

PREFIX = "usr_"
LIFETIME_MS = 5 * MINUTE_MS
_LAST_MOMENT_MS = 30 * SECOND_MS
_SECRET = 43
_FORM = re.compile(rf"{PREFIX}([0-9A-Za-z]{{22}})[0-9A-Za-z]{{{_SECRET}}}")


class PendingIdentities:
    """Of one installation. `lifetime_ms` is 30 s to 10 min (RFC 6749 section 4.1.2 for codes)."""

    def __init__(self, store: Store, *, lifetime_ms: int = LIFETIME_MS) -> None:
        self._store = store
        self._lifetime = lifetime_ms

    async def keep(self, claims: VerifiedClaims, contact_id: str, challenge: str) -> str:
        """A userInfoId for a proof, as text that exists nowhere else. It never outlives the token that proved it."""
        subject = claims.subject
        if subject is None or not pkce.is_challenge(challenge):
            raise ValueError("only a provider's proof with an S256 challenge is kept")
        now = now_ms()
        text = PREFIX + short_id(claims.workspace_id) + random_base62(_SECRET)
        pending = PendingRow(
            workspace_id=claims.workspace_id,
            contact_id=contact_id,
            provider_id=subject.provider_id,
            issuer=subject.issuer,
            subject=subject.subject,
            provider_session=subject.session,
            auth_time=claims.authenticated_at,
            created_at=now,
            expires_at=min(now + self._lifetime, _end_of_proof(subject.expires_at, now)),
        )
        await rows.insert(self._store, pending, fingerprint(text), challenge)
        return text

    async def claim(
        self, workspace_id: str, user_info_id: str, code_verifier: str, *, conversation: str, visitor: str
    ) -> PendingRow:
        """Whom the userInfoId stands for, which is bound to this conversation and visitor from now on; the same call
        answers the same. `visitor` is empty where a conversation starts without one.

        Raises InvalidGrant, alike for everything that does not fit: unknown, expired, spent, a wrong verifier,
        another workspace's (ASVS 6.3.8)."""
        if workspace_of(user_info_id) != workspace_id:
            raise InvalidGrant(detail="of another workspace", step="form")
        # A verifier that cannot be one counts as wrong, so that a guess costs the same whatever its form.
        offered = pkce.challenge_of(code_verifier) if pkce.is_verifier(code_verifier) else ""
        claimed = await rows.claim(
            self._store,
            workspace_id,
            fingerprint(user_info_id),
            challenge=offered,
            conversation=conversation,
            visitor=visitor,
            now=now_ms(),
        )
        if claimed is None:
            raise InvalidGrant(detail="unknown, expired, dead, or of another workspace", step="pending_identity")
        # The database compared as well, to bind in one statement. Its timing tells of a hash of what was offered,
        # and the challenge is no secret; what is decided here is decided in constant time all the same.
        if not hmac.compare_digest(offered.encode(), claimed.challenge.encode()):
            raise InvalidGrant(detail="wrong verifier", step="code_verifier")
        if claimed.conversation != conversation or claimed.visitor != visitor:
            raise InvalidGrant(detail="bound to another conversation or visitor", step="bound")
        return claimed.pending

    async def purge(self) -> int:
        """Deletes what has been over for an hour; how many."""
        return await delete_in_batches(self._store, rows.PURGE, now_ms() - 60 * MINUTE_MS)


def _end_of_proof(expires_at: int | None, now: int) -> int:
    if expires_at is None:
        return now + 24 * HOUR_MS
    # Over by our clock and taken by the leeway for the provider's: there must be time to use it, and not more.
    return expires_at if expires_at > now else now + _LAST_MOMENT_MS


def workspace_of(user_info_id: str) -> str:
    """The workspace that a userInfoId says it belongs to, which is nothing proven. Raises InvalidGrant."""
    match = _FORM.fullmatch(user_info_id)
    workspace_id = long_id(match[1]) if match is not None else None
    if workspace_id is None:
        raise InvalidGrant(detail="not the form of a userInfoId", step="form")
    return workspace_id


def fingerprint(user_info_id: str) -> str:
    """What is stored, and looked up by."""
    return hashlib.sha256(user_info_id.encode("utf-8", "surrogatepass")).hexdigest()


def token_id_of(user_info_id: str) -> str:
    """The id of the contact token that it becomes: one however often it is asked for, so that there is one thing to
    end. It tells nothing of what is stored."""
    return str(uuid.UUID(hashlib.sha256(fingerprint(user_info_id).encode()).hexdigest()[:32]))
