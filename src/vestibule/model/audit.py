"""What the audit remembers of a decision or a change, as frozen values; no I/O."""

from __future__ import annotations

import enum

import msgspec

# Stands where a workspace's id would, for what belongs to the installation as a whole.
INSTALLATION = "00000000-0000-0000-0000-000000000000"


class AuditKind(enum.StrEnum):
    AUTHENTICATION = "authentication"  # who somebody is, or whether what they showed is good
    ADMINISTRATION = "administration"  # what an operator, or the service by itself, changed


# What became of it. Authentications that went well have the words of `identity.matching.Outcome`.
REFUSED = "refused"
ISSUED = "issued"  # a token of somebody of whom nothing is proven
WARNED = "warned"  # of a visitor without proof who came in although that is announced to end
DONE = "done"


class Actor(msgspec.Struct, frozen=True):
    """Who acts at a desk: `kind` is cli, admin_key, staff or service; `id` names whom of them."""

    kind: str
    id: str = ""
    request_id: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}" if self.id else self.kind


SERVICE = Actor("service")


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One decision or change. Nothing in it is a token, a key or a part of one.

    `action` is what was asked (`authenticate`, `api_key.create`); `reason` is the public sentence of a refusal and
    `detail` the private one; `key_id` is the API key, `target` what was changed, or the id of the token that was
    issued. `contact_id` and `address` (truncated
    to its network) are the person's: they can be taken out without breaking the chain. `times` above 1 stands for as
    many equal refusals within a moment. `at` is epoch milliseconds.
    """

    workspace_id: str
    kind: AuditKind
    action: str
    outcome: str
    at: int
    actor: str = ""
    method: str = ""
    code: str = ""
    step: str = ""
    reason: str = ""
    detail: str = ""
    key_id: str = ""
    provider_id: str = ""
    origin: str = ""
    request_id: str = ""
    target: str = ""
    contact_id: str | None = None
    address: str | None = None
    times: int = 1


class StoredEntry(msgspec.Struct, frozen=True):
    """An entry in its place in the chain of its workspace. `mac` proves it and everything before it; `commitment`
    stands in the chain for the person's values, and `salt` is gone once they were erased."""

    entry: AuditEntry
    seq: int
    mac: str
    commitment: str
    salt: str | None

    @property
    def erased(self) -> bool:
        """Whether what it said of a person was taken out."""
        return bool(self.commitment) and self.salt is None


class ChainHead(msgspec.Struct, frozen=True):
    """Where a chain ends, and where what is left of it begins: entries up to `purged_seq` were deleted as too old."""

    seq: int = 0
    mac: str = ""
    purged_seq: int = 0
    purged_mac: str = ""
