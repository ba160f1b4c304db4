"""Tells a workspace's own servers of what has happened, at least once each; it must not know why it happened.

Every process looks for what is due. It takes an event for a little longer than a try may last, so that of several
processes one sends it, and another sends it again if that one dies. The `webhook-id` is the event's, on every try.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import random
from typing import Any

import msgspec

from vestibule.clock import SECOND_MS, now_ms
from vestibule.errors import StorageUnavailable, UpstreamFailed, VestibuleError
from vestibule.ids import new_id
from vestibule.model.conversation import Document
from vestibule.model.webhook import EventKind, EventNames, WebhookEndpoint, WebhookEvent
from vestibule.outbound.client import Outbound
from vestibule.outbound.standard_webhooks import signature_headers
from vestibule.sealing import Sealer
from vestibule.storage import webhooks as rows
from vestibule.storage.store import Store
from vestibule.storage.webhooks import Delivery
from vestibule.times import rfc3339

_LOOK_SECONDS = 1.0
_AT_ONCE = 4
# Beyond the time of a try, for the database.
_LEASE_MARGIN_MS = 15 * SECOND_MS
# Added to each wait: what failed together is not tried again together.
_JITTER = 0.1
_MOST_BYTES = 65_536
_log = logging.getLogger(__name__)

_OPENCX = {
    EventKind.CONVERSATION_STARTED: "conversation.started",
    EventKind.CONVERSATION_HANDED_OFF: "conversation.handoff_to_human",
    EventKind.CONVERSATION_CLOSED: "conversation.closed",
}
_OPENCX_MESSAGES = {
    "user": "conversation.contact_response",
    "ai": "conversation.ai_response",
    "agent": "conversation.agent_response",
}


_OPENCX_ASSIGNEES = {"ai": "AI", "human": "human"}
_OPENCX_CLOSERS = {"agent": "human", "api": "workflow", "system": "workflow"}


class Deliverer:
    """Delivers from one process. `retries` are the waits after each failed try, in milliseconds."""

    def __init__(
        self, store: Store, sealer: Sealer, outbound: Outbound, *, timeout_ms: int, retries: tuple[int, ...]
    ) -> None:
        self._store = store
        self._sealer = sealer
        self._outbound = outbound
        self._timeout_ms = timeout_ms
        self._retries = retries
        self._owner = new_id()
        self._serving: dict[tuple[str, str], asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Delivers until cancelled. What is under way then is sent again by whoever takes it next."""
        try:
            while True:
                try:
                    await self._look()
                except VestibuleError as error:
                    _log.warning("events for webhooks cannot be looked for: %s", error.code)
                except Exception:
                    _log.exception("looking for events for webhooks failed unexpectedly")
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            tasks = list(self._serving.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self) -> None:
        for place in await rows.waiting(self._store, now_ms()):
            # One task an endpoint: a slow one delays its own events only.
            if place not in self._serving:
                self._serving[place] = task = asyncio.create_task(self._serve(*place))
                task.add_done_callback(functools.partial(self._ended, place))

    def _ended(self, place: tuple[str, str], _: asyncio.Task[None]) -> None:
        del self._serving[place]

    async def _serve(self, workspace_id: str, endpoint_id: str) -> None:
        try:
            endpoint = await rows.find(self._store, self._sealer, workspace_id, endpoint_id)
            while endpoint is not None:
                now = now_ms()
                until = now + self._timeout_ms + _LEASE_MARGIN_MS
                taken = await rows.take_due(
                    self._store, workspace_id, endpoint_id, self._owner, now=now, until=until, most=_AT_ONCE
                )
                if not taken:
                    return
                await asyncio.gather(*(self._try(endpoint, delivery) for delivery in taken))
                # Again each time: it may have been changed or removed meanwhile.
                endpoint = await rows.find(self._store, self._sealer, workspace_id, endpoint_id)
        except VestibuleError as error:
            _log.warning("events cannot be sent to endpoint %s: %s", endpoint_id, error.code)
        except Exception:
            _log.exception("sending events to endpoint %s failed unexpectedly", endpoint_id)

    async def _try(self, endpoint: WebhookEndpoint, delivery: Delivery) -> None:
        """What cannot be noted is sent again when the lease has run out."""
        problem = await self._problem(endpoint, delivery.event)
        try:
            await self._note(endpoint, delivery, problem)
        except StorageUnavailable as error:
            _log.warning("that event %s was tried cannot be noted: %s", delivery.event.id, error.code)

    async def _problem(self, endpoint: WebhookEndpoint, event: WebhookEvent) -> str:
        """Why it was not taken; empty if it was."""
        try:
            await self._send(endpoint, event)
        except VestibuleError as error:
            return f"{error.code}: {error.detail}" if error.detail else error.code
        except Exception as error:
            # As any failure: an event that cannot even be sent becomes a dead letter, and is not tried for ever.
            _log.exception("sending event %s failed unexpectedly", event.id)
            return type(error).__name__
        return ""

    async def _note(self, endpoint: WebhookEndpoint, delivery: Delivery, problem: str) -> None:
        now = now_ms()
        if not problem:
            await rows.done(self._store, delivery)
        elif delivery.attempts > len(self._retries):
            _log.warning("event %s is a dead letter of endpoint %s: %s", delivery.event.id, endpoint.id, problem)
            await rows.failed(self._store, delivery, problem, due_at=None, died_at=now)
        else:
            wait = int(self._retries[delivery.attempts - 1] * random.uniform(1, 1 + _JITTER))  # noqa: S311 - no secret
            await rows.failed(self._store, delivery, problem, due_at=now + wait, died_at=None)

    async def _send(self, endpoint: WebhookEndpoint, event: WebhookEvent) -> None:
        """Raises Upstream errors."""
        body = body_of(event, endpoint.names)
        answer = await self._outbound.request(
            "POST",
            endpoint.url,
            headers={
                "content-type": "application/json",
                **signature_headers(endpoint.secrets, message_id(event), body),
            },
            body=body,
            timeout=self._timeout_ms / SECOND_MS,
            most_bytes=_MOST_BYTES,
            purpose="webhook",
            # Each endpoint by itself: five that hang would take the turns of all others, and use up tries that were
            # never made; and none takes those of sign-ins and the bot.
            tenant=f"webhooks:{event.workspace_id}/{endpoint.id}",
            repeatable=True,
            # The waits between tries are the circuit; an opened one would use up tries that were never made.
            circuit=False,
        )
        if not 200 <= answer.status < 300:
            raise UpstreamFailed(detail=f"the endpoint answered {answer.status}", step="webhook")


