"""A person a workspace knows, as stored; no I/O."""

from __future__ import annotations

import msgspec

from vestibule.model.claims import CustomData, HttpOverrides, Method


class Provenance(msgspec.Struct, frozen=True):
    """Where a profile value came from, and when (epoch milliseconds)."""

    source: Method
    at: int


class Contact(msgspec.Struct, frozen=True):
    """One contact. `email`, `phone` are for display; `email_key`, `phone_key`, `external_id` find verified contacts.

    An unverified contact has no keys at all, whatever its visitor typed, and its custom data lies in a column of its
    own (DESIGN rule 2.8). `phone` is the number as it was said, `phone_e164` as it is dialled from anywhere, where that
    is known; neither finds anybody. `labels` are those that authentication gave, never staff's. `expires_at`: when an
    unverified contact is purged. `version` counts the writes.
    """

    workspace_id: str
    id: str
    version: int
    verified: bool
    created_at: int
    updated_at: int
    email_key: str | None = None
    phone_key: str | None = None
    external_id: str | None = None
    name: str | None = None
    email: str | None = None
    phone: str | None = None
    avatar_url: str | None = None
    language: str | None = None
    custom_data: CustomData | None = None
    chat_context: str | None = None
    http_action_overrides: HttpOverrides | None = None
    provenance: dict[str, Provenance] = {}
    merged_into: str | None = None
    non_verified_custom_data: CustomData | None = None
    expires_at: int | None = None
    labels: tuple[str, ...] | None = None
    phone_e164: str | None = None


# The profile values that carry a provenance, in the order in which people read them.
PROFILE_FIELDS = (
    "name",
    "email",
    "phone",
    "avatar_url",
    "language",
    "custom_data",
    "chat_context",
    "http_action_overrides",
    "labels",
)
