"""Reads requests and writes replies over ASGI, cheaply; it must not decide anything about a caller."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping, Sequence
from typing import Any
from urllib.parse import parse_qs

from vestibule.clock import elapsed
from vestibule.errors import BodyTooLarge, BodyTooSlow, InvalidField, UnsupportedMedia, VestibuleError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]
# Status, headers, body, whether to close. False: it has to be sent as messages.
Write = Callable[[int, Sequence[Header], bytes, bool], bool]

# The lines of headers that many answers have alike, as they are sent (server/protocol.py).
LINES: dict[Header, bytes] = {}


def constant(name: bytes, value: bytes) -> Header:
    """A header of our own words without a line end in them; never one with a value of a request's."""
    LINES[name, value] = name + b": " + value + b"\r\n"
    return (name, value)


READING = frozenset({"GET", "HEAD"})
JSON: Header = constant(b"content-type", b"application/json")
# Nothing here is a page, may be cached, or may be guessed to be of another type (ASVS 3.2.1, 14.3.2, 3.4.4).
_ALWAYS: tuple[Header, ...] = (
    constant(b"cache-control", b"no-store"),
    constant(b"x-content-type-options", b"nosniff"),
)


_NONE: list[bytes] = []


class ClientGone(Exception):
    """The client hung up while it was sending; there is nobody to answer."""


