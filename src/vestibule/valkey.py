"""What nodes may share through Valkey (or Redis): totals of rate limits, and wakes; it must not be needed.

Imported by installations that have one. Nothing lies here that is missed when it is gone: while it is away, totals are
counted in the database, and nobody waits longer than a quarter of a second to find that out.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from vestibule.clock import elapsed

_log = logging.getLogger(__name__)

_CALL_SECONDS = 0.25
_AWAY_SECONDS = 2.0  # how long a server that failed is left alone
_CONNECTIONS = 8
_KEPT_SECONDS = 180  # a minute's total counts for the minute after it, too
_CHANNEL = "vestibule:live"
_RETRY_SECONDS = 1.0
_ASK_SECONDS = 5.0
_FAILURES = (RedisError, OSError, TimeoutError)
# Adds to a total, which is never left below what the caller knows it to be: a server that was emptied, or came up
# without its last second, is told again by whoever still knows.
_ADD = """
local used = redis.call('INCRBY', KEYS[1], ARGV[1])
local least = tonumber(ARGV[2])
if used < least then
    redis.call('SET', KEYS[1], least)
    used = least
end
redis.call('EXPIRE', KEYS[1], ARGV[3])
return used
"""


class Totals(Protocol):
    """As in `limits.py`, which may import this module and not the other way round."""

    async def add(self, workspace_id: str, bucket: str, minute: int, used: int, least: int) -> int: ...

    async def read(self, workspace_id: str, bucket: str, minute: int) -> int: ...

    async def purge(self, before_minute: int) -> bool: ...


def _connect(url: str, ca_file: str, *, connections: int) -> Redis:
    # Valkey's own names for the schemes, which the library does not know.
    spelled = url.replace("valkeys://", "rediss://", 1).replace("valkey://", "redis://", 1)
    options: dict[str, Any] = {}
    if spelled.startswith("rediss://"):
        options = {"ssl_check_hostname": True, "ssl_ca_certs": ca_file or None}
    pool = BlockingConnectionPool.from_url(
        spelled,
        max_connections=connections,
        timeout=_CALL_SECONDS,
        socket_connect_timeout=_CALL_SECONDS,
        socket_timeout=_CALL_SECONDS,
        retry=Retry(NoBackoff(), 0),
        client_name="vestibule",
        decode_responses=True,
        **options,
    )
    return Redis.from_pool(pool)


class ValkeyTotals:
    """Totals in Valkey, and in the database (`otherwise`) while it does not answer.

    Neither knows what the other was told; but each process brings its own knowledge of a total along (`least`), so no
    limit starts anew for those who were near it.
    """

    def __init__(self, url: str, ca_file: str, otherwise: Totals) -> None:
        self._client = _connect(url, ca_file, connections=_CONNECTIONS)
        self._otherwise = otherwise
        self._add = self._client.register_script(_ADD)
        self._away_until = 0.0
        self._away = False

    async def add(self, workspace_id: str, bucket: str, minute: int, used: int, least: int) -> int:
        key = _key(workspace_id, bucket, minute)
        total = await self._ask(lambda: self._add(keys=[key], args=[used, least, _KEPT_SECONDS]))
        if total is None:
            return await self._otherwise.add(workspace_id, bucket, minute, used, least)
        return total

    async def read(self, workspace_id: str, bucket: str, minute: int) -> int:
        total = await self._ask(lambda: self._client.get(_key(workspace_id, bucket, minute)))
        if total is None:
            return await self._otherwise.read(workspace_id, bucket, minute)
        return total

    async def purge(self, before_minute: int) -> bool:
        return await self._otherwise.purge(before_minute)  # here they end by themselves

    async def check(self) -> str:
        """What is wrong with the server, or nothing. Without the library's words, which may quote the address."""
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                await self._add(keys=[_key("", "check", 0)], args=[1, 0, 1])
        except _FAILURES as error:
            return type(error).__name__
        return ""

    async def close(self) -> None:
        with contextlib.suppress(*_FAILURES):
            await self._client.aclose(close_connection_pool=True)

    async def _ask(self, call: Callable[[], Awaitable[object]]) -> int | None:
        """A total, 0 where there is none; None where the server does not give one."""
        if elapsed() < self._away_until:
            return None
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                answer = int(str(await call() or 0))
        except (*_FAILURES, ValueError) as error:
            if not self._away:
                _log.warning(
                    "Valkey does not answer (%s): rate limits are shared by the database", type(error).__name__
                )
            self._away, self._away_until = True, elapsed() + _AWAY_SECONDS
            return None
        if self._away:
            self._away = False
            _log.info("Valkey answers again")
        return answer


def _key(workspace_id: str, bucket: str, minute: int) -> str:
    return f"vestibule:used:{workspace_id}:{bucket}:{minute}"


class ValkeyWire:
    """One process's end of a channel (`live.py`). Nothing is kept for whoever is not connected."""

    def __init__(self, url: str, ca_file: str) -> None:
        self._client = _connect(url, ca_file, connections=2)
        self._connected = False

    @property
    def hears_all(self) -> bool:
        return self._connected

    async def run(self, heard: Callable[[str], None]) -> None:
        """Listens, over one connection after another, until cancelled."""
        try:
            while True:
                with contextlib.suppress(*_FAILURES):
                    await self._listen(heard)
                await asyncio.sleep(_RETRY_SECONDS)
        finally:
            with contextlib.suppress(*_FAILURES):
                await self._client.aclose(close_connection_pool=True)

    async def send(self, message: str) -> None:
        if not self._connected:
            return
        with contextlib.suppress(*_FAILURES):
            async with asyncio.timeout(_CALL_SECONDS):
                await self._client.publish(_CHANNEL, message)

    async def _listen(self, heard: Callable[[str], None]) -> None:
        channel = self._client.pubsub()
        try:
            await channel.subscribe(_CHANNEL)
            asked = False
            while True:
                # Raises where the connection ends. Where it only says nothing it is asked, and has as long to answer.
                message = await channel.get_message(timeout=_ASK_SECONDS)
                if message is None:
                    if asked:
                        return
                    await channel.ping()
                    asked = True
                    continue
                asked = False
                self._connected = True
                if message["type"] == "message":
                    heard(str(message["data"]))
        finally:
            self._connected = False
            with contextlib.suppress(*_FAILURES):
                await channel.aclose()  # type: ignore[no-untyped-call]
