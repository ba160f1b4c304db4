"""The engine for more than one machine: asyncpg, with concurrent requests' statements sharing round trips; it holds
no SQL of the product's own."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, TypeVar

import asyncpg

from vestibule.errors import StorageUnavailable
from vestibule.storage.connections import Connections
from vestibule.storage.statement import Pair, Statement
from vestibule.storage.store import Row, UniqueViolation, Value, Work

T = TypeVar("T")

# Statements of one kind that may be under way at once. While they are, newcomers gather and leave together, so a
# lone caller waits for nobody and sixteen callers need a handful of round trips.
_BATCHES_UNDER_WAY = 2
_BATCH = 64
_DEADLOCK_RETRIES = 3
# How often within a time-out somebody looks who is too late: a timer for each call would cost more than most calls do.
_LOOKS = 8
_RETRYABLE = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
_UNREACHABLE = (OSError, asyncpg.InterfaceError, asyncpg.PostgresError, asyncpg.InternalClientError)
# After these nobody knows what the connection is still about, or it leads to a server that is going away, or that only
# answers questions: a primary that was demoted, say. What the database itself refused otherwise is over.
_DOUBTFUL = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.InternalClientError,
    asyncpg.OperatorInterventionError,
    asyncpg.ReadOnlySQLTransactionError,
)

# What is asked, who waits for it, and until when.
Waiting = tuple[tuple[Value, ...], "asyncio.Future[list[Row]]", float]


class _Travel:
    """Batch after batch over one connection; this is the one under way, and until when."""

    __slots__ = ("batch", "is_late", "task", "until")

    def __init__(self) -> None:
        self.batch: list[Waiting] = []
        # Until its task has begun: one that is cancelled before does not even come to its `finally`.
        self.until = math.inf
        self.is_late = False
        self.task: asyncio.Task[None] | None = None


class _Lane:
    """The callers of one statement that wait to share a round trip, whoever came first before the others."""

    __slots__ = ("name", "scheduled", "travels", "waiting", "watched")

    def __init__(self, name: str) -> None:
        self.name = name
        self.waiting: list[Waiting] = []
        self.travels: list[_Travel] = []
        self.scheduled = self.watched = False

    def take(self, now: float) -> list[Waiting]:
        """Those who leave together now, and nobody who has given up or was given up."""
        self.fail_late(now)
        while self.waiting:
            batch, self.waiting = self.waiting[:_BATCH], self.waiting[_BATCH:]
            if here := [caller for caller in batch if not caller[1].done()]:
                return here
        return []

    def fail(self, travel: _Travel, error: Exception, now: float) -> None:
        """Those who were under way, or would have been."""
        failed = travel.batch or self.take(now)
        if isinstance(error, TimeoutError):
            # They have waited behind these, and would wait as long again, each batch in its turn.
            failed, self.waiting = failed + self.waiting, []
        for _, future, _until in failed:
            if not future.done():
                future.set_exception(_ours(error, self.name))

    def end_late(self, now: float) -> None:
        """What should have arrived by now: a timer for each travel would cost more than most travels do."""
        for travel in self.travels:
            if travel.until <= now and travel.task is not None and not travel.is_late:
                travel.is_late = True
                travel.task.cancel()

    def fail_late(self, now: float) -> None:
        """Those whose time is over, also where their batch is under way: the others of it have theirs."""
        for callers in (self.waiting, *(travel.batch for travel in self.travels)):
            for _, future, until in callers:
                if until > now:
                    break
                if not future.done():
                    future.set_exception(StorageUnavailable(detail=TimeoutError.__name__, step=self.name))


class PostgresStore:
    """A `Store` over a PostgreSQL database."""

    def __init__(self, url: str, *, connections: int, timeout: float) -> None:
        self._timeout = timeout
        self._connections = Connections(url, most=connections, timeout=timeout)
        # None unless open. A database that is down at start-up makes requests answer 503, not the process end.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lanes: dict[str, _Lane] = {}

    async def open(self) -> None:
        """Connects when it is asked for something."""
        self._loop = asyncio.get_running_loop()

    async def close(self) -> None:
        """Waits for what is under way, then closes the connections."""
        self._loop = None
        under_way = [travel.task for lane in self._lanes.values() for travel in lane.travels if travel.task is not None]
        if under_way:
            await asyncio.wait(under_way, timeout=self._timeout)
        await self._connections.close()

    def read(self, statement: Statement, *values: Value) -> Awaitable[list[Row]]:
        return self._share(statement, values) if statement.shared else self._alone(statement, values)

    # To this engine a statement is a statement: it commits what changes something by itself.
    write = read

    async def write_pair(self, pair: Pair, first: Sequence[Value], second: Sequence[Value]) -> bool:
        return bool(await self._share(pair.together, (*first, *second)))

    async def _alone(self, statement: Statement, values: tuple[Value, ...]) -> list[Row]:
        async with self._borrowed(statement.name) as (connection, _):
            rows: list[Row] = await connection.fetch(statement.postgresql, *values)
            return rows

    async def transact(self, make_work: Callable[[], Work[T]]) -> T:
        for attempt in range(_DEADLOCK_RETRIES):
            try:
                async with self._borrowed("transaction", but=_RETRYABLE) as (connection, limit):
                    return await self._run(connection, make_work(), limit)
            except _RETRYABLE as error:
                if attempt == _DEADLOCK_RETRIES - 1:
                    raise StorageUnavailable(detail=type(error).__name__, step="transaction") from error
        raise AssertionError("unreachable")

    async def _run(self, connection: Any, work: Work[T], limit: asyncio.Timeout) -> T:
        """A unit of work in a transaction, each step of which may take as long as a statement alone: what operators
        erase is large. By hand, because asyncpg's own way would have a database that does not answer roll back, and
        wait for it once more."""
        await connection.execute("BEGIN")
        try:
            rows: list[Row] | None = None
            while True:
                try:
                    step = work.send(rows) if rows is not None else next(work)
                except StopIteration as finished:
                    result: T = finished.value
                    break
                self._extend(limit)
                values = (*step.values, 0) if step.statement.shared else step.values
                rows = await connection.fetch(step.statement.postgresql, *values)
                if step.statement.shared:
                    rows = [row[1:] for row in rows]
        except Exception as error:
            if _is_sound_after(error):
                await connection.execute("ROLLBACK")
            raise
        self._extend(limit)
        await connection.execute("COMMIT")
        return result

    def _extend(self, limit: asyncio.Timeout) -> None:
        if self._loop is not None:  # else it is being closed, and has what time is left
            limit.reschedule(self._loop.time() + self._timeout)

    @contextlib.asynccontextmanager
    async def _borrowed(
        self, step: str, but: tuple[type[Exception], ...] = ()
    ) -> AsyncIterator[tuple[Any, asyncio.Timeout]]:
        """A connection, with the time limit for what it is borrowed for and all that has to be waited for first. Of the
        driver's errors only those of `but` get out as they are."""
        if self._loop is None:
            raise StorageUnavailable(detail="the store is not open")
        connection, sound = None, False
        try:
            async with asyncio.timeout(self._timeout) as limit:
                connection = await self._connections.take()
                yield connection, limit
            sound = True
        except BaseException as error:
            sound = _is_sound_after(error)
            if isinstance(error, but):
                raise
            ours = _ours(error, step)
            if ours is error:
                raise
            try:
                raise ours from error
            finally:
                del ours  # its frames would keep it, and only the garbage collector would find the ring
        finally:
            if connection is not None:
                self._connections.give_back(connection, sound=sound)

    def _share(self, statement: Statement, values: tuple[Value, ...]) -> asyncio.Future[list[Row]]:
        loop = self._loop
        if loop is None:
            raise StorageUnavailable(detail="the store is not open")
        lane = self._lanes.get(statement.name)
        if lane is None:
            lane = self._lanes[statement.name] = _Lane(statement.name)
        future: asyncio.Future[list[Row]] = loop.create_future()
        lane.waiting.append((values, future, loop.time() + self._timeout))
        if not lane.watched:
            lane.watched = True
            loop.call_later(self._timeout / _LOOKS, self._watch, loop, lane)
        self._depart(statement, lane)
        return future

    def _watch(self, loop: asyncio.AbstractEventLoop, lane: _Lane) -> None:
        """Again and again for as long as somebody waits."""
        now = loop.time()
        lane.end_late(now)
        lane.fail_late(now)
        lane.watched = bool(lane.waiting or lane.travels)
        if lane.watched:
            loop.call_later(self._timeout / _LOOKS, self._watch, loop, lane)

    def _depart(self, statement: Statement, lane: _Lane) -> None:
        """At the end of this tick, which is when a task takes its first step: whoever asks until then comes along."""
        if lane.scheduled or not lane.waiting or len(lane.travels) >= _BATCHES_UNDER_WAY or self._loop is None:
            return
        lane.scheduled = True
        travel = _Travel()
        lane.travels.append(travel)
        travel.task = self._loop.create_task(self._go(statement, lane, travel, self._loop))

    async def _go(self, statement: Statement, lane: _Lane, travel: _Travel, loop: asyncio.AbstractEventLoop) -> None:
        """Takes batch after batch over one connection, for as long as somebody waits. `_watch` ends it when it is
        late."""
        connection, sound = None, False
        try:
            travel.until = loop.time() + self._timeout
            connection = await self._connections.take()
            now = loop.time()
            while batch := lane.take(now):
                travel.batch, lane.scheduled = batch, False
                self._depart(statement, lane)  # for whom there was no room
                if self._loop is not None:  # else it is being closed, and has what time is left
                    travel.until = now + self._timeout
                await _fetch_together(connection, statement, batch)
                now = loop.time()
            sound = True
        except Exception as error:
            sound = _is_sound_after(error)
            lane.fail(travel, error, loop.time())
        except asyncio.CancelledError:
            if not travel.is_late:
                raise
            lane.fail(travel, TimeoutError(), loop.time())
        finally:
            if connection is not None:
                self._connections.give_back(connection, sound=sound)
            if not travel.batch:  # it has taken nobody along
                lane.scheduled = False
            lane.travels.remove(travel)
            self._depart(statement, lane)


