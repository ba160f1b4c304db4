"""Carries short messages between the workers of one server by named pipes in their common directory; it must not know
what they mean.

For SQLite, whose workers share one machine and have nothing else between them that could wake anybody.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import Callable
from pathlib import Path

_SUFFIX = ".wakes"
_READ_BYTES = 65_536
_LONGEST_LINE = 8_192


class PipeWire:
    """One process's end: a pipe that it reads and all others write to. A pipe that is full loses what comes."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._own = directory / f"{os.getpid()}{_SUFFIX}"
        self._begun = b""  # a line whose end has not come yet

    @property
    def hears_all(self) -> bool:
        """No: there may be another server on the file, and commands write to it."""
        return False

    async def run(self, heard: Callable[[str], None]) -> None:
        """Listens until cancelled."""
        try:
            os.mkfifo(self._own, 0o600)
            # For writing as well, so that there is no end when the last writer leaves.
            pipe = os.open(self._own, os.O_RDWR | os.O_NONBLOCK)
        except OSError:
            return
        loop = asyncio.get_running_loop()
        loop.add_reader(pipe, self._read, pipe, heard)
        try:
            await loop.create_future()
        finally:
            loop.remove_reader(pipe)
            os.close(pipe)
            self._own.unlink(missing_ok=True)

    async def send(self, message: str) -> None:
        line = message.encode() + b"\n"
        with contextlib.suppress(OSError):  # no descriptor is left, to look into the directory with
            for path in self._directory.glob(f"*{_SUFFIX}"):
                if path != self._own:
                    _write(path, line)

    def _read(self, pipe: int, heard: Callable[[str], None]) -> None:
        with contextlib.suppress(BlockingIOError):
            *lines, self._begun = (self._begun + os.read(pipe, _READ_BYTES)).split(b"\n")
            self._begun = self._begun[:_LONGEST_LINE]
            for line in lines:
                heard(line.decode(errors="replace"))


def _write(path: Path, line: bytes) -> None:
    try:
        pipe = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.ENXIO:  # nobody reads it: the process was killed
            path.unlink(missing_ok=True)
        return
    try:
        with contextlib.suppress(OSError):
            os.write(pipe, line)
    finally:
        os.close(pipe)
