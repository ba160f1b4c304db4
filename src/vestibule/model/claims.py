"""What a verification method learned about a visitor, with proof and without as unrelated types; no I/O."""

from __future__ import annotations

import enum

import msgspec
from msgspec import UNSET, UnsetType

CustomValue = str | int | float | bool
CustomData = dict[str, CustomValue]


class Method(enum.StrEnum):
    """How something became known. Only the first three prove anything; an operator's word stands beside a value, and
    makes no token."""

    SERVER_TO_SERVER = "server_to_server"
    TOKEN_EXCHANGE = "token_exchange"  # noqa: S105 - a method's name
    AUTH_ENDPOINT = "auth_endpoint"
    UNVERIFIED = "unverified"
    OPERATOR = "operator"


class KeyKind(enum.StrEnum):
    """The keys on a contact's row."""

    EMAIL = "email"
    PHONE = "phone"
    EXTERNAL_ID = "external_id"


class HttpOverrides(msgspec.Struct, frozen=True, omit_defaults=True):
    """HTTP parameters that the responder's actions must use for one person (seed: PublicAPIHttpOverrides)."""

    query_params: dict[str, str] = {}
    path_params: dict[str, str] = {}
    body_params: dict[str, str] = {}
    headers: dict[str, str] = {}


class ProfileClaims(msgspec.Struct, frozen=True):
    """Profile values as claimed. UNSET means "said nothing, keep"; None means "clear" (DESIGN rule 2.7)."""

    name: str | None | UnsetType = UNSET
    email: str | None | UnsetType = UNSET
    phone: str | None | UnsetType = UNSET
    avatar_url: str | None | UnsetType = UNSET
    language: str | None | UnsetType = UNSET
    custom_data: CustomData | None | UnsetType = UNSET
    chat_context: str | None | UnsetType = UNSET
    http_action_overrides: HttpOverrides | None | UnsetType = UNSET
    labels: tuple[str, ...] | None | UnsetType = UNSET


class ProviderSubject(msgspec.Struct, frozen=True):
    """Whom an identity provider proved: `(issuer, subject)` is a key that finds a contact (RFC 7519 section 4.1.2: a
    subject means something at its issuer only).

    Times are epoch milliseconds: when the person signed in there, and when the token that said so ends. `session` is
    the provider's own name for that sign-in (`sid`). `once` is the token's fingerprint where it proves this one time
    and never again.
    """

    issuer: str
    subject: str
    provider_id: int
    auth_time: int | None = None
    expires_at: int | None = None
    session: str | None = None
    once: str | None = None


class SignOut(msgspec.Struct, frozen=True):
    """That somebody signed out at their provider, as that has proven: from one session where `session` tells which
    (`sid`), else everywhere. `once` and `expires_at` (epoch milliseconds) are the proof's, which is good one time."""

    workspace_id: str
    provider_id: int
    issuer: str
    subject: str | None
    session: str | None
    once: str
    expires_at: int


class Ground(msgspec.Struct, frozen=True):
    """Why somebody counts as a contact: a token, or what they have proven in one conversation, by the id under which it
    ends, and since when it stands (epoch milliseconds)."""

    contact_id: str
    token_id: str
    since: int


class VerifiedClaims(msgspec.Struct, frozen=True):
    """Proven by a verification method, and by nothing else: only `verification/` may make one (tests hold this).

    `email_key`, `phone_key`, `external_id` and `subject` are keys that may find a contact: normalised, and vouched
    for. `match_by`: only this one chooses the contact and becomes its key, and the others may be nobody else's; None:
    as the method's own rule has it. `may_claim`: an unverified contact that says the same e-mail may become the proven
    one. `proven_at` and `token_until`, when the contact's token has to end, are epoch milliseconds. `notes` tells, by
    field, what was left out of the profile and why (DESIGN rule 2.7). `unproven` are the fields of the profile that the
    person may have typed in where they proved who they are: the contact is theirs, the value is their own word.
    `no_custom` are the members of custom data that somebody said there are none of; None: the profile's are all.
    """

    workspace_id: str
    method: Method
    proven_at: int
    profile: ProfileClaims
    email_key: str | None = None
    phone_key: str | None = None
    external_id: str | None = None
    notes: dict[str, str] = {}
    subject: ProviderSubject | None = None
    match_by: KeyKind | None = None
    may_claim: bool = False
    token_until: int | None = None
    unproven: frozenset[str] = frozenset()
    no_custom: frozenset[str] | None = None

    @property
    def authenticated_at(self) -> int:
        """When the person proved themselves: to their provider, where it tells, and never in the future."""
        signed_in = self.subject.auth_time if self.subject is not None else None
        return self.proven_at if signed_in is None else min(signed_in, self.proven_at)
