"""Asks a workspace's auth endpoint whose a user token is, within its bounds; it must not remember an answer.

Bounds: 2 s to connect, 5 s a call, 8 s altogether, 64 KiB, no redirects, public addresses only unless the installation
allows others. One more try where the endpoint was not reached, or a gateway answered for it, with the same id. After
five failures in a row it is left alone for 30 s.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import NoReturn

from vestibule.auth_endpoint.question import Question
from vestibule.auth_endpoint.reply import Reply, read
from vestibule.clock import elapsed, now_ms
from vestibule.errors import (
    AuthBadResponse,
    AuthRejected,
    AuthTimeout,
    AuthUnavailable,
    Upstream,
    UpstreamFailed,
    UpstreamRedirect,
    UpstreamTimeout,
    UpstreamTooLarge,
)
from vestibule.ids import new_id
from vestibule.model.auth_endpoint import AuthEndpointSettings
from vestibule.outbound.circuit import Circuits
from vestibule.outbound.client import ClientCertificate, Outbound
from vestibule.outbound.messages import Answer

CONNECT_SECONDS = 2.0
CALL_SECONDS = 5.0
OPERATION_SECONDS = 8.0
MOST_BYTES = 65_536
OPEN_SECONDS = 30.0
_NOT_REACHED = frozenset({"resolve", "connect"})
_GATEWAY_STATUSES = frozenset({502, 503, 504})

# Told of every call: what was sent, the status (0: none came), milliseconds.
Trace = Callable[[dict[str, str], int, float], None]


def untraced(_headers: dict[str, str], _status: int, _milliseconds: float) -> None:
    """Nobody is listening."""


class AuthCalls:
    """One per process."""

    def __init__(self, outbound: Outbound, *, circuits: Circuits | None = None) -> None:
        self._outbound = outbound
        self._circuits = circuits or Circuits(probe_seconds=OPEN_SECONDS)

    async def ask(self, question: Question, trace: Trace = untraced) -> Reply:
        """The endpoint's yes. Raises AuthRejected for its no, and AuthBadResponse, AuthUnavailable, AuthTimeout where
        it could not be told."""
        circuit = (question.workspace_id, question.settings.url)
        try:
            self._circuits.admit(circuit)
        except UpstreamFailed as error:
            raise AuthUnavailable(detail=error.detail, step=error.step, retry_after=error.retry_after) from None
        try:
            answer = await self._answer(question, trace)
            reply = read(answer, now_ms(), (question.token, question.settings.header_token))
        except (AuthUnavailable, AuthTimeout) as error:
            if error.step != "queue":  # there it was we who kept the call waiting, and the endpoint may be well
                self._circuits.failed(circuit)
            raise
        except (AuthRejected, AuthBadResponse):
            self._circuits.succeeded(circuit)  # it did answer
            raise
        self._circuits.succeeded(circuit)
        return reply

    async def _answer(self, question: Question, trace: Trace) -> Answer:
        began = elapsed()
        message_id = f"msg_{new_id()}"
        try:
            answer = await self._call(question, message_id, CALL_SECONDS, trace)
            if answer.status not in _GATEWAY_STATUSES:
                return answer
        except Upstream as error:
            if error.step not in _NOT_REACHED:
                _could_not_tell(error)
        # Not at once, and not all at the same time.
        await asyncio.sleep(0.1 + secrets.randbelow(201) / 1000)
        try:
            left = OPERATION_SECONDS - (elapsed() - began)
            return await self._call(question, message_id, min(CALL_SECONDS, left), trace)
        except Upstream as error:
            _could_not_tell(error)

    async def _call(self, question: Question, message_id: str, timeout: float, trace: Trace) -> Answer:
        settings = question.settings
        headers = question.headers(message_id)
        began = elapsed()
        status = 0
        try:
            answer = await self._outbound.request(
                "POST",
                settings.url,
                # In a line of its own: a workspace's slow bot shall not keep its visitors from signing in.
                tenant=f"auth:{question.workspace_id}",
                purpose="auth_endpoint",
                headers=headers,
                body=question.body,
                connect_timeout=CONNECT_SECONDS,
                timeout=timeout,
                most_bytes=MOST_BYTES,
                client_certificate=client_certificate(settings),
                ca=settings.ca or None,
                circuit=False,
            )
            status = answer.status
            return answer
        finally:
            trace(headers, status, (elapsed() - began) * 1000)


def client_certificate(settings: AuthEndpointSettings) -> ClientCertificate | None:
    """What is shown to the customer's server, if the workspace has one."""
    if not settings.client_certificate:
        return None
    return ClientCertificate(settings.client_certificate, settings.client_key)


def _could_not_tell(error: Upstream) -> NoReturn:
    if isinstance(error, UpstreamTimeout):
        raise AuthTimeout(detail=error.detail, step=error.step) from None
    if isinstance(error, UpstreamRedirect | UpstreamTooLarge) or error.step == "encoding":
        raise AuthBadResponse(detail=error.detail, step=error.step) from None
    raise AuthUnavailable(detail=error.detail, step=error.step) from None
