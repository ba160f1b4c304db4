"""`/socket.io`: takes the app's WebSockets in, so many of each address; it must not know an event."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TypeVar

from vestibule.edge.client_address import address_bucket, client_address
from vestibule.edge.http import Reply, Request
from vestibule.edge.request_limits import count_stranger
from vestibule.edge.socket import Socket
from vestibule.edge.socket_io import SOCKET_PATH, Connection, Pace, require_websocket
from vestibule.edge.surface import Route
from vestibule.errors import InvalidField, RateLimited
from vestibule.runtime import Runtime
from vestibule.surfaces.cxgenie.guest import Guest
from vestibule.surfaces.cxgenie.thread import Thread

PATH = SOCKET_PATH.decode()
K = TypeVar("K")


class Sockets:
    """All of one process: how many each address holds open, and how many rooms each visitor."""

    def __init__(self, runtime: Runtime, thread: Thread) -> None:
        self._runtime = runtime
        self._thread = thread
        self._open: dict[str, int] = {}
        self._rooms: dict[tuple[str, str], int] = {}

    def routes(self) -> Sequence[Route]:
        return [Route(method, f"{PATH}/", self._poll) for method in ("GET", "POST")]

    async def hold(self, request: Request, socket: Socket) -> None:
        """One WebSocket, from its request to its end."""
        settings = self._runtime.settings
        require_websocket(request)
        count_stranger(self._runtime, request)
        address = address_bucket(client_address(request, settings.trusted_proxies))
        pace = Pace(
            settings.header_timeout / 1000,
            settings.socket_ping_interval / 1000,
            settings.rate_limit_socket_events,
            settings.max_body_bytes,
        )
        with counted(self._open, address, settings.max_sockets):
            await socket.accept()
            connection = Connection(socket, pace)
            guest = Guest(self._runtime, self._thread, request, connection, self._rooms)
            try:
                await connection.run(guest)
            finally:
                await guest.leave()

    async def _poll(self, request: Request) -> Reply:
        """What comes without the wish to be a WebSocket."""
        require_websocket(request)
        raise InvalidField("transport", "is websocket, and this is no handshake of one")


@contextlib.contextmanager
def counted(counts: dict[K, int], key: K, most: int) -> Iterator[None]:
    """One of at most `most` at a time. Raises RateLimited."""
    if counts.get(key, 0) >= most:
        raise RateLimited(most, 1, detail="sockets")
    counts[key] = counts.get(key, 0) + 1
    try:
        yield
    finally:
        counts[key] -= 1
        if not counts[key]:
            del counts[key]
