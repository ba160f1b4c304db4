"""Starts sessions of visitors of whom nothing is proven, and goes on with them by refresh tokens; it must not know
what a session opens.

    vst_ref_<workspace id, 22><secret, 43>      base 62; 256 bits, good once; kept as a SHA-256

The access token is an unverified visitor's contact token that ends, whose `jti` is the session's: it stands for the
device, and stays the same from refresh to refresh. A refresh token that comes a second time is in two hands, and nobody
can tell which is the visitor's: the session is over for both (RFC 9700 section 4.14.2).
"""

from __future__ import annotations

import hashlib
import re

import msgspec

from vestibule.clock import SECOND_MS, now_ms
from vestibule.errors import InvalidGrant
from vestibule.ids import long_id, new_id, random_base62, short_id
from vestibule.storage import refresh_tokens as rows
from vestibule.storage.purging import delete_in_batches
from vestibule.storage.refresh_tokens import RefreshRow
from vestibule.storage.store import Store
from vestibule.tokens.contact_token import ContactTokens

PREFIX = "vst_ref_"
_SECRET = 43
_FORM = re.compile(rf"{PREFIX}([0-9A-Za-z]{{22}})[0-9A-Za-z]{{{_SECRET}}}")
_REFUSED = "The refresh token is not valid."


class VisitorSession(msgspec.Struct, frozen=True):
    """A session at the only moment at which its tokens are texts. `expires_in` is in seconds."""

    workspace_id: str
    visitor_id: str
    access_token: str
    refresh_token: str
    expires_in: int

    def __repr__(self) -> str:
        return f"VisitorSession({self.visitor_id!r})"


class VisitorSessions:
    """Of one installation. A session ends when it was not refreshed for `lifetime_ms`, and after `longest_ms` however
    often it was: a thief who refreshes alone would go on for ever (ASVS 7.3.2)."""

    def __init__(
        self, store: Store, tokens: ContactTokens, *, token_lifetime_ms: int, lifetime_ms: int, longest_ms: int
    ) -> None:
        self._store = store
        self._tokens = tokens
        self._token_lifetime = token_lifetime_ms
        self._lifetime = min(lifetime_ms, longest_ms)
        self._longest = longest_ms

    async def start(self, workspace_id: str) -> VisitorSession:
        """A new visitor. Nothing is known of them, and no contact is made before they write. Raises NoSigningKey."""
        visitor_id = new_id()
        now = now_ms()
        text, row = self._new_token(workspace_id, visitor_id, now)
        session = self._session(workspace_id, visitor_id, text, self._longest)
        await rows.insert(self._store, row)
        return session

    async def refresh(self, refresh_token: str) -> VisitorSession:
        """The session goes on with new tokens; the old refresh token is worth nothing any more. Raises InvalidGrant,
        alike for unknown, expired, ended and used; the last one ends the session."""
        workspace_id = workspace_of(refresh_token)
        now = now_ms()
        text, following = self._new_token(workspace_id, "", now)
        fingerprint = _fingerprint(refresh_token)
        used = await rows.rotate(self._store, workspace_id, fingerprint, following, now=now, longest=self._longest)
        if used is None:
            raise InvalidGrant(_REFUSED, detail="unknown, expired or ended", step="refresh_token")
        if used.again:
            raise InvalidGrant(_REFUSED, detail="used before: the session is over", step="reuse")
        return self._session(workspace_id, used.visitor_id, text, used.began + self._longest - now)

    async def purge(self) -> int:
        """Deletes what has run out; how many."""
        return await delete_in_batches(self._store, rows.PURGE, now_ms())

    def _new_token(self, workspace_id: str, visitor_id: str, now: int) -> tuple[str, RefreshRow]:
        text = PREFIX + short_id(workspace_id) + random_base62(_SECRET)
        return text, RefreshRow(workspace_id, _fingerprint(text), visitor_id, now, now + self._lifetime)

    def _session(self, workspace_id: str, visitor_id: str, refresh_token: str, left: int) -> VisitorSession:
        """`left`: what the session has until its end. Its access tokens do not outlive it, but for a second."""
        life = max(SECOND_MS, min(self._token_lifetime, left))
        access_token = self._tokens.issue_unverified(
            workspace_id, visitor_id, None, token_id=visitor_id, lifetime_ms=life
        )
        return VisitorSession(workspace_id, visitor_id, access_token, refresh_token, life // SECOND_MS)


def workspace_of(refresh_token: str) -> str:
    """The workspace that a refresh token says it belongs to, which is nothing proven. Raises InvalidGrant."""
    match = _FORM.fullmatch(refresh_token)
    workspace_id = long_id(match[1]) if match is not None else None
    if workspace_id is None:
        raise InvalidGrant(_REFUSED, detail="not the form of a refresh token", step="form")
    return workspace_id


def _fingerprint(refresh_token: str) -> str:
    return hashlib.sha256(refresh_token.encode()).hexdigest()
