"""The form of an identity provider, field by field; what may stand in each, `administration.provider_rules` says."""

from __future__ import annotations

from vestibule.model.identity_provider import ClientAuth, TokenKind, UserinfoUse
from vestibule.surfaces.dashboard.set_up.fields import Field

_WHERE = "Endpoints and keys"
_WHAT = "What tokens must be"
_CLAIMS = "Claims and contacts"
_OPAQUE = "Opaque tokens"

FIELDS = (
    Field("name", "Name", help="What you call it."),
    Field("issuer", "Issuer", "url", help="To the letter as its tokens have it in iss, also a last slash."),
    Field("client_ids", "Client ids", "lines", help="Who its ID tokens are for (aud), one a line."),
    Field("audiences", "Audiences", "lines", help="Who its JWT access tokens are for, one a line."),
    Field("accepts", "Takes", "checks", choices=tuple(TokenKind)),
    Field("enabled", "Enabled", "check", help="A disabled provider's tokens are refused within two seconds."),
    Field("discovery", "Ask its discovery document", "check", group=_WHERE),
    Field("endpoints.jwks_uri", "Key set (JWKS)", "url", help="Empty: as discovery says.", group=_WHERE),
    Field("endpoints.introspection", "Introspection endpoint", "url", group=_WHERE),
    Field("endpoints.userinfo", "Userinfo endpoint", "url", group=_WHERE),
    Field("algorithms", "Algorithms", "lines", help="One a line; HS256 alone, with a shared secret.", group=_WHERE),
    Field("shared_secret", "Shared secret", "secret", help="For HS256 only.", group=_WHERE),
    Field(
        "strict_access_tokens",
        "Access tokens must say what they are",
        "check",
        help="typ at+jwt (RFC 9068). Most products' do not.",
        group=_WHAT,
    ),
    Field("access_token_marks", "Claims that only access tokens have", "lines", group=_WHAT),
    Field("id_token_requires", "Claims that every ID token has", "lines", group=_WHAT),
    Field("access_token_client_claim", "Claim that names an access token's client", group=_WHAT),
    Field("required_scopes", "Required scopes", "lines", group=_WHAT),
    Field("required_acr", "Required acr, one of", "lines", group=_WHAT),
    Field("max_age", "Signed in at most so many seconds ago", "number", group=_WHAT),
    Field("leeway", "Clocks may differ by, in seconds", "number", group=_WHAT),
    Field("oldest_iat", "Issued at most so many seconds ago", "number", group=_WHAT),
    Field("longest_life", "Good for at most so many seconds", "number", group=_WHAT),
    Field("single_use", "Take each token once", "check", group=_WHAT),
    Field("claims.subject", "Subject", help="The claim that finds the contact.", group=_CLAIMS),
    Field("claims.name", "Name", group=_CLAIMS),
    Field("claims.email", "E-mail", group=_CLAIMS),
    Field("claims.phone", "Phone", group=_CLAIMS),
    Field("claims.avatar_url", "Picture", group=_CLAIMS),
    Field("claims.language", "Language", group=_CLAIMS),
    Field("claims.custom", "Custom values", "pairs", help="name = claim, one a line.", group=_CLAIMS),
    Field("mask", "Show as present only", "lines", help="Values that are kept masked, one a line.", group=_CLAIMS),
    Field(
        "link_by_email",
        "Verified e-mail addresses find contacts",
        "check",
        help="Whoever controls an address there becomes its contact here.",
        group=_CLAIMS,
    ),
    Field("introspection_client.client_id", "Our client id there", group=_OPAQUE),
    Field("introspection_client.client_secret", "Its secret", "secret", group=_OPAQUE),
    Field("introspection_client.method", "Sent as", "choice", choices=tuple(ClientAuth), group=_OPAQUE),
    Field("userinfo", "Ask userinfo for more claims", "choice", choices=tuple(UserinfoUse), group=_OPAQUE),
    Field(
        "allow_userinfo_only",
        "Take them on userinfo's word alone",
        "check",
        help="Weak: any other client's token of this provider signs its user in here.",
        group=_OPAQUE,
    ),
)
