"""SIGTERM under load: what is under way is answered, nothing acknowledged is lost, and the process ends in time with
exit code 0, also where its database does not answer any more."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from tests.fixtures.fake_auth_endpoint import PATH as ASK
from tests.fixtures.faults import DATABASE_TIMEOUT, exposed
from tests.fixtures.loopback import Answer, Received, json_answer
from tests.fixtures.mixed_ground import Ground
from tests.fixtures.mixed_load import Load
from tests.fixtures.postgres import PostgresServer
from vestibule.app import LONGEST_CLOSING_SECONDS

SHUTDOWN_TIMEOUT = 2.0  # VESTIBULE_SHUTDOWN_TIMEOUT of the tests
# A process of several looks twice a second whether it was told to stop.
ENDS_WITHIN = SHUTDOWN_TIMEOUT + 8.0


def test_under_load_loses_nothing(session_settings: dict[str, str], database_url: str, tmp_path: Path) -> None:
    with exposed(session_settings, database_url, tmp_path, workers=2) as (server, ground):
        with Load(ground) as load:
            for _ in range(2):
                load.wait_for_answers(60)
                assert server.terminate(within=ENDS_WITHIN) == 0
                server.start()
            load.wait_for_answers(60)
        load.verify()


def test_what_is_under_way_is_answered(session_settings: dict[str, str], tmp_path: Path) -> None:
    """And whoever comes now is sent elsewhere: no connection is taken."""
    with exposed(session_settings, f"sqlite:///{tmp_path}/v.db", tmp_path) as (server, ground):
        asked = threading.Event()

        def slowly(request: Received) -> Answer:
            asked.set()
            time.sleep(1.0)
            return json_answer({"status": True, "message": "", "data": {"id": request.json["access_token"]}})

        ground.endpoint.reply = slowly
        with ThreadPoolExecutor(2) as pool:
            under_way = pool.submit(show, ground, "somebody")
            assert asked.wait(5)
            ended = pool.submit(server.terminate, within=ENDS_WITHIN)
            time.sleep(0.4)
            with pytest.raises(httpx.ConnectError):
                httpx.get(f"{server.base_url}/healthz", trust_env=False)
            assert under_way.result().status_code == 200
            assert ended.result() == 0
        server.start()
        ground.endpoint.reply = None


def show(ground: Ground, user_token: str) -> httpx.Response:
    body = {"customer_id": ground.front.customer_id, "user_token": user_token}
    return httpx.post(f"{ground.base_url}{ASK}", json=body, timeout=10, trust_env=False)


def test_ends_also_while_the_database_is_frozen(session_settings: dict[str, str], tmp_path: Path) -> None:
    with PostgresServer() as postgres, exposed(session_settings, postgres.new_database(), tmp_path) as (server, ground):
        with Load(ground, deadline=3 * DATABASE_TIMEOUT) as load:
            load.wait_for_answers(50)
            parent = psutil.Process(postgres.pid)
            family = [parent, *parent.children(recursive=True)]
            for member in family:
                member.suspend()
            server.terminate(within=SHUTDOWN_TIMEOUT + LONGEST_CLOSING_SECONDS + 2.0)
            for member in family:
                member.resume()
            server.start()
            load.wait_for_answers(50)
        load.verify()
