"""A customer's tenancy and the keys its backend holds, as stored; no I/O."""

from __future__ import annotations

import enum

import msgspec


class RateLimits(msgspec.Struct, frozen=True, omit_defaults=True):
    """Requests a minute per API key; None means the installation's setting."""

    standard: int | None = None
    streaming: int | None = None


class Retention(msgspec.Struct, frozen=True, omit_defaults=True):
    """How long a workspace keeps what it has, in milliseconds; None means the installation's setting. Of unverified
    contacts since somebody wrote, of closed conversations since they were closed (0: as long as the contact)."""

    unverified_contacts: int | None = None
    closed_conversations: int | None = None
    audit: int | None = None


class KeptFor(msgspec.Struct, frozen=True):
    """The same where nothing is left open."""

    unverified_contacts: int
    closed_conversations: int
    audit: int


class Workspace(msgspec.Struct, frozen=True):
    """One tenancy. `customer_id` is its public short name (Puzzel), `widget_token` what the widget carries."""

    id: str
    name: str
    customer_id: str
    widget_token: str
    rate_limits: RateLimits
    created_at: int
    disabled_at: int | None = None
    retention: Retention = Retention()


class Scope(enum.StrEnum):
    """What an API key may do."""

    AUTHENTICATE = "widget:authenticate"
    CONTACTS_READ = "contacts:read"
    CONTACTS_WRITE = "contacts:write"


class AdminScope(enum.StrEnum):
    """What an admin key may do."""

    READ = "admin:read"
    WRITE = "admin:write"


class AdminKey(msgspec.Struct, frozen=True):
    """An admin key without its secret. `workspace_id` is `model.audit.INSTALLATION` where it is good for every
    workspace and for the installation itself."""

    workspace_id: str
    id: str
    name: str
    hint: str
    scopes: tuple[str, ...]
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None
    last_used_at: int | None = None

    def usable_at(self, now: int) -> bool:
        return (self.revoked_at is None or now < self.revoked_at) and (self.expires_at is None or now < self.expires_at)


class ApiKey(msgspec.Struct, frozen=True):
    """An API key without its secret. `hint` is the readable part; times are epoch milliseconds."""

    workspace_id: str
    id: str
    name: str
    hint: str
    scopes: tuple[str, ...]
    rate_limits: RateLimits
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None
    last_used_at: int | None = None
    replaces: str | None = None

    def usable_at(self, now: int) -> bool:
        return (self.revoked_at is None or now < self.revoked_at) and (self.expires_at is None or now < self.expires_at)
