"""Backups as docs/operations.md takes them, while people use every way in and upload files, have all that was
acknowledged before they began, and serve where they are put over what a killed server has left."""

from __future__ import annotations

import itertools
import os
import re
import secrets
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import pytest

from tests.fixtures import sample_files as samples
from tests.fixtures.faults import exposed
from tests.fixtures.front_door import PATH, Installation
from tests.fixtures.mixed_ground import Ground
from tests.fixtures.mixed_load import Load, Remembered, Stored
from tests.fixtures.native import Client
from tests.fixtures.postgres import PostgresServer, find_binaries
from tests.fixtures.responding import eventually
from tests.fixtures.server import RunningServer

pytestmark = pytest.mark.slow
DOCUMENT = (Path(__file__).parent.parent.parent / "docs" / "operations.md").read_text(encoding="utf-8")
SECTION = DOCUMENT.partition("\n## Backup\n")[2].partition("\n## ")[0]
LINES = SECTION.partition("```sh\n")[2].partition("```")[0].splitlines()
ANSWERS = 300
FEW = 10


class Uploads:
    """Somebody who uploads one file after another; `kept` are those that were acknowledged, by link."""

    def __init__(self, ground: Ground) -> None:
        self.kept: dict[str, bytes] = {}
        self._client = Client(ground.workspace, ground.workspace.sign_in("uploads@example.com")[0])
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        for number in itertools.count():
            if self._over.wait(0.02):
                return
            content = samples.PDF + b"%% %d\n" % number
            answer = self._client.upload(content, "a.pdf")
            if answer.status_code == 201:
                self.kept[answer.json()["url"]] = content


def documented(program: str) -> str:
    """The line of the document that runs it."""
    [found] = [line for line in LINES if line.split(" ")[0] == program]
    return found


