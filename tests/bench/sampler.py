"""`vestibule serve`, asked a thousand times per second of CPU which layer it is in; it must not be imported.

Run as a script, in place of `-m vestibule`. SIGUSR1 starts the counting, SIGUSR2 ends it and writes `layers.json` into
the working directory. The clock is that of CPU time, and what C code takes is counted for the Python function that
called it.
"""

from __future__ import annotations

import json
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType

_EVERY_SECONDS = 0.001
# The loop is no Python: what it does is counted for the protocol, which it calls next.
_HTTP = "HTTP, event loop and sockets"
# The first that a file's path contains; files of none (the standard library) count for whoever called them.
_LAYERS = (
    ("uvicorn/", _HTTP),
    ("vestibule/server/", _HTTP),
    ("tokens/compact_jws", "signature"),
    ("joserfc/", "signature"),
    ("asyncpg/", "database driver"),
    ("vestibule/audit/", "audit"),
    ("storage/audit", "audit"),
    ("edge/decisions", "audit"),
    ("vestibule/storage/", "storage"),
    ("prometheus_client/", "log and metrics"),
    ("vestibule/metrics", "log and metrics"),
    ("edge/access_log", "log and metrics"),
    ("vestibule/limits", "limits"),
    ("vestibule/edge/", "requests and answers"),
    ("vestibule/app", "requests and answers"),
    ("vestibule/strict_json", "requests and answers"),
    ("vestibule/surfaces/", "surface"),
    ("vestibule/tokens/", "tokens and keys"),
    ("vestibule/oidc/", "reading a provider's token"),
    ("vestibule/", "verification and identity"),
    ("asyncio/runners", _HTTP),
)

_layer_of: dict[str, str] = {}
_counts: Counter[str] = Counter()


def _layer(path: str) -> str:
    return next((layer for part, layer in _LAYERS if part in path), "")


def _sample(_signal: int, frame: FrameType | None) -> None:
    while frame is not None:
        path = frame.f_code.co_filename
        layer = _layer_of.get(path)
        if layer is None:
            layer = _layer_of[path] = _layer(path)
        if layer:
            _counts[layer] += 1
            return
        frame = frame.f_back


def _begin(_signal: int, _frame: FrameType | None) -> None:
    _counts.clear()
    signal.setitimer(signal.ITIMER_PROF, _EVERY_SECONDS, _EVERY_SECONDS)


def _end(_signal: int, _frame: FrameType | None) -> None:
    signal.setitimer(signal.ITIMER_PROF, 0)
    written = Path("layers.json.part")
    written.write_text(json.dumps(_counts), encoding="ascii")
    written.rename("layers.json")


if __name__ == "__main__":
    sys.path.pop(0)  # this folder, where modules have names as short as those of libraries
    signal.signal(signal.SIGPROF, _sample)
    signal.signal(signal.SIGUSR1, _begin)
    signal.signal(signal.SIGUSR2, _end)
    from vestibule.__main__ import main

    main()
