"""An identity provider as a workspace has set it up; what may be set, `administration.identity_providers` says; no
I/O."""

from __future__ import annotations

import enum

import msgspec

# What a provider may sign with. Our list decides, never the provider's discovery document, where real products list
# `none` (SECURITY.md finding 3; RFC 8725 section 3.1). `Ed25519` is RFC 9864's name for what `EdDSA` mostly means.
SIGNATURES = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
    "Ed25519",
)
# A shared secret is a choice of its own, and then no signature counts: no token is read both ways (RFC 8725 section
# 2.1, key confusion).
SHARED_SECRET = "HS256"  # noqa: S105 - an algorithm's name


class TokenKind(enum.StrEnum):
    """What a provider's token is. A token is never read as another kind than the one it was sent as."""

    ID_TOKEN = "id_token"  # noqa: S105 - a kind's name
    JWT_ACCESS_TOKEN = "jwt_access_token"  # noqa: S105
    OPAQUE_ACCESS_TOKEN = "opaque_access_token"  # noqa: S105


class ClientAuth(enum.StrEnum):
    """How we prove to the provider that we may ask about a token (RFC 6749 section 2.3.1)."""

    BASIC = "client_secret_basic"
    POST = "client_secret_post"


class UserinfoUse(enum.StrEnum):
    """For which access tokens the provider's userinfo is asked for more claims."""

    NEVER = "never"
    OPAQUE = "opaque"
    ALWAYS = "always"


class Endpoints(msgspec.Struct, frozen=True, omit_defaults=True):
    """Addresses at the provider; empty: as discovery says."""

    jwks_uri: str = ""
    introspection: str = ""
    userinfo: str = ""


class ClientCredentials(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who we are at the provider's introspection endpoint."""

    client_id: str = ""
    client_secret: str = ""
    method: ClientAuth = ClientAuth.BASIC

    def __repr__(self) -> str:
        return f"ClientCredentials({self.client_id!r}, …)"


class ClaimMapping(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which claim becomes which value; empty: none. `a.b` is the member b of the claim a, where no claim is called
    `a.b`. `custom` maps the name of a custom value to its claim."""

    subject: str = "sub"
    name: str = "name"
    email: str = "email"
    phone: str = "phone_number"
    avatar_url: str = "picture"
    language: str = "locale"
    custom: dict[str, str] = {}


class ProviderSettings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An identity provider as an operator writes it down. Times are seconds, as in a JWT."""

    name: str
    issuer: str
    enabled: bool = True
    # Who an ID token must be for (OpenID Connect Core section 3.1.3.7), and who may have asked for an access token.
    client_ids: tuple[str, ...] = ()
    # Who a JWT access token must be for. A client id counts only where it is written here as well.
    audiences: tuple[str, ...] = ()
    discovery: bool = True
    endpoints: Endpoints = Endpoints()
    algorithms: tuple[str, ...] = SIGNATURES
    shared_secret: str = ""
    accepts: tuple[TokenKind, ...] = (TokenKind.ID_TOKEN,)
    # True: a JWT access token must say that it is one (RFC 9068, `typ: at+jwt`). Most products' do not.
    strict_access_tokens: bool = False
    # Claims that only this provider's access tokens have: what tells them from ID tokens (SECURITY.md finding 2).
    access_token_marks: tuple[str, ...] = ("scope", "scp", "client_id", "cid")
    # Claims that every ID token of this provider has, and no access token. Needed where access tokens have no mark at
    # all (Canaille: at_hash).
    id_token_requires: tuple[str, ...] = ()
    # Where access tokens have no audience of ours, the claim that names the client which asked for them (Cognito:
    # client_id, Keycloak: azp). Empty: the audience is required.
    access_token_client_claim: str = ""
    required_scopes: tuple[str, ...] = ()
    required_acr: tuple[str, ...] = ()  # one of them
    max_age: int | None = None  # since the person signed in (auth_time)
    leeway: int = 60
    oldest_iat: int = 86_400
    longest_life: int = 86_400
    claims: ClaimMapping = ClaimMapping()
    mask: tuple[str, ...] = ()
    link_by_email: bool = False
    # A token is exchanged once. Off: pages reload and people have several tabs, each of which exchanges the same token.
    single_use: bool = False
    allow_userinfo_only: bool = False
    userinfo: UserinfoUse = UserinfoUse.OPAQUE
    introspection_client: ClientCredentials = ClientCredentials()

    @property
    def uses_shared_secret(self) -> bool:
        return self.algorithms == (SHARED_SECRET,)

    def stored(self, workspace_id: str, number: int, position: int) -> IdentityProvider:
        """As it is with its number and its place."""
        members = {name: getattr(self, name) for name in ProviderSettings.__struct_fields__}
        return IdentityProvider(workspace_id=workspace_id, id=number, position=position, **members)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {self.issuer!r})"


class IdentityProvider(ProviderSettings, frozen=True, kw_only=True, omit_defaults=True):
    """A provider as stored. `id` is an integer of its workspace's own (Puzzel's providerId) and is never given twice;
    `position` is its place in the order in which providers are tried."""

    workspace_id: str
    id: int
    position: int

    def __repr__(self) -> str:
        return f"IdentityProvider({self.workspace_id!r}, {self.id}, {self.name!r})"
