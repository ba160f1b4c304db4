"""TLS to PostgreSQL: what goes over it, whom the service believes, and what it says where it believes nobody."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.fixtures.authority import Authority, make_authority
from tests.fixtures.postgres import PostgresServer
from tests.fixtures.server import WorkspaceServer, clean_environment, free_port

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def postgres(authority: Authority) -> Iterator[PostgresServer]:
    """Of its own: it takes no connection in the clear from the service's role."""
    with PostgresServer() as server:
        made = authority.make("127.0.0.1")
        server.use_tls(made.certificate, made.key)
        yield server


def test_everything_goes_over_it_where_the_url_says_so(
    postgres: PostgresServer, authority: Authority, session_settings: dict[str, str], tmp_path: Path
) -> None:
    database = postgres.new_database()
    url = f"{database}?sslmode=verify-full&sslrootcert={authority.file}"
    # The command line and the migrations take the same URL.
    with WorkspaceServer({**session_settings, "VESTIBULE_DATABASE_URL": url}, tmp_path) as server:
        server.make_workspace("over TLS")
        answer = httpx.post(
            f"{server.base_url}/widget/authenticate-user",
            json={"email": "ada@example.com"},
            headers={"authorization": f"Bearer {server.api_key}"},
            trust_env=False,
        )
        assert answer.status_code == 200
        rows = postgres.execute(
            "SELECT s.ssl, s.version FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) WHERE a.datname = $1",
            database.rpartition("/")[2],
        )
        assert rows
        assert all(row["ssl"] and row["version"] in {"TLSv1.2", "TLSv1.3"} for row in rows)


@pytest.mark.parametrize("wrong", ["another authority", "another name"])
def test_a_server_that_cannot_prove_itself_gets_nothing(
    wrong: str, postgres: PostgresServer, authority: Authority, session_settings: dict[str, str], tmp_path: Path
) -> None:
    file = authority.file
    if wrong == "another authority":
        (tmp_path / "other").mkdir()
        file = make_authority(tmp_path / "other").file
    database = postgres.new_database()
    host = "127.0.0.1" if wrong == "another authority" else "localhost"
    url = f"{database.replace('127.0.0.1', host)}?sslmode=verify-full&sslrootcert={file}"
    settings = {**session_settings, "VESTIBULE_DATABASE_URL": url}
    done = subprocess.run(
        [sys.executable, "-m", "vestibule", "workspace", "create", "nobody"],
        env=clean_environment(settings, tmp_path),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "storage_unavailable" in said
    assert database.split(":")[2].partition("@")[0] not in said
    assert "Traceback" not in said


@pytest.mark.parametrize("root", ["", "&sslrootcert=system"])
def test_authorities_that_are_nowhere_are_a_setting_to_mend(root: str, tmp_path: Path) -> None:
    """The driver knows none of the system's by itself, and takes libpq's `system` for the name of a file. It was told
    as a database that cannot be reached, for which whoever starts the service would wait."""
    url = f"postgresql://me:hunter2@127.0.0.1:{free_port()}/x?sslmode=verify-full{root}"
    done = subprocess.run(
        [sys.executable, "-m", "vestibule", "serve", "--port", str(free_port())],
        env=clean_environment({"VESTIBULE_DATABASE_URL": url}, tmp_path),  # with a home that has no root.crt
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2, done.stderr
    assert "sslrootcert must name the file" in done.stderr
    assert "invalid_settings" in done.stderr
    assert "hunter2" not in done.stderr
    assert "Traceback" not in done.stderr
