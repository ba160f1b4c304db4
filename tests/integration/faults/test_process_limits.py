"""A process that may open no more files, has no more memory, or no room for temporary files: what it has goes on, what
it cannot do is refused, and it is well again when there is room."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil

from tests.fixtures.faults import (
    READY_WITHIN,
    REPLACED_WITHIN,
    await_ready,
    exposed,
    filled,
    replace_workers,
    small_disk,
)
from tests.fixtures.mixed_ground import Ground
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
            bearer = a_visitor(ground)
            with ThreadPoolExecutor(24) as pool:
                answers = list(pool.map(lambda _: status_of_upload(ground, bearer), range(48)))
            # 0: the connection was closed; 400: it was taken for a text that is none.
            assert set(answers) <= {0, 201, 400, 503}, answers
            await_ready(server.base_url)
            load.wait_for_answers(60)
        load.verify()


def test_no_room_for_what_workers_count_together(session_settings: dict[str, str], tmp_path: Path) -> None:
    """Into files that they have in memory: where a full disk had no room for them, the system would end each worker."""
    url = f"sqlite:///{tmp_path}/v.db"
    with small_disk(4) as disk:
        wrapper = ("env", f"TMPDIR={disk}")
        with exposed(session_settings, url, tmp_path, workers=2, wrapper=wrapper) as (server, ground):
            with Load(ground, deadline=REPLACED_WITHIN + READY_WITHIN) as load:  # so long nobody may be there
                load.wait_for_answers(60)
                with filled(disk):
                    replace_workers(server)
                    await_ready(ground.base_url)
                    load.wait_for_answers(60)
                load.wait_for_answers(60)
            load.verify()


def test_no_room_for_a_file_that_arrives(session_settings: dict[str, str], tmp_path: Path) -> None:
    with small_disk(12) as disk:
        wrapper = ("env", f"TMPDIR={disk}")
        with exposed(session_settings, f"sqlite:///{tmp_path}/v.db", tmp_path, wrapper=wrapper) as (_, ground):
            bearer = a_visitor(ground)
            assert upload(ground, bearer).status_code == 201  # its place for temporary files is chosen now
            with filled(disk):
                refused = upload(ground, bearer)
                assert (refused.status_code, refused.json()["code"]) == (503, "storage_unavailable")
            assert upload(ground, bearer).status_code == 201


def a_visitor(ground: Ground) -> dict[str, str]:
    """As their requests say it."""
    visitor = {"widget_token": ground.widget_token}
    made = httpx.post(f"{ground.base_url}/v1/visitors", json=visitor, trust_env=False)
    return {"authorization": f"Bearer {made.json()['token']}"}


def upload(ground: Ground, headers: dict[str, str]) -> httpx.Response:
    files = {"file": ("a.txt", b"a" * 4 * MEBIBYTE, "text/plain")}
    return httpx.post(f"{ground.base_url}/v1/files", files=files, headers=headers, timeout=30, trust_env=False)


def status_of_upload(ground: Ground, headers: dict[str, str]) -> int:
    """0: the connection broke."""
    with contextlib.suppress(httpx.TransportError):
        return upload(ground, headers).status_code
    return 0
