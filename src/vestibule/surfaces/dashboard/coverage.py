"""`/dashboard/coverage`: who came in how, over time, who still uses an old key, and the way to refusing visitors
without proof; it must not count."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from vestibule.administration import coverage, coverage_charts, enforcement
from vestibule.administration.coverage import KeyUse
from vestibule.administration.enforcement import Preview, WouldRefuse
from vestibule.clock import HOUR_MS, now_ms
from vestibule.edge.http import Reply
from vestibule.edge.parameters import choice
from vestibule.edge.surface import Route
from vestibule.errors import InvalidField
from vestibule.model.auth_endpoint import Enforcement
from vestibule.model.conversation import Conversation
from vestibule.model.staff import Role
from vestibule.runtime import Runtime
from vestibule.surfaces.dashboard import charts
from vestibule.surfaces.dashboard.rendering import go_to
from vestibule.surfaces.dashboard.seat import PREFIX, Seat, action, view
from vestibule.surfaces.dashboard.words import Mark, mark_of, name_of, plain

_RANGES = {"24h": "24 hours", "7d": "7 days", "30d": "30 days"}
_TITLES = {"method": "Method", "outcome": "Outcome", "code": "Reason", "origin": "Page", "key_id": "API key"}
# What a list of whom it would end shows; the counts tell of all.
_LATEST_CHATS = 10
_MOST_KINDS = 50


class Affected(msgspec.Struct, frozen=True):
    """A chat of somebody who has proven nothing."""

    chat: Conversation
    name: str
    mark: Mark


class Kind(msgspec.Struct, frozen=True):
    """Requests without proof of one page by one way in: how many for each of the reasons."""

    surface: str
    origin: str
    counts: tuple[int, ...]
    last_hour: int


def routes(runtime: Runtime) -> Sequence[Route]:
    return [
        view(runtime, "/coverage", _show),
        action(runtime, "/coverage/enforcement", _enforce, Role.ADMIN),
    ]


async def _show(seat: Seat) -> Reply:
    desk, workspace_id = seat.desk, seat.workspace_id
    range_ = choice(seat.request, "range", tuple(_RANGES)) or "24h"
    span = coverage_charts.SPANS[range_]
    since = now_ms() - span.hours * HOUR_MS
    await desk.audit.flush()
    totals = await coverage.coverage(desk, workspace_id, since=since)
    named = _names(totals.keys)
    figures = [
        charts.figure(chart, _TITLES[chart.dimension], named if chart.dimension == "key_id" else _name_of(chart))
        for chart in await coverage_charts.charts(desk, workspace_id, span)
    ]
    preview = await enforcement.preview(desk, workspace_id, since=since)
    return seat.show(
        "coverage.html",
        range_=range_,
        ranges=_RANGES,
        coverage=totals,
        figures=figures,
        size=(charts.WIDTH, charts.HEIGHT),
        keys=sorted(totals.keys, key=lambda use: (not use.should_have_gone, -(use.key.key.last_used_at or 0))),
        preview=preview,
        kinds=_kinds(preview, [*preview.by_reason])[:_MOST_KINDS],
        reasons=[*preview.by_reason],
        steps=[step.value for step in Enforcement],
        affected=await _affected(seat, since),
    )


async def _enforce(seat: Seat) -> Reply:
    wanted = seat.text("step")
    if wanted not in {step.value for step in Enforcement}:
        raise InvalidField("step", "must be observe, warn or enforce")
    await enforcement.change(seat.desk, seat.workspace_id, Enforcement(wanted))
    return go_to(f"{PREFIX}/coverage?done=enforcement")


async def _affected(seat: Seat, since: int) -> list[Affected]:
    found = []
    for chat in await enforcement.chats(seat.desk, seat.workspace_id, since=since, most=_LATEST_CHATS):
        person = await seat.desk.contacts.find(seat.workspace_id, chat.contact_id)
        found.append(Affected(chat, name_of(person), mark_of(person)))
    return found


def _kinds(preview: Preview, reasons: list[str]) -> list[Kind]:
    """The most frequent first."""
    grouped: dict[tuple[str, str], list[WouldRefuse]] = {}
    for each in preview.items:
        grouped.setdefault((each.surface, each.origin), []).append(each)
    kinds = [
        Kind(
            surface,
            origin,
            tuple(sum(each.count for each in found if each.reason == reason) for reason in reasons),
            max(each.last_hour for each in found),
        )
        for (surface, origin), found in grouped.items()
    ]
    return sorted(kinds, key=lambda kind: -sum(kind.counts))


def _names(keys: list[KeyUse]) -> Callable[[str], str]:
    known = {use.key.key.id: use.key.key.name or use.key.key.hint for use in keys}
    return lambda key_id: known.get(key_id, key_id)


def _name_of(chart: coverage_charts.Chart) -> Callable[[str], str]:
    return plain if chart.dimension in {"method", "outcome"} else str
