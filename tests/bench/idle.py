"""Holds many open chats that nobody writes in, each over a connection of its own, asking as the widget does; it must
not be in a hurry: what is measured is what the server needs for it, and how long an answer takes beside the others."""

from __future__ import annotations

import heapq
import multiprocessing
import random
import select
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from tests.bench.chats import get, open_chat
from tests.bench.load import complete
from tests.bench.processes import cpu_ns, memory, on_core, raise_open_files, tree
from tests.bench.servers import Running

# The widget's defaults (contracts/opencx.md section 4): an open chat asks for news, and for the list now and then.
POLL_SECONDS, LIST_SECONDS = 10.0, 60.0
# Every chat has asked by then, over its own connection.
_SETTLING_SECONDS = POLL_SECONDS + 2.0
_CHUNK = 65_536
_AT_ONCE = 8
_OTHER_FILES = 500


@dataclass(frozen=True, slots=True)
class Watch:
    """What to hold for how long; a request of either kind for each chat."""

    port: int
    polls: list[bytes]
    lists: list[bytes]
    seconds: float
    watched: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Held:
    """What it took. CPU as shares of one core; `late`: requests that could not be sent at their time, because the one
    before was not answered yet. `asked`: how many chats there should have been; this machine may not open as many."""

    asked: int
    chats: int
    per_second: float
    server_cores: float
    database_cores: float
    p50_ms: float
    p99_ms: float
    worst_ms: float
    refused: int
    late: int
    rss_mib: float


def measure(running: Running, database_pid: int, core: int | None, *, chats: int, seconds: float) -> Held:
    """Opens the chats, lets the server settle, and watches. Raises what went wrong while driving it."""
    target, asked = running.target, chats
    chats = min(asked, raise_open_files() - _OTHER_FILES)  # each is a connection

    def opened(number: int) -> tuple[str, str]:
        return open_chat(target.port, target.api_key, target.widget_token, f"person.{number}@example.com", texts=())

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        pairs = list(pool.map(opened, range(chats)))
    watch = Watch(
        target.port,
        [get(target.port, token, target.widget_token, f"/poll/{session}") for token, session in pairs],
        [get(target.port, token, target.widget_token, "/sessions?filters=%7B%7D") for token, _ in pairs],
        seconds,
        (tuple(tree(running.pid)), tuple(tree(database_pid))),
    )
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    with on_core(core):
        process = context.Process(target=_drive, args=(theirs, watch), daemon=True)
        process.start()
    theirs.close()
    try:
        answer = ours.recv()
    finally:
        process.kill()
        process.join(5)
    if isinstance(answer, Exception):
        raise answer
    figures: dict[str, Any] = answer
    return Held(asked=asked, chats=chats, rss_mib=memory(running.pid).rss, **figures)


def _drive(link: Connection, watch: Watch) -> None:
    try:
        link.send(_Visitors(watch).run())
    except Exception as error:
        link.send(error)


class _Visitors:
    """All the browsers in one process: at its time each sends a request, and reads the answer whenever it comes."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._poller = select.epoll()
        self._browsers: dict[int, socket.socket] = {}
        self._sockets: dict[int, socket.socket] = {}
        self._sent: dict[int, float] = {}
        self._partial: dict[int, bytes] = {}
        self._latencies: list[float] = []
        self._refused = self._late = 0

    def run(self) -> dict[str, Any]:
        chosen = random.Random(7)
        due: list[tuple[float, int, bytes, float]] = []
        began = time.perf_counter()
        for browser, requests in enumerate(zip(self._watch.polls, self._watch.lists, strict=True)):
            for request, every in zip(requests, (POLL_SECONDS, LIST_SECONDS), strict=True):
                # Spread evenly, as people come: not all at the same moment.
                due.append((began + chosen.random() * every, browser, request, every))
        heapq.heapify(due)
        self._until(due, began + _SETTLING_SECONDS)
        self._latencies.clear()
        self._late = 0
        before = [cpu_ns(group) for group in self._watch.watched]
        started = time.perf_counter()
        self._until(due, started + self._watch.seconds)
        took = time.perf_counter() - started
        used = [(cpu_ns(group) - was) / 1e9 / took for group, was in zip(self._watch.watched, before, strict=True)]
        ordered = sorted(self._latencies)
        return {
            "per_second": len(ordered) / took,
            "server_cores": used[0],
            "database_cores": used[1],
            "p50_ms": ordered[len(ordered) // 2] * 1000,
            "p99_ms": ordered[len(ordered) * 99 // 100] * 1000,
            "worst_ms": ordered[-1] * 1000,
            "refused": self._refused,
            "late": self._late,
        }

    def _until(self, due: list[tuple[float, int, bytes, float]], end: float) -> None:
        while (now := time.perf_counter()) < end:
            while due[0][0] <= now:
                at, browser, request, every = due[0]
                heapq.heapreplace(due, (at + every, browser, request, every))
                self._send(browser, request, at)
            self._read(min(due[0][0], end) - time.perf_counter())

    def _send(self, browser: int, request: bytes, at: float) -> None:
        connection = self._browsers.get(browser) or self._connect(browser)
        if connection.fileno() in self._sent:
            self._late += 1
            return
        self._sent[connection.fileno()] = at
        connection.send(request)

    def _connect(self, browser: int) -> socket.socket:
        # With its first request: who only connects is hung up on (setting header_timeout).
        connection = socket.create_connection(("127.0.0.1", self._watch.port), timeout=5)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(0)
        self._browsers[browser] = self._sockets[connection.fileno()] = connection
        self._poller.register(connection.fileno(), select.EPOLLIN)
        return connection

    def _read(self, seconds: float) -> None:
        for handle, _ in self._poller.poll(max(0.0, seconds)):
            data = self._partial.pop(handle, b"") + self._sockets[handle].recv(_CHUNK)
            if not data:
                raise ConnectionResetError("the server closed a connection")
            if not complete(data):
                self._partial[handle] = data
                continue
            # From the time at which it was due: an answer that keeps others waiting counts for all of them.
            self._latencies.append(time.perf_counter() - self._sent.pop(handle))
            self._refused += data[9:10] != b"2"
