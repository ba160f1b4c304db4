"""Carries short messages between processes by PostgreSQL's LISTEN and NOTIFY; it must not know what they mean.

A connection of its own: those of `connections.py` keep no session state. Its statements are of this engine alone, so
they are not registered. Whoever may connect to the database can send here, too.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import asyncpg

from vestibule.storage.primary import Primary

_CHANNEL = "vestibule_live"
_RETRY_SECONDS = 1.0
# A connection that a firewall has forgotten says nothing: ask now and then.
_ASK_SECONDS = 15.0
_FAILURES = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


class PostgresWire:
    """One process's end. Nothing is kept for whoever is not connected."""

    def __init__(self, url: str, *, timeout: float) -> None:
        self._primary = Primary(url)
        self._timeout = timeout
        self._connection: Any = None
        self._turn = asyncio.Lock()  # a connection does one thing at a time

    @property
    def hears_all(self) -> bool:
        return self._connection is not None

    async def run(self, heard: Callable[[str], None]) -> None:
        """Listens, over one connection after another, until cancelled."""
        while True:
            with contextlib.suppress(*_FAILURES):
                await self._listen(heard)
            await asyncio.sleep(_RETRY_SECONDS)

    async def send(self, message: str) -> None:
        """To everybody who listens now, this process included; to nobody where there is no connection."""
        connection = self._connection
        if connection is None:
            return
        try:
            async with self._turn:
                await connection.fetch("SELECT pg_notify($1, $2)", _CHANNEL, message, timeout=self._timeout)
        except _FAILURES:
            connection.terminate()  # and `run` makes another

    async def _listen(self, heard: Callable[[str], None]) -> None:
        connection = await self._primary.connect(
            timeout=min(2.0, self._timeout),
            command_timeout=self._timeout,
            server_settings={"application_name": "vestibule live"},
        )
        try:
            ended = asyncio.Event()
            connection.add_termination_listener(lambda _: ended.set())
            await connection.add_listener(_CHANNEL, lambda _connection, _pid, _channel, text: heard(text))
            self._connection = connection
            while not ended.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_ASK_SECONDS):
                        await ended.wait()
                    return
                async with self._turn:
                    await connection.fetch("SELECT 1")
        finally:
            self._connection = None
            connection.terminate()
