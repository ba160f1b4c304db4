"""How OpenCX's API says no: `{statusCode, message, error}` (seed: ErrorDto); it decides nothing.

`error` carries our stable code: the seed leaves its text open, and a program can act on a code but not on a phrase.
"""

from __future__ import annotations

import msgspec

from vestibule.edge.http import Reply, json_reply
from vestibule.edge.problem import headers_of, status_of
from vestibule.errors import VestibuleError


class ErrorDto(msgspec.Struct, frozen=True):
    statusCode: int  # noqa: N815 - the wire's name
    message: str
    error: str


def opencx_error(error: VestibuleError) -> Reply:
    status = status_of(error)
    body = msgspec.json.encode(ErrorDto(status.value, error.message, error.code))
    return json_reply(status.value, body, *headers_of(error))
