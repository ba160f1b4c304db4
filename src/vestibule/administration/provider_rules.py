"""What an identity provider's settings may be, every problem at once; it must not store or ask anything."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from vestibule.administration.secret_strength import weakness
from vestibule.errors import UpstreamForbidden
from vestibule.model.identity_provider import (
    SHARED_SECRET,
    SIGNATURES,
    ClaimMapping,
    IdentityProvider,
    ProviderSettings,
    TokenKind,
    UserinfoUse,
)
from vestibule.oidc.claim_mapping import is_hidden, mapped_paths
from vestibule.outbound.address_guard import parse_url
from vestibule.settings import Network

_LONGEST_NAME = 100
_MOST_ENTRIES = 50
_LONGEST_ENTRY = 255
_LONGEST_LEEWAY = 300
_LONGEST_AGE = 30 * 86_400
_LONGEST_LIFE = 366 * 86_400
_ORDINARY_LIFE = 86_400


def problems(settings: ProviderSettings, private_hosts: tuple[Network, ...] = ()) -> list[str]:
    """What is wrong with the settings, one sentence each; none of them repeats a secret."""
    return [
        *_names(settings),
        *_addresses(settings, private_hosts),
        *_algorithms(settings),
        *_times(settings),
        *_kinds(settings),
    ]


def kinds_of(settings: ProviderSettings) -> tuple[TokenKind, ...]:
    """The kinds of token that the settings are complete for, where nobody has named them."""
    kinds = []
    if settings.client_ids:
        kinds.append(TokenKind.ID_TOKEN)
    if settings.audiences or settings.access_token_client_claim:
        kinds.append(TokenKind.JWT_ACCESS_TOKEN)
    if settings.introspection_client.client_id or settings.allow_userinfo_only:
        kinds.append(TokenKind.OPAQUE_ACCESS_TOKEN)
    return tuple(kinds)


def warnings(settings: ProviderSettings) -> list[str]:
    """What is allowed and worth knowing."""
    found = []
    if settings.allow_userinfo_only:
        found.append(
            "allow_userinfo_only: userinfo does not say for whom a token was made, so whoever runs any other client of"
            " this provider can sign its users in here"
        )
    if settings.link_by_email:
        found.append("link_by_email: whoever controls a verified address at this provider becomes its contact here")
    if settings.longest_life > _ORDINARY_LIFE and not settings.id_token_requires:
        found.append(
            "longest_life: ID tokens live minutes to hours; if this provider's access tokens have no mark of their own"
            " (Canaille), one that lives longer would pass as an ID token unless id_token_requires tells them apart"
        )
    found += [
        f"mask: {entry} is no claim that becomes a value here, and hides nothing"
        for entry in settings.mask
        if not any(is_hidden(path, (entry,)) for path in mapped_paths(settings.claims))
    ]
    if settings.claims.subject != ClaimMapping().subject:
        found.append(
            "claims.subject: its values must be one person's for ever and nobody's to choose, which is promised of sub"
            " alone (OpenID Connect Core section 5.7); if people of this issuer were known here by another claim,"
            " whoever has the value of one becomes that one's contact"
        )
    if settings.uses_shared_secret:
        found.append("algorithms: everybody who knows the shared secret can make tokens for anybody")
    if _subjects_may_differ(settings):
        found.append("accepts: if this provider's subjects differ between its tokens, one person becomes two contacts")
    return found


def _subjects_may_differ(settings: ProviderSettings) -> bool:
    """SECURITY.md finding 6. Userinfo has the ID token's subject (OpenID Connect Core section 5.3.2), and where it is
    asked about an opaque token, introspection's must be the same; alone that may be another."""
    kinds = set(settings.accepts)
    if {TokenKind.ID_TOKEN, TokenKind.JWT_ACCESS_TOKEN} <= kinds:
        return True
    by_introspection = settings.introspection_client.client_id and settings.userinfo is UserinfoUse.NEVER
    return bool(by_introspection) and TokenKind.OPAQUE_ACCESS_TOKEN in kinds and len(kinds) > 1


def clash(settings: ProviderSettings, others: Iterable[IdentityProvider]) -> str | None:
    """The first provider beside which these may not be, and why."""
    for other in others:
        why = contradiction(settings, other)
        if why is not None:
            return f"provider {other.id} {why}"
    return None


def contradiction(settings: ProviderSettings, other: ProviderSettings) -> str | None:
    """Why two may not be side by side, as either could say it of the other. Of two that take the same tokens, which one
    counts must not depend on the order (contract Q8.3). And a subject is the issuer's, whoever reads it: where one
    takes account numbers for it and another names that people choose, who calls themselves 17 is number 17."""
    if other.issuer != settings.issuer:
        return None
    if other.claims.subject != settings.claims.subject:
        return "does not read this issuer's subjects from the same claim"
    kinds = set(settings.accepts) & set(other.accepts)
    ids = set(settings.client_ids) & set(other.client_ids)
    audiences = set(settings.audiences) & set(other.audiences)
    # Whichever claims they are: a token may well have both.
    by_client = ids if settings.access_token_client_claim and other.access_token_client_claim else ()
    if (TokenKind.ID_TOKEN in kinds and ids) or (TokenKind.JWT_ACCESS_TOKEN in kinds and (audiences or by_client)):
        return "takes the same kind of tokens of this issuer for the same audience"
    return None


