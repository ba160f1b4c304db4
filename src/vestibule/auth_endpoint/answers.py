"""Remembers for a moment what an auth endpoint answered, and asks once for all who ask the same; it must not remember
that it could not be told.

Kept in memory under a hash that is keyed with a secret of this process: a dump shows no token and allows no guess.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
from collections.abc import Callable

import msgspec

from vestibule.auth_endpoint.calls import AuthCalls
from vestibule.auth_endpoint.question import Question
from vestibule.auth_endpoint.reply import LONGEST_LIFE, Reply
from vestibule.auth_endpoint.user_token import ends_at
from vestibule.clock import SECOND_MS, elapsed, now_ms
from vestibule.errors import AuthRejected, VestibuleError

REJECTED_SECONDS = 5.0
_MOST_KEPT = 10_000
# Ordinary answers have a tenth of it. Larger ones are asked for again: one customer's server must not fill the memory
# that all share.
_LARGEST_KEPT = 4096
_ENCODER = msgspec.json.Encoder(order="sorted")
_Outcome = Reply | VestibuleError


class Answers:
    """One per process."""

    def __init__(self, calls: AuthCalls, *, clock: Callable[[], float] = elapsed) -> None:
        self._calls = calls
        self._clock = clock
        self._secret = os.urandom(32)
        self._kept: dict[bytes, tuple[float, _Outcome]] = {}
        self._flights: dict[bytes, asyncio.Task[_Outcome]] = {}

    async def get(self, question: Question) -> Reply:
        """Raises AuthRejected, AuthBadResponse, AuthUnavailable, AuthTimeout."""
        key = self._key(question)
        kept = self._kept.get(key)
        if kept is not None and self._clock() < kept[0]:
            return _said(kept[1])
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = asyncio.create_task(self._ask(key, question))
        # Shielded: one visitor who goes away does not end the call that others wait for.
        return _said(await asyncio.shield(flight))

    async def _ask(self, key: bytes, question: Question) -> _Outcome:
        outcome: _Outcome
        try:
            outcome = await self._calls.ask(question)
        except VestibuleError as error:
            outcome = error.with_traceback(None)
        finally:
            del self._flights[key]
        life = _life(question, outcome)
        self._kept.pop(key, None)
        if life > 0:
            self._forget()
            self._kept[key] = (self._clock() + life, outcome)
        return outcome

    def _forget(self) -> None:
        """The oldest that are over, or one where there are too many."""
        while self._kept:
            oldest = next(iter(self._kept))
            if len(self._kept) < _MOST_KEPT and self._clock() < self._kept[oldest][0]:
                break
            del self._kept[oldest]

    def _key(self, question: Question) -> bytes:
        # With the settings: a changed header token, method or address is another question.
        text = _ENCODER.encode([question.workspace_id, question.settings, question.token, question.fields])
        return hmac.digest(self._secret, text, hashlib.sha256)


def _life(question: Question, outcome: _Outcome) -> float:
    """For how many seconds it may be kept."""
    if not isinstance(outcome, Reply):
        return REJECTED_SECONDS if isinstance(outcome, AuthRejected) else 0.0
    allowed = question.settings.cache_seconds
    if not allowed or outcome.size > _LARGEST_KEPT:
        return 0.0
    life = float(min(allowed if outcome.life is None else outcome.life, LONGEST_LIFE))
    end = ends_at(question.token)
    return life if end is None else min(life, end - now_ms() / SECOND_MS)


def _said(outcome: _Outcome) -> Reply:
    if isinstance(outcome, Reply):
        return outcome
    # A new one each time: an exception that many requests raise would gather all their tracebacks.
    raise type(outcome)(detail=outcome.detail, step=outcome.step, retry_after=outcome.retry_after)
