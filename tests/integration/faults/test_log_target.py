"""A log target that nobody reads, and one that is gone: lines are lost, and counted; requests are not."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

import httpx

from tests.fixtures.faults import exposed
from tests.fixtures.mixed_load import Load

_F_SETPIPE_SZ = 1031


def test_that_nobody_reads(session_settings: dict[str, str], tmp_path: Path) -> None:
    reading, writing = os.pipe()
    fcntl.fcntl(writing, _F_SETPIPE_SZ, 4096)
    with exposed(session_settings, f"sqlite:///{tmp_path}/v.db", tmp_path, output=writing) as (server, ground):
        with Load(ground) as load:
            load.wait_for_answers(120)
            # It ends in time as well, with what it could not write; and begins.
            assert server.terminate(within=6.0) == 0
            os.set_blocking(reading, False)
            # How much is in it says nothing: a piece of up to 4,096 octets goes in whole, or waits (pipe(7)).
            told = os.read(reading, 65_536).count(b'"http_method"')
            assert 0 < told < 120, "what did not fit was waited for"
            server.start()
            load.wait_for_answers(50)
        load.verify()
    os.close(reading)
    os.close(writing)


def test_that_is_gone(session_settings: dict[str, str], tmp_path: Path) -> None:
    reading, writing = os.pipe()
    with exposed(session_settings, f"sqlite:///{tmp_path}/v.db", tmp_path, output=writing) as (server, ground):
        with Load(ground) as load:
            load.wait_for_answers(30)
            os.close(reading)
            load.wait_for_answers(60)
            time.sleep(0.3)
            assert httpx.get(f"{server.base_url}/readyz", trust_env=False).status_code == 200
        load.verify()
    os.close(writing)
