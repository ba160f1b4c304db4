"""Starts what is measured over HTTP, times how soon it is ready and populates it; it must not measure under load."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import itertools
import os
import secrets
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import asyncpg

from tests.bench import load
from tests.bench.exchanges import QUEUE
from tests.bench.processes import Memory, memory, on_core
from tests.bench.provider import Provider
from tests.bench.scenarios import HELLO, Effect, Requests, Target
from tests.fixtures.server import Guard, RunningServer, ServerFailed, free_port
from vestibule.storage.opening import sqlite_path

_ROOT = Path(__file__).parents[2]
_UNCOALESCED = Path(__file__).with_name("uncoalesced.py")
RESTARTS = 3
_LIMITS = (
    *("REQUESTS", "ADDRESS_REQUESTS", "MESSAGES", "ADDRESS_MESSAGES", "NEW_VISITORS"),
    *("EXCHANGE_ADDRESS", "EXCHANGE_WORKSPACE", "EXCHANGE_CONTACT"),
)
_POPULATING_CALLERS = 64
_FIRST_PORTION = 1_000
_READY_SECONDS = 15.0
_TOTALS = "SELECT COUNT(*), COALESCE(SUM(version - 1), 0) FROM contacts"


@dataclass(slots=True)
class Running:
    """A server under measurement. `effects` count what all requests so far should have left in the database."""

    name: str
    pid: int
    target: Target
    effects: Counter[Effect] = field(default_factory=Counter)
    database_url: str = ""
    workspace_id: str = ""
    ready_first: float = 0.0
    ready_again: list[float] = field(default_factory=list)
    # Before it was asked for anything but whether it is ready.
    fresh: Memory | None = None

    def differences(self) -> str:
        """How the database differs from what the requests should have made of it; empty where it does not."""
        if not self.database_url:
            return ""
        contacts, rewrites = _totals(self.database_url)
        expected = (self.effects[Effect.NEW], self.effects[Effect.CHANGED])
        if (contacts, rewrites) == expected:
            return ""
        return f"{self.name}: {contacts} contacts and {rewrites} rewrites are stored, {expected} were sent"


class UncoalescedServer(RunningServer):
    """`vestibule serve` where no two statements share a round trip."""

    def program(self) -> list[str]:
        # -P: else this folder would come first, where modules have names as short as those of libraries.
        return [sys.executable, "-P", str(_UNCOALESCED)]


@contextlib.contextmanager
def hello_server(core: int | None, log: Path) -> Iterator[Running]:
    """The floor, under the same uvicorn with the same options as `vestibule serve`."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "tests.bench.hello:app", "--port", str(port), "--loop", "uvloop"]
    command += ["--http", "httptools", "--ws", "none", "--lifespan", "off", "--no-access-log", "--no-server-header"]
    command += ["--no-proxy-headers", "--log-level", "warning"]
    with on_core(core), log.open("ab") as output:
        process = subprocess.Popen(
            command, cwd=_ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    guard = Guard(signal.SIGTERM, -process.pid)
    try:
        _wait_for_hello(process, port, log)
        yield Running(HELLO, process.pid, Target(port, ""))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        guard.release()


def _wait_for_hello(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            connection.request("GET", "/")
            if connection.getresponse().read() == b"Hello, world!":
                return
        time.sleep(0.02)
    raise ServerFailed(f"hello world does not answer\n{log.read_text(encoding='utf-8', errors='replace')}")


@contextlib.contextmanager
def vestibule_server(
    name: str,
    database_url: str,
    directory: Path,
    core: int | None,
    provider: Provider,
    *,
    workers: int = 1,
    restarts: int = RESTARTS,
    kind: type[RunningServer] = RunningServer,
) -> Iterator[Running]:
    """`vestibule serve` with its default settings, but that nobody meets a rate limit, with a workspace that trusts the
    provider."""
    directory.mkdir()
    settings = {
        "VESTIBULE_DATABASE_URL": database_url,
        "VESTIBULE_SECRET_KEYS": secrets.token_urlsafe(32),
        "VESTIBULE_PRIVATE_HOSTS": "127.0.0.0/8",
        # Not off: what the count costs is part of what is measured.
        **{f"VESTIBULE_RATE_LIMIT_{what}": "1000000000" for what in _LIMITS},
    }
    server = kind(settings, directory, workers=workers)
    try:
        first = _start(server, core)
        again = []
        for _ in range(restarts):
            server.stop()
            again.append(_start(server, core))
        workspace = server.cli("workspace", "create", "bench")
        workspace_id = workspace["workspace_id"]
        options = ("--workspace", workspace_id, "--scope", "widget:authenticate", "--rate-limit", "1000000000")
        key = server.cli("api-key", "create", *options)["api_key"]
        of_provider = ("--issuer", provider.issuer, "--client-id", provider.client)
        server.cli("provider", "add", "bench", "--workspace", workspace_id, *of_provider)
        server.cli("queue", "set", QUEUE, "--workspace", workspace_id)
        yield Running(
            name,
            server.pid,
            Target(server.port, key, workspace["widget_token"], workspace["customer_id"], provider),
            database_url=database_url,
            workspace_id=workspace_id,
            ready_first=first,
            ready_again=again,
            fresh=memory(server.pid),
        )
    finally:
        server.stop()


def populate(running: Running, requests: Requests, link: Connection) -> None:
    """Sends a population, the way everybody else comes in. Raises ServerFailed where one is refused."""
    pairs = list(requests(running.target))
    for portion in (pairs[:_FIRST_PORTION], pairs[_FIRST_PORTION:]):
        rendered = [request for _, request in portion]
        order = load.Order(running.target.port, rendered, _POPULATING_CALLERS, seconds=120.0)
        outcome = load.run(link, order)
        running.effects.update(effect for effect, _ in portion[: outcome.sent])
        if outcome.refused or outcome.sent != len(portion):
            raise ServerFailed(f"{running.name}: {outcome.refused} refused, first {outcome.first_refusal!r}")
        _analyze(running)


def _analyze(running: Running) -> None:
    """As autovacuum does within a minute; until then PostgreSQL plans for the empty tables it once saw."""
    if running.database_url and sqlite_path(running.database_url) is None:
        asyncio.run(_on_postgresql(running.database_url, "ANALYZE"))


def take(running: Running, requests: Requests, count: int) -> tuple[list[Effect], list[bytes]]:
    """The next `count` requests, apart from what they will leave behind."""
    chats = len(running.target.chats)
    pairs = list(itertools.islice(requests(running.target), count))
    if len(running.target.chats) != chats:  # the first requests of a scenario open them
        _analyze(running)
    return [effect for effect, _ in pairs], [rendered for _, rendered in pairs]


def _start(server: RunningServer, core: int | None) -> float:
    """Starts it; the seconds from spawning until /readyz says 200, asked every 20 ms."""
    with on_core(core):
        began = time.perf_counter()
        server.start()
        return time.perf_counter() - began


def _totals(database_url: str) -> tuple[int, int]:
    path = sqlite_path(database_url)
    if path is None:
        [(contacts, rewrites)] = asyncio.run(_on_postgresql(database_url, _TOTALS))
    else:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            contacts, rewrites = connection.execute(_TOTALS).fetchone()
    return int(contacts), int(rewrites)


async def _on_postgresql(database_url: str, sql: str) -> list[Any]:
    connection = await asyncpg.connect(database_url)
    try:
        return list(await connection.fetch(sql))
    finally:
        await connection.close()