def _names(settings: ProviderSettings) -> Iterator[str]:
    if not settings.name.strip() or len(settings.name) > _LONGEST_NAME or not settings.name.isprintable():
        yield f"name: must have 1 to {_LONGEST_NAME} printable characters"
    lists = {
        "client_ids": settings.client_ids,
        "audiences": settings.audiences,
        "required_scopes": settings.required_scopes,
        "required_acr": settings.required_acr,
        "access_token_marks": settings.access_token_marks,
        "id_token_requires": settings.id_token_requires,
        "mask": settings.mask,
        "claims.custom": (*settings.claims.custom, *settings.claims.custom.values()),
    }
    for name, entries in lists.items():
        if len(entries) > _MOST_ENTRIES or not all(
            entry and len(entry) <= _LONGEST_ENTRY and entry.isprintable() for entry in entries
        ):
            yield f"{name}: must be at most {_MOST_ENTRIES} texts of 1 to {_LONGEST_ENTRY} printable characters"
    if not settings.claims.subject:
        yield "claims.subject: must name a claim"


def _addresses(settings: ProviderSettings, private_hosts: tuple[Network, ...]) -> Iterator[str]:
    given = {
        "issuer": settings.issuer,
        "endpoints.jwks_uri": settings.endpoints.jwks_uri,
        "endpoints.introspection": settings.endpoints.introspection,
        "endpoints.userinfo": settings.endpoints.userinfo,
    }
    for name, url in given.items():
        if not url and name != "issuer":
            continue
        try:
            parse_url(url, private_hosts)
        except UpstreamForbidden as error:
            yield f"{name}: {error.detail}"
    if "?" in settings.issuer:
        yield "issuer: must have no query (OpenID Connect Core section 2)"
    reads_jwts = set(settings.accepts) != {TokenKind.OPAQUE_ACCESS_TOKEN} and not settings.uses_shared_secret
    if reads_jwts and not settings.discovery and not settings.endpoints.jwks_uri:
        yield "endpoints.jwks_uri: is required where discovery is off"


def _algorithms(settings: ProviderSettings) -> Iterator[str]:
    if settings.uses_shared_secret:
        weak = weakness(settings.shared_secret)
        if weak is not None:
            yield f"shared_secret: {weak}"
        return
    if settings.shared_secret:
        yield f"shared_secret: is for {SHARED_SECRET} alone"
    if not settings.algorithms or not set(settings.algorithms) <= set(SIGNATURES):
        yield f"algorithms: must be some of {', '.join(SIGNATURES)}, or {SHARED_SECRET} and no other"


def _times(settings: ProviderSettings) -> Iterator[str]:
    for name, value, longest in (
        ("leeway", settings.leeway, _LONGEST_LEEWAY),
        ("oldest_iat", settings.oldest_iat, _LONGEST_AGE),
        ("longest_life", settings.longest_life, _LONGEST_LIFE),
        ("max_age", settings.max_age or 0, _LONGEST_AGE),
    ):
        if not 0 <= value <= longest:
            yield f"{name}: must be 0 to {longest} seconds"


def _kinds(settings: ProviderSettings) -> Iterator[str]:
    if not settings.accepts:
        yield "accepts: must name at least one kind of token"
    if TokenKind.ID_TOKEN in settings.accepts and not settings.client_ids:
        yield "client_ids: ID tokens need the client ids that they are for"
    if TokenKind.JWT_ACCESS_TOKEN in settings.accepts and not (
        settings.audiences or (settings.access_token_client_claim and settings.client_ids)
    ):
        yield "audiences: JWT access tokens need the audiences that they are for, or access_token_client_claim"
    if TokenKind.OPAQUE_ACCESS_TOKEN in settings.accepts:
        client = settings.introspection_client
        if not client.client_id and not settings.allow_userinfo_only:
            yield "introspection_client: opaque tokens need it (or allow_userinfo_only, which proves less)"
        asked = client.client_id and (settings.discovery or settings.endpoints.introspection)
        required = settings.required_scopes or settings.required_acr or settings.max_age is not None
        if settings.allow_userinfo_only and required and not asked:
            yield "allow_userinfo_only: required_scopes, required_acr and max_age need introspection, which tells them"
        if client.client_id and not (settings.client_ids or settings.audiences):
            yield "client_ids: opaque tokens need the client ids or audiences that they are for"
