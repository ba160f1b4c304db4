"""Writes a JSON line per request, off the event loop; it must not hold anything secret: no query, header or body.

Lines go through a bounded queue to a thread. A log target that blocks costs lines, which are counted, and never a
request.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from typing import TextIO

import msgspec

from vestibule.clock import now_ms
from vestibule.edge.http import Request
from vestibule.ids import random_base62

_MOST_WAITING = 50_000
_WRITE_EVERY_SECONDS = 0.1
_ENCODER = msgspec.json.Encoder()


class AccessLog:
    """The request log of one process."""

    def __init__(self, level: str, target: TextIO | None = None) -> None:
        self._on = level in {"debug", "info"}
        self._target = target or sys.stderr
        self._lines: deque[bytes] = deque(maxlen=_MOST_WAITING)
        self._dropped = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        # Unique per process and request, without a random number for each.
        self._prefix = random_base62(8)
        self._count = 0

    def next_id(self) -> bytes:
        self._count += 1
        return f"{self._prefix}-{self._count:x}".encode()

    def write(self, request: Request, request_id: bytes, status: int, seconds: float) -> None:
        """Notes an answered request; 499 means that the client had gone."""
        if not self._on:
            return
        line: dict[str, str | int | float] = {
            "time": now_ms(),
            "request_id": request_id.decode(),
            "http_method": request.method,
            # The path of a request is bounded by the header limit; the query may hold a verifier, and is left out.
            "path": request.path[:256],
            "status": status,
            "milliseconds": round(seconds * 100_000) / 100,  # a third of what `round` takes with digits
            **request.facts,
        }
        self._append(line)

    def note(self, facts: dict[str, str | int]) -> None:
        """Writes a message of the process itself."""
        self._append({"time": now_ms(), **facts})

    def _append(self, line: dict[str, str | int | float]) -> None:
        if len(self._lines) == _MOST_WAITING:
            self._dropped += 1
        self._lines.append(_ENCODER.encode(line))
        if self._stop.is_set() and self._thread is not None and not self._thread.is_alive():
            self._write_out()  # why the process ends; where the thread has not, the target is blocked

    def __enter__(self) -> None:
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=1.0)  # not for ever: the target may be blocked

    def _run(self) -> None:
        while not self._stop.wait(_WRITE_EVERY_SECONDS):
            self._write_out()
        self._write_out()

    def _write_out(self) -> None:
        lines = []
        while self._lines:
            lines.append(self._lines.popleft())
        if self._dropped:
            lines.append(_ENCODER.encode({"time": now_ms(), "log_lines_dropped": self._dropped}))
            self._dropped = 0
        if not lines:
            return
        view = memoryview(b"\n".join(lines) + b"\n")
        try:
            while view:
                view = view[os.write(self._target.fileno(), view) :]
        except OSError:
            self._dropped += len(lines)
