"""Those who work at a workspace's dashboard, and what each may do there, as stored; no I/O."""

from __future__ import annotations

import enum

import msgspec


class Role(enum.StrEnum):
    """Each may do what those below it may: look, answer, change, and (an owner) everything there is."""

    OWNER = "owner"
    ADMIN = "admin"
    RESPONDER = "responder"
    VIEWER = "viewer"

    def covers(self, other: Role) -> bool:
        order = tuple(Role)
        return order.index(self) <= order.index(other)


class Staff(msgspec.Struct, frozen=True):
    """One member of staff, of one workspace. `has_password` is false until a link was followed or one was set. Nobody
    who was disabled signs in."""

    workspace_id: str
    id: str
    email: str
    name: str
    role: Role
    created_at: int
    has_password: bool = False
    signed_in_at: int | None = None
    disabled_at: int | None = None


class StaffSession(msgspec.Struct, frozen=True):
    """A browser in which somebody is signed in. Times are epoch milliseconds."""

    staff: Staff
    created_at: int
    last_used_at: int
