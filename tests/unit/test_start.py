"""A server that cannot start says why in its log, however far it came, and ends with 1."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

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


@pytest.mark.parametrize("name", ["make_runtime", "Deliverer"])
def test_what_breaks_at_the_start_is_logged(tmp_path: Path, name: str) -> None:
    settings = {"VESTIBULE_PORT": str(free_port()), "VESTIBULE_LOG_LEVEL": "error"}
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM.format(name=name)],
        env=clean_environment(settings, tmp_path),
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    [told] = [line for line in lines if "exception" in line]
    assert (told["level"], told["exception"]) == ("error", "ZeroDivisionError")
    assert told["frames"].startswith("broken:")
    assert "canary" not in done.stderr, "which may quote what a client sent"
