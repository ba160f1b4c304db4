"""The rules a JWT access token's claims must keep (RFC 9068 section 4, as far as products keep to it); it must not
check signatures."""

from __future__ import annotations

from vestibule.oidc import claim_rules as rule
from vestibule.oidc.claim_rules import Claims, Rules, Setting, audience, text
from vestibule.oidc.refusal import refuse
from vestibule.oidc.token_kind import access_token_only

_REQUIRED = ("client_id", "iat", "jti")  # RFC 9068 section 2.2, beside those that are required anyway


def for_us(claims: Claims, setting: Setting) -> None:
    """The audience; or, where the provider is set up so, the client that asked for the token: some products name the
    same audience in everybody's tokens (Keycloak: account), or none (Cognito)."""
    provider = setting.provider
    if set(provider.audiences).intersection(audience(claims)):
        return
    if not provider.access_token_client_claim:
        raise refuse("aud", "aud has none of the audiences")
    if text(claims, provider.access_token_client_claim) not in provider.client_ids:
        raise refuse("aud", "aud has none of the audiences, and the client claim none of the client ids")


def complete(claims: Claims, setting: Setting) -> None:
    missing = [name for name in _REQUIRED if name not in claims] if setting.provider.strict_access_tokens else []
    if missing:
        raise refuse("kind", f"an access token must have {', '.join(missing)}")


RULES: Rules = (
    ("kind", access_token_only),
    ("complete", complete),
    ("iss", rule.issuer),
    ("aud", for_us),
    ("exp", rule.expiry),
    ("nbf", rule.not_before),
    ("iat", rule.issued_at),
    ("sub", rule.subject),
    ("authentication", rule.authentication),
    ("scope", rule.required_scopes),
    ("binding", rule.not_bound),
)
