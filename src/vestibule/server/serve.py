"""Starts the server: checks, migrates, then hands over to uvicorn; it must not hold a database open itself."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gc
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NoReturn

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from vestibule.administration import first_run, staff_oidc
from vestibule.app import Application
from vestibule.edge.access_log import AccessLog
from vestibule.edge.socket_io import SOCKET_PATH
from vestibule.metrics import SHARED_DIRECTORY
from vestibule.sealing import Sealer
from vestibule.secret_key_file import load_secret_keys
from vestibule.server.listening import require_address
from vestibule.server.logs import configure_logging
from vestibule.server.protocol import BoundedHttp
from vestibule.server.upgrade import make_websocket
from vestibule.settings import PREFIX, InvalidSettings, Settings, read_settings
from vestibule.storage import installation
from vestibule.storage.opening import ensure_schema, open_store

# Chosen so that a load balancer (60 s by default) closes idle connections first, and never sends into a closed one.
_KEEP_ALIVE_SECONDS = 75
_GC_THRESHOLDS = (20_000, 20, 50)
_COUNTS = "vestibule-metrics-"
_HELD = "held"


def create_app() -> Application:
    """The application of one worker process, from its environment; uvicorn calls it."""
    settings = read_settings()
    keys, _ = load_secret_keys(settings)
    log = AccessLog(settings.log_level)
    configure_logging(settings.log_level, log)
    BoundedHttp.max_header_bytes = settings.max_header_bytes
    BoundedHttp.header_timeout = settings.header_timeout / 1000
    BoundedHttp.answer_timeout = settings.answer_timeout / 1000
    BoundedHttp.socket_path = SOCKET_PATH
    # What is loaded by now lives as long as the process: the collector need not look at it again. Collecting less often
    # suits a server whose garbage is mostly freed by counting references.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    return Application(settings, Sealer(keys), log)


def prepare(settings: Settings) -> Sealer:
    """Brings schema and secret keys into a state to serve from, or says why not. Raises InvalidSettings, WrongSchema,
    StorageUnavailable."""
    ensure_schema(settings.database_url, may_migrate=settings.auto_migrate)
    keys, _ = load_secret_keys(settings)
    sealer = Sealer(keys)
    asyncio.run(_check_secret(settings, sealer))
    staff_oidc.client_secret(settings)  # a file that cannot be read is told now, and not by each worker
    return sealer


async def _check_secret(settings: Settings, sealer: Sealer) -> None:
    """A node with another secret would seal what the others cannot open; better that it does not start."""
    store = await open_store(settings.database_url, connections=1)
    try:
        sealed_with = await installation.set_first(store, "secret_key", sealer.fingerprints[0])
    finally:
        await store.close()
    if sealed_with not in sealer.fingerprints:
        raise InvalidSettings(["secret_keys: none of them is the one this database was sealed with"])


async def _greet(settings: Settings) -> None:
    """Prints the way in for the first member of staff, once for all workers. On standard output, for whoever started
    this; never in the log, which is shipped and kept."""
    if not settings.first_run_link:
        return
    store = await open_store(settings.database_url, connections=1)
    try:
        link = await first_run.make_link(store, settings)
    finally:
        await store.close()
    if link is not None:
        sys.stdout.write(f"Nobody is staff yet. Come in first, once, within the hour:\n\n  {link}\n\n")
        sys.stdout.flush()


def serve(
    settings: Settings, flags: Mapping[str, object], *, factory: str = "vestibule.server.serve:create_app"
) -> None:
    """Serves what `factory` makes until told to stop, which is no failure: the exit code is 0 then. Raises
    CannotListen, InvalidSettings, WrongSchema, StorageUnavailable."""
    # uvicorn ends by the signal that ended it, once it has done what is to be done.
    signal.signal(signal.SIGTERM, _end)
    require_address(settings.host, settings.port)  # before the greeting, whose link would lead nowhere
    prepare(settings)
    asyncio.run(_greet(settings))
    # Workers are processes of their own and read the environment; flags reach them through it.
    for name, value in flags.items():
        if value is not None:
            os.environ[PREFIX + name.upper()] = str(value)
    with _counting_together(settings.workers):
        _run(settings, factory)


def _end(_signal: int, _frame: object) -> NoReturn:
    raise SystemExit(0)


@contextlib.contextmanager
def _counting_together(workers: int) -> Iterator[None]:
    """Several workers count into files of one directory, so that whichever is asked for metrics tells of all. In memory
    where there is such a place: the files are mapped, and whoever writes to a page of one for which a full disk has no
    room is killed."""
    if workers == 1:
        yield
        return
    memory = "/dev/shm"  # noqa: S108 - a directory of our own in it
    place = memory if os.access(memory, os.W_OK | os.X_OK) else tempfile.gettempdir()
    _remove_left(Path(place))
    with tempfile.TemporaryDirectory(prefix=_COUNTS, dir=place) as directory:
        mark = Path(directory, "new")
        with mark.open("wb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            mark.rename(mark.with_name(_HELD))  # only now can somebody else find it
            os.environ[SHARED_DIRECTORY] = directory
            yield


def _remove_left(place: Path) -> None:
    """What servers that were killed have left there, which may be memory."""
    for left in place.glob(f"{_COUNTS}*"):
        # Anybody may put there what looks like it, such as a pipe that is never written to.
        with contextlib.suppress(OSError):
            if left.lstat().st_uid == os.geteuid():
                with (left / _HELD).open("rb") as held:
                    fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(left)


def _run(settings: Settings, factory: str) -> None:
    try:
        _run_uvicorn(settings, factory)
    except SystemExit as end:
        # Its own code for an application that did not start, of which it has logged why.
        raise SystemExit(1 if end.code == STARTUP_FAILURE else end.code) from None


def _run_uvicorn(settings: Settings, factory: str) -> None:
    uvicorn.run(
        factory,
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers if settings.workers > 1 else None,
        loop="uvloop",
        http=BoundedHttp,
        ws=make_websocket,  # type: ignore[arg-type]  # called as the class would be
        ws_max_size=settings.max_body_bytes,
        # Engine.IO asks for signs of life itself; a second way would double the traffic of an idle connection.
        ws_ping_interval=None,
        # Compressed, a few bytes could become megabytes before their size is known.
        ws_per_message_deflate=False,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=max(1, settings.shutdown_timeout // 1000),
        backlog=2048,
    )
