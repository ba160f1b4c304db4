from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import TEST_SETTINGS
from tests.fixtures.front_door import Installation
from tests.fixtures.server import RunningServer
from tests.fixtures.staff import PASSWORD, browser, refused
from vestibule.clock import HOUR_MS, now_ms
from vestibule.server.serve import _greet
from vestibule.settings import Settings
from vestibule.storage.opening import ensure_schema

FORM = {
    "name": "Grace Hopper",
    "email": "grace@example.com",
    "workspace_name": "Acme",
    "password": PASSWORD,
    "again": PASSWORD,
}


@contextlib.contextmanager
def fresh(url: str, secret_key: str, directory: Path, *, workers: int = 1, **more: str) -> Iterator[Installation]:
    """An installation in which nobody is staff, and there is no workspace."""
    settings = {**TEST_SETTINGS, "VESTIBULE_DATABASE_URL": url, "VESTIBULE_SECRET_KEYS": secret_key, **more}
    with RunningServer(settings, directory, workers=workers) as server, Installation(server) as made:
        yield made
        assert "unexpected error" not in server.log()


def links(server: RunningServer) -> list[str]:
    return re.findall(rf"{server.base_url}/dashboard/first-run\?link=(vst_first_\w+)", server.log())


def follow(installation: Installation, link: str, **form: str) -> httpx.Response:
    headers = {"origin": installation.base_url, "sec-fetch-site": "same-origin"}
    data = {name: value for name, value in {"link": link, **FORM, **form}.items() if value}
    return browser(installation.base_url).post("/dashboard/first-run", data=data, headers=headers)


def wrong_forms_make_nothing(installation: Installation, link: str) -> None:
    for form, field in (
        ({"email": "nobody"}, "email"),
        ({"workspace_name": ""}, "workspace_name"),
        ({"password": "short", "again": "short"}, "password"),
        ({"again": "another password"}, "again"),
        ({"name": "a\x07b"}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"workspace": "x"}, "workspace"),
    ):
        answer = follow(installation, link, **form)
        assert answer.status_code == 400, form
        if field != "workspace":
            assert f'id="{field}-problem"' in answer.text, form
        assert PASSWORD not in answer.text
    refused(follow(installation, link, workspace="00000000-0000-7000-8000-000000000000"), 404, "not_found")
    headers = {"origin": "https://evil.example"}
    data = {"link": link, **FORM}
    foreign = browser(installation.base_url).post("/dashboard/first-run", data=data, headers=headers)
    refused(foreign, 403, "foreign_page")
    for guess in ("", "x", link[:-1] + ("0" if link[-1] != "0" else "1"), link.replace("first", "staff")):
        refused(follow(installation, guess), 401, "invalid_link")
    assert installation.rows("SELECT id FROM workspaces") == []


def test_the_first_one_makes_workspace_and_owner_once(database_url: str, secret_key: str, tmp_path: Path) -> None:
    with fresh(database_url, secret_key, tmp_path, workers=2) as installation:
        [link] = links(installation.server)  # once, however many workers there are
        visitor = browser(installation.base_url)
        assert "Nobody can sign in yet." in visitor.get("/dashboard/sign-in").text
        assert "You are the first here." in visitor.get(f"/dashboard/first-run?link={link}").text
        wrong_forms_make_nothing(installation, link)
        answer = follow(installation, link)
        assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard"), answer.text
        [(workspace_id, name)] = installation.rows("SELECT id, name FROM workspaces")
        [(email, role, home)] = installation.rows("SELECT email, role, workspace_id FROM staff")
        assert (name, email, role, home) == ("Acme", "grace@example.com", "owner", workspace_id)
        # Gone, for this link and every other.
        refused(follow(installation, link, email="second@example.com"), 401, "invalid_link")
        refused(visitor.get(f"/dashboard/first-run?link={link}"), 401, "invalid_link")
        assert len(installation.rows("SELECT id FROM staff")) == 1
        # The log, which is shipped and kept, never had it.
        lines = [line for line in installation.server.log().splitlines() if line.startswith("{")]
        assert "first-run" in "".join(lines)
        assert not [line for line in lines if link in line]


def test_it_ends_by_itself_and_with_the_first_member(secret_key: str, tmp_path: Path) -> None:
    with fresh(f"sqlite:///{tmp_path}/vestibule.db", secret_key, tmp_path) as installation:
        [link] = links(installation.server)
        assert link not in str(installation.rows("SELECT * FROM staff_links"))
        workspace = installation.cli("workspace", "create", "Known")["workspace_id"]
        visitor = browser(installation.base_url)
        assert "Known</option>" in visitor.get(f"/dashboard/first-run?link={link}").text
        [(end,)] = installation.rows("SELECT expires_at FROM staff_links")
        assert HOUR_MS - 60_000 < end - now_ms() <= HOUR_MS
        installation.rows("UPDATE staff_links SET expires_at = $1", now_ms() - 1)
        refused(follow(installation, link, workspace=workspace), 401, "invalid_link")
        # Whoever is let in by the command line ends it as well.
        installation.rows("UPDATE staff_links SET expires_at = $1", end)
        assert visitor.get(f"/dashboard/first-run?link={link}").status_code == 200
        installation.cli("staff", "add", "ada@example.com", "-w", workspace)
        refused(visitor.get(f"/dashboard/first-run?link={link}"), 401, "invalid_link")
        refused(follow(installation, link, workspace=workspace), 401, "invalid_link")
        installation.server.restart()
        assert links(installation.server) == []


def test_who_wants_a_new_workspace_does_not_become_owner_of_another(secret_key: str, tmp_path: Path) -> None:
    with fresh(f"sqlite:///{tmp_path}/vestibule.db", secret_key, tmp_path) as installation:
        [link] = links(installation.server)
        known = installation.cli("workspace", "create", "Known")["workspace_id"]
        slip = follow(installation, link, workspace="", workspace_name="Beta", again="other")
        assert slip.status_code == 400
        assert '<option value="" selected>' in slip.text
        assert f'value="{known}" selected' not in slip.text
        assert 'value="Beta"' in slip.text
        both = follow(installation, link, workspace=known, workspace_name="Beta")
        assert both.status_code == 400
        assert "choose one of the two" in both.text.partition('id="workspace-problem"')[2]
        assert installation.rows("SELECT id FROM staff") == []
        assert follow(installation, link, workspace=known, workspace_name="").status_code == 303
        assert installation.rows("SELECT workspace_id FROM staff") == [(known,)]
        assert installation.rows("SELECT id FROM workspaces") == [(known,)]


def test_it_can_be_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"sqlite:///{tmp_path}/vestibule.db"
    ensure_schema(url, may_migrate=True)
    asyncio.run(_greet(Settings(database_url=url, first_run_link=False)))
    assert capsys.readouterr().out == ""
    asyncio.run(_greet(Settings(database_url=url)))
    told = capsys.readouterr()
    assert told.out.count("/dashboard/first-run?link=vst_first_") == 1
    assert told.err == ""
