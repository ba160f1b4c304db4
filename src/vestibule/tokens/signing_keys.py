"""The installation's own signing keys: which one signs, which are published, and until when; it must not sign.

A key's life is read from its times, never from a stored state, so every process agrees without talking:

    pending   published, not signing yet: whoever caches our key set has it before it is needed
    signing   the youngest key whose `signs_from` has come
    retiring  an older one; published until the last token that it signed has ended
    ended     nothing it signed is alive
    withdrawn taken out at once, with everything it signed
"""

from __future__ import annotations

import asyncio
import enum
import logging

import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from joserfc.jwk import ECKey, KeySet

from vestibule.clock import HOUR_MS, SECOND_MS, elapsed, now_ms
from vestibule.errors import CannotUnseal, NoSigningKey, StorageUnavailable
from vestibule.ids import random_base62
from vestibule.sealing import Sealer
from vestibule.storage import signing_keys as rows
from vestibule.storage.signing_keys import SigningKeyRow
from vestibule.storage.store import Store

ALGORITHM = "ES256"
# How far `last_expiry` runs ahead of the tokens in being, so that it is written once an hour and not once a token.
_SLACK_MS = HOUR_MS
_UNKNOWN_EVERY_SECONDS = 0.2
# How often every process reads the keys. With `withdraw`'s wait it must stay under the 5 s that are promised.
REFRESH_SECONDS = 2.0
_log = logging.getLogger(__name__)


class Status(enum.StrEnum):
    PENDING = "pending"
    SIGNING = "signing"
    RETIRING = "retiring"
    ENDED = "ended"
    WITHDRAWN = "withdrawn"


def status_of(row: SigningKeyRow, all_rows: list[SigningKeyRow], now: int) -> Status:
    """Where in its life a key is, seen among the others."""
    if row.withdrawn_at is not None:  # whatever the time: a clock behind that of who withdrew it must not wait for it
        return Status.WITHDRAWN
    if row.signs_from > now:
        return Status.PENDING
    usable = [other for other in all_rows if other.withdrawn_at is None and other.signs_from <= now]
    if row.id == max(usable, key=lambda other: (other.signs_from, other.created_at, other.id)).id:
        return Status.SIGNING
    return Status.RETIRING if now < row.last_expiry else Status.ENDED


class SigningKey(msgspec.Struct, frozen=True):
    """A key that can be used now. `private` is None where the key only verifies any more."""

    id: str
    public: ECKey
    private: EllipticCurvePrivateKey | None

    def __repr__(self) -> str:
        return f"SigningKey({self.id})"