def message_id(event: WebhookEvent) -> str:
    """The same on every try, so that a receiver can tell a repetition."""
    return f"msg_{event.id}"


def body_of(event: WebhookEvent, names: EventNames) -> bytes:
    """The same on every try."""
    at = rfc3339(event.at)
    body: dict[str, Any]
    if names is EventNames.OPENCX:
        body = {
            "event": _opencx_name(event),
            "organization_id": event.workspace_id,
            "data": {**_opencx_data(event.data), "timestamp": at},
        }
    else:
        body = {"type": event.kind.value, "timestamp": at, "workspace_id": event.workspace_id, "data": event.data}
    return msgspec.json.encode(body)


def _opencx_data(data: Document) -> Document:
    """Our members, and in their forms those that theirs share with them."""
    told: Document = {**data, "contact": {"id": data["contact_id"]}}
    if "assignee" in data:
        kind = _OPENCX_ASSIGNEES.get(data["assignee"])
        told["assignee"] = {"type": kind} if kind is not None else None
    if "closed_by" in data:
        told["closed_by"] = _OPENCX_CLOSERS.get(data["closed_by"], data["closed_by"])
    return told


def _opencx_name(event: WebhookEvent) -> str:
    if event.kind is EventKind.CONVERSATION_MESSAGE:
        return _OPENCX_MESSAGES[event.data["message"]["sender"]]
    return _OPENCX.get(event.kind, event.kind.value)
