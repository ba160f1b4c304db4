"""A workspace that requires login has no visitors without proof, whatever their client does next."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.fixtures.fake_auth_endpoint import FakeAuthEndpoint, configure, show
from tests.fixtures.front_door import Installation, Workspace
from tests.fixtures.native import Client
from tests.fixtures.sample_files import GIF
from tests.fixtures.widget import OPERATIONS, bot_token, claiming, new_uuid, unverified_token, verified


@pytest.fixture
def workspace(responding: Installation) -> Workspace:
    return responding.workspace()


@pytest.fixture
def fake() -> Iterator[FakeAuthEndpoint]:
    with FakeAuthEndpoint({"ada-session": {"id": "u-1", "name": "Ada"}}) as running:
        yield running


def seen(ask: Callable[[], httpx.Response]) -> httpx.Response:
    """The answer once the server has seen the settings, which takes two seconds at the most."""
    deadline = time.monotonic() + 3
    while (answer := ask()).status_code != 401 and time.monotonic() < deadline:
        time.sleep(0.1)
    return answer


def test_no_new_visitor_without_proof(workspace: Workspace, fake: FakeAuthEndpoint) -> None:
    configure(workspace, fake, required_login=True)
    headers = {"x-bot-token": bot_token(workspace)}
    path = "/backend/widget/v2/contact/create-unverified"
    for said in ({}, {"email": "ada@example.com"}):
        answer = workspace.installation.http.post(path, json=said, headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (401, "login_required")
    assert workspace.contacts() == []
    # Who proves themselves gets in, by either method.
    assert show(workspace, "ada-session").status_code == 200
    assert verified(workspace).call("POST", "/create-session", {}).status_code == 201


def test_a_widget_is_told(workspace: Workspace) -> None:
    configure(workspace, required_login=True)
    asked = Client(workspace, None)
    assert asked.call("GET", "/v1/widget-config", widget_token=bot_token(workspace)).json()["login_required"] is True
    answer = asked.call("POST", "/v1/visitors", {"widget_token": bot_token(workspace)})
    assert (answer.status_code, answer.json()["code"]) == (401, "login_required")


def test_those_of_earlier_neither_read_nor_write(workspace: Workspace, fake: FakeAuthEndpoint) -> None:
    stranger = claiming(workspace, "ada@example.com")
    session = stranger.call("POST", "/create-session", {"customData": {"external_id": stranger.scope}}).json()["id"]
    native = Client(workspace, stranger.token)
    configure(workspace, fake, required_login=True)
    assert seen(lambda: native.send(session)).json()["code"] == "login_required"
    count = "SELECT COUNT(*) FROM messages WHERE conversation_id = $1"
    before = workspace.installation.rows(count, session)
    for name, (method, path, body) in OPERATIONS.items():
        if name in {"config", "create-unverified"}:
            continue
        filled = {key: session if value == "{id}" else value for key, value in (body or {}).items()}
        answer = stranger.call(method, path.replace("{id}", session), filled)
        assert (answer.status_code, answer.json()["error"]) == (401, "login_required"), name
    for answer in (
        native.create(scope="x"),
        native.read(session),
        native.send(session),
        native.resolve(session),
        native.upload(GIF, "a.gif"),
        stranger.call("POST", "/action/execute", {"session_id": session, "id": new_uuid(), "arguments": {}}),
    ):
        assert answer.status_code == 401, answer.text
        assert "login_required" in answer.text
    assert workspace.installation.rows(count, session) == before
    [(status,)] = workspace.installation.rows("SELECT status FROM conversations WHERE id = $1", session)
    assert status == "open"


def test_it_ends_when_the_setting_does(workspace: Workspace) -> None:
    configure(workspace, required_login=True)
    workspace.installation.cli("auth-endpoint", "remove", "-w", workspace.id)
    assert unverified_token(workspace)
