"""Issues contact tokens and recognises them again; it must not know how the contact was verified.

A contact token is a JWT that anyone can check with our published keys (RFC 7519, RFC 7515, ES256):

    header   {"alg": "ES256", "kid": …, "typ": "contact+jwt"}         its own type, RFC 8725 section 3.11
    claims   iss, aud (one workspace), sub (the contact), iat, exp, jti,
             org_id (the workspace), contact {id, verified}, method, auth_time,
             sid (of the provider's session that it came of, where that is known)

An unverified visitor's token has no `exp`, unless it is a session's (`visitor_session.py`): the OpenCX widget keeps it
in the browser for ever and never asks for another one (contracts/opencx.md section 0.6). It opens what this device
made, nothing else, and can be ended. It may carry what the visitor said of themselves in `said`, so that nothing need
be stored before they write.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import sys

import msgspec
from joserfc import jws
from joserfc.errors import JoseError

from vestibule import metrics
from vestibule.clock import SECOND_MS, now_ms
from vestibule.errors import InvalidContactToken
from vestibule.ids import new_id
from vestibule.model.claims import CustomData, Method
from vestibule.tokens.compact_jws import header_text, sign_compact
from vestibule.tokens.signing_keys import ALGORITHM, SigningKey, SigningKeys

TYPE = "contact+jwt"
# Ours are about 700 characters; anything much longer is not ours, and is not worth hashing.
_LONGEST = 4096
_SHORTEST_LIFE = 60
_CACHED_TOKENS = 16_384


class ContactOfToken(msgspec.Struct, frozen=True):
    id: str
    verified: bool


class Said(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an unverified visitor said of themselves."""

    name: str | None = None
    email: str | None = None
    custom_data: CustomData | None = None


class ContactClaims(msgspec.Struct, frozen=True, omit_defaults=True):
    """The claims of a contact token; times in seconds, as JWT has them."""

    iss: str
    aud: str
    sub: str
    iat: int
    jti: str
    org_id: str
    contact: ContactOfToken
    method: Method
    auth_time: int
    exp: int | None = None
    said: Said | None = None
    sid: str | None = None


_CLAIMS = msgspec.json.Decoder(ContactClaims)
_ENCODER = msgspec.json.Encoder()


def audience_of(workspace_id: str) -> str:
    """The audience of one workspace's tokens, so that a token of one tenant means nothing to another (RFC 8725 3.9)."""
    return f"urn:vestibule:workspace:{workspace_id}"


def session_of(issuer: str, session: str | None) -> str | None:
    """How a contact token names a provider's session, so that it ends with it and tells nobody its name there."""
    if session is None:
        return None
    digest = hashlib.sha256(f"{issuer} {session}".encode("utf-8", "surrogatepass")).digest()
    return base64.urlsafe_b64encode(digest[:16]).rstrip(b"=").decode()


