"""kill -9 of the server, and of one worker of several, at random moments under mixed load: what was acknowledged is
there, what is good once was used once, and nobody has to restart anything but what was killed.

VESTIBULE_TEST_KILLS says how often (`make faults`: 200).
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

from tests.fixtures.faults import READY_WITHIN, await_ready, exposed, workers_of
from tests.fixtures.mixed_load import Load

KILLS = int(os.environ.get("VESTIBULE_TEST_KILLS", "5"))


def test_of_the_server_loses_nothing(session_settings: dict[str, str], database_url: str, tmp_path: Path) -> None:
    with exposed(session_settings, database_url, tmp_path) as (server, ground):
        with Load(ground) as load:
            for _ in range(KILLS):
                load.wait_for_answers(50)
                time.sleep(random.uniform(0, 0.3))
                server.kill()
                began = time.monotonic()
                server.start()
                assert time.monotonic() - began < READY_WITHIN
            load.wait_for_answers(100)
        load.verify(endings=True)
        assert load.ledger.broken


def test_of_a_worker_loses_nothing(session_settings: dict[str, str], database_url: str, tmp_path: Path) -> None:
    with exposed(session_settings, database_url, tmp_path, workers=2) as (server, ground):
        with Load(ground) as load:
            for _ in range(KILLS):
                load.wait_for_answers(50)
                time.sleep(random.uniform(0, 0.3))
                victim = random.choice(workers_of(server))
                victim.kill()
                # The other one answers meanwhile.
                await_ready(server.base_url)
                replaced = time.monotonic() + READY_WITHIN
                while len(found := [worker.pid for worker in workers_of(server)]) < 2 or victim.pid in found:
                    assert time.monotonic() < replaced, "nobody took its place"
                    time.sleep(0.05)
            load.wait_for_answers(100)
        load.verify(endings=True)
