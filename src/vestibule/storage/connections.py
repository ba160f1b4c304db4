"""Keeps PostgreSQL connections and lends them out, one borrower at a time; it runs no statement.

asyncpg's own pool is the better one for general use: it resets sessions, wraps connections against use after release
and waits for cancellations. No statement here sets session state, nobody keeps a connection, and whatever ended oddly
is thrown away, so a stack of connections does; it takes a tenth of a busy request's time less (docs/performance.md).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import Any

import asyncpg

from vestibule.clock import elapsed
from vestibule.storage.primary import Primary

# A firewall between may have forgotten a connection that nobody used for so long, and not tell.
_LONGEST_IDLE_SECONDS = 300.0
_SETTINGS = {
    "application_name": "vestibule",
    "timezone": "UTC",
    # Every hot statement goes by a key. On a table without statistics the planner may prefer to read a whole workspace,
    # and a prepared statement keeps that plan until the table was analysed.
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
}


class Connection(asyncpg.Connection):  # type: ignore[misc]  # the driver has no types
    """One of asyncpg's, which keeps what is asked again and again prepared for as long as it lives. asyncpg's own way
    forgets after five minutes, and finds a statement again, with room for listeners, at twice the price."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.prepared: dict[str, Any] = {}

    async def keep(self, text: str) -> Any:
        """`text` prepared. Raises asyncpg's errors."""
        self.prepared[text] = found = await self.prepare(text)
        return found

    def terminate(self) -> None:
        self.prepared.clear()  # each refers to this, and only the garbage collector would find the ring
        super().terminate()


class Connections:
    """At most `most` connections to one database; the first is made when it is needed."""

    def __init__(self, url: str, *, most: int, timeout: float) -> None:
        self._primary = Primary(url)
        self._most = most
        self._timeout = timeout
        # What this side has given up the database gives up, too: else those who wait for a lock would add up there
        # until it takes no more connections, and a process that is frozen in a transaction would keep its locks.
        milliseconds = int(timeout * 1000)
        self._settings = {
            **_SETTINGS,
            "statement_timeout": str(milliseconds),
            "idle_in_transaction_session_timeout": str(2 * milliseconds),
        }
        self._idle: list[tuple[float, Any]] = []
        self._places = 0  # taken: connections there are, and those being made
        self._lent: set[Any] = set()
        self._waiting: deque[asyncio.Future[Any]] = deque()

    async def take(self) -> Any:
        """A connection of asyncpg's, whole and in no transaction; the caller bounds how long it is waited for. Raises
        asyncpg's errors, OSError, TimeoutError."""
        while self._idle:
            since, connection = self._idle.pop()
            if not connection.is_closed() and elapsed() - since < _LONGEST_IDLE_SECONDS:
                self._lent.add(connection)
                return connection
            connection.terminate()
            self._places -= 1
        if self._places < self._most:
            self._places += 1
        else:
            connection = await self._wait()
            if connection is not None:
                return connection
        return await self._connect()

    def give_back(self, connection: Any, *, sound: bool) -> None:
        """`sound`: the last statement ended, well or refused by the database; anything else leaves doubt."""
        self._lent.discard(connection)
        if not sound or connection.is_closed() or connection.is_in_transaction():
            connection.terminate()
            self._leave_place()
        elif not self._hand_over(connection):
            self._idle.append((elapsed(), connection))

    async def close(self) -> None:
        """Ends every connection; lent ones have had their time."""
        for _, connection in self._idle:
            with contextlib.suppress(OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.PostgresError):
                await connection.close(timeout=self._timeout)
        for connection in self._lent:
            connection.terminate()
        self._idle.clear()
        self._lent.clear()

    async def _connect(self) -> Any:
        try:
            connection = await self._primary.connect(
                timeout=min(2.0, self._timeout / 2),  # less than the caller has: another host may have to be asked
                server_settings=self._settings,
                connection_class=Connection,
            )
        except BaseException:
            self._leave_place()
            raise
        self._lent.add(connection)
        return connection

    async def _wait(self) -> Any:
        """A connection that was given back, or None: a place for a new one."""
        given: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append(given)
        try:
            return await given
        except BaseException:
            if given.done() and not given.cancelled():  # it came in the very moment of giving up
                if given.result() is None:
                    self._leave_place()
                else:
                    self.give_back(given.result(), sound=True)
            raise

    def _leave_place(self) -> None:
        if not self._hand_over(None):
            self._places -= 1

    def _hand_over(self, connection: Any) -> bool:
        """To whoever has waited longest; None is a place without a connection."""
        while self._waiting:
            given = self._waiting.popleft()
            if not given.done():
                if connection is not None:
                    self._lent.add(connection)
                given.set_result(connection)
                return True
        return False
