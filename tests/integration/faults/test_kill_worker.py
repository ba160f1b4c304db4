"""kill -9 of one worker of two at random moments under mixed load: what was acknowledged is there, what is good once
was used once, the other one answers, and nobody has to start anything.

VESTIBULE_TEST_KILLS says how often (`make faults`: 200).
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

from tests.fixtures.faults import READY_WITHIN, await_ready, exposed, started, workers_of
from tests.fixtures.mixed_ground import strain
from tests.fixtures.mixed_load import Load

KILLS = int(os.environ.get("VESTIBULE_TEST_KILLS", "4"))


def test_of_a_worker_loses_nothing(session_settings: dict[str, str], database_url: str, tmp_path: Path) -> None:
    with exposed(session_settings, database_url, tmp_path, workers=2) as (server, ground):
        while started(server) < 2:
            time.sleep(0.05)
        with Load(ground) as load:
            for _ in range(KILLS):
                load.wait_for_answers(40)
                time.sleep(random.uniform(0, 0.3))
                before = started(server)
                random.choice(workers_of(server)).kill()
                # The other one answers meanwhile.
                await_ready(server.base_url)
                replaced = time.monotonic() + READY_WITHIN * strain()
                while started(server) == before:
                    assert time.monotonic() < replaced, "nobody took its place"
                    time.sleep(0.05)
            load.wait_for_answers(60)
        load.verify(endings=True)