class SigningKeys:
    """The keys in force, read again every few seconds by `refresh`."""

    def __init__(self, store: Store, sealer: Sealer, *, token_lifetime_ms: int) -> None:
        self._store = store
        self._sealer = sealer
        self._lifetime = token_lifetime_ms
        self._loaded: tuple[SigningKeyRow, ...] = ()
        self._loaded_at = 0
        self._next_change = 0
        self._refreshed_at = self._failed_at = float("-inf")
        self._looking = asyncio.Lock()
        self._signing: SigningKey | None = None
        # Also those that have ended: an unverified visitor's token has no end (contact_token.py), so what it was signed
        # with is recognised for ever, unless it is withdrawn.
        self.known: dict[str, SigningKey] = {}
        self.jwks: bytes = b""  # empty until the keys were read: an empty set would be believed, and cached

    async def refresh(self) -> None:
        """Reads the keys. Raises StorageUnavailable, and then keeps what it had."""
        began = elapsed()
        found = await rows.list_all(self._store)
        now = now_ms()
        signing = next((row for row in found if status_of(row, found, now) is Status.SIGNING), None)
        if signing is not None and signing.last_expiry < now + self._lifetime + _SLACK_MS:
            # Before the first token that needs it: the key must stay published for as long as any of its tokens lives.
            await rows.extend(self._store, signing.id, now + self._lifetime + 2 * _SLACK_MS)
        self._refreshed_at = began
        # Before it was loaded: the clock was set back, and the next change may be nearer than it was thought to be.
        if tuple(found) != self._loaded or not self._loaded_at <= now < self._next_change:
            self._load(found, now)

    async def for_kid(self, kid: str) -> SigningKey | None:
        """The key of this name, unless withdrawn. A name not known yet may be a new key that another process signs with
        already, so it is looked for; a flood of made-up names costs one read in `_UNKNOWN_EVERY_SECONDS`. Raises
        StorageUnavailable."""
        if kid not in self.known:
            asked_at = elapsed()
            async with self._looking:
                if self._refreshed_at < asked_at:
                    if self._failed_at >= asked_at:  # in their turn, each would wait as long as all before it
                        raise StorageUnavailable(detail="who asked before was not answered", step="kid")
                    await asyncio.sleep(max(0.0, self._refreshed_at + _UNKNOWN_EVERY_SECONDS - elapsed()))
                    try:
                        await self.refresh()
                    except StorageUnavailable:
                        self._failed_at = elapsed()
                        raise
        return self.known.get(kid)

    def current(self) -> SigningKey:
        """The key that signs. Raises NoSigningKey."""
        if now_ms() >= self._next_change:
            self._load(list(self._loaded), now_ms())
        if self._signing is None:
            raise NoSigningKey(detail="no usable signing key is loaded")
        return self._signing

    def _load(self, found: list[SigningKeyRow], now: int) -> None:
        published: dict[str, SigningKey] = {}
        known: dict[str, SigningKey] = {}
        self._signing = None
        for row in found:
            status = status_of(row, found, now)
            if status is Status.WITHDRAWN:
                continue
            key = known[row.id] = self.known.get(row.id) or self._open(row)
            if status is not Status.ENDED:
                published[row.id] = key
            if status is Status.SIGNING and key.private is not None:
                self._signing = key
        if self._signing is None:
            # None is due, as on a clock that was set back: the one that is due first. All of them are published.
            waiting = [row for row in found if row.signs_from > now and row.id in published]
            first = min(waiting, key=lambda row: row.signs_from, default=None)
            if first is not None and published[first.id].private is not None:
                self._signing = published[first.id]
        self.known = known
        public = KeySet([key.public for key in published.values()])
        self.jwks = msgspec.json.encode(public.as_dict(private=False))
        self._loaded, self._loaded_at = tuple(found), now
        times = [time for row in found for time in (row.signs_from, row.last_expiry) if time > now]
        self._next_change = min(times, default=now + HOUR_MS)

    def _open(self, row: SigningKeyRow) -> SigningKey:
        public = ECKey.import_key(msgspec.json.decode(row.public_jwk))
        private = None
        if row.sealed_private_jwk is not None:
            try:
                text = self._sealer.unseal(row.sealed_private_jwk, rows.sealing_context(row.id))
                private = ECKey.import_key(msgspec.json.decode(text)).private_key
            except CannotUnseal:
                # It still verifies what it signed. Signing falls to nobody, and the error says so.
                _log.error("a signing key cannot be opened with the configured secret keys", extra={"kid": row.id})
        return SigningKey(row.id, public, private)


def make_row(sealer: Sealer, *, signs_from: int, lifetime_ms: int) -> SigningKeyRow:
    """A new P-256 key, its private half sealed."""
    kid = random_base62(16)
    members = {"use": "sig", "alg": ALGORITHM, "kid": kid}
    key = ECKey.generate_key("P-256", {"use": "sig", "alg": ALGORITHM, "kid": kid}, private=True)
    public = msgspec.json.encode(key.as_dict(private=False) | members).decode()
    private = msgspec.json.encode(key.as_dict(private=True) | members).decode()
    sealed = sealer.seal(private, rows.sealing_context(kid))
    last_expiry = signs_from + lifetime_ms + 2 * _SLACK_MS
    return SigningKeyRow(kid, public, sealed, now_ms(), signs_from, last_expiry, None)


async def ensure_first(store: Store, sealer: Sealer, *, lifetime_ms: int) -> None:
    """Makes the installation's first key, unless there is one."""
    if not await rows.list_all(store):
        await rows.insert_first(store, make_row(sealer, signs_from=now_ms(), lifetime_ms=lifetime_ms))


async def rotate(store: Store, sealer: Sealer, *, lifetime_ms: int, lead_ms: int) -> SigningKeyRow:
    """Adds a key that is published now and signs `lead_ms` from now."""
    row = make_row(sealer, signs_from=now_ms() + lead_ms, lifetime_ms=lifetime_ms)
    await rows.insert(store, row)
    return row


async def withdraw(store: Store, sealer: Sealer, key_id: str, *, lifetime_ms: int) -> bool:
    """Ends a key and everything it signed, and makes sure that another one signs. False if there is no such key."""
    found = await rows.list_all(store)
    if key_id not in {row.id for row in found}:
        return False
    now = now_ms()
    # As things are with the key: without it, one that was rotated out long ago would count as the one that signs.
    if not any(status_of(row, found, now) is Status.SIGNING for row in found if row.id != key_id):
        # The successor first, and time for every process to have it: none may go on handing out tokens that are dead
        # already. A second earlier than now, so that clocks a little apart agree that it signs.
        await rows.insert(store, make_row(sealer, signs_from=now - SECOND_MS, lifetime_ms=lifetime_ms))
        await asyncio.sleep(REFRESH_SECONDS + 0.5)
    return await rows.withdraw(store, key_id, now_ms())
