"""kill -9 of one worker of two at random moments under mixed load: what was acknowledged is there, what is good once
was used once, the other one answers, and nobody has to start anything.

VESTIBULE_TEST_KILLS says how often (`make faults`: 200).
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

from tests.fixtures.faults import STARTS_WITHIN, await_ready, exposed, workers_of
from tests.fixtures.mixed_load import Load

KILLS = int(os.environ.get("VESTIBULE_TEST_KILLS", "4"))


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
                replaced = time.monotonic() + STARTS_WITHIN
                while len(found := [worker.pid for worker in workers_of(server)]) < 2 or victim.pid in found:
                    assert time.monotonic() < replaced, "nobody took its place"
                    time.sleep(0.05)
            load.wait_for_answers(100)
        load.verify(endings=True)
