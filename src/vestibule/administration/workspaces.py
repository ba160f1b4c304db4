"""Makes and changes workspaces; it must not know how it is asked."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

import msgspec

from vestibule.administration.desk import Desk
from vestibule.clock import DAY_MS, MINUTE_MS, SECOND_MS, now_ms
from vestibule.errors import AlreadyExists, InvalidField, NotFound
from vestibule.ids import new_id, random_base62
from vestibule.model.audit import INSTALLATION
from vestibule.model.visitor_session import VisitorSessionSettings
from vestibule.model.workspace import RateLimits, Retention, Workspace
from vestibule.storage import workspace_settings
from vestibule.storage import workspaces as rows
from vestibule.storage.store import UniqueViolation
from vestibule.tenancy import VISITOR_SESSIONS, kept_for

# Puzzel's seed: 1 to 25 characters. Letters, digits and a few separators: it stands in a path.
_CUSTOMER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,24}")
_LONGEST_NAME = 200
_MOST_ADDRESSES = 100
# As the settings of the same names for the installation.
_SHORTEST_RETENTION = {"unverified_contacts": MINUTE_MS, "closed_conversations": 0, "audit": SECOND_MS}
LONGEST_RETENTION = 3650 * DAY_MS


def made(name: str, customer_id: str | None = None) -> Workspace:
    """A new workspace, which is not kept yet. Raises InvalidField."""
    name = _checked_name(name)
    if customer_id is not None and _CUSTOMER_ID.fullmatch(customer_id) is None:
        raise InvalidField("customer_id", "must have 1 to 25 letters, digits, _ or -")
    return Workspace(
        id=new_id(),
        name=name,
        customer_id=customer_id or random_base62(12),
        widget_token=_new_widget_token(),
        rate_limits=RateLimits(),
        created_at=now_ms(),
    )


async def create(desk: Desk, name: str, *, customer_id: str | None = None) -> Workspace:
    """Raises InvalidField, AlreadyExists."""
    workspace = made(name, customer_id)
    try:
        await rows.insert(desk.store, workspace)
    except UniqueViolation:
        raise AlreadyExists("There is a workspace with this customer id already.") from None
    await desk.record("workspace.create", workspace.id)
    return workspace


async def get(desk: Desk, workspace_id: str) -> Workspace:
    """Raises NotFound."""
    found = await rows.find(desk.store, workspace_id)
    if found is None:
        raise NotFound("There is no such workspace.")
    return found


async def require(desk: Desk, workspace_id: str) -> None:
    """A workspace, or the installation itself. Raises NotFound."""
    if workspace_id != INSTALLATION:
        await get(desk, workspace_id)


async def find_by_customer_id(desk: Desk, customer_id: str) -> Workspace | None:
    return await rows.find_by_customer_id(desk.store, customer_id)


async def list_all(desk: Desk) -> list[Workspace]:
    return await rows.list_all(desk.store)


async def change(
    desk: Desk,
    workspace_id: str,
    *,
    name: str | None = None,
    rate_limits: RateLimits | None = None,
    disabled: bool | None = None,
    retention: Retention | None = None,
) -> Workspace:
    """Changes what is given. A shorter retention counts for what is there as well. Raises NotFound, InvalidField."""
    known = await get(desk, workspace_id)
    changed = known
    if name is not None:
        changed = msgspec.structs.replace(changed, name=_checked_name(name))
    if rate_limits is not None:
        changed = msgspec.structs.replace(changed, rate_limits=rate_limits)
    if disabled is not None and disabled != (known.disabled_at is not None):
        changed = msgspec.structs.replace(changed, disabled_at=now_ms() if disabled else None)
    if retention is not None:
        for problem in retention_problems(retention):
            raise problem
        changed = msgspec.structs.replace(changed, retention=retention)
    if changed != known:
        before, after = (kept_for(desk.settings, each.retention).unverified_contacts for each in (known, changed))
        await rows.update(desk.store, changed, later_ms=after - before)
        await desk.record("workspace.change", workspace_id, detail=names_changed(known, changed))
    return changed


def retention_problems(retention: Retention) -> list[InvalidField]:
    """Everything that keeps it from being kept."""
    return [
        InvalidField(f"retention.{name}", f"must be from {shortest // SECOND_MS} to {LONGEST_RETENTION // SECOND_MS} s")
        for name, shortest in _SHORTEST_RETENTION.items()
        if (value := getattr(retention, name)) is not None and not shortest <= value <= LONGEST_RETENTION
    ]


async def rotate_widget_token(desk: Desk, workspace_id: str) -> Workspace:
    """Another widget token; the one before is refused by every worker within 5 s, so the pages that carry it must be
    changed. Raises NotFound."""
    changed = msgspec.structs.replace(await get(desk, workspace_id), widget_token=_new_widget_token())
    await rows.set_widget_token(desk.store, workspace_id, changed.widget_token)
    await desk.record("workspace.rotate_widget_token", workspace_id)
    return changed


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
    settings = VisitorSessionSettings(networks_of(addresses))
    await workspace_settings.put(desk.store, desk.sealer, workspace_id, VISITOR_SESSIONS, settings)
    await desk.record("workspace.visitor_addresses", workspace_id)
    return settings


def networks_of(addresses: Sequence[str]) -> tuple[str, ...]:
    """As they are kept. Raises InvalidField."""
    try:
        networks = tuple(str(ipaddress.ip_network(address.strip())) for address in addresses)
    except ValueError:
        raise InvalidField("address", "must be an address or a CIDR network, without host bits") from None
    if len(networks) > _MOST_ADDRESSES:
        raise InvalidField("address", f"must be given at most {_MOST_ADDRESSES} times")
    return networks


def names_changed(before: msgspec.Struct, after: msgspec.Struct) -> str:
    """Which members differ, for the audit: their names only, for a value may be a secret."""
    members = after.__struct_fields__
    return ", ".join(name for name in members if getattr(before, name, None) != getattr(after, name))


def shown_url(url: str) -> str:
    """Without its query, which may hold a secret."""
    address, question_mark, _ = url.partition("?")
    return f"{address}?…" if question_mark else address


def _checked_name(name: str) -> str:
    name = name.strip()
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        raise InvalidField("name", f"must have 1 to {_LONGEST_NAME} printable characters")
    return name


def _new_widget_token() -> str:
    return "vst_widget_" + random_base62(22)
