"""Decides who may come in without proof, and from which pages, for every surface alike; it must not know a wire.

A workspace that requires login has no visitors without proof: no new ones, and those of earlier write nothing more,
whatever their client does after a refusal.
"""

from __future__ import annotations

from collections.abc import Sequence

from vestibule.errors import LoginRequired
from vestibule.runtime import Runtime


async def admit_page(runtime: Runtime, workspace_id: str, origins: Sequence[bytes]) -> None:
    """Whether a page with these Origin headers may begin a session. Raises DomainNotAllowed, AuthUnavailable."""
    settings = await runtime.tenancy.auth_endpoint(workspace_id)
    await runtime.allowed_domains.check(workspace_id, settings, origins)


async def admit_unverified(runtime: Runtime, workspace_id: str) -> None:
    """Whether there may be a visitor without proof, or one may write. Raises LoginRequired."""
    if (await runtime.tenancy.auth_endpoint(workspace_id)).required_login:
        raise LoginRequired(step="required_login")
