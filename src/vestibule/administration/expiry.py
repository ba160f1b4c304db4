"""Deletes what has run out by its own time (proofs, sessions, endings of tokens); it must not end anything early."""

from __future__ import annotations

import asyncio
import random

from vestibule.administration.attempts import attempt
from vestibule.administration.staff_sessions import LONGEST_MS
from vestibule.clock import DAY_MS, SECOND_MS, SteadyClock, now_ms
from vestibule.runtime import Runtime
from vestibule.storage import attached_identities, idempotency, socket_rooms, spent_tokens, staff, webhooks
from vestibule.storage.purging import delete_in_batches

_JITTER = 0.3
# A verified contact's token, by its setting's bounds, with a day for clocks that differ.
LONGEST_TOKEN_MS = 31 * DAY_MS
_DEAD_LETTERS_KEPT_MS = 30 * DAY_MS


async def run(runtime: Runtime) -> None:
    """Sweeps again and again until cancelled. Every process does; what one has deleted, the others do not find."""
    clock = SteadyClock()
    while True:
        # Never at the same moment as the other processes of an installation, which were started together.
        pause = runtime.settings.purge_interval / SECOND_MS
        await asyncio.sleep(pause * random.uniform(1 - _JITTER, 1 + _JITTER))  # noqa: S311
        now = now_ms()  # before the clock is looked at: it may jump while the sweep is under way
        if not clock.is_steady():
            continue  # retention.py says so
        await sweep(runtime, now)


async def sweep(runtime: Runtime, now: int) -> None:
    """Once, each by itself."""
    store = runtime.store
    await attempt("proofs that ran out", runtime.pending_identities.purge())
    await attempt("visitor sessions that ran out", runtime.visitor_sessions.purge())
    await attempt("endings of tokens that are over", runtime.token_endings.purge(now - LONGEST_TOKEN_MS))
    # For as long as their visitors may come back they say whose a conversation is: a session goes on while refreshed.
    before = now - runtime.settings.visitor_session_longest
    await attempt("attached identities that ran out", delete_in_batches(store, attached_identities.PURGE, before))
    await attempt("spent tokens that are over", spent_tokens.purge(store, now))
    await attempt("rooms that ran out", delete_in_batches(store, socket_rooms.PURGE, now))
    await attempt("kept answers that are over", delete_in_batches(store, idempotency.PURGE, now - idempotency.KEPT_MS))
    await attempt("staff's sessions that are over", staff.purge(store, sessions_before=now - LONGEST_MS, now=now))
    await attempt("dead letters of long ago", delete_in_batches(store, webhooks.PURGE, now - _DEAD_LETTERS_KEPT_MS))
