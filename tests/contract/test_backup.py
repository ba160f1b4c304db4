"""Backups as docs/operations.md takes them while the service runs have all that was acknowledged before they began."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from tests.fixtures.front_door import PATH
from tests.fixtures.postgres import PostgresServer, find_binaries
from tests.fixtures.server import WorkspaceServer

pytestmark = pytest.mark.slow
DOCUMENT = (Path(__file__).parent.parent.parent / "docs" / "operations.md").read_text(encoding="utf-8")
FEW = 60


class Load:
    """Vouches for one new person after another; `tokens` are those that were given out."""

    def __init__(self, server: WorkspaceServer) -> None:
        self.tokens: dict[str, str] = {}
        self._http = httpx.Client(
            base_url=server.base_url, headers={"authorization": f"Bearer {server.api_key}"}, trust_env=False
        )
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._over.is_set():
            email = f"person.{len(self.tokens)}@example.com"
            answer = self._http.post(PATH, json={"email": email})
            if answer.status_code == httpx.codes.OK:
                self.tokens[email] = answer.json()["token"]

    def wait_for(self, more: int) -> None:
        wanted, by = len(self.tokens) + more, time.monotonic() + 30
        while len(self.tokens) < wanted:
            assert time.monotonic() < by
            time.sleep(0.01)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()
        self._http.close()


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def documented(begins: str) -> list[str]:
    [line] = [line for line in DOCUMENT.splitlines() if line.startswith(begins)]
    return shlex.split(line.split("  ")[0])


def copy_of(url: str, directory: Path, request: pytest.FixtureRequest) -> str:
    """Backs the database up and puts it in place somewhere else, by the commands of the document."""
    if url.startswith("sqlite"):
        [_, option, program, *_] = documented("python3 -c ")
        run(sys.executable, option, program, url.removeprefix("sqlite:///"), f"{directory}/restored.db")
        return f"sqlite:///{directory}/restored.db"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    dump, empty = f"{directory}/vestibule.dump", server.new_database()
    [_, *options, _, _] = documented("pg_dump ")
    run(str(find_binaries() / "pg_dump"), *options, f"--file={dump}", url)
    restore = re.search(r"`pg_restore (.*) --dbname=vestibule vestibule.dump`", DOCUMENT)
    assert restore
    run(str(find_binaries() / "pg_restore"), *shlex.split(restore[1]), f"--dbname={empty}", dump)
    return empty


def test_a_backup_under_load_has_what_was_acknowledged(
    session_settings: dict[str, str], database_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    settings = {
        **session_settings,
        "VESTIBULE_RATE_LIMIT_STANDARD": "1000000",
        "VESTIBULE_PUBLIC_URL": "http://chat.example.com",
    }
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    with WorkspaceServer({**settings, "VESTIBULE_DATABASE_URL": database_url}, tmp_path / "first") as server:
        server.make_workspace("kept")
        load = Load(server)
        load.start()
        try:
            load.wait_for(FEW)
            before = dict(load.tokens)
            restored = copy_of(database_url, tmp_path, request)
            load.wait_for(FEW)
        finally:
            load.stop()
    with (
        WorkspaceServer({**settings, "VESTIBULE_DATABASE_URL": restored}, tmp_path / "second") as again,
        httpx.Client(base_url=again.base_url, trust_env=False) as client,
    ):
        for email, token in before.items():
            shown = client.get("/v1/me", headers={"authorization": f"Bearer {token}"})
            assert shown.status_code == 200, email
        key = {"authorization": f"Bearer {server.api_key}"}
        assert client.post(PATH, json={"email": "person.0@example.com"}, headers=key).status_code == 200
        assert again.cli("audit", "verify", "--workspace", server.workspace_id)["whole"]
