"""Answers a request that is repeated with the same `Idempotency-Key` as it was answered the first time; it must not
know what is asked.

Answers are kept sealed for a day: some show a key that is shown once. A refusal is not kept, for it changed nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable

import msgspec

from vestibule.clock import MINUTE_MS, now_ms
from vestibule.edge.http import Reply, Request
from vestibule.errors import IdempotencyKeyReused, InvalidField, RequestUnderWay, Unavailable, VestibuleError
from vestibule.model.workspace import AdminKey
from vestibule.runtime import Runtime
from vestibule.storage import idempotency as rows
from vestibule.storage.idempotency import KEPT_MS, Place

HEADER = "Idempotency-Key"
# Whoever took the place and has not answered for so long has crashed, or lost the database; what they did, the audit
# tells.
_GIVEN_UP_MS = MINUTE_MS
_LONGEST = 255


class _Answer(msgspec.Struct, frozen=True):
    status: int
    headers: list[tuple[str, str]]
    body: str


async def answered_once(
    runtime: Runtime, request: Request, key: AdminKey, body: bytes, handle: Callable[[], Awaitable[Reply]]
) -> Reply:
    """Raises InvalidField, IdempotencyKeyReused, RequestUnderWay, and what `handle` raises."""
    name = _name(request)
    if name is None:
        return await handle()
    place = Place(key.workspace_id, key.id, hashlib.sha256(name).hexdigest())
    query = request.scope.get("query_string", b"")
    asked = hashlib.sha256(b"\n".join((request.method.encode(), request.path.encode(), query, body))).hexdigest()
    now = now_ms()
    over = now - KEPT_MS
    # What is over is deleted now and then (administration/expiry.py), which may not have come to this one.
    await rows.forget(runtime.store, place, unanswered_before=now - _GIVEN_UP_MS, before=over)
    if not await rows.begin(runtime.store, place, asked, now):
        return await _known(runtime, place, asked)
    try:
        reply = await handle()
    except VestibuleError as error:
        # A database that did not answer in time may have done it: then the place stays taken for a while.
        if not isinstance(error, Unavailable):
            await rows.forget(runtime.store, place, unanswered_before=now + 1, before=over)
        raise
    headers = [(name.decode(), value.decode()) for name, value in reply.headers]
    kept = msgspec.json.encode(_Answer(reply.status, headers, reply.body.decode())).decode()
    await rows.finish(runtime.store, place, runtime.sealer.seal(kept, place.sealing_context))
    return reply


async def _known(runtime: Runtime, place: Place, asked: str) -> Reply:
    found = await rows.find(runtime.store, place)
    if found is None or found[1] is None:
        raise RequestUnderWay(step="idempotency_key")
    if found[0] != asked:
        raise IdempotencyKeyReused(step="idempotency_key")
    kept = msgspec.json.decode(runtime.sealer.unseal(found[1], place.sealing_context), type=_Answer)
    headers = [(name.encode(), value.encode()) for name, value in kept.headers]
    return Reply(kept.status, kept.body.encode(), (*headers, (b"idempotency-replayed", b"true")))


def _name(request: Request) -> bytes | None:
    values = request.headers(HEADER.lower().encode())
    if not values:
        return None
    if len(values) > 1 or not 0 < len(values[0]) <= _LONGEST or not all(0x21 <= byte <= 0x7E for byte in values[0]):
        raise InvalidField(HEADER, f"must be one text of 1 to {_LONGEST} visible ASCII characters")
    return values[0]
