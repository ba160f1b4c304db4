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
from urllib.parse import quote

import msgspec

from vestibule.clock import elapsed
from vestibule.errors import StorageUnavailable
from vestibule.storage.statement import Pair, Statement
from vestibule.storage.store import Row, UniqueViolation, Value, Work, one_after_the_other

T = TypeVar("T")

# How many units of work share one fsync at the most; beyond this the wait of the first outgrows the gain of the last.
_GROUP = 256
# SQLite's own back-off is unfair between processes (p99 90 to 185 ms, measured); a short, steady retry is not.
_LOCK_RETRY_SECONDS = 0.0002
# The writer gives up by itself; its callers, who know no better, go a moment later.
_GRACE_SECONDS = 0.5
_UNIQUE = {sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY}
_Outcome = tuple["asyncio.Future[Any]", Any, Exception | None]


class _Job(msgspec.Struct, frozen=True, eq=False):
    run: Callable[[sqlite3.Connection], Any]
    future: asyncio.Future[Any]
    came_at: float


def connect(path: str) -> sqlite3.Connection:
    """A connection with the settings both readers and the writer need. The file must be there: an empty one in its
    place would be everybody's first visit."""
    uri = f"file:{quote(path)}?mode=rw"
    connection = sqlite3.connect(
        uri, uri=True, timeout=1.0, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    try:
        # FULL: a commit that was answered survives a power cut, which NORMAL does not promise under WAL.
        connection.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _connect_writer(path: str) -> sqlite3.Connection:
    connection = connect(path)
    connection.execute("PRAGMA busy_timeout=0")  # it retries by itself (`_begin`)
    return connection


class SqliteStore:
    """A `Store` over one SQLite file. Several processes may share the file. Whatever happens to file and disk, a call
    ends within `timeout` seconds or a moment later, and the first one after the trouble finds everything well."""

    def __init__(self, path: str, *, timeout: float = 5.0) -> None:
        self._path = path
        self._timeout = timeout
        self._loop: asyncio.AbstractEventLoop | None = None
        self._reader: sqlite3.Connection | None = None
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._writer: threading.Thread | None = None

    async def open(self) -> None:
        """Starts the writer. Each of the two connects when it is asked for something: a worker that starts while the
        disk is full answers 503 until it is not, as one whose PostgreSQL is away does."""
        self._loop = asyncio.get_running_loop()
        # A daemon: a file system that hangs must not keep the process from ending.
        self._writer = threading.Thread(target=self._write_forever, name="sqlite-writer", daemon=True)
        self._writer.start()

    async def close(self) -> None:
        """Lets the writer finish what it has been given, then closes the file."""
        if self._writer is not None:
            self._jobs.put(None)
            await asyncio.to_thread(self._writer.join, self._timeout)
            self._writer = None
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    async def read(self, statement: Statement, *values: Value) -> list[Row]:
        # On the event loop on purpose: a keyed read takes 20 µs, the hop to a thread and back costs twice that.
        if self._writer is None:
            raise StorageUnavailable(detail="the store is not open")
        try:
            if self._reader is None:
                self._reader = connect(self._path)
            return _run(self._reader, statement, values)
        except sqlite3.Error as error:
            if self._reader is not None and _leaves_doubt(error):
                self._reader.close()
                self._reader = None
            raise StorageUnavailable(detail=str(error), step=statement.name) from error

    async def write(self, statement: Statement, *values: Value) -> list[Row]:
        rows: list[Row] = await self._submit(lambda connection: _run(connection, statement, values))
        return rows

    async def write_pair(self, pair: Pair, first: Sequence[Value], second: Sequence[Value]) -> bool:
        return await self.transact(lambda: one_after_the_other(pair, first, second))

    async def transact(self, make_work: Callable[[], Work[T]]) -> T:
        result: T = await self._submit(lambda connection: _run_work(connection, make_work()))
        return result

    async def _submit(self, run: Callable[[sqlite3.Connection], Any]) -> Any:
        if self._loop is None or self._writer is None:
            raise StorageUnavailable(detail="the store is not open")
        future: asyncio.Future[Any] = self._loop.create_future()
        late = self._loop.call_later(self._timeout + _GRACE_SECONDS, _give_up, future)
        self._jobs.put(_Job(run, future, elapsed()))
        try:
            return await future
        finally:
            late.cancel()
            # It has the error whose frames have this one: a ring, with all that was to be written, which only the
            # garbage collector would find.
            del future

    def _write_forever(self) -> None:
        connection: sqlite3.Connection | None = None
        jobs: list[_Job] | None = []
        while jobs is not None:
            jobs = self._next_group()
            if not jobs:
                continue
            try:
                connection = connection or _connect_writer(self._path)
                outcomes = _commit_together(connection, jobs, self._timeout)
            except Exception as error:
                if connection is not None and _leaves_doubt(error):
                    connection.close()
                    connection = None
                failure = StorageUnavailable(detail=str(error), step="commit")
                outcomes = [(job.future, None, failure) for job in jobs]
            self._settle(outcomes)
            jobs, outcomes = [], []  # nothing of theirs is held while nobody writes
        if connection is not None:
            connection.close()

    def _next_group(self) -> list[_Job] | None:
        """Those who share the next commit, and nobody who has given up; None when there will be no more."""
        first = self._jobs.get()
        if first is None:
            return None
        jobs = [first]
        with contextlib.suppress(queue.Empty):
            while len(jobs) < _GROUP:
                job = self._jobs.get_nowait()
                if job is None:
                    self._jobs.put(None)  # to be found again, once these are done
                    break
                jobs.append(job)
        return [job for job in jobs if not job.future.done()]

    def _settle(self, outcomes: list[_Outcome]) -> None:
        if self._loop is None:
            return
        # The loop may be gone when a process ends in a hurry; then nobody is waiting any more.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(_resolve, outcomes)


def _commit_together(connection: sqlite3.Connection, jobs: list[_Job], timeout: float) -> list[_Outcome]:
    """All of them or none. Raises sqlite3.Error."""
    outcomes: list[_Outcome] = []
    # By whoever has waited longest: while somebody else holds the lock, those who came later do not wait for theirs.
    _begin(connection, jobs[0].came_at + timeout)
    try:
        for job in jobs:
            if job.future.done():  # nobody waits for it any more, and those behind it do
                continue
            try:
                outcomes.append((job.future, job.run(connection), None))
            except Exception as error:
                if not connection.in_transaction:
                    # A full disk or an I/O error makes SQLite roll back all of it by itself. What would come now were
                    # a transaction each, and committed although everybody is told that nothing was.
                    raise
                outcomes.append((job.future, None, _translate(error)))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return outcomes


def _begin(connection: sqlite3.Connection, deadline: float) -> None:
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or elapsed() > deadline:
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


def _leaves_doubt(error: Exception) -> bool:
    """But for a lock nobody knows what a connection is still about; the next call gets a new one."""
    return getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_BUSY


def _translate(error: Exception) -> Exception:
    if isinstance(error, UniqueViolation):
        # Another one, without the frames of this: they hold the whole group of jobs, and it is nobody's mistake.
        return UniqueViolation()
    if isinstance(error, sqlite3.IntegrityError) and error.sqlite_errorcode in _UNIQUE:
        return UniqueViolation()
    if isinstance(error, sqlite3.Error):
        return StorageUnavailable(detail=str(error), step="write")
    return error


def _resolve(outcomes: list[_Outcome]) -> None:
    for future, result, error in outcomes:
        if future.done():  # the request was cancelled while its write went through
            continue
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)


def _give_up(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_exception(StorageUnavailable(detail="the disk does not answer", step="commit"))
