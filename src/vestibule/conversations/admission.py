"""Decides who may come in without proof, and which pages may call, for every surface alike; it must not know a wire.

A workspace names its pages in two places, by what it has set up: as origins beside the widget, and as hosts beside the
auth endpoint, where CX Genie has them. Both are asked here. The origins hold for every call; the hosts, which may come
from a server of the customer's, where a session begins. A browser says truthfully which page is calling (Fetch
standard, the Origin header) and nobody else has to: this keeps a widget off pages that copied it, and is no lock.

A workspace that enforces login has no visitors without proof: no new ones, and those of earlier neither read nor write,
whatever their client does after a refusal. Before that it may observe, or warn (docs/enforcement.md); whichever it is,
what would be refused is noted where the request keeps its facts, so that it can be counted.
"""

from __future__ import annotations

import enum
from collections.abc import MutableMapping, Sequence

from vestibule.errors import LoginRequired, OriginNotAllowed
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


async def admit_call(runtime: Runtime, workspace_id: str, origins: Sequence[bytes]) -> None:
    """Whether a page with these Origin headers may call at all; who sends none is no page. Raises OriginNotAllowed."""
    if not origins:
        return
    allowed = (await runtime.tenancy.widget(workspace_id)).allowed_origins
    if allowed and not (len(origins) == 1 and is_allowed(origins[0].decode("latin-1"), allowed)):
        raise OriginNotAllowed(step="origin")


async def admit_page(runtime: Runtime, workspace_id: str, origins: Sequence[bytes]) -> None:
    """Whether a session may begin there: of who is no page, only where the workspace has apps. Raises OriginNotAllowed,
    DomainNotAllowed, AuthUnavailable."""
    await admit_call(runtime, workspace_id, origins)
    settings = await runtime.tenancy.auth_endpoint(workspace_id)
    await runtime.allowed_domains.check(workspace_id, settings, origins)


async def admit_exchange(runtime: Runtime, workspace_id: str, origins: Sequence[bytes]) -> None:
    """Likewise where an identity provider's token is shown; a server may do that for its visitor, and is no page.
    Raises OriginNotAllowed, DomainNotAllowed, AuthUnavailable."""
    if origins:
        await admit_page(runtime, workspace_id, origins)


async def admit_unverified(runtime: Runtime, workspace_id: str, reason: Reason, facts: Facts) -> None:
    """Whether there may be a visitor without proof, or one may go on. Raises LoginRequired."""
    step = (await runtime.tenancy.auth_endpoint(workspace_id)).enforcement
    facts[STEP], facts[REASON] = step.value, reason.value
    if step is Enforcement.ENFORCE:
        raise LoginRequired(step="required_login")


def is_allowed(origin: str, allowed: tuple[str, ...]) -> bool:
    """Whether one of `allowed` is the origin, or as `https://*.example.com` stands for it."""
    if origin in allowed:
        return True
    scheme, separator, host = origin.partition("://")
    # One label after the other: the star stands for at least one.
    while separator and "." in host:
        host = host.partition(".")[2]
        if f"{scheme}://*.{host}" in allowed:
            return True
    return False
