"""A worker gives back what a peak took: what it has free in between would be taken for a leak, and is nobody's."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

_PROGRAM = """
import asyncio, os
from vestibule import app

app._GIVE_BACK_SECONDS = 0.01

def taken():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

peak = [bytearray(65_536) for _ in range(800)]
stays = bytearray(65_536)  # behind them
del peak
before = taken()

async def a_moment():
    task = asyncio.create_task(app._give_back())
    await asyncio.sleep(0.5)
    task.cancel()

asyncio.run(a_moment())
print(before - taken())
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library is not glibc")
def test_what_a_peak_took_is_given_back() -> None:
    given = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True, timeout=60)
    assert float(given.stdout) > 40, f"of 50 MiB{given.stderr}"