class ContactTokens:
    """Issues and checks contact tokens of one installation."""

    def __init__(self, keys: SigningKeys, *, issuer: str, lifetime_ms: int, former: tuple[str, ...] = ()) -> None:
        self._keys = keys
        self._issuer = issuer
        # Whose tokens are known again: an unverified visitor's token has no end, and nobody would make another one.
        self._issuers = frozenset({issuer, *former})
        self._lifetime = lifetime_ms // SECOND_MS
        self._known: dict[bytes, tuple[ContactClaims, str]] = {}

    @property
    def lifetime_ms(self) -> int:
        """Of a verified contact's token."""
        return self._lifetime * SECOND_MS

    def life(self, until_ms: int | None = None) -> int:
        """For how many seconds a token that is issued now would be good: the setting's, or until then if that is
        sooner. A minute at least: a token that is over when it arrives would be asked for for ever."""
        if until_ms is None:
            return self._lifetime
        return min(self._lifetime, max(_SHORTEST_LIFE, (until_ms - now_ms()) // SECOND_MS))

    def issue(
        self,
        workspace_id: str,
        contact_id: str,
        *,
        method: Method,
        auth_time_ms: int,
        life: int | None = None,
        token_id: str | None = None,
        session: str | None = None,
    ) -> str:
        """A token for a verified contact. `token_id`: under what it can be ended, if that has been noted already;
        `session` as `session_of` names it. Raises NoSigningKey."""
        now = now_ms() // SECOND_MS
        claims = ContactClaims(
            iss=self._issuer,
            aud=audience_of(workspace_id),
            sub=contact_id,
            iat=now,
            jti=token_id or new_id(),
            org_id=workspace_id,
            contact=ContactOfToken(contact_id, verified=True),
            method=method,
            auth_time=auth_time_ms // SECOND_MS,
            exp=now + (self._lifetime if life is None else life),
            sid=session,
        )
        return self._sign(claims)

    def issue_unverified(
        self,
        workspace_id: str,
        contact_id: str,
        said: Said | None,
        *,
        token_id: str | None = None,
        lifetime_ms: int | None = None,
    ) -> str:
        """A token for an unverified visitor, with an end only where it can be had anew. Raises NoSigningKey."""
        now = now_ms() // SECOND_MS
        claims = ContactClaims(
            iss=self._issuer,
            aud=audience_of(workspace_id),
            sub=contact_id,
            iat=now,
            jti=token_id or new_id(),
            org_id=workspace_id,
            contact=ContactOfToken(contact_id, verified=False),
            method=Method.UNVERIFIED,
            auth_time=now,
            exp=now + lifetime_ms // SECOND_MS if lifetime_ms is not None else None,
            said=said,
        )
        return self._sign(claims)

    def _sign(self, claims: ContactClaims) -> str:
        return sign_compact(self._keys.current(), TYPE, _ENCODER.encode(claims))

    async def check(self, token: str) -> ContactClaims:
        """The claims of a token that is ours, whole and in time. Raises InvalidContactToken."""
        if len(token) > _LONGEST:
            raise InvalidContactToken(detail="too long", step="form")
        # Seen tokens are found again by their hash: polling costs a look-up, not a signature check. The key must still
        # be published and the time not over, each time.
        fingerprint = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        known = self._known.get(fingerprint)
        seen = known is not None and known[1] in self._keys.known
        metrics.token_check(known=seen)
        if known is None or not seen:
            known = await self._verify(token)
            if len(self._known) >= _CACHED_TOKENS:
                del self._known[next(iter(self._known))]
            self._known[fingerprint] = known
        claims = known[0]
        if claims.exp is not None and claims.exp * SECOND_MS <= now_ms():
            self._known.pop(fingerprint, None)
            raise InvalidContactToken(detail="expired", step="exp")
        return claims

    async def _verify(self, token: str) -> tuple[ContactClaims, str]:
        parts = token.split(".")
        if len(parts) != 3:
            raise InvalidContactToken(detail="not three parts", step="form")
        key = await self._key_of(parts[0])
        _require_canonical(parts[2])
        try:
            payload = jws.deserialize_compact(token, key.public, algorithms=[ALGORITHM]).payload
            claims = _CLAIMS.decode(payload)
        except (JoseError, ValueError, msgspec.DecodeError) as error:
            raise InvalidContactToken(detail=type(error).__name__, step="signature") from None
        if (
            claims.iss not in self._issuers
            or claims.aud != audience_of(claims.org_id)
            or claims.sub != claims.contact.id
        ):
            raise InvalidContactToken(detail="issuer, audience or subject", step="claims")
        if claims.contact.verified is (claims.method is Method.UNVERIFIED) or (
            claims.contact.verified and not claims.exp
        ):
            raise InvalidContactToken(detail="trust and method do not go together", step="claims")
        return _lean(claims), key.id

    async def _key_of(self, header: str) -> SigningKey:
        # We issue one header per key, to the letter. Anything else (another alg, type, crit, an inline key …) was not
        # made here, so nothing in a foreign header is ever interpreted (RFC 8725 sections 3.1, 3.10, 3.11).
        try:
            members = msgspec.json.decode(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)), type=_Header)
        except (binascii.Error, ValueError, msgspec.DecodeError):
            raise InvalidContactToken(detail="unreadable header", step="header") from None
        key = await self._keys.for_kid(members.kid)
        if key is None or header != header_text(key.id, TYPE):
            raise InvalidContactToken(detail="unknown key, or not a header of ours", step="header")
        return key


def _lean(claims: ContactClaims) -> ContactClaims:
    """The same for less memory: thousands are kept, and most of what they say is said by all of their workspace."""
    return msgspec.structs.replace(
        claims,
        iss=sys.intern(claims.iss),
        aud=sys.intern(claims.aud),
        org_id=sys.intern(claims.org_id),
        sub=claims.contact.id,
    )


class _Header(msgspec.Struct, forbid_unknown_fields=True):
    alg: str
    kid: str
    typ: str


def _require_canonical(signature: str) -> None:
    # 64 bytes end in a character with two spare bits; other spellings of the same bytes are refused, so that one
    # signature is one text.
    try:
        raw = base64.b64decode(signature + "==", altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 64 or base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != signature:
        raise InvalidContactToken(detail="not a canonical signature", step="signature")
