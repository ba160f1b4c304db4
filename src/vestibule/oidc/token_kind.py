"""Tells ID tokens from JWT access tokens; it must not check anything else.

Access tokens of real products carry `typ: JWT`, the same issuer, the client id as audience, and the person's name
(SECURITY.md finding 2), so every claim of theirs would pass for an ID token's. What tells them apart is what only one
kind has; where a token has no such mark, its audience must.
"""

from __future__ import annotations

from vestibule.oidc.claim_rules import Claims, Setting, audience
from vestibule.oidc.refusal import refuse

ACCESS_TOKEN_TYPES = frozenset({"at+jwt", "application/at+jwt"})  # RFC 9068 section 2.1
_PLAIN_TYPES = frozenset({"jwt", "application/jwt"})
# OpenID Connect Core sections 2 and 3.3.2.11: given to the client, about its own request.
_ID_TOKEN_MARKS = ("nonce", "at_hash", "c_hash", "s_hash")


def is_access_token(claims: Claims, setting: Setting) -> bool:
    """By a mark that only access tokens have. What the token says of itself counts first (Cognito's `token_use`,
    Keycloak's claim `typ`)."""
    if (setting.type or "").lower() in ACCESS_TOKEN_TYPES:
        return True
    said = claims.get("token_use", claims.get("typ"))
    if isinstance(said, str) and said.lower() in {"id", "access", "bearer", "refresh", "offline"}:
        return said.lower() != "id"
    return any(mark in claims for mark in setting.provider.access_token_marks)


def id_token_only(claims: Claims, setting: Setting) -> None:
    """The rule for what is sent as an ID token."""
    if setting.type is not None and setting.type.lower() not in _PLAIN_TYPES:
        # RFC 8725 section 3.11: a logout token, an introspection answer or an assertion says what it is.
        raise refuse("typ", "the header's typ is not that of an ID token")
    if "events" in claims:
        raise refuse("kind", "it is an event or logout token")  # OpenID Connect Back-Channel Logout section 2.4
    if is_access_token(claims, setting):
        raise refuse("kind", "it is an access token")
    missing = [name for name in setting.provider.id_token_requires if name not in claims]
    if missing:
        raise refuse("kind", f"an ID token of this provider would have {', '.join(missing)}")


def access_token_only(claims: Claims, setting: Setting) -> None:
    """The rule for what is sent as an access token."""
    stated = (setting.type or "jwt").lower()
    if stated not in ACCESS_TOKEN_TYPES and (setting.provider.strict_access_tokens or stated not in _PLAIN_TYPES):
        raise refuse("typ", "the header's typ is not that of an access token")
    if "events" in claims:
        raise refuse("kind", "it is an event or logout token")
    if is_access_token(claims, setting):
        return
    if any(mark in claims for mark in _ID_TOKEN_MARKS) or claims.get("token_use", claims.get("typ")) in ("id", "ID"):
        raise refuse("kind", "it is an ID token")
    provider = setting.provider
    if not set(provider.audiences).difference(provider.client_ids).intersection(audience(claims)):
        raise refuse("kind", "nothing tells it from an ID token: no mark, and no audience that is no client's")
