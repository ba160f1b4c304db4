"""What the admin API shows of coverage, made of what was counted; it must not count."""

from __future__ import annotations

import msgspec

from vestibule.administration.api_keys import KeyState
from vestibule.administration.coverage import Coverage as CoverageFound
from vestibule.administration.coverage import KeyUse as KeyFound
from vestibule.surfaces.admin_api.shapes import Time, Uuid, shown, time_of
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
    span = {"since": rfc3339(found.since), "until": rfc3339(found.until)}
    return shown(Coverage, found, keys=[_use_of(use) for use in found.keys], **span)


def _use_of(use: KeyFound) -> KeyUse:
    key = use.key.key
    return shown(
        KeyUse,
        use,
        id=key.id,
        hint=key.hint,
        name=key.name,
        state=use.key.state,
        last_hour=time_of(use.last_hour),
        replaced_and_used=use.should_have_gone,
    )
