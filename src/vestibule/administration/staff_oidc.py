"""Signs staff in through the installation's own identity provider; it must not make anybody staff: who comes must be a
member already, by an e-mail that the provider has verified, and from then on by issuer and subject alone."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from pathlib import Path

import msgspec

from vestibule.administration.desk import Desk
from vestibule.clock import MINUTE_MS, now_ms
from vestibule.errors import CannotUnseal, InvalidField, InvalidProviderToken, SignInRefused
from vestibule.identity.email import email_key
from vestibule.model.audit import INSTALLATION
from vestibule.model.identity_provider import ClientCredentials, IdentityProvider, TokenKind
from vestibule.model.staff import Staff
from vestibule.oidc import code_flow
from vestibule.oidc.claim_rules import Claims
from vestibule.oidc.code_flow import Started, Tokens
from vestibule.oidc.jwks import ProviderKeys
from vestibule.oidc.remembered import Pace, Remembered
from vestibule.oidc.token_reader import TokenReader
from vestibule.oidc.userinfo import check_same_person, userinfo
from vestibule.outbound.client import Outbound
from vestibule.settings import InvalidSettings, Settings
from vestibule.storage import spent_tokens
from vestibule.storage import staff as rows
from vestibule.storage.store import UniqueViolation
from vestibule.tokens import pkce

CALLBACK = "/dashboard/sign-in/callback"
# From the provider's sign-in page and back, second factor and forgotten password included.
LONGEST_MS = 10 * MINUTE_MS
_SEALED_AS = "staff sign-in"


class StaffProvider:
    """One per process, where one is set up."""

    def __init__(self, settings: Settings, outbound: Outbound) -> None:
        """Raises InvalidSettings."""
        self._outbound = outbound
        self._redirect = f"{settings.public_url}{CALLBACK}"
        self._client = ClientCredentials(settings.staff_oidc_client_id, client_secret(settings))
        self._provider = IdentityProvider(
            workspace_id=INSTALLATION,
            id=0,
            position=0,
            name=settings.staff_oidc_name,
            issuer=settings.staff_oidc_issuer,
            client_ids=(settings.staff_oidc_client_id,),
            accepts=(TokenKind.ID_TOKEN,),
        )
        self._keys = ProviderKeys(outbound)
        self._reader = TokenReader(outbound, self._keys)
        pace = Pace()
        self._endpoints = Remembered(lambda: code_flow.find_endpoints(outbound, self._provider, pace), pace)

    async def begin(self, desk: Desk) -> tuple[str, str]:
        """Where the browser goes, and what it keeps meanwhile: sealed, for it holds the code's verifier. Raises the
        Upstream errors, ProviderUnavailable."""
        endpoints = await self._endpoints.get()
        random = secrets.token_urlsafe
        started = Started(state=random(32), nonce=random(32), verifier=random(48), at=now_ms())
        kept = desk.sealer.seal(msgspec.json.encode(started).decode(), _SEALED_AS)
        challenge = pkce.challenge_of(started.verifier)
        url = code_flow.authorization_url(endpoints, self._client.client_id, self._redirect, started, challenge)
        return url, kept

    async def finish(self, desk: Desk, kept: str, answer: dict[str, str]) -> Staff:
        """Who has come back. Raises SignInRefused, the Upstream errors, ProviderUnavailable."""
        started = _started(desk, kept)
        endpoints = await self._endpoints.get()
        code = code_flow.check_answer(answer, started, self._provider, endpoints)
        fingerprint = hashlib.sha256(started.state.encode()).hexdigest()
        if not await spent_tokens.spend(desk.store, INSTALLATION, fingerprint, started.at + LONGEST_MS):
            raise SignInRefused(detail="this sign-in has come back before", step="replay")
        tokens = await code_flow.redeem(
            self._outbound,
            self._provider,
            endpoints,
            self._client,
            code=code,
            verifier=started.verifier,
            redirect=self._redirect,
        )
        try:
            claims = await self._claims(tokens, started)
        except InvalidProviderToken as error:
            raise SignInRefused(detail=error.detail, step=error.step) from None
        return await _member(desk, self._provider.issuer, claims)

    async def _claims(self, tokens: Tokens, started: Started) -> Claims:
        reading = await self._reader.read(self._provider, TokenKind.ID_TOKEN, tokens.id_token)
        nonce = reading.claims.get("nonce")
        if not isinstance(nonce, str) or not hmac.compare_digest(nonce.encode(), started.nonce.encode()):
            raise SignInRefused(detail="the ID token's nonce is not that of this browser", step="nonce")
        claims = {**reading.claims, "sub": reading.subject}
        url = (await self._keys.endpoints(self._provider)).userinfo
        if "email" in claims or not url or not tokens.access_token:
            return claims
        found = await userinfo(self._outbound, self._provider, url, tokens.access_token, read_signed=_unread)
        check_same_person(found, reading.subject, "sub")
        return {**claims, "email": found.get("email"), "email_verified": found.get("email_verified")}


def client_secret(settings: Settings) -> str:
    """Of the setting, or of the file that it names. Raises InvalidSettings."""
    if not settings.staff_oidc_client_secret_file:
        return settings.staff_oidc_client_secret
    try:
        return Path(settings.staff_oidc_client_secret_file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise InvalidSettings(["staff_oidc_client_secret_file cannot be read"]) from None


async def _unread(_signed: str) -> Claims:
    raise SignInRefused(detail="userinfo is signed, which is not read here: let the ID token have email", step="email")


def _started(desk: Desk, kept: str) -> Started:
    """What the browser was given. Raises SignInRefused."""
    try:
        started = msgspec.json.decode(desk.sealer.unseal(kept, _SEALED_AS), type=Started)
    except (CannotUnseal, msgspec.DecodeError):
        raise SignInRefused(detail="this browser has not begun a sign-in here", step="browser") from None
    if not 0 <= now_ms() - started.at <= LONGEST_MS:
        raise SignInRefused(detail="it took too long", step="browser")
    return started


async def _member(desk: Desk, issuer: str, claims: Claims) -> Staff:
    """By what they were bound to, and the first time by e-mail. Raises SignInRefused."""
    subject = str(claims["sub"])
    member = await rows.find_by_subject(desk.store, issuer, subject)
    if member is None:
        member = await _bound(desk, issuer, subject, claims)
    if member.disabled_at is not None:
        raise SignInRefused(detail="this member is disabled", step="disabled")
    return member


async def _bound(desk: Desk, issuer: str, subject: str, claims: Claims) -> Staff:
    # Only the boolean: a provider that says "false" as text says no.
    if claims.get("email_verified") is not True or not isinstance(claims.get("email"), str):
        raise SignInRefused(detail="the provider has not verified an e-mail", step="email")
    try:
        found = await rows.find_by_email(desk.store, email_key(claims["email"].strip()))
    except InvalidField:
        found = None
    if found is None:
        raise SignInRefused(detail="nobody here has this e-mail", step="email")
    member, _ = found
    if member.disabled_at is not None:
        raise SignInRefused(detail="this member is disabled", step="disabled")
    try:
        await rows.bind_subject(desk.store, issuer, subject, member)
    except UniqueViolation:
        known = await rows.find_by_subject(desk.store, issuer, subject)
        if known is not None and known.id == member.id:
            return known  # the same person was faster in another tab
        raise SignInRefused(detail="this member is another account at the provider", step="subject") from None
    await desk.record("staff.bind", member.workspace_id, member.id, detail=issuer)
    return member
