"""A process that may open no more files, or has no more memory: what it has goes on, what it cannot do is refused, and
it is well again when there is room."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil

from tests.fixtures.faults import await_ready, exposed
from tests.fixtures.mixed_load import Load
from tests.fixtures.server import RunningServer

FILES = 160
MEBIBYTE = 1_048_576


@contextlib.contextmanager
def flood(server: RunningServer, connections: int) -> Iterator[None]:
    """Connections that say nothing, made anew whenever they are closed."""
    held: list[socket.socket] = []
    for _ in range(connections):
        with contextlib.suppress(OSError):
            held.append(socket.create_connection(("127.0.0.1", server.port), timeout=2))
    try:
        yield
    finally:
        for connection in held:
            connection.close()


def test_no_more_files(session_settings: dict[str, str], database_url: str, tmp_path: Path) -> None:
    wrapper = ("prlimit", f"--nofile={FILES}:{FILES}")
    with exposed(session_settings, database_url, tmp_path, wrapper=wrapper) as (server, ground):
        with Load(ground) as load:
            load.wait_for_answers(60)
            for _ in range(3):
                with flood(server, 3 * FILES):
                    # Who has a connection already is answered.
                    load.wait_for_answers(30)
                    assert psutil.Process(server.pid).cpu_percent(0.5) < 95, "it turns round and round"
            await_ready(server.base_url)
            load.wait_for_answers(60)
        load.verify()


def test_no_more_memory(session_settings: dict[str, str], tmp_path: Path) -> None:
    """The largest bodies that are taken, from many at once."""
    with exposed(session_settings, f"sqlite:///{tmp_path}/v.db", tmp_path) as (server, ground):
        with Load(ground, deadline=10.0) as load:
            load.wait_for_answers(60)
            process = psutil.Process(server.pid)
            limit = process.memory_info().vms + 24 * MEBIBYTE
            process.rlimit(psutil.RLIMIT_AS, (limit, limit))
            visitor = {"widget_token": ground.widget_token}
            made = httpx.post(f"{ground.base_url}/v1/visitors", json=visitor, trust_env=False)
            bearer = {"authorization": f"Bearer {made.json()['token']}"}
            with ThreadPoolExecutor(24) as pool:
                answers = list(pool.map(lambda _: upload(ground.base_url, bearer), range(48)))
            # 0: the connection was closed; 400: it was taken for a text that is none.
            assert set(answers) <= {0, 201, 400, 503}, answers
            await_ready(server.base_url)
            load.wait_for_answers(60)
        load.verify()


def upload(base_url: str, headers: dict[str, str]) -> int:
    files = {"file": ("a.txt", b"a" * 4 * MEBIBYTE, "text/plain")}
    with contextlib.suppress(httpx.TransportError):
        return httpx.post(f"{base_url}/v1/files", files=files, headers=headers, timeout=30, trust_env=False).status_code
    return 0
