"""Decides which identity provider a token is read by, before anything is asked of anybody; it reads no key and makes no
call (contract Q8).

A token names its issuer, unproven: that may choose where to look, and proves nothing. An opaque token names nobody, and
trying it at several providers would hand a live credential to the wrong one.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from vestibule.errors import EncryptedTokenNotSupported, NotFound, OpaqueTokenNotSupported, ProviderRequired
from vestibule.ids import is_own_secret
from vestibule.model.identity_provider import IdentityProvider, TokenKind
from vestibule.oidc.claim_rules import Claims
from vestibule.oidc.refusal import refuse
from vestibule.oidc.strict_jws import Jws, is_encrypted, is_jwt_shaped, parse, read_claims

# What another provider of the same issuer may still take (contract Q8.3): a token for its audience, or of its kind. Or
# one of its algorithm, which is looked at before the audience: that picks between providers, each with keys of its own
# and the whole of its checks, never between two ways of reading by one's keys (RFC 8725 section 2.1). Never a bad
# signature or one that is too old: those are bad everywhere.
NOT_MINE = frozenset({"algorithm", "aud", "azp", "kind", "typ"})


class Candidate(msgspec.Struct, frozen=True, eq=False):
    """A provider, and what kind of token it shall read. `jwt` is the token taken apart, where it is one; nothing in it
    is proven yet."""

    provider: IdentityProvider
    kind: TokenKind
    jwt: tuple[Jws, Claims] | None = None


def choose(
    providers: Iterable[IdentityProvider], *, provider_id: int | None, token: str, is_id_token: bool
) -> tuple[Candidate, ...]:
    """The candidates in order, at least one. Raises NotFound, InvalidProviderToken, ProviderRequired,
    OpaqueTokenNotSupported, EncryptedTokenNotSupported."""
    enabled = sorted((one for one in providers if one.enabled), key=lambda one: (one.position, one.id))
    if provider_id is not None:
        enabled = [one for one in enabled if one.id == provider_id]
        if not enabled:
            # Disabled, another customer's, and none at all look alike.
            raise NotFound("There is no such identity provider.", step="provider")
    if is_encrypted(token):
        raise EncryptedTokenNotSupported(step="form")
    if is_id_token or is_jwt_shaped(token):
        return _by_issuer(enabled, token, is_id_token=is_id_token)
    if is_own_secret(token):
        # A page's mistake: a key of ours must not become known to the provider that would be asked about it.
        raise refuse("kind", "a secret of this service, and no provider's token")
    return (_only_capable(enabled, named=provider_id is not None),)


def can_ask(provider: IdentityProvider) -> bool:
    """Whether the provider can be asked about an opaque token so that the answer proves something, or so that the
    workspace has taken it upon itself."""
    return TokenKind.OPAQUE_ACCESS_TOKEN in provider.accepts and (
        bool(provider.introspection_client.client_id) or provider.allow_userinfo_only
    )


def _by_issuer(providers: list[IdentityProvider], token: str, *, is_id_token: bool) -> tuple[Candidate, ...]:
    jws = parse(token)
    claims = read_claims(jws)
    named = claims.get("iss")
    same = [one for one in providers if one.issuer == named]
    if not same:
        raise refuse("provider", "no enabled provider has the token's issuer")
    wanted = TokenKind.ID_TOKEN if is_id_token else TokenKind.JWT_ACCESS_TOKEN
    candidates = tuple(Candidate(one, wanted, (jws, claims)) for one in same if wanted in one.accepts)
    if candidates:
        return candidates
    asked = [one for one in same if can_ask(one)]
    if not is_id_token and len(asked) == 1:
        # A JWT that its provider is set up to be asked about, rather than read here.
        return (Candidate(asked[0], TokenKind.OPAQUE_ACCESS_TOKEN),)
    raise refuse("provider", "no provider with the token's issuer takes this kind of token")


def _only_capable(providers: list[IdentityProvider], *, named: bool) -> Candidate:
    capable = [one for one in providers if can_ask(one)]
    if not capable:
        raise OpaqueTokenNotSupported(step="provider")
    if len(capable) > 1 and not named:
        raise ProviderRequired(step="provider")
    return Candidate(capable[0], TokenKind.OPAQUE_ACCESS_TOKEN)
