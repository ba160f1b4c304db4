"""Decides who may come in without proof, and from which pages, for every surface alike; it must not know a wire.

A workspace that enforces login has no visitors without proof: no new ones, and those of earlier neither read nor write,
whatever their client does after a refusal. Before that it may observe, or warn (docs/enforcement.md); whichever it is,
what would be refused is noted where the request keeps its facts, so that it can be counted.
"""

from __future__ import annotations

import enum
from collections.abc import MutableMapping, Sequence

from vestibule.errors import LoginRequired
from vestibule.model.auth_endpoint import Enforcement
from vestibule.runtime import Runtime

Facts = MutableMapping[str, str | int]
# Under which names an unverified visitor is noted among a request's facts.
STEP, REASON = "enforcement", "unverified"


class Reason(enum.StrEnum):
    """What somebody without proof wants."""

    ARRIVE = "arrive"  # a token
    READ = "read"  # with a token of earlier
    WRITE = "write"
    FALLBACK = "fallback"  # in as a guest, as the auth endpoint could not tell who it is


async def admit_page(runtime: Runtime, workspace_id: str, origins: Sequence[bytes]) -> None:
    """Whether a page with these Origin headers may begin a session. Raises DomainNotAllowed, AuthUnavailable."""
    settings = await runtime.tenancy.auth_endpoint(workspace_id)
    await runtime.allowed_domains.check(workspace_id, settings, origins)


async def admit_unverified(runtime: Runtime, workspace_id: str, reason: Reason, facts: Facts) -> None:
    """Whether there may be a visitor without proof, or one may go on. Raises LoginRequired."""
    step = (await runtime.tenancy.auth_endpoint(workspace_id)).enforcement
    facts[STEP], facts[REASON] = step.value, reason.value
    if step is Enforcement.ENFORCE:
        raise LoginRequired(step="required_login")
