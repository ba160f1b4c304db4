"""What the admin API shows of coverage, made of what was counted; it must not count."""

from __future__ import annotations

import msgspec

from vestibule.administration.api_keys import KeyState
from vestibule.administration.coverage import Coverage as CoverageFound
from vestibule.surfaces.admin_api.shapes import Time, Uuid, time_of
from vestibule.times import rfc3339


class KeyUse(msgspec.Struct, frozen=True):
    """What came with an API key. `replaced_and_used`: it was replaced, and somebody still calls with it."""

    id: Uuid
    hint: str
    name: str
    state: KeyState
    succeeded: int
    refused: int
    last_hour: Time | None
    replaced_and_used: bool


class Coverage(msgspec.Struct, frozen=True):
    """Authentications in a span. `verified` of the `issued` tokens stand for a proven contact."""

    since: Time
    until: Time
    issued: int
    verified: int
    refused: int
    by_method: dict[str, int]
    by_outcome: dict[str, int]
    refusals_by_code: dict[str, int]
    by_origin: dict[str, int]
    keys: list[KeyUse]


def coverage_of(found: CoverageFound) -> Coverage:
    return Coverage(
        since=rfc3339(found.since),
        until=rfc3339(found.until),
        issued=found.issued,
        verified=found.verified,
        refused=found.refused,
        by_method=found.by_method,
        by_outcome=found.by_outcome,
        refusals_by_code=found.refusals_by_code,
        by_origin=found.by_origin,
        keys=[
            KeyUse(
                id=use.key.key.id,
                hint=use.key.key.hint,
                name=use.key.key.name,
                state=use.key.state,
                succeeded=use.succeeded,
                refused=use.refused,
                last_hour=time_of(use.last_hour),
                replaced_and_used=use.should_have_gone,
            )
            for use in found.keys
        ],
    )
