"""What the admin API shows, and a pure function for each to make it of what is stored; no secret is among it, but for a
key at the moment at which it is made."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from vestibule.administration import provider_rules
from vestibule.administration.api_keys import KeyReport, KeyState
from vestibule.administration.workspaces import LONGEST_RETENTION
from vestibule.clock import SECOND_MS
from vestibule.model import contact as contacts
from vestibule.model import conversation as threads
from vestibule.model import workspace as tenancies
from vestibule.model.claims import CustomData, HttpOverrides, Method
from vestibule.model.identity_provider import ClaimMapping, ClientAuth, Endpoints, IdentityProvider
from vestibule.times import rfc3339

S = TypeVar("S", bound=msgspec.Struct)
Time = Annotated[str, Meta(description="RFC 3339, UTC.", extra_json_schema={"format": "date-time"})]
Uuid = Annotated[str, Meta(extra_json_schema={"format": "uuid"})]
# By another name than an action's trust, which stands in the same document.
MessageTrust = Literal["verified", "unverified", "staff", "system"]
Seconds = Annotated[int, Meta(ge=0, le=LONGEST_RETENTION // SECOND_MS)]
PerMinute = Annotated[int, Meta(ge=1, le=1_000_000_000)]


class RateLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Requests a minute per API key; null: what holds above it."""

    standard: PerMinute | None = None
    streaming: PerMinute | None = None


