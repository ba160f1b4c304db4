"""The rules a logout token's claims must keep (OpenID Connect Back-Channel Logout 1.0 sections 2.4, 2.6); it must not
check signatures.

What tells it from every other token is the event in it: no ID or access token has one (`token_kind` refuses those that
do), and none passes here without it. `jti` is taken note of where the sign-out is written.
"""

from __future__ import annotations

from vestibule.oidc import claim_rules as rule
from vestibule.oidc.claim_rules import Claims, Rules, Setting, check_subject, text
from vestibule.oidc.id_token import dated, for_us
from vestibule.oidc.refusal import refuse

EVENT = "http://schemas.openid.net/event/backchannel-logout"
_TYPES = frozenset({"logout+jwt", "application/logout+jwt", "jwt", "application/jwt"})
_LONGEST_NAME = 255


def logout_only(claims: Claims, setting: Setting) -> None:
    if (setting.type or "jwt").lower() not in _TYPES:
        raise refuse("typ", "the header's typ is not that of a logout token")
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(EVENT), dict):
        raise refuse("events", "events has no back-channel logout")
    if "nonce" in claims:
        # Section 2.4: or it could be taken for an ID token by who looks at nothing else.
        raise refuse("nonce", "a logout token has no nonce")


def named(claims: Claims, _: Setting) -> None:
    if not _name(claims, "jti"):
        raise refuse("jti", "jti is missing")


def of_somebody(claims: Claims, _: Setting) -> None:
    if "sub" not in claims and "sid" not in claims:
        raise refuse("sub", "neither sub nor sid says who signed out")
    if "sub" in claims:
        check_subject(claims["sub"])
    if "sid" in claims and not _name(claims, "sid"):
        raise refuse("sid", "sid is empty")


def _name(claims: Claims, name: str) -> str:
    value = text(claims, name) or ""
    if len(value) > _LONGEST_NAME:
        raise refuse(name, f"{name} is longer than {_LONGEST_NAME} characters")
    return value


RULES: Rules = (
    ("kind", logout_only),
    ("iss", rule.issuer),
    ("aud", for_us),
    ("exp", rule.expiry),
    ("nbf", rule.not_before),
    ("iat", dated),
    ("jti", named),
    ("sub", of_somebody),
)
