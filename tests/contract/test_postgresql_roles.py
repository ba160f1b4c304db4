"""A role that only serves, with the rights that docs/operations.md gives it, and another that owns the tables."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.fixtures.front_door import PATH
from tests.fixtures.postgres import PostgresServer
from tests.fixtures.server import WorkspaceServer, run_cli

pytestmark = pytest.mark.slow
DOCUMENT = (Path(__file__).parent.parent.parent / "docs" / "operations.md").read_text(encoding="utf-8")


@pytest.fixture
def owners(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of an empty database, for its owner."""
    url = postgres_server.new_database()
    yield url
    postgres_server.drop_database(url)


@pytest.fixture
def serving(postgres_server: PostgresServer, owners: str) -> Iterator[str]:
    """The URL of the same database, for a role that may do nothing there yet."""
    name = password = f"serving_{secrets.token_hex(8)}"
    postgres_server.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
    yield re.sub(r"//[^@]+@", f"//{name}:{password}@", owners)
    # A role that has rights somewhere cannot be dropped.
    postgres_server.execute(f"DROP OWNED BY {name}", database=owners.rpartition("/")[2])
    postgres_server.execute(f"DROP ROLE {name}")


@pytest.mark.parametrize("first", ["the rights", "the tables"])
def test_a_role_with_the_documented_rights_serves(
    *,
    first: str,
    postgres_server: PostgresServer,
    owners: str,
    serving: str,
    session_settings: dict[str, str],
    tmp_path: Path,
) -> None:
    def role_of(url: str) -> str:
        return url.partition("//")[2].partition(":")[0]

    if first == "the tables":
        run_cli("migrate", env={"VESTIBULE_DATABASE_URL": owners})
    [block] = re.findall(r"```sql\n(.*?)```", DOCUMENT, re.DOTALL)
    roles = {"vestibule_owner": role_of(owners), "vestibule": role_of(serving)}
    for statement in re.sub(r"\bvestibule(_owner)?\b", lambda found: roles[found[0]], block).split(";"):
        if statement.strip():
            postgres_server.execute(statement, database=owners.rpartition("/")[2])
    if first == "the rights":
        run_cli("migrate", env={"VESTIBULE_DATABASE_URL": owners})

    settings = {**session_settings, "VESTIBULE_DATABASE_URL": serving, "VESTIBULE_AUTO_MIGRATE": "false"}
    with WorkspaceServer(settings, tmp_path) as server:
        server.make_workspace("by two roles")
        answer = httpx.post(
            f"{server.base_url}{PATH}",
            json={"email": "ada@example.com"},
            headers={"authorization": f"Bearer {server.api_key}"},
            trust_env=False,
        )
        assert answer.status_code == 200
    assert "InsufficientPrivilege" not in server.log(), "nothing was refused to what runs beside the requests"