class Retention(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long a workspace keeps what it has, in seconds; null: what holds for everybody. Unverified contacts since
    somebody wrote, closed conversations since they changed last (0: as long as the contact), the audit."""

    unverified_contacts: Seconds | None = None
    closed_conversations: Seconds | None = None
    audit: Seconds | None = None


class Workspace(msgspec.Struct, frozen=True):
    """A customer's tenancy. `widget_token` is what its widget carries; it is public."""

    id: Uuid
    name: str
    customer_id: str
    widget_token: str
    rate_limits: RateLimits
    retention: Retention
    created_at: Time
    disabled_at: Time | None


class ApiKey(msgspec.Struct, frozen=True):
    """An API key. `last_used_at` is right to about a minute; `used_since_replaced`: somebody still calls with a key
    that was rotated."""

    id: Uuid
    name: str
    hint: str
    scopes: tuple[str, ...]
    rate_limits: RateLimits
    created_at: Time
    expires_at: Time | None
    revoked_at: Time | None
    last_used_at: Time | None
    replaces: str | None
    replaced_by: str | None
    state: KeyState
    used_since_replaced: bool


class NewApiKey(msgspec.Struct, frozen=True):
    """A key that was made. `api_key` is its text, shown now and never again."""

    api_key: str
    id: Uuid
    name: str
    hint: str
    scopes: tuple[str, ...]
    created_at: Time
    expires_at: Time | None
    replaces: str | None


class IntrospectionClient(msgspec.Struct, frozen=True):
    client_id: str
    has_secret: bool
    method: ClientAuth


class Provider(msgspec.Struct, frozen=True):
    """An identity provider; `warnings` are worth reading. Times are seconds."""

    id: int
    name: str
    issuer: str
    enabled: bool
    client_ids: tuple[str, ...]
    audiences: tuple[str, ...]
    discovery: bool
    endpoints: Endpoints
    algorithms: tuple[str, ...]
    has_shared_secret: bool
    accepts: tuple[str, ...]
    strict_access_tokens: bool
    access_token_marks: tuple[str, ...]
    id_token_requires: tuple[str, ...]
    access_token_client_claim: str
    required_scopes: tuple[str, ...]
    required_acr: tuple[str, ...]
    max_age: int | None
    leeway: int
    oldest_iat: int
    longest_life: int
    claims: ClaimMapping
    mask: tuple[str, ...]
    link_by_email: bool
    single_use: bool
    allow_userinfo_only: bool
    userinfo: str
    introspection_client: IntrospectionClient
    warnings: list[str]


class Origin(msgspec.Struct, frozen=True):
    """Where a value came from, and when."""

    source: Method
    at: Time


class Contact(msgspec.Struct, frozen=True):
    """A person a workspace knows. `identities` find the contact; `provenance` tells of each value who said it; `labels`
    came with an authentication. `phone` is as it was said, `phone_e164` as it is dialled from anywhere. Of HTTP
    overrides only the names are shown: the values are mostly credentials."""

    id: Uuid
    verified: bool
    name: str | None
    email: str | None
    phone: str | None
    phone_e164: str | None
    avatar_url: str | None
    language: str | None
    custom_data: CustomData
    non_verified_custom_data: CustomData
    labels: tuple[str, ...]
    chat_context: str | None
    http_action_overrides: dict[str, list[str]]
    identities: dict[str, str]
    provenance: dict[str, Origin]
    merged_into: str | None
    created_at: Time
    updated_at: Time


class Conversation(msgspec.Struct, frozen=True):
    """A chat thread. `verified`: made through a verified method. `handed_off`: people answer, and no responder."""

    id: Uuid
    number: int
    contact_id: str
    verified: bool
    scope: str | None
    channel: str
    title: str | None
    status: threads.Status
    handed_off: bool
    assignee: str
    language: str | None
    custom_data: CustomData
    last_message: str | None
    created_at: Time
    updated_at: Time
    version: int


class WholeConversation(Conversation, frozen=True):
    """With the queue that it was routed to, and what the page has kept in it."""

    queue_key: str | None
    checkpoint: dict[str, Any] | None


class Author(msgspec.Struct, frozen=True):
    """A visitor as known when they wrote: by which method they came, and when that was. `claims`: they had proven
    nothing, and said who they are."""

    method: str
    proven_at: Time
    claims: bool


class Message(msgspec.Struct, frozen=True):
    """One row of a history, internal ones as well. `trust` is what was proven of the author when it was written;
    `payload` what a notice says, such as a rating; `action_requests` what was sent for `action_calls`, without
    credentials."""

    id: str
    seq: int
    type: str
    sender: threads.Sender
    name: str | None
    trust: MessageTrust
    text: str | None
    attachments: tuple[threads.Attachment, ...]
    action_calls: tuple[dict[str, Any], ...]
    payload: dict[str, Any] | None
    custom_data: dict[str, Any] | None
    answers: int | None
    vote: str | None
    author: Author | None
    action_requests: tuple[dict[str, Any], ...]
    sent_at: Time


_RETENTION = Retention.__struct_fields__


def time_of(milliseconds: int | None) -> str | None:
    return rfc3339(milliseconds) if milliseconds is not None else None


def shown(shape: type[S], found: object, **other: object) -> S:
    """The shape of what was found: the members that both have, times (`…_at`) as texts; `other` are those that only the
    shape has, or has otherwise."""
    members = {name: getattr(found, name) for name in shape.__struct_fields__ if name not in other}
    times = {name: time_of(value) for name, value in members.items() if name.endswith("_at")}
    return shape(**{**members, **times, **other})


def retention_from(given: Retention) -> tenancies.Retention:
    """As it is stored."""
    times = {name: getattr(given, name) for name in _RETENTION}
    return tenancies.Retention(**{n: None if each is None else each * SECOND_MS for n, each in times.items()})


def limits_from(given: RateLimits) -> tenancies.RateLimits:
    """As they are stored."""
    return tenancies.RateLimits(given.standard, given.streaming)


def limits_of(limits: tenancies.RateLimits) -> RateLimits:
    return RateLimits(limits.standard, limits.streaming)


def workspace_of(found: tenancies.Workspace) -> Workspace:
    kept = Retention(**{name: _seconds(getattr(found.retention, name)) for name in _RETENTION})
    return shown(Workspace, found, rate_limits=limits_of(found.rate_limits), retention=kept)


def api_key_of(report: KeyReport) -> ApiKey:
    reported = {name: getattr(report, name) for name in ("state", "replaced_by", "used_since_replaced")}
    return shown(ApiKey, report.key, rate_limits=limits_of(report.key.rate_limits), **reported)


def provider_of(found: IdentityProvider) -> Provider:
    client = found.introspection_client
    return shown(
        Provider,
        found,
        accepts=tuple(kind.value for kind in found.accepts),
        userinfo=found.userinfo.value,
        has_shared_secret=bool(found.shared_secret),
        introspection_client=IntrospectionClient(client.client_id, bool(client.client_secret), client.method),
        warnings=provider_rules.warnings(found),
    )


def contact_of(found: contacts.Contact) -> Contact:
    identities = {"email": found.email_key, "phone": found.phone_key, "external_id": found.external_id}
    return shown(
        Contact,
        found,
        custom_data=found.custom_data or {},
        non_verified_custom_data=found.non_verified_custom_data or {},
        labels=found.labels or (),
        http_action_overrides=_names(found.http_action_overrides),
        identities={name: value for name, value in identities.items() if value is not None},
        provenance={name: Origin(value.source, rfc3339(value.at)) for name, value in found.provenance.items()},
    )


def conversation_of(found: threads.Conversation) -> Conversation:
    return _conversation_of(Conversation, found)


def whole_conversation_of(found: threads.Conversation) -> WholeConversation:
    return _conversation_of(WholeConversation, found)


def message_of(found: threads.Message) -> Message:
    own = {"id": found.public_id, "name": found.sender_name, "trust": found.trust.value}
    return shown(Message, found, **own, author=_author_of(found.author))


def _conversation_of(shape: type[S], found: threads.Conversation) -> S:
    assignee = found.assignee_name or found.assignee_kind.value
    return shown(shape, found, number=found.ticket_number, assignee=assignee)


def _author_of(found: threads.Authorship | None) -> Author | None:
    return Author(found.method, rfc3339(found.at), found.claims) if found is not None else None


def _seconds(milliseconds: int | None) -> int | None:
    return None if milliseconds is None else milliseconds // SECOND_MS


def _names(overrides: HttpOverrides | None) -> dict[str, list[str]]:
    if overrides is None:
        return {}
    return {name: sorted(getattr(overrides, name)) for name in HttpOverrides.__struct_fields__}
