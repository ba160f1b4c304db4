"""kill -9 of the server at random moments under mixed load: what was acknowledged is there, and what is good once was
used once.

VESTIBULE_TEST_KILLS says how often (`make faults`: 200).
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

from tests.fixtures.faults import READY_WITHIN, exposed
from tests.fixtures.mixed_ground import strain
from tests.fixtures.mixed_load import Load

KILLS = int(os.environ.get("VESTIBULE_TEST_KILLS", "4"))


def test_of_the_server_loses_nothing(session_settings: dict[str, str], database_url: str, tmp_path: Path) -> None:
    with exposed(session_settings, database_url, tmp_path) as (server, ground):
        with Load(ground) as load:
            for _ in range(KILLS):
                load.wait_for_answers(40)
                time.sleep(random.uniform(0, 0.3))
                server.kill()
                began = time.monotonic()
                server.start()
                assert time.monotonic() - began < READY_WITHIN * strain()
            load.wait_for_answers(60)
        load.verify(endings=True)
        assert load.ledger.broken
