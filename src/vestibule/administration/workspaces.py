"""Makes and changes workspaces; it must not know how it is asked."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

import msgspec

from vestibule.administration.desk import Desk
from vestibule.clock import now_ms
from vestibule.errors import AlreadyExists, InvalidField, NotFound
from vestibule.ids import new_id, random_base62
from vestibule.model.visitor_session import VisitorSessionSettings
from vestibule.model.workspace import RateLimits, Workspace
from vestibule.storage import workspace_settings
from vestibule.storage import workspaces as rows
from vestibule.storage.store import UniqueViolation
from vestibule.tenancy import VISITOR_SESSIONS

# Puzzel's seed: 1 to 25 characters. Letters, digits and a few separators: it stands in a path.
_CUSTOMER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,24}")
_LONGEST_NAME = 200
_MOST_ADDRESSES = 100


async def create(desk: Desk, name: str, *, customer_id: str | None = None) -> Workspace:
    """A new workspace. Raises InvalidField, AlreadyExists."""
    name = name.strip()
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        raise InvalidField("name", f"must have 1 to {_LONGEST_NAME} printable characters")
    if customer_id is not None and _CUSTOMER_ID.fullmatch(customer_id) is None:
        raise InvalidField("customer_id", "must have 1 to 25 letters, digits, _ or -")
    workspace = Workspace(
        id=new_id(),
        name=name,
        customer_id=customer_id or random_base62(12),
        widget_token="vst_widget_" + random_base62(22),
        rate_limits=RateLimits(),
        created_at=now_ms(),
    )
    try:
        await rows.insert(desk.store, workspace)
    except UniqueViolation:
        raise AlreadyExists("There is a workspace with this customer id already.") from None
    return workspace


async def get(desk: Desk, workspace_id: str) -> Workspace:
    """Raises NotFound."""
    found = await rows.find(desk.store, workspace_id)
    if found is None:
        raise NotFound("There is no such workspace.")
    return found


async def list_all(desk: Desk) -> list[Workspace]:
    return await rows.list_all(desk.store)


async def change(
    desk: Desk, workspace_id: str, *, rate_limits: RateLimits | None = None, disabled: bool | None = None
) -> Workspace:
    """Changes what is given. Raises NotFound."""
    workspace = await get(desk, workspace_id)
    if rate_limits is not None:
        workspace = msgspec.structs.replace(workspace, rate_limits=rate_limits)
    if disabled is not None:
        workspace = msgspec.structs.replace(workspace, disabled_at=now_ms() if disabled else None)
    await rows.update(desk.store, workspace)
    return workspace


async def visitor_sessions(desk: Desk, workspace_id: str) -> VisitorSessionSettings:
    """Raises NotFound."""
    await get(desk, workspace_id)
    found = await workspace_settings.find(
        desk.store, desk.sealer, workspace_id, VISITOR_SESSIONS, VisitorSessionSettings
    )
    return found or VisitorSessionSettings()


async def allow_addresses(desk: Desk, workspace_id: str, addresses: Sequence[str]) -> VisitorSessionSettings:
    """Lets only these have visitor sessions, or everybody if there are none. Raises NotFound, InvalidField."""
    await get(desk, workspace_id)
    try:
        networks = tuple(str(ipaddress.ip_network(address.strip())) for address in addresses)
    except ValueError:
        raise InvalidField("address", "must be an address or a CIDR network, without host bits") from None
    if len(networks) > _MOST_ADDRESSES:
        raise InvalidField("address", f"must be given at most {_MOST_ADDRESSES} times")
    settings = VisitorSessionSettings(networks)
    await workspace_settings.put(desk.store, desk.sealer, workspace_id, VISITOR_SESSIONS, settings)
    return settings
