"""The rules that every kind of token has in common, one a function, so that a dry run can show each; it must not
check signatures.

Each rule takes the claims and what they are checked against, and raises InvalidProviderToken with its own step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from vestibule.errors import BoundTokenNotSupported
from vestibule.model.identity_provider import IdentityProvider
from vestibule.oidc.refusal import refuse

Claims = dict[str, Any]
LONGEST_SUBJECT = 255  # OpenID Connect Core section 2
_LONGEST_AUDIENCE = 50
_LAST_SECOND = 253_402_300_799  # the year 9999


class Setting(msgspec.Struct, frozen=True):
    """What claims are checked against; `now` in seconds, `type` the header's."""

    provider: IdentityProvider
    now: float
    type: str | None = None


Rule = Callable[[Claims, Setting], None]
Rules = tuple[tuple[str, Rule], ...]


def moment(claims: Claims, name: str) -> float | None:
    """A NumericDate (RFC 7519 section 2), which may have a fraction; None where there is none."""
    value = claims.get(name)
    if value is None and name not in claims:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise refuse(name, f"{name} is not a number")
    if not 0 < value <= _LAST_SECOND:  # NaN is neither
        raise refuse(name, f"{name} is not a moment between 1970 and 9999")
    return value


def audience(claims: Claims) -> tuple[str, ...]:
    """RFC 7519 section 4.1.3: one text or a list of texts; empty where there is none."""
    value = claims.get("aud")
    if value is None and "aud" not in claims:
        return ()
    entries = [value] if isinstance(value, str) else value
    if (
        not isinstance(entries, list)
        or len(entries) > _LONGEST_AUDIENCE
        or not all(isinstance(entry, str) and entry for entry in entries)
    ):
        raise refuse("aud", "aud is neither text nor a list of texts")
    return tuple(entries)


def text(claims: Claims, name: str) -> str | None:
    value = claims.get(name)
    if value is not None and not isinstance(value, str):
        raise refuse(name, f"{name} is not text")
    return value


def scopes(claims: Claims) -> frozenset[str]:
    """RFC 6749 section 3.3 in `scope`; `scp` as Okta (list) and Microsoft (text) have it."""
    found: set[str] = set()
    for name in ("scope", "scp"):
        value = claims.get(name)
        if isinstance(value, str):
            found.update(value.split())
        elif isinstance(value, list):
            found.update(entry for entry in value if isinstance(entry, str))
        elif value is not None:
            raise refuse(name, f"{name} is neither text nor a list")
    return frozenset(found)


def issuer(claims: Claims, setting: Setting) -> None:
    # Character by character (RFC 8414 section 2, OpenID Connect Core 3.1.3.7): two spellings are two issuers.
    if claims.get("iss") != setting.provider.issuer:
        raise refuse("iss", "iss is not the provider's issuer")


def subject(claims: Claims, _: Setting) -> None:
    check_subject(claims.get("sub"))


def check_subject(value: object) -> str:
    """A subject that can name somebody for ever."""
    if not isinstance(value, str) or not value or value != value.strip():
        raise refuse("sub", "sub is missing, empty, padded with blanks, or no text")
    if len(value) > LONGEST_SUBJECT:
        raise refuse("sub", f"sub is longer than {LONGEST_SUBJECT} characters")
    if not value.isprintable():
        # Two that differ in invisible characters would look like one to everybody who reads them.
        raise refuse("sub", "sub has characters that cannot be printed")
    return value


def expiry(claims: Claims, setting: Setting) -> None:
    end = moment(claims, "exp")
    if end is None:
        raise refuse("exp", "exp is missing")
    not_expired(claims, setting)
    issued = moment(claims, "iat")
    provider = setting.provider
    if issued is not None and end + provider.leeway <= issued:
        raise refuse("exp", "exp is not after iat")
    # Also what is left of its life, or a token in milliseconds or without iat would be good for ever.
    if end - (setting.now if issued is None else issued) > provider.longest_life + provider.leeway:
        raise refuse("exp", f"the token is good for more than {provider.longest_life} s")


def not_expired(claims: Claims, setting: Setting) -> None:
    end = moment(claims, "exp")
    if end is not None and end + setting.provider.leeway <= setting.now:
        raise refuse("exp", "the token has expired")


def not_before(claims: Claims, setting: Setting) -> None:
    begin = moment(claims, "nbf")
    if begin is not None and begin - setting.provider.leeway > setting.now:
        raise refuse("nbf", "the token is not good yet")


def issued_at(claims: Claims, setting: Setting) -> None:
    issued = moment(claims, "iat")
    if issued is None:
        return
    if issued - setting.provider.leeway > setting.now:
        raise refuse("iat", "the token was issued in the future")
    if setting.now - issued > setting.provider.oldest_iat + setting.provider.leeway:
        raise refuse("iat", f"the token was issued more than {setting.provider.oldest_iat} s ago")


def authentication(claims: Claims, setting: Setting) -> None:
    """`acr` and `auth_time`, where the provider's setting asks for them; their types in any case."""
    provider = setting.provider
    signed_in = moment(claims, "auth_time")
    if signed_in is not None and signed_in - provider.leeway > setting.now:
        raise refuse("auth_time", "auth_time lies in the future")
    if provider.max_age is not None:
        if signed_in is None:
            raise refuse("auth_time", "auth_time is missing, and a maximum age is set")
        if setting.now - signed_in > provider.max_age + provider.leeway:
            raise refuse("auth_time", f"the person signed in more than {provider.max_age} s ago")
    if provider.required_acr and claims.get("acr") not in provider.required_acr:
        raise refuse("acr", "acr is not one of those required")


def required_scopes(claims: Claims, setting: Setting) -> None:
    missing = sorted(set(setting.provider.required_scopes) - scopes(claims))
    if missing:
        raise refuse("scope", f"the token lacks the scope {' '.join(missing)}")


def not_bound(claims: Claims, _: Setting) -> None:
    """RFC 7800: a token that only its key's holder may use is worth nothing without the proof."""
    if "cnf" in claims or str(claims.get("token_type", "")).lower() == "dpop":
        raise BoundTokenNotSupported(detail="the token is bound to a key (cnf)", step="binding")
