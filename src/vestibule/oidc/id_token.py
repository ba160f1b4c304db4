"""The rules an ID token's claims must keep (OpenID Connect Core section 3.1.3.7); it must not check signatures.

`nonce` cannot be checked: it belongs to a sign-in that the customer's page started, not we. What stands against replay
is the token's short life, and that a userInfoId is bound once.
"""

from __future__ import annotations

from vestibule.oidc import claim_rules as rule
from vestibule.oidc.claim_rules import Claims, Rules, Setting, audience, moment, text
from vestibule.oidc.refusal import refuse
from vestibule.oidc.token_kind import id_token_only


def for_us(claims: Claims, setting: Setting) -> None:
    ours = set(setting.provider.client_ids)
    whom = audience(claims)
    if not ours.intersection(whom):
        raise refuse("aud", "aud has none of the client ids")
    party = text(claims, "azp")
    if party is not None and party not in ours:
        raise refuse("azp", "azp is another client")
    if party is None and not ours.issuperset(whom):
        raise refuse("azp", "several audiences, and azp does not say for whom it was made")


def dated(claims: Claims, setting: Setting) -> None:
    if moment(claims, "iat") is None:
        raise refuse("iat", "iat is missing")
    rule.issued_at(claims, setting)


RULES: Rules = (
    ("kind", id_token_only),
    ("iss", rule.issuer),
    ("aud", for_us),
    ("exp", rule.expiry),
    ("nbf", rule.not_before),
    ("iat", dated),
    ("sub", rule.subject),
    ("authentication", rule.authentication),
    ("binding", rule.not_bound),
)
