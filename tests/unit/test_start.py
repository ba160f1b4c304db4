"""A server that cannot start says why in its log, however far it came, and ends with 1."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.server import clean_environment, free_port

_PROGRAM = """
import vestibule.app
from vestibule.server.serve import serve
from vestibule.settings import read_settings

def broken(*_, **__):
    raise ZeroDivisionError("canary")

setattr(vestibule.app, {name!r}, broken)
if __name__ == "__main__":
    serve(read_settings({{}}), {{}})
"""


# As under a limit of tasks or memory that is reached meanwhile.
_NO_FOURTH_THREAD = """
import threading
from vestibule.server.serve import serve
from vestibule.settings import read_settings

start, begun = threading.Thread.start, []

def scarce(thread):
    if thread.name.startswith("beside-the-loop"):
        begun.append(thread)
        if len(begun) > 3:
            raise RuntimeError("canary")
    start(thread)

threading.Thread.start = scarce
if __name__ == "__main__":
    serve(read_settings({}), {})
"""


def why_it_ended(program: str, directory: Path) -> dict[str, Any]:
    """The one line of its log that tells of an exception. Its exit code was 1."""
    settings = {"VESTIBULE_PORT": str(free_port()), "VESTIBULE_LOG_LEVEL": "error"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=clean_environment(settings, directory),
        cwd=directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "canary" not in done.stderr, "which may quote what a client sent"
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    [told] = [line for line in lines if "exception" in line]
    return dict(told)


@pytest.mark.parametrize("name", ["make_runtime", "Deliverer"])
def test_what_breaks_at_the_start_is_logged(tmp_path: Path, name: str) -> None:
    told = why_it_ended(_PROGRAM.format(name=name), tmp_path)
    assert (told["level"], told["exception"]) == ("error", "ZeroDivisionError")
    assert told["frames"].startswith("broken:")


def test_threads_that_cannot_all_be_started_end_it_as_well(tmp_path: Path) -> None:
    """Those that were started waited for the others, and the process for them."""
    assert why_it_ended(_NO_FOURTH_THREAD, tmp_path)["exception"] == "RuntimeError"