def type_(
    place: Path,
    line: str,
    *,
    url: str = "",
    names: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Runs a line as it is written, after its umask; `place` is what the document calls /var/lib/vestibule."""
    for there, here in {
        "/var/lib/vestibule/": f"{place}/",
        "/var/backups/": f"{place}/backups/",
        **(names or {}),
    }.items():
        line = line.replace(there, here)
    programs = [str(Path(sys.executable).parent), *([str(find_binaries())] if url else [])]
    done = subprocess.run(
        ["/bin/sh", "-euc", f"{documented('umask')}\n{line}"],
        cwd=place / "backups",
        env={
            "PATH": os.pathsep.join([*programs, os.environ.get("PATH", os.defpath)]),
            "VESTIBULE_DATABASE_URL": url,
            **(environment or {}),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    # 24 is rsync's: an upload was under way, and its part is the whole file by now.
    assert done.returncode == 0 or (done.returncode == 24 and line.startswith("rsync")), done.stderr


def back_up(place: Path, url: str) -> list[Path]:
    """The database, by each way that the document has for it and this machine can go; then the files."""
    backups = place / "backups"
    backups.mkdir()
    if url.startswith("sqlite"):
        type_(place, documented("python3"), names={"FROM.db": f"{place}/vestibule.db", "TO.db": "python3.db"})
        if shutil.which("sqlite3"):
            type_(place, documented("sqlite3"))
    else:
        type_(place, documented("pg_dump"), url=url)
    made = sorted(backups.iterdir())
    assert not [path for path in made if path.stat().st_mode & 0o077], "others may read it"
    if shutil.which("rsync"):
        type_(place, documented("rsync"))
    else:
        shutil.copytree(place / "files", backups / "files", ignore=shutil.ignore_patterns("*.part"))
    return made


def restore(backup: Path, place: Path, request: pytest.FixtureRequest) -> str:
    """Puts it where a killed server has left its own, as the document says; the URL."""
    shutil.copytree(backup.parent / "files", place / "files")
    if backup.suffix == ".dump":
        return restore_dump(backup, request)
    database, wal, shm = (place / f"vestibule.db{end}" for end in ("", "-wal", "-shm"))
    assert database.stat().st_size
    assert wal.stat().st_size, "nothing is left that could spoil it"
    shutil.copy(backup, database)
    wal.unlink()
    shm.unlink()
    return f"sqlite:///{database}"


def restore_dump(backup: Path, request: pytest.FixtureRequest) -> str:
    """By the document's lines, run as its `postgres`; the URL for the role that serves, which may do less."""
    server: PostgresServer = request.getfixturevalue("postgres_server")
    url: str = request.getfixturevalue("database_url")
    role = urlsplit(url).username
    [(may_more,)] = server.execute("SELECT rolsuper OR rolcreatedb FROM pg_roles WHERE rolname = $1", role)
    assert not may_more
    name, superuser = (f"restored_{secrets.token_hex(8)}" for _ in range(2))
    password = secrets.token_hex(16)
    server.execute(f"CREATE ROLE {superuser} SUPERUSER LOGIN PASSWORD '{password}'")
    connection = {"PGHOST": "127.0.0.1", "PGPORT": str(server.port), "PGUSER": superuser, "PGPASSWORD": password}
    for program, there, here in (
        ("createdb", "--owner=vestibule vestibule", f"--owner={role} {name}"),
        ("pg_restore", "--role=vestibule", f"--role={role}"),
    ):
        [line] = re.findall(rf"`({program} [^`]*)`", SECTION)
        names = {there: here, "--dbname=vestibule": f"--dbname={name}"}
        assert there in line
        type_(backup.parent.parent, line, url=url, names=names, environment=connection)
    server.execute(f"DROP ROLE {superuser}")  # which PostgreSQL refuses while it owns a table
    return url.rpartition("/")[0] + f"/{name}"


def hold_against(
    installation: Installation, ground: Ground, people: list[Remembered], files: dict[str, bytes], directory: Path
) -> None:
    """What was acknowledged is there, and is served."""
    workspace, http = ground.workspace, installation.http
    stored = Stored(installation.rows, workspace.id)
    assert [missing for who in people for missing in stored.missing(who)] == []
    for who in people:
        if who.token:
            me = http.get("/v1/me", headers={"authorization": f"Bearer {who.token}"})
            assert me.status_code == 200, me.text
            assert me.json()["id"] == who.contacts["vouched"]
    for link, content in files.items():
        answer = http.get(link)
        assert (answer.status_code, answer.content) == (200, content)
    rows = installation.rows("SELECT id FROM files WHERE workspace_id = $1", workspace.id)
    assert {name for (name,) in rows} <= {path.name for path in directory.rglob("*")}, "a row does not find its file"
    key = {"authorization": f"Bearer {workspace.api_key}"}
    assert http.post(PATH, json={"email": "new@example.com"}, headers=key).status_code == 200


def test_a_backup_under_load_has_what_was_acknowledged(
    session_settings: dict[str, str], database_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    settings = {**session_settings, "VESTIBULE_FILES_DIRECTORY": f"{tmp_path}/files"}
    with exposed(settings, database_url, tmp_path) as (server, ground):
        with Load(ground) as load, Uploads(ground) as uploads:
            load.wait_for_answers(ANSWERS, within=60)
            eventually(lambda: len(uploads.kept) >= FEW, within=30)
            people, files = load.remembered(), uploads.kept.copy()
            backups = back_up(tmp_path, database_url)
            load.wait_for_answers(60)
        server.kill()
        places = [tmp_path / f"after-{backup.name}" for backup in backups]
        for place in places:  # before the test's own connections tidy up
            place.mkdir()
            for left in tmp_path.glob("vestibule.db*"):
                shutil.copy(left, place)
    assert load.ledger.problems == []
    assert sum(len(who.messages) for who in people) >= FEW
    for backup, place in zip(backups, places, strict=True):
        restored = {
            **server.settings,
            "VESTIBULE_DATABASE_URL": restore(backup, place, request),
            "VESTIBULE_FILES_DIRECTORY": f"{place}/files",
        }
        again = RunningServer(restored, place)
        again.port = server.port
        assert again.cli("audit", "verify", "--workspace", ground.workspace.id)["whole"]
        with again, Installation(again) as installation:
            hold_against(installation, ground, people, files, place / "files")
