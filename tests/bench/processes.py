"""Pins processes to cores, lets them open files, reads their CPU clocks and memory; it must not start or end any."""

from __future__ import annotations

import contextlib
import os
import resource
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class Cores:
    """Where things run. None stands for "anywhere": with one core there is nothing to separate."""

    server: int | None
    others: int | None

    def __str__(self) -> str:
        if self.server is None:
            return "not pinned: fewer than two cores, so servers and load share one and ratios are less sure"
        return f"server on core {self.server}; load generator, PostgreSQL and pgbench on core {self.others}"


def choose_cores() -> Cores:
    usable = sorted(os.sched_getaffinity(0))
    return Cores(usable[0], usable[1]) if len(usable) > 1 else Cores(None, None)


def raise_open_files() -> int:
    """Gives this process, and all that it starts from now on, as many open files as it may have; how many that are."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


@contextlib.contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """Processes started inside inherit the core; this thread gets its own back."""
    before = os.sched_getaffinity(0)
    if core is not None:
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def tree(pid: int) -> list[int]:
    """The process and everything below it."""
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


def cpu_ns(pids: Sequence[int]) -> int:
    """CPU time that the processes have used, threads included, without the 10 ms steps of /proc/<pid>/stat."""
    return sum(_clock_ns(pid) for pid in pids)


def _clock_ns(pid: int) -> int:
    # What clock_getcpuclockid(3) computes on Linux; Python offers it for threads only.
    try:
        return time.clock_gettime_ns((~pid << 3) | 2)
    except OSError:  # it has ended
        return 0


@dataclass(frozen=True, slots=True)
class Memory:
    """MiB of one process. PSS shares out what several processes map; RSS counts it in full."""

    pss: float
    rss: float

    @property
    def rss_mb(self) -> float:
        """In millions of bytes, as the target is."""
        return self.rss * 2**20 / 1e6


def memory(pid: int) -> Memory:
    fields = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]:
        name, _, rest = line.partition(":")
        fields[name] = int(rest.split()[0]) / 1024
    return Memory(fields["Pss"], fields["Rss"])
