"""The customer ids of this wire, and which guest token each stands for; it must not decide what a token opens.

    cus_<workspace id, 22><SHA-256 of the guest token, 43>      base 62

The app joins its room by customer id alone and can say nothing else there (decision 29), so the id has to be as hard
to come by as the token is. It is made of the token one way: whoever has the token can make it, nobody else, and
whoever finds an id has no token. It ends with the token, to the second.
"""

from __future__ import annotations

import hashlib
import re

from vestibule.clock import DAY_MS, SECOND_MS, now_ms
from vestibule.errors import InvalidContactToken
from vestibule.ids import long_id, short_id, to_base62
from vestibule.runtime import Runtime
from vestibule.storage import socket_rooms as rows

_PREFIX = "cus_"
_DIGITS = 43
# Anybody may come in as a guest, and most never write: what is kept for that shall not lie about for long.
_GUEST_MS = DAY_MS
_WIND_SHARE = 10
_FORM = re.compile(rf"{_PREFIX}([0-9A-Za-z]{{22}})[0-9A-Za-z]{{{_DIGITS}}}")


def customer_id_of(workspace_id: str, token: str) -> str:
    digest = hashlib.sha256(b"vestibule cxgenie customer\0" + token.encode()).digest()
    return _PREFIX + short_id(workspace_id) + to_base62(int.from_bytes(digest, "big"), _DIGITS)


async def keep(runtime: Runtime, workspace_id: str, token: str, *, contact_id: str, life: int | None) -> str:
    """The customer id of a guest token, from which the token is found again. `life` is in seconds; None for a token
    without an end, which is found for a day and has to be shown again. Raises StorageUnavailable."""
    customer_id = customer_id_of(workspace_id, token)
    room_hash = _hash(customer_id)
    left = life * SECOND_MS if life is not None else _GUEST_MS
    until = now_ms() + left
    await rows.keep(
        runtime.store,
        workspace_id,
        room_hash,
        contact_id=contact_id,
        sealed_token=runtime.sealer.seal(token, rows.sealing_context(workspace_id, room_hash)),
        expires_at=until,
        if_before=until - left // _WIND_SHARE,
    )
    return customer_id


async def token_of(runtime: Runtime, customer_id: str) -> str:
    """The token that it was made of. Raises InvalidContactToken, alike for what is unknown, over or no customer id;
    StorageUnavailable, CannotUnseal."""
    match = _FORM.fullmatch(customer_id)
    workspace_id = long_id(match[1]) if match is not None else None
    if workspace_id is None:
        raise InvalidContactToken(detail="not the form of a customer id", step="customer_id")
    room_hash = _hash(customer_id)
    sealed = await rows.find(runtime.store, workspace_id, room_hash, now_ms())
    if sealed is None:
        raise InvalidContactToken(detail="no such customer id, or its time is over", step="customer_id")
    return runtime.sealer.unseal(sealed, rows.sealing_context(workspace_id, room_hash))


def _hash(customer_id: str) -> str:
    return hashlib.sha256(customer_id.encode()).hexdigest()
