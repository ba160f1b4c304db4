"""How a workspace gives out visitor sessions; no I/O."""

from __future__ import annotations

import msgspec


class VisitorSessionSettings(msgspec.Struct, frozen=True, omit_defaults=True):
    """`allowed_addresses`: who may ask for sessions, as addresses or CIDR networks; empty: everybody. For customers who
    have the request go through a host of their own."""

    allowed_addresses: tuple[str, ...] = ()
