"""One HTTP exchange with a checked address; it must not decide about time-outs of the whole, circuits or tenants.

On httpcore, the transport of httpx, by its public parts: we connect and hand it the stream, so what is connected to is
the very address that was checked, and no second parser sees the URL. It brings no redirects, proxies, cookies or
decoding that would have to be switched off. Imported by the first call, not on start.

Bounds on an answer: everything up to the end of its headers 64 KiB; a chunk's head or trailers 100 KiB (h11's buffer,
httpcore's MAX_INCOMPLETE_EVENT_SIZE); the body is counted as it comes, in bytes and in chunks, and cannot grow by
decoding because none is done.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence

import httpcore

from vestibule.clock import elapsed
from vestibule.errors import UpstreamFailed, UpstreamRedirect, UpstreamTimeout, UpstreamTooLarge
from vestibule.outbound.address_guard import Address, check_addresses
from vestibule.outbound.messages import Answer, Call
from vestibule.outbound.stream import BoundedStream
from vestibule.outbound.tls import TlsContexts
from vestibule.settings import Network

# By tenant and name.
Resolve = Callable[[str, str], Awaitable[Sequence[Address]]]
Key = tuple[str, str, ssl.SSLContext | None]

# Less than the five seconds after which many servers close.
KEEP_SECONDS = 4.0
_MOST_KEPT = 64
_MOST_HEADERS = 200
_MOST_HEAD_BYTES = 65_536
# Chunks of a few bytes cost more to read than they bring; a body may have so many, and one more for every 16 bytes.
_MOST_CHUNKS = 1000
_BYTES_PER_CHUNK = 16
_MOST_ATTEMPTS = 4


class _Connection:
    def __init__(
        self, key: Key, origin: httpcore.Origin, address: Address, stream: httpcore.AsyncNetworkStream
    ) -> None:
        self.key = key
        self.address = address
        self.stream = BoundedStream(stream)
        self.http = httpcore.AsyncHTTP11Connection(origin, self.stream, keepalive_expiry=KEEP_SECONDS)
        self.end: asyncio.TimerHandle | None = None


class Exchanges:
    """Makes exchanges, and keeps connections for the next one to the same server."""

    def __init__(self, resolve: Resolve, allowed_private: tuple[Network, ...], contexts: TlsContexts) -> None:
        self._resolve = resolve
        self._allowed_private = allowed_private
        self._contexts = contexts
        self._backend = httpcore.AnyIOBackend()
        self._kept: list[_Connection] = []
        self._closing: set[asyncio.Task[None]] = set()

    async def run(self, call: Call) -> Answer:
        """Raises the Upstream errors."""
        try:
            # A request that crosses the server's close cannot be told from one that was carried out (RFC 9112 section
            # 9.3.1): a kept connection is for those that may be sent again.
            connection, kept = await self._connection(call, fresh=not call.repeatable)
            try:
                return await self._converse(call, connection)
            except (httpcore.RemoteProtocolError, httpcore.NetworkError):
                if not kept or call.step != "headers":
                    raise
            connection, _ = await self._connection(call, fresh=True)
            return await self._converse(call, connection)
        except UpstreamTooLarge as error:
            error.step = error.step or call.step
            raise
        except (httpcore.TimeoutException, TimeoutError):
            raise UpstreamTimeout(detail=f"no connection within {call.connect_timeout:g} s", step=call.step) from None
        except httpcore.RemoteProtocolError as error:
            if getattr(error.__cause__, "error_status_hint", 400) == 431:  # h11's word for a full buffer
                raise UpstreamTooLarge(detail="a part of the answer does not end", step=call.step) from None
            raise UpstreamFailed(detail="the answer is not HTTP, or ends early", step=call.step) from None
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
            raise UpstreamFailed(detail=_reason(error), step=call.step) from None

    async def close(self) -> None:
        while self._kept:
            self._expire(self._kept[-1])
        await asyncio.gather(*self._closing)

    async def _connection(self, call: Call, *, fresh: bool) -> tuple[_Connection, bool]:
        """A connection to an address that was checked for this very call, and whether it was kept from an earlier."""
        target, context = call.target, None
        if target.scheme == "https":
            context = await self._contexts.get(call.ca_file, call.client_certificate, call.ca)
        async with asyncio.timeout(call.connect_timeout):
            call.step = "resolve"
            known = target.address
            addresses = (known,) if known else tuple(await self._resolve(call.tenant, target.host))
            if not addresses:
                raise UpstreamFailed(detail="the name has no address", step=call.step)
            check_addresses(target, addresses, self._allowed_private)
            call.step = "connect"
            # By tenant, too: what one got a server to send too much must not be read as another's answer.
            key = (call.tenant, target.origin, context)
            connection = None if fresh else self._take(key, addresses)
            if connection is not None:
                return connection, True
            return await self._connect(call, key, addresses), False

    async def _connect(self, call: Call, key: Key, addresses: tuple[Address, ...]) -> _Connection:
        target, context = call.target, key[2]
        address, stream = await self._open(call, addresses[:_MOST_ATTEMPTS])
        try:
            if context is not None:
                call.step = "tls"
                stream = await stream.start_tls(context, server_hostname=target.host)
        except BaseException:
            await stream.aclose()
            raise
        origin = httpcore.Origin(target.scheme.encode(), target.host.encode(), target.port)
        return _Connection(key, origin, address, stream)

    async def _open(self, call: Call, addresses: tuple[Address, ...]) -> tuple[Address, httpcore.AsyncNetworkStream]:
        # One address that swallows packets leaves time for the next.
        share = call.connect_timeout / len(addresses)
        for address in addresses[:-1]:
            try:
                return address, await self._backend.connect_tcp(str(address), call.target.port, timeout=share)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return addresses[-1], await self._backend.connect_tcp(str(addresses[-1]), call.target.port)

    async def _converse(self, call: Call, connection: _Connection) -> Answer:
        call.step = "headers"
        target = call.target
        url = httpcore.URL(
            scheme=target.scheme.encode(), host=target.host.encode(), port=target.port, target=target.path.encode()
        )
        request = httpcore.Request(call.method, url, headers=call.headers, content=call.body)
        connection.stream.left = _MOST_HEAD_BYTES
        try:
            response = await connection.http.handle_async_request(request)
            try:
                headers = [(key.decode("latin-1").lower(), value.decode("latin-1")) for key, value in response.headers]
                _check_head(call, response.status, headers)
                call.step = "body"
                connection.stream.left = 2 * call.most_bytes + _MOST_HEAD_BYTES  # chunked, in chunks of any sense
                body = await _read_body(call, response)
            finally:
                await response.aclose()
            return Answer(response.status, headers, body, (elapsed() - call.began) * 1000)
        finally:
            if connection.http.is_idle():
                self._keep(connection)
            else:
                await connection.http.aclose()

    def _take(self, key: Key, addresses: tuple[Address, ...]) -> _Connection | None:
        for connection in reversed(self._kept):
            # The address, because the name may have moved since, or been moved (DNS rebinding).
            if connection.key == key and connection.address in addresses and not connection.http.has_expired():
                self._forget(connection)
                return connection
        return None

    def _keep(self, connection: _Connection) -> None:
        connection.end = asyncio.get_running_loop().call_later(KEEP_SECONDS, self._expire, connection)
        self._kept.append(connection)
        if len(self._kept) > _MOST_KEPT:
            self._expire(self._kept[0])

    def _forget(self, connection: _Connection) -> None:
        self._kept.remove(connection)
        if connection.end is not None:
            connection.end.cancel()

    def _expire(self, connection: _Connection) -> None:
        self._forget(connection)
        task = asyncio.create_task(connection.http.aclose())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def _check_head(call: Call, status: int, headers: list[tuple[str, str]]) -> None:
    if len(headers) > _MOST_HEADERS:
        raise UpstreamTooLarge(detail=f"more than {_MOST_HEADERS} headers", step=call.step)
    names = {name for name, _ in headers}
    # Refresh is a redirect by another name.
    if (300 <= status < 400 and "location" in names) or "refresh" in names:
        raise UpstreamRedirect(detail=f"answered {status} with another address", step="redirect")
    for name, value in headers:
        if name == "content-encoding" and value.lower() not in {"", "identity"}:
            # We asked for none (RFC 9110 section 12.5.3): a small body may decode to any size.
            raise UpstreamFailed(detail="the body is compressed, which was not asked for", step="encoding")
        if name == "content-length" and value.isdecimal() and int(value) > call.most_bytes and call.method != "HEAD":
            raise UpstreamTooLarge(detail=f"announces more than {call.most_bytes} bytes", step=call.step)


async def _read_body(call: Call, response: httpcore.Response) -> bytes:
    body = bytearray()
    pieces = 0
    async for piece in response.aiter_stream():
        body += piece
        pieces += 1
        if pieces > _MOST_CHUNKS + len(body) // _BYTES_PER_CHUNK:
            raise UpstreamTooLarge(detail="too many chunks for so few bytes", step=call.step)
        if len(body) > call.most_bytes:
            raise UpstreamTooLarge(detail=f"more than {call.most_bytes} bytes", step=call.step)
    return bytes(body)


def _reason(error: Exception) -> str:
    """What may be told of a failure: never an address, which would tell whoever configures names about our network."""
    cause = error if isinstance(error, OSError) else error.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"the certificate is not accepted: {cause.verify_message}"
    if isinstance(cause, ssl.SSLError):
        return f"TLS failed: {cause.reason}"
    return f"the connection failed: {type(cause or error).__name__}"
