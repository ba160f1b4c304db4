"""Shares a scenario's CPU time out among the layers of one worker; it must not tell what a request costs, as the worker
is interrupted a thousand times a second."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from tests.bench import load
from tests.bench.scenarios import MANY, Scenario
from tests.bench.servers import Running, take
from tests.fixtures.server import RunningServer, ServerFailed

_SAMPLER = Path(__file__).with_name("sampler.py")
_FIRST_GUESS = 8_000
_WRITING_SECONDS = 10.0


class SampledServer(RunningServer):
    """`vestibule serve` under the sampler."""

    def program(self) -> list[str]:
        return [sys.executable, str(_SAMPLER)]


@dataclass(frozen=True, slots=True)
class Shares:
    """Of each layer, the part of the CPU time; `samples` say how sure that is."""

    scenario: str
    samples: int
    of_layers: dict[str, float]


def measure(scenario: Scenario, running: Running, directory: Path, link: Connection, seconds: float) -> Shares:
    """Raises ServerFailed where a request is refused, or nothing was counted."""
    effects, rendered = take(running, scenario.requests, int(_FIRST_GUESS * seconds))
    os.kill(running.pid, signal.SIGUSR1)
    outcome = load.run(link, load.Order(running.target.port, rendered, MANY, seconds))
    os.kill(running.pid, signal.SIGUSR2)
    running.effects.update(effects[: outcome.sent])
    counts = _written(directory / "layers.json")
    total = sum(counts.values())
    if outcome.refused or not total:
        raise ServerFailed(f"{scenario.name}: {outcome.refused} refused, {total} samples; {outcome.first_refusal!r}")
    ordered = sorted(counts.items(), key=lambda layer: -layer[1])
    return Shares(scenario.name, total, {name: count / total for name, count in ordered})


def _written(path: Path) -> dict[str, int]:
    deadline = time.monotonic() + _WRITING_SECONDS
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    counts: dict[str, int] = json.loads(path.read_text(encoding="ascii")) if path.exists() else {}
    path.unlink(missing_ok=True)
    return counts
