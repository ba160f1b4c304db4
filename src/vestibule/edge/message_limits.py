"""Counts what a visitor sends before it is looked into, for every surface: each message may cost its workspace a
language model's answer, and each form a call; it must not read the message."""

from __future__ import annotations

from vestibule.conversations.visitor import Visitor
from vestibule.edge.client_address import address_bucket, client_address
from vestibule.edge.http import Request
from vestibule.runtime import Runtime


async def count_message(runtime: Runtime, author: Visitor, request: Request, what: str = "messages") -> None:
    """By contact or unverified device, and by address, since whoever is nobody yet can be somebody new each time. Each
    kind of thing that is stored is counted by itself. Raises RateLimited, StorageUnavailable."""
    settings, take = runtime.settings, runtime.rate_limiter.take
    address = address_bucket(client_address(request, settings.trusted_proxies))
    await take(author.workspace_id, f"{what}:{author.seat}", settings.rate_limit_messages)
    await take(author.workspace_id, f"{what}_from:{address}", settings.rate_limit_address_messages)