async def _fetch_together(connection: Any, statement: Statement, batch: list[Waiting]) -> None:
    if len(batch) == 1:
        await _fetch_alone(connection, statement, batch[0])
        return
    if not statement.reads:
        # Rows are locked in one order by every process, so that two batches cannot wait for each other.
        batch = sorted(batch, key=lambda waiting: str(waiting[0][:2]))
    try:
        values = [(*values, slot) for slot, (values, _, _) in enumerate(batch)]
        rows = await _ask(connection, statement, lambda prepared: prepared.fetchmany(values))
    except (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError, *_RETRYABLE):
        # One caller's row or value spoilt the batch, which was rolled back whole: everybody goes again, alone.
        for waiting in batch:
            await _fetch_alone(connection, statement, waiting)
        return
    answers: list[list[Row]] = [[] for _ in batch]
    for row in rows:
        answers[row[0]].append(row[1:])
    for (_, future, _), answer in zip(batch, answers, strict=True):
        if not future.done():
            future.set_result(answer)


async def _fetch_alone(connection: Any, statement: Statement, waiting: Waiting) -> None:
    values, future, _ = waiting
    if future.done():  # they have gone, or were told that it is too late
        return
    try:
        rows = await _ask(connection, statement, lambda prepared: prepared.fetch(*values, 0))
    except asyncpg.PostgresError as error:
        if not _is_sound_after(error):
            raise
        if not future.done():
            future.set_exception(_ours(error, statement.name))
    else:
        if not future.done():
            future.set_result([row[1:] for row in rows])


async def _ask(connection: Any, statement: Statement, fetch: Callable[[Any], Awaitable[list[Row]]]) -> list[Row]:
    text = statement.postgresql
    try:
        return await fetch(connection.prepared.get(text) or await connection.keep(text))
    except asyncpg.InvalidCachedStatementError:  # a migration has changed what it returns: it was not begun
        return await fetch(await connection.keep(text))


def _ours(error: BaseException, step: str) -> BaseException:
    """The driver's errors as ours, anything else as it is."""
    if isinstance(error, asyncpg.UniqueViolationError):
        return UniqueViolation()
    if isinstance(error, _UNREACHABLE):
        # The class name only: a driver's message may quote a value.
        return StorageUnavailable(detail=type(error).__name__, step=step)
    return error


def _is_sound_after(error: BaseException) -> bool:
    return isinstance(error, Exception) and not isinstance(error, _DOUBTFUL)
