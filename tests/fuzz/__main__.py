"""The long form: every target in turn for its share of the time, then what runs over HTTP, with many more examples than
CI takes, and migrations that die after every statement. An input that a target fails on is written down, to become a
vector."""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import time
from pathlib import Path

from tests.fuzz.targets import Target, targets

# Over HTTP, or by generators of their own.
OVER_HTTP = (
    "tests/security/test_two_verifiers.py",
    "tests/security/test_stateful_exchange.py",
    "tests/contract/test_schemathesis.py",
    "tests/contract/test_native_openapi.py",
    "tests/contract/test_admin_openapi.py",
)
# Dies at every point there is, and not by chance: once is enough.
_ONCE = ("tests/contract/test_interrupted_migrations.py",)
_BESIDE = Path(".fuzz")


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    options.add_argument("--minutes", type=float, default=10.0)
    options.add_argument(
        "--only", choices=sorted(targets()), action="append", help="these targets, and nothing by HTTP"
    )
    options.add_argument("--seed", type=int, default=random.randrange(1 << 32))  # told, so that a run can be repeated
    chosen = options.parse_args()
    known = targets()
    names = chosen.only or sorted(known)
    print(f"seed {chosen.seed}, {chosen.minutes:g} minutes")
    share = chosen.minutes * 60 * (1.0 if chosen.only else 0.5) / len(names)
    failed = sum(not _run(name, known[name], chosen.seed, share) for name in names)
    if not chosen.only:
        failed += _over_http(chosen.minutes * 60 * 0.5, chosen.seed)
    return 1 if failed else 0


def _run(name: str, target: Target, seed: int, seconds: float) -> bool:
    deadline, count = time.monotonic() + seconds, 0
    for octets in target.mutants(random.Random(seed)):
        count += 1
        try:
            target.check(octets)
        except Exception as error:
            _BESIDE.mkdir(exist_ok=True)
            kept = _BESIDE / f"{name.replace(' ', '-')}-{seed}-{count}"
            kept.write_bytes(octets)
            print(f"{name}: {type(error).__name__}: {error} - the input is in {kept}")
            return False
        if count % 256 == 0 and time.monotonic() > deadline:
            break
    print(f"{name}: {count} inputs")
    return True


def _over_http(seconds: float, seed: int) -> int:
    """Rounds of pytest until the time is used up; the last one is let finish."""
    deadline, rounds = time.monotonic() + seconds, 0
    while time.monotonic() < deadline:
        command = [sys.executable, "-m", "pytest", "-q", "--numprocesses", "2", "--dist", "loadfile"]
        command += [f"--hypothesis-seed={seed + rounds}", *OVER_HTTP, *(() if rounds else _ONCE)]
        done = subprocess.run(command, env={**os.environ, "VESTIBULE_FUZZ": "long"}, check=False)
        if done.returncode:
            return 1
        rounds += 1
    print(f"over HTTP: {rounds} rounds")
    return 0


if __name__ == "__main__":
    sys.exit(main())
