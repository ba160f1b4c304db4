"""Picks the values that a workspace wants out of a provider's claims; it must not judge whether they are good."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import UNSET

from vestibule.model.identity_provider import ClaimMapping, IdentityProvider
from vestibule.oidc.claim_rules import Claims

# What is shown in place of a masked value, to the agent and the visitor alike.
MASKED = "***"
PROFILE_NAMES = ("name", "email", "phone", "avatar_url", "language")
# What people may type in at many providers, and the claim of which `…_verified` speaks (OpenID Connect Core 5.1).
PROVABLE = {"email": "email", "phone": "phone_number"}


class Mapped(msgspec.Struct, frozen=True):
    """`values` are as the provider wrote them: UNSET where the claim is absent, None where it is null. `proven`: the
    address and the number, as far as the provider says in a boolean of its own that they are, and they are shown."""

    values: dict[str, Any]
    custom: dict[str, Any] | None
    proven: frozenset[str]


def map_claims(provider: IdentityProvider, claims: Claims) -> Mapped:
    mapping = provider.claims
    values = {name: _value(provider, claims, getattr(mapping, name)) for name in PROFILE_NAMES}
    custom = {name: _value(provider, claims, path) for name, path in mapping.custom.items()}
    # ASVS 15.3.5: the text "true" is no boolean. It speaks of the claim `email` and of no other that may be mapped.
    # What is masked is not shown, and so must not find anybody either.
    proven = {
        name
        for name, claim in PROVABLE.items()
        if claims.get(f"{claim}_verified") is True
        and getattr(mapping, name) == claim
        and isinstance(values[name], str)
        and values[name] != MASKED
    }
    return Mapped(
        values=values,
        custom={name: value for name, value in custom.items() if value is not UNSET} if mapping.custom else None,
        proven=frozenset(proven),
    )


def find_claim(claims: Claims, path: str) -> Any:
    """The claim called `path`, or where there is none, the member that its dots lead to. UNSET if there is neither."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for name in path.split("."):
        if not isinstance(found, dict) or name not in found:
            return UNSET
        found = found[name]
    return found


def mapped_paths(mapping: ClaimMapping) -> list[str]:
    """The claims that become values."""
    return [path for path in (*(getattr(mapping, name) for name in PROFILE_NAMES), *mapping.custom.values()) if path]


def is_hidden(path: str, mask: Iterable[str]) -> bool:
    """Whether a claim, or what holds it, is masked."""
    return any(path == masked or path.startswith(f"{masked}.") for masked in mask)


def _value(provider: IdentityProvider, claims: Claims, path: str) -> Any:
    if not path:
        return UNSET
    value = find_claim(claims, path)
    if value is UNSET or value is None:
        return value
    return MASKED if is_hidden(path, provider.mask) else value
