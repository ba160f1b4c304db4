"""A provider's logout token proves that somebody has signed out there; it must not end anything."""

from __future__ import annotations

import hashlib

from msgspec import UNSET

from vestibule.clock import SECOND_MS
from vestibule.errors import InvalidProviderToken
from vestibule.model.claims import SignOut
from vestibule.model.identity_provider import IdentityProvider
from vestibule.oidc.claim_mapping import find_claim
from vestibule.oidc.claim_rules import Claims, check_subject
from vestibule.oidc.provider_choice import NOT_MINE
from vestibule.oidc.refusal import refuse
from vestibule.oidc.strict_jws import Jws, parse, read_claims
from vestibule.oidc.time_limit import deadline, until
from vestibule.oidc.token_reader import TokenReader


class ProviderSignOut:
    """Reads logout tokens by the rules and keys of the provider that they name."""

    def __init__(self, reader: TokenReader) -> None:
        self._reader = reader

    async def verify(self, workspace_id: str, providers: tuple[IdentityProvider, ...], token: str) -> SignOut:
        """Raises InvalidProviderToken, Upstream, ProviderUnavailable."""
        jws = parse(token)
        claims = read_claims(jws)
        # A disabled provider is not believed, in this neither.
        candidates = [one for one in providers if one.enabled and one.issuer == claims.get("iss")]
        if not candidates:
            raise refuse("provider", "no enabled provider has the token's issuer")
        async with until(deadline()):
            return await self._read(workspace_id, candidates, jws, claims)

    async def _read(self, workspace_id: str, candidates: list[IdentityProvider], jws: Jws, claims: Claims) -> SignOut:
        for candidate in candidates[:-1]:
            try:
                await self._reader.read_logout(candidate, jws, claims)
            except InvalidProviderToken as error:
                if error.step not in NOT_MINE:
                    raise
            else:
                return _sign_out(workspace_id, candidate, claims)
        await self._reader.read_logout(candidates[-1], jws, claims)
        return _sign_out(workspace_id, candidates[-1], claims)


def _sign_out(workspace_id: str, provider: IdentityProvider, claims: Claims) -> SignOut:
    # The subject that the provider's other tokens are read by; where that is another claim than `sub`, a logout token
    # mostly lacks it.
    subject = find_claim(claims, provider.claims.subject)
    session = claims.get("sid")
    if subject is UNSET and session is None:
        raise refuse("sub", f"it names nobody by {provider.claims.subject}, and no session")
    return SignOut(
        workspace_id=workspace_id,
        provider_id=provider.id,
        issuer=provider.issuer,
        subject=check_subject(subject) if subject is not UNSET else None,
        session=session,
        once=hashlib.sha256(f"logout {provider.issuer} {claims['jti']}".encode()).hexdigest(),
        expires_at=int(claims["exp"] * SECOND_MS),
    )
