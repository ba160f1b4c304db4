"""The first floor: an ASGI application that does nothing but answer; it must stay as bare as it can be."""

from __future__ import annotations

from typing import Any

_START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/plain"), (b"content-length", b"13")],
}
_BODY = {"type": "http.response.body", "body": b"Hello, world!"}


async def app(_scope: Any, _receive: Any, send: Any) -> None:
    await send(_START)
    await send(_BODY)