class Request:
    """One request. `facts` are for the log line and the audit, and hold no secrets. `refusal` is why it was refused,
    `proves` the verification method that its path belongs to, `again` the check of whoever sent it, once more."""

    __slots__ = (
        "_all_read",
        "_by_name",
        "_is_repeated",
        "_query",
        "_receive",
        "again",
        "facts",
        "method",
        "params",
        "path",
        "proves",
        "refusal",
        "scope",
    )

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = scope
        self._receive = receive
        self._all_read = False
        self._query: dict[str, list[str]] | None = None
        pairs: Sequence[Header] = scope["headers"]
        self._by_name = dict(pairs)
        self._is_repeated = len(self._by_name) != len(pairs)  # seldom
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.params: dict[str, str] = {}
        self.proves = ""
        self.refusal: VestibuleError | None = None
        # Set by whoever checks a credential before the body is here. The client says when the body ends: a request that
        # is held open would do what it asks for minutes after its key or token was revoked (ASVS 15.4.2). It is called
        # with the request, which it must not hold, or both would stay until the garbage collector came.
        self.again: Callable[[Request], Awaitable[object]] | None = None
        self.facts: dict[str, str | int] = scope.setdefault("vestibule.facts", {})

    def headers(self, name: bytes) -> list[bytes]:
        """All values of a header, by its lower-case name."""
        if self._is_repeated:
            return [value for each, value in self.scope["headers"] if each == name]
        found = self._by_name.get(name)
        return _NONE if found is None else [found]

    @property
    def leaves_body(self) -> bool:
        """Whether a body was announced and not read to its end. The connection then has to be closed: nobody would
        bound what still comes."""
        if self._all_read:
            return False
        length = self.headers(b"content-length")
        return bool(self.headers(b"transfer-encoding")) or bool(length and length[0].strip(b" 0"))

    @property
    def peer(self) -> str:
        """The address at the other end of the connection: perhaps a proxy's."""
        client = self.scope.get("client")
        return client[0] if client else ""

    def query(self, name: str) -> str | None:
        """A parameter of the query. Raises InvalidField where it is repeated (ASVS 15.3.7) or no text."""
        found = self._parameters(name).get(name, [])
        if len(found) > 1:
            raise InvalidField(name, "must be given once")
        return found[0] if found else None

    def query_names(self, wanted: str) -> list[str]:
        """All names in the query, for who looks there for `wanted`. Raises InvalidField where it is no text."""
        return list(self._parameters(wanted))

    def _parameters(self, wanted: str) -> dict[str, list[str]]:
        if self._query is None:
            raw: bytes = self.scope.get("query_string", b"")
            try:
                self._query = _read_short_query(raw) if len(raw) <= _SHORT_QUERY else _read_query(raw)
            except ValueError:
                raise InvalidField(wanted, "cannot be read from the query") from None
        return self._query

    async def body(self, *, most: int, within: float) -> bytes:
        """The whole body: JSON by its own word, at most `most` bytes, within `within` seconds. Raises UnsupportedMedia,
        BodyTooLarge, BodyTooSlow, and what `again` raises."""
        self._require_json()
        return await self.raw_body(most=most, within=within)

    async def raw_body(self, *, most: int, within: float) -> bytes:
        """The whole body, whatever it is. Raises BodyTooLarge, BodyTooSlow, and what `again` raises."""
        length = self.headers(b"content-length")
        if length and int(length[0]) > most:
            raise BodyTooLarge(detail=f"announces {length[0].decode()} bytes", step="body")
        if self.scope.get("vestibule.whole"):  # it has arrived (server/protocol.py): nothing to wait for
            return await self._gather(most)
        try:
            async with asyncio.timeout(within):
                body = await self._gather(most)
        except TimeoutError:
            raise BodyTooSlow(step="body") from None
        await self._check_again()
        return body

    async def _gather(self, most: int) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        body: bytes = message.get("body", b"")
        while len(body) <= most and message.get("more_body", False):
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            body += message.get("body", b"")
        if len(body) > most:
            raise BodyTooLarge(detail=f"more than {most} bytes", step="body")
        self._all_read = True
        return body

    async def pieces(self, *, most: int, within: float, slowest: int) -> AsyncGenerator[bytes, None]:
        """The body as it arrives: at most `most` bytes, no pause longer than `within` seconds, and on the whole no
        slower than `slowest` bytes a second. Raises BodyTooLarge, BodyTooSlow, and after the last piece what `again`
        raises."""
        length = self.headers(b"content-length")
        if length and int(length[0]) > most:
            raise BodyTooLarge(detail=f"announces {length[0].decode()} bytes", step="body")
        began, received, more = elapsed(), 0, True
        while more:
            left = began + within + received / slowest - elapsed()
            try:
                async with asyncio.timeout(min(within, left)):
                    message = await self._receive()
            except TimeoutError:
                raise BodyTooSlow(detail=f"{received} bytes so far", step="body") from None
            if message["type"] == "http.disconnect":
                raise ClientGone
            piece: bytes = message.get("body", b"")
            received += len(piece)
            if received > most:
                raise BodyTooLarge(detail=f"more than {most} bytes", step="body")
            more = message.get("more_body", False)
            self._all_read = not more
            yield piece
        await self._check_again()

    async def _check_again(self) -> None:
        if self.again is not None:
            await self.again(self)

    async def discard(self, *, most: int, within: float) -> None:
        """Reads on and forgets, within bounds: a browser that is still sending does not see the answer, only that the
        connection broke."""
        length = self.headers(b"content-length")
        # Nobody waits for a client that could not finish anyway, or that waits for leave to begin.
        if (length and int(length[0]) > most) or self.headers(b"expect"):
            return
        received = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while not self._all_read and received <= most:
                    message = await self._receive()
                    if message["type"] == "http.disconnect":
                        raise ClientGone
                    received += len(message.get("body", b""))
                    self._all_read = not message.get("more_body", False)

    async def gone(self) -> None:
        """Returns when the client has hung up; what it still sends is not kept."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    @property
    def is_compressed(self) -> bool:
        """A compressed body is not unpacked: a few bytes could become gigabytes, and no client here compresses what it
        sends."""
        return any(value.strip().lower() != b"identity" for value in self.headers(b"content-encoding"))

    def _require_json(self) -> None:
        types = self.headers(b"content-type")
        if len(types) != 1 or not _is_json(types[0]):
            raise UnsupportedMedia(step="content_type")
        if self.is_compressed:
            raise UnsupportedMedia(detail="compressed", step="content_encoding")


def _is_json(content_type: bytes) -> bool:
    if content_type == b"application/json":
        return True
    kind, _, parameters = content_type.lower().partition(b";")
    if kind.strip() != b"application/json":
        return False
    return is_utf8(parameters)


def is_utf8(parameters: bytes) -> bool:
    """Whether a media type's parameters, in lower case, leave it UTF-8. RFC 8259 section 11 and the form's own standard
    have no charset; many clients send it all the same, some without the hyphen, and UTF-8 is what is meant."""
    return parameters.replace(b" ", b"").replace(b'"', b"") in {b"", b"charset=utf-8", b"charset=utf8"}


def _read_query(raw: bytes) -> dict[str, list[str]]:
    """Raises ValueError."""
    return parse_qs(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=50)


# The lists of most chats are asked for with one and the same query. Nothing secret is as short as these.
_SHORT_QUERY = 40
_read_short_query = functools.lru_cache(maxsize=256)(_read_query)


class Reply:
    """One answer, complete."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, body: bytes = b"", headers: tuple[Header, ...] = ()) -> None:
        self.status = status
        self.body = body
        self.headers = headers

    async def send(self, send: Send, request_id: bytes, *, close: bool = False, write: Write | None = None) -> None:
        """`close`: the connection ends with this answer. `write`: the server's shorter way, where there is one."""
        headers = [(b"x-request-id", request_id), *self.headers]
        if self.status not in {204, 304}:  # RFC 9110 section 8.6
            headers.append((b"content-length", b"%d" % len(self.body)))
        if write is not None and write(self.status, headers, self.body, close):
            return
        if close:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


def json_reply(status: int, body: bytes, *extra: Header) -> Reply:
    """A JSON answer that no cache keeps."""
    return Reply(status, body, (JSON, *_ALWAYS, *extra))


Handler = Callable[[Request], Awaitable[Reply]]
