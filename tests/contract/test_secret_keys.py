"""The secret key can be changed for another: everything that is sealed moves to the new one, and the old one can go."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fixtures.front_door import PATH
from tests.fixtures.server import ServerFailed, WorkspaceServer
from vestibule.sealing import new_secret_key
from vestibule.storage import resealing
from vestibule.storage.opening import migrate, open_store
from vestibule.storage.statement import Statement

pytestmark = pytest.mark.slow


def test_every_sealed_column_of_the_schema_is_known(tmp_path: Path) -> None:
    path = tmp_path / "schema.db"
    migrate(f"sqlite:///{path}")
    with sqlite3.connect(path) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        sealed = {
            (table, column[1])
            for table in tables
            for column in database.execute(f"PRAGMA table_info({table})")
            if str(column[1]).startswith("sealed_")
        }
    assert sealed == {(known.table, known.column) for known in resealing.COLUMNS if known.table != "installation"}


def sealed_values(url: str) -> list[str]:
    """Every sealed value in the database, whatever it is sealed with."""

    async def read() -> list[str]:
        store = await open_store(url, connections=1)
        try:
            found = []
            for column in (known for known in resealing.COLUMNS if not known.clear):
                only = " AND name = 'unverified_contact_secret'" if column.table == "installation" else ""
                # Of names in the product's own list.
                sql = f"SELECT {column.column} FROM {column.table} WHERE {column.column} IS NOT NULL{only}"  # noqa: S608
                rows = await store.read(Statement("test", sql, sql, 0, shared=False, reads=True))
                found += [str(row[0]) for row in rows]
            return found
        finally:
            await store.close()

    return asyncio.run(read())


def call(server: WorkspaceServer, method: str, path: str, token: str, body: Any = None) -> httpx.Response:
    headers = {"x-bot-token": server.widget_token} | ({"authorization": f"Bearer {token}"} if token else {})
    return httpx.request(method, server.base_url + path, json=body, headers=headers, trust_env=False)


def test_the_old_key_can_go(session_settings: dict[str, str], database_url: str, tmp_path: Path) -> None:
    old, new = new_secret_key(), new_secret_key()
    settings = {
        **session_settings,
        "VESTIBULE_DATABASE_URL": database_url,
        "VESTIBULE_PUBLIC_URL": "https://chat.example.com",
        "VESTIBULE_SECRET_KEYS": old,
    }
    overrides = {"headers": {"X-Customer": "4711"}}
    with WorkspaceServer(settings, tmp_path) as server:
        server.make_workspace("rotating")
        body = {"email": "ada@example.com", "http_action_overrides": overrides, "customData": {"plan": "gold"}}
        token = call(server, "POST", PATH, server.api_key, body).json()["token"]
        unverified = "/backend/widget/v2/contact/create-unverified"
        guest = call(server, "POST", unverified, "", {"email": "guest@example.com"}).json()["token"]
        server.cli(
            "responder", "set", "-w", server.workspace_id, "--kind", "webhook", "--url", "https://bot.example.com/"
        )
        server.cli(
            "provider", "add", "idp", "-w", server.workspace_id, "--issuer", "https://i.example", "--client-id", "c"
        )
    before = sealed_values(database_url)
    assert len(before) >= 5

    with WorkspaceServer({**settings, "VESTIBULE_SECRET_KEYS": f"{new},{old}"}, tmp_path) as server:
        done = server.cli("secret-key", "reseal")
        assert sum(done["resealed"].values()) == len(before)
        assert done["unreadable"] == {}
        assert server.cli("secret-key", "reseal")["resealed"] == {}

    after = sealed_values(database_url)
    assert len(after) == len(before)
    assert not {value.split(".")[1] for value in before} & {value.split(".")[1] for value in after}

    with WorkspaceServer({**settings, "VESTIBULE_SECRET_KEYS": new}, tmp_path) as server:
        workspaces = server.cli("workspace", "list")["items"]
        server.workspace_id, server.widget_token = workspaces[0]["workspace_id"], workspaces[0]["widget_token"]
        assert call(server, "GET", "/v1/me", token).status_code == 200
        shown = server.cli("contact", "show", "ada@example.com", "-w", server.workspace_id)
        assert shown["http_action_overrides"]["headers"] == ["X-Customer"]
        assert shown["custom_data"] == {"plan": "gold"}
        again = call(server, "POST", unverified, "", {"email": "guest@example.com"}).json()["token"]
        contacts = {call(server, "GET", "/v1/me", either).json()["id"] for either in (guest, again)}
        assert len(contacts) == 1
        assert server.cli("responder", "show", "-w", server.workspace_id)["kind"] == "webhook"
        assert [item["name"] for item in server.cli("provider", "list", "-w", server.workspace_id)["items"]] == ["idp"]


def test_what_no_key_opens_is_told_and_keeps_the_old_key(session_settings: dict[str, str], tmp_path: Path) -> None:
    old, new = new_secret_key(), new_secret_key()
    url = f"sqlite:///{tmp_path}/broken.db"
    settings = {**session_settings, "VESTIBULE_DATABASE_URL": url, "VESTIBULE_SECRET_KEYS": old}
    with WorkspaceServer(settings, tmp_path) as server:
        server.make_workspace("broken")
        server.cli(
            "responder", "set", "-w", server.workspace_id, "--kind", "webhook", "--url", "https://bot.example.com/"
        )
    with sqlite3.connect(tmp_path / "broken.db") as database:
        database.execute("UPDATE workspace_settings SET sealed_document = 'v1.000000000000.AAAA'")
    before = sealed_values(url)
    with (
        WorkspaceServer({**settings, "VESTIBULE_SECRET_KEYS": f"{new},{old}"}, tmp_path) as server,
        pytest.raises(ServerFailed, match="unreadable"),
    ):
        server.cli("secret-key", "reseal")
    assert sealed_values(url) == before
    with WorkspaceServer({**settings, "VESTIBULE_SECRET_KEYS": old}, tmp_path) as server:
        assert httpx.get(f"{server.base_url}/readyz", trust_env=False).status_code == 200


def test_an_installation_that_moved_knows_the_tokens_of_before(
    session_settings: dict[str, str], tmp_path: Path
) -> None:
    """An unverified visitor's token has no end, and nobody makes them another one."""
    settings = {
        **session_settings,
        "VESTIBULE_DATABASE_URL": f"sqlite:///{tmp_path}/moved.db",
        "VESTIBULE_PUBLIC_URL": "https://old.example.com",
        "VESTIBULE_SECRET_KEYS": new_secret_key(),
    }
    with WorkspaceServer(settings, tmp_path) as server:
        server.make_workspace("moving")
        guest = call(server, "POST", "/backend/widget/v2/contact/create-unverified", "", {}).json()["token"]
    path = "/v1/conversations?scope=device"
    for former, status in (("", 401), ("https://old.example.com, https://older.example.com", 200)):
        moved = {"VESTIBULE_PUBLIC_URL": "https://new.example.com", "VESTIBULE_FORMER_PUBLIC_URLS": former}
        with WorkspaceServer({**settings, **moved}, tmp_path) as server:
            server.widget_token = ""
            assert call(server, "GET", path, guest).status_code == status
