"""How CX Genie's API answers: `{"data": …}`, and `{"error": {"message"}}` for a no; it decides nothing.

The client reads `error.message` alone; `code` is our own, because a program can act on a code but not on a sentence.
"""

from __future__ import annotations

from typing import Any

import msgspec

from vestibule.edge.http import Reply, json_reply
from vestibule.edge.problem import headers_of, status_of
from vestibule.errors import VestibuleError

_ENCODER = msgspec.json.Encoder()


def data_reply(data: Any, **beside: Any) -> Reply:
    """Always 200: the client takes nothing else for a yes."""
    return json_reply(200, _ENCODER.encode({"data": data, **beside}))


def cxgenie_error(error: VestibuleError) -> Reply:
    body = {"error": {"message": error.message, "code": error.code}}
    return json_reply(status_of(error).value, _ENCODER.encode(body), *headers_of(error))
