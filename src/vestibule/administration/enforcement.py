"""Takes a workspace from visitors without proof to none in three steps, and tells whom the last would refuse; it must
not decide who comes in (`conversations/admission.py`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

from vestibule.administration import auth_endpoints, coverage, workspaces
from vestibule.administration.desk import Desk
from vestibule.clock import HOUR_MS
from vestibule.model.auth_endpoint import AuthEndpointSettings, Enforcement
from vestibule.model.conversation import Conversation
from vestibule.storage import conversation_lists, workspace_settings
from vestibule.storage import unverified_counts as rows
from vestibule.storage.unverified_counts import UnverifiedKey
from vestibule.tenancy import AUTH_ENDPOINT


class WouldRefuse(msgspec.Struct, frozen=True):
    """Requests of one kind without proof, in a span; `last_hour` (epoch ms) had the last of them."""

    surface: str
    origin: str
    reason: str
    step: str
    count: int
    last_hour: int


class Preview(msgspec.Struct, frozen=True):
    """What enforcing would have refused in a span, or has."""

    since: int
    until: int
    step: Enforcement
    total: int
    by_surface: dict[str, int]
    by_origin: dict[str, int]
    by_reason: dict[str, int]
    items: list[WouldRefuse]


async def read(desk: Desk, workspace_id: str) -> Enforcement:
    """Raises NotFound, CannotUnseal."""
    return (await auth_endpoints.read(desk, workspace_id)).enforcement


async def change(desk: Desk, workspace_id: str, step: Enforcement) -> Enforcement:
    """Every worker goes by it within 5 s, for tokens of earlier as well. Raises NotFound, CannotUnseal."""
    known: AuthEndpointSettings = await auth_endpoints.read(desk, workspace_id)
    if known.enforcement is not step:
        changed = known.at(step)
        await workspace_settings.put(desk.store, desk.sealer, workspace_id, AUTH_ENDPOINT, changed)
        await desk.record("enforcement.set", workspace_id, detail=f"{known.enforcement} to {step}")
    return step


async def preview(desk: Desk, workspace_id: str, *, since: int | None = None, until: int | None = None) -> Preview:
    """Of the last day, if nothing is said. Raises NotFound, InvalidField, CannotUnseal."""
    first, last = coverage.span_of(since, until)
    step = await read(desk, workspace_id)
    found = await rows.totals(desk.store, workspace_id, since_hour=first, until_hour=last)
    items = [
        WouldRefuse(key.surface, key.origin, key.reason, key.step, count, key.hour * HOUR_MS) for key, count in found
    ]
    return Preview(
        since=first * HOUR_MS,
        until=last * HOUR_MS,
        step=step,
        total=sum(each.count for each in items),
        by_surface=_by("surface", found),
        by_origin=_by("origin", found),
        by_reason=_by("reason", found),
        items=sorted(items, key=lambda each: -each.count),
    )


async def chats(desk: Desk, workspace_id: str, *, since: int, most: int) -> list[Conversation]:
    """Chats of people who have proven nothing, the latest first: whom it would end. Raises NotFound."""
    await workspaces.get(desk, workspace_id)
    return await conversation_lists.unverified(desk.store, workspace_id, since=since, most=most)


def _by(member: str, found: Iterable[tuple[UnverifiedKey, int]]) -> dict[str, int]:
    """The most frequent first."""
    totals: Counter[str] = Counter()
    for key, count in found:
        totals[getattr(key, member)] += count
    return dict(totals.most_common())
