"""The embedded engine: one writer thread that commits many requests together, readers beside it; it holds no SQL
of the product's own."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from vestibule.errors import StorageUnavailable
from vestibule.storage.statement import Pair, Statement
from vestibule.storage.store import Row, UniqueViolation, Value, Work, one_after_the_other

T = TypeVar("T")

# How many units of work share one fsync at the most; beyond this the wait of the first outgrows the gain of the last.
_GROUP = 256
# SQLite's own back-off is unfair between processes (p99 90 to 185 ms, measured); a short, steady retry is not.
_LOCK_RETRY_SECONDS = 0.0002
_LOCK_WAIT_SECONDS = 4.0
_UNIQUE = {sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY}

Job = tuple[Callable[[sqlite3.Connection], Any], "asyncio.Future[Any]"]


def connect(path: str) -> sqlite3.Connection:
    """A connection with the settings both readers and the writer need."""
    connection = sqlite3.connect(
        path, timeout=1.0, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    # FULL: a commit that was answered survives a power cut, which NORMAL does not promise under WAL.
    connection.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON")
    return connection


class SqliteStore:
    """A `Store` over one SQLite file. Several processes may share the file."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._loop: asyncio.AbstractEventLoop | None = None
        self._reader: sqlite3.Connection | None = None
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._writer: threading.Thread | None = None

    async def open(self) -> None:
        """Connects and starts the writer. Raises StorageUnavailable."""
        self._loop = asyncio.get_running_loop()
        try:
            self._reader = connect(self._path)
            writing = connect(self._path)
            writing.execute("PRAGMA busy_timeout=0")  # it retries by itself (`_begin`)
        except sqlite3.Error as error:
            raise StorageUnavailable(detail=str(error), step="open") from error
        self._writer = threading.Thread(target=self._write_forever, args=(writing,), name="sqlite-writer", daemon=True)
        self._writer.start()

    async def close(self) -> None:
        """Lets the writer finish what it has been given, then closes the file."""
        if self._writer is not None:
            self._jobs.put(None)
            await asyncio.to_thread(self._writer.join)
            self._writer = None
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    async def read(self, statement: Statement, *values: Value) -> list[Row]:
        # On the event loop on purpose: a keyed read takes 20 µs, the hop to a thread and back costs twice that.
        if self._reader is None:
            raise StorageUnavailable(detail="the store is not open")
        try:
            return _run(self._reader, statement, values)
        except sqlite3.Error as error:
            raise StorageUnavailable(detail=str(error), step=statement.name) from error

    async def write(self, statement: Statement, *values: Value) -> list[Row]:
        rows: list[Row] = await self._submit(lambda connection: _run(connection, statement, values))
        return rows

    async def write_pair(self, pair: Pair, first: Sequence[Value], second: Sequence[Value]) -> bool:
        return await self.transact(lambda: one_after_the_other(pair, first, second))

    async def transact(self, make_work: Callable[[], Work[T]]) -> T:
        result: T = await self._submit(lambda connection: _run_work(connection, make_work()))
        return result

    async def _submit(self, job: Callable[[sqlite3.Connection], Any]) -> Any:
        if self._loop is None or self._writer is None:
            raise StorageUnavailable(detail="the store is not open")
        future: asyncio.Future[Any] = self._loop.create_future()
        self._jobs.put((job, future))
        return await future

    def _write_forever(self, connection: sqlite3.Connection) -> None:
        stopping = False
        while not stopping:
            jobs: list[Job] = []
            first = self._jobs.get()
            stopping = first is None
            if first is not None:
                jobs.append(first)
            with contextlib.suppress(queue.Empty):
                while len(jobs) < _GROUP and not stopping:
                    job = self._jobs.get_nowait()
                    stopping = job is None
                    if job is not None:
                        jobs.append(job)
            if jobs:
                self._settle(_commit_together(connection, jobs))
        connection.close()

    def _settle(self, outcomes: list[tuple[asyncio.Future[Any], Any, Exception | None]]) -> None:
        if self._loop is None:
            return
        # The loop may be gone when a process ends in a hurry; then nobody is waiting any more.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(_resolve, outcomes)


def _commit_together(
    connection: sqlite3.Connection, jobs: list[Job]
) -> list[tuple[asyncio.Future[Any], Any, Exception | None]]:
    outcomes: list[tuple[asyncio.Future[Any], Any, Exception | None]] = []
    try:
        _begin(connection)
        for job, future in jobs:
            try:
                outcomes.append((future, job(connection), None))
            except Exception as error:
                outcomes.append((future, None, _translate(error)))
        # A full disk or an I/O error makes SQLite roll back by itself; COMMIT then fails, and so does everybody.
        connection.execute("COMMIT")
    except Exception as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        failure = StorageUnavailable(detail=str(error), step="commit")
        outcomes = [(future, None, failure) for _, future in jobs]
    return outcomes


def _begin(connection: sqlite3.Connection) -> None:
    deadline = time.monotonic() + _LOCK_WAIT_SECONDS
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_LOCK_RETRY_SECONDS)


def _run(connection: sqlite3.Connection, statement: Statement, values: tuple[Value, ...]) -> list[Row]:
    if statement.shared:
        return [row[1:] for row in connection.execute(statement.sqlite, (*values, 0)).fetchall()]
    return connection.execute(statement.sqlite, values).fetchall()


def _run_work(connection: sqlite3.Connection, work: Work[T]) -> T:
    # A savepoint, because the transaction is shared with other requests' work, which must not be undone with ours.
    connection.execute("SAVEPOINT work")
    try:
        rows: list[Row] | None = None
        while True:
            try:
                step = work.send(rows) if rows is not None else next(work)
            except StopIteration as finished:
                result: T = finished.value
                break
            try:
                rows = _run(connection, step.statement, step.values)
            except sqlite3.Error as error:
                raise _translate(error) from error
    except BaseException:
        connection.execute("ROLLBACK TO work")
        connection.execute("RELEASE work")
        raise
    connection.execute("RELEASE work")
    return result


def _translate(error: Exception) -> Exception:
    if isinstance(error, sqlite3.IntegrityError) and error.sqlite_errorcode in _UNIQUE:
        return UniqueViolation()
    if isinstance(error, sqlite3.Error):
        return StorageUnavailable(detail=str(error), step="write")
    return error


def _resolve(outcomes: list[tuple[asyncio.Future[Any], Any, Exception | None]]) -> None:
    for future, result, error in outcomes:
        if future.done():  # the request was cancelled while its write went through
            continue
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
