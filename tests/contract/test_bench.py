"""What the bench sends is answered as it counts on, and what it compares the product with is the product but for one
thing."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench import load, scenarios, servers
from tests.bench.provider import Provider
from vestibule.storage.opening import sqlite_path

ROOT = Path(__file__).parent.parent.parent
REQUESTS = 24
CHATS = "SELECT COUNT(*) FROM conversations WHERE verified"


def send(running: servers.Running, requests: scenarios.Requests) -> None:
    effects, rendered = servers.take(running, requests, REQUESTS)
    outcome = load._Load(load.Order(running.target.port, rendered, callers=4, seconds=30.0)).run()
    running.effects.update(effects[: outcome.sent])
    assert (outcome.sent, outcome.refused) == (REQUESTS, 0), outcome.first_refusal


def chats(database_url: str) -> int:
    path = sqlite_path(database_url)
    if path is None:
        [(count,)] = asyncio.run(servers._on_postgresql(database_url, CHATS))
        return int(count)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        [(count,)] = connection.execute(CHATS).fetchall()
        return int(count)


@pytest.mark.slow
def test_each_route_redeems_a_fresh_proof_for_a_new_chat(database_url: str, tmp_path: Path) -> None:
    with (
        Provider() as provider,
        servers.vestibule_server("routes", database_url, tmp_path / "server", None, provider, restarts=0) as running,
    ):
        send(running, scenarios.route)
        assert chats(database_url) == REQUESTS
        assert running.fresh is not None


@pytest.mark.slow
def test_without_shared_round_trips_the_same_is_stored(database_url: str, engine: str, tmp_path: Path) -> None:
    if engine != "postgresql":
        pytest.skip("SQLite has no round trips")
    place, kind = tmp_path / "server", servers.UncoalescedServer
    with (
        Provider() as provider,
        servers.vestibule_server("alone", database_url, place, None, provider, restarts=0, kind=kind) as running,
    ):
        send(running, scenarios.new)
        assert running.differences() == ""
        send(running, scenarios.route)
        assert chats(database_url) == REQUESTS


def test_what_the_bench_starts_may_open_as_many_files_as_there_are() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    code = (
        "import resource, subprocess\n"
        "from tests.bench.processes import raise_open_files\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, (256, {most}))\n"
        "print(raise_open_files(), flush=True)\n"
        "subprocess.run(['sh', '-c', 'ulimit -n'], check=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(most), str(most)]
