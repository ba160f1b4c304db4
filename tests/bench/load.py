"""Sends rendered requests over keep-alive connections, one in flight on each, from a process of its own; it must not
know what they mean.

Blocking on epoll with plain sockets, because the generator shares its core with PostgreSQL: an event loop with
protocols and futures would cost twice as much per request.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import select
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

from tests.bench.processes import cpu_ns, on_core

_CHUNK = 65_536
_STUCK_SECONDS = 15.0
_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length: "


@dataclass(frozen=True, slots=True)
class Order:
    """What to send. It ends when `seconds` are over or the requests run out; `watched` are groups of processes whose
    CPU clocks are read when `warm_up` is over and at the end."""

    port: int
    requests: Sequence[bytes]
    callers: int
    seconds: float
    warm_up: float = 0.0
    watched: tuple[tuple[int, ...], ...] = ()


@dataclass(slots=True)
class Outcome:
    """What came of it. `sent` counts all requests, `answered` and `latencies_ns` those after the warm-up."""

    sent: int = 0
    answered: int = 0
    seconds: float = 0.0
    latencies_ns: list[int] = field(default_factory=list)
    cpu_ns: tuple[int, ...] = ()
    refused: int = 0
    first_refusal: bytes = b""


@contextlib.contextmanager
def generator(core: int | None) -> Iterator[Connection]:
    """A process that takes `Order`s and answers with `Outcome`s, or with the exception it met."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    with on_core(core):
        process = context.Process(target=_serve, args=(theirs,), daemon=True)
        process.start()
    theirs.close()
    try:
        yield ours
    finally:
        ours.close()  # it reads the end, and ends
        process.join(5)
        process.kill()


def run(link: Connection, order: Order) -> Outcome:
    """Has the generator carry out an order. Raises what went wrong there."""
    link.send(order)
    answer = link.recv()
    if isinstance(answer, Outcome):
        return answer
    raise answer


def _serve(link: Connection) -> None:
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        while True:
            order = link.recv()
            try:
                link.send(_Load(order).run())
            except OSError as error:
                link.send(error)


class _Load:
    def __init__(self, order: Order) -> None:
        self._order = order
        self._requests = iter(order.requests)
        self._outcome = Outcome()
        self._poller = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._started: dict[int, int] = {}  # those with a request in flight
        self._partial: dict[int, bytes] = {}

    def run(self) -> Outcome:
        try:
            for _ in range(self._order.callers):
                self._connect()
            for handle in list(self._sockets):
                self._send(handle)
            self._exchange(self._order.warm_up)
            self._measure()
            self._drain()
        finally:
            for connection in self._sockets.values():
                connection.close()
            self._poller.close()
        return self._outcome

    def _connect(self) -> None:
        connection = socket.create_connection(("127.0.0.1", self._order.port), timeout=5)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(0)
        self._sockets[connection.fileno()] = connection
        self._poller.register(connection.fileno(), select.EPOLLIN)

    def _measure(self) -> None:
        outcome = self._outcome
        outcome.answered = 0
        outcome.latencies_ns.clear()
        before = [cpu_ns(group) for group in self._order.watched]
        began = time.perf_counter()
        self._exchange(self._order.seconds)
        outcome.seconds = time.perf_counter() - began
        outcome.cpu_ns = tuple(cpu_ns(group) - was for group, was in zip(self._order.watched, before, strict=True))

    def _drain(self) -> None:
        # Answered like the others, but not measured: towards the end there are fewer and fewer callers.
        self._requests = iter(())
        answered, latencies = self._outcome.answered, len(self._outcome.latencies_ns)
        while self._started:
            self._step(None)
        self._outcome.answered = answered
        del self._outcome.latencies_ns[latencies:]

    def _exchange(self, seconds: float) -> None:
        until = time.perf_counter_ns() + int(seconds * 1e9)
        # On a machine that is busy otherwise a short slice may be over before anybody is answered.
        enough = self._outcome.answered + self._order.callers
        while self._started and (self._step(until) or self._outcome.answered < enough):
            pass

    def _step(self, until: int | None) -> bool:
        """Handles what has come, and sends the next requests. False when the time is over."""
        events = self._poller.poll(_STUCK_SECONDS)
        if not events:
            raise TimeoutError(f"no answer for {_STUCK_SECONDS:g} s")
        now = 0
        for handle, _ in events:
            data = self._sockets[handle].recv(_CHUNK)
            if not data:
                raise ConnectionResetError("the server closed a connection that was in use")
            if handle in self._partial:
                data = self._partial.pop(handle) + data
            if not complete(data):
                self._partial[handle] = data
                continue
            now = time.perf_counter_ns()
            self._note(data, now - self._started.pop(handle))
            self._send(handle)
        return until is None or now < until

    def _send(self, handle: int) -> None:
        request = next(self._requests, None)
        if request is None:
            return
        self._started[handle] = time.perf_counter_ns()
        # A closed loop: the socket's buffer is empty, and a request is far smaller than it.
        if self._sockets[handle].send(request) != len(request):
            raise BlockingIOError("a request did not fit into the socket's buffer")
        self._outcome.sent += 1

    def _note(self, response: bytes, latency: int) -> None:
        outcome = self._outcome
        outcome.answered += 1
        outcome.latencies_ns.append(latency)
        if response[9:10] != b"2":
            outcome.refused += 1
            outcome.first_refusal = outcome.first_refusal or response[:500]


def complete(response: bytes) -> bool:
    """Whether all of a response is there. The servers measured here say its length, in lower case."""
    head_end = response.find(_HEAD_END)
    if head_end < 0:
        return False
    at = response.find(_LENGTH, 0, head_end)
    length = int(response[at + len(_LENGTH) : response.index(b"\r\n", at)]) if at >= 0 else 0
    return len(response) >= head_end + len(_HEAD_END) + length
