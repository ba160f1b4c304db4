"""Fail closed (DESIGN rule 2.9): while the database is away everything that needs it is 503, never a session and never
a wrong refusal; when it is back, so is everything else."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.fixtures.cxgenie import BASE, Sockets
from tests.fixtures.front_door import PATH, refused
from tests.fixtures.postgres import PostgresServer
from tests.fixtures.raw_socket import RawSocket
from tests.fixtures.responding import eventually
from tests.fixtures.server import WorkspaceServer
from vestibule.tokens.api_key import generate

pytestmark = pytest.mark.slow
TIMEOUT = 2.0  # VESTIBULE_DATABASE_TIMEOUT of the tests
JOIN = "room.conversation.join"
TRY_AGAIN = 1013


class Calls:
    """What a backend, a widget and a load balancer ask."""

    def __init__(self, server: WorkspaceServer) -> None:
        self._key = server.api_key
        self._http = httpx.Client(base_url=server.base_url, timeout=15, trust_env=False)

    def close(self) -> None:
        self._http.close()

    def authenticate(self, email: str = "ada@example.com", name: str = "Ada", key: str = "") -> httpx.Response:
        headers = {"authorization": f"Bearer {key or self._key}"}
        return self._http.post(PATH, json={"email": email, "name": name}, headers=headers)

    def connect(self, customer_id: str) -> httpx.Response:
        form = {"client_id": "oneplatform_engage", "grant_type": "visitor", "tenant_id": customer_id}
        return self._http.post("/connect/token", data=form)

    def exchange(self, customer_id: str) -> httpx.Response:
        """A challenge beside a token that is none."""
        body = {"codeChallenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", "idToken": "x"}
        return self._http.post(f"/api/authenticate/{customer_id}", json=body)

    def route(self, token: str) -> httpx.Response:
        """With a proof that may be good, as far as anybody knows."""
        path = f"/api/conversation/c-1/route/q?userInfoId=usr_{'0' * 65}&codeVerifier={'x' * 43}"
        return self._http.post(path, headers={"authorization": f"Bearer {token}"})

    def start(self, bot_id: str) -> tuple[str, str]:
        """Token and customer id of a guest of CX Genie's app."""
        body = {"bot_id": bot_id, "name": "Ada", "email": "ada@example.com"}
        answer = self._http.post(f"{BASE}/bot-sessions/guest-auth/start-bot-session", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]["guest_token"], answer.json()["data"]["customer"]["id"]

    def say(self, token: str, content: str) -> httpx.Response:
        headers = {"authorization": f"Bearer {token}"}
        return self._http.post(f"{BASE}/messages/guest-auth/bot", json={"content": content}, headers=headers)

    def get(self, path: str, token: str = "x") -> httpx.Response:
        return self._http.get(path, headers={"authorization": f"Bearer {token}"})


@contextlib.contextmanager
def running(url: str, settings: dict[str, str], directory: Path) -> Iterator[tuple[WorkspaceServer, Calls]]:
    with WorkspaceServer({**settings, "VESTIBULE_DATABASE_URL": url}, directory) as server:
        server.make_workspace("away")
        with contextlib.closing(Calls(server)) as calls:
            yield server, calls
        assert "unexpected error" not in server.log()


def test_postgresql_that_stops_and_comes_back(session_settings: dict[str, str], tmp_path: Path) -> None:
    with PostgresServer() as postgres, running(postgres.new_database(), session_settings, tmp_path) as (server, calls):
        before = calls.authenticate().json()
        token = before["token"]
        assert calls.get("/v1/me", token).status_code == 200

        postgres.stop()
        for _ in range(2):
            for email in ("ada@example.com", "new@example.com"):
                began = time.monotonic()
                answer = calls.authenticate(email, "Changed")
                refused(answer, 503, "storage_unavailable")
                assert int(answer.headers["retry-after"]) >= 1
                assert time.monotonic() - began < TIMEOUT + 1
            me = calls.get("/v1/me", token)
            assert (me.status_code, me.headers["content-type"]) == (503, "application/problem+json")
            # A key nobody has seen cannot be told from a wrong one now: no 401 that would make a client give up.
            refused(calls.authenticate(key=generate(server.workspace_id).text), 503, "storage_unavailable")
            for puzzel in (calls.exchange(server.customer_id), calls.route(token), calls.connect(server.customer_id)):
                assert (puzzel.status_code, puzzel.json()["code"]) == (503, "storage_unavailable")
            assert calls.get("/readyz").status_code == 503
            assert calls.get("/healthz").status_code == 200
            assert calls.get("/.well-known/jwks.json").json()["keys"]
            time.sleep(2.1)  # what was known of the key is stale now

        postgres.start()
        began = time.monotonic()
        while calls.get("/readyz").status_code != 200 or calls.authenticate().status_code != 200:
            assert time.monotonic() - began < 5
        assert calls.get("/v1/me", token).status_code == 200
        assert calls.connect(server.customer_id).status_code == 200
        assert calls.exchange(server.customer_id).status_code == 401
        assert calls.authenticate().json()["contact"] == before["contact"]
        assert calls.get("/v1/me", token).json()["name"] == "Ada", "nothing was stored meanwhile"


def test_an_app_s_socket_is_closed_for_it_to_come_back(session_settings: dict[str, str], tmp_path: Path) -> None:
    """Of what it joins it asks for no acknowledgement, and told to go it would stay away."""
    with PostgresServer() as postgres, running(postgres.new_database(), session_settings, tmp_path) as (server, calls):
        token, customer_id = calls.start(server.workspace_id)
        postgres.stop()
        with RawSocket.connected(server.base_url) as wire:
            wire.emit(JOIN, customer_id)
            assert wire.texts() == ([], TRY_AGAIN)
        time.sleep(2.1)  # what was known of the workspace is stale now
        with RawSocket(server.base_url) as wire:
            wire.text()
            wire.send("40" + json.dumps({"token": token}))
            assert wire.texts() == ([], TRY_AGAIN)


def test_an_app_that_has_come_back_hears_what_is_said(session_settings: dict[str, str], tmp_path: Path) -> None:
    with (
        PostgresServer() as postgres,
        running(postgres.new_database(), session_settings, tmp_path) as (server, calls),
        Sockets(server.base_url) as sockets,
    ):
        token, customer_id = calls.start(server.workspace_id)
        wire = sockets.open()
        wire.wait("connect")
        postgres.stop()
        wire.emit(JOIN, customer_id)
        wire.wait("disconnect")
        postgres.start()
        eventually(lambda: calls.get("/readyz").status_code == 200 and calls.authenticate().status_code == 200)
        wire.wait("connect")  # by itself
        wire.emit(JOIN, customer_id)
        assert calls.say(token, "hello").status_code == 200
        assert wire.wait("message.created")["content"] == "hello"


def test_postgresql_that_crashes_under_load_loses_no_answer(session_settings: dict[str, str], tmp_path: Path) -> None:
    """What was answered 200 is there after the crash (SECURITY 3.2: no acknowledged write lost)."""
    with PostgresServer() as postgres, running(postgres.new_database(), session_settings, tmp_path) as (_, calls):
        acknowledged = {}
        for number in range(60):
            if number == 30:
                postgres.kill()
            answer = calls.authenticate(f"p{number}@example.com")
            assert answer.status_code in {200, 503}
            if answer.status_code == 200:
                acknowledged[f"p{number}@example.com"] = answer.json()["contact"]["id"]
            if number == 35:
                postgres.start()
        assert len(acknowledged) > 30
        for email, contact_id in acknowledged.items():
            assert calls.authenticate(email).json()["contact"]["id"] == contact_id


def test_sqlite_that_somebody_else_holds(session_settings: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "v.db"
    with running(f"sqlite:///{file}", session_settings, tmp_path) as (_, calls):
        before = calls.authenticate().json()
        with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as holder:
            holder.execute("BEGIN IMMEDIATE")
            assert calls.authenticate().status_code == 200, "an unchanged profile needs no write"
            assert calls.get("/v1/me", before["token"]).status_code == 200
            answer = calls.authenticate("new@example.com")
            refused(answer, 503, "storage_unavailable")
            assert int(answer.headers["retry-after"]) >= 1
            holder.execute("ROLLBACK")
        assert calls.authenticate("new@example.com").status_code == 200
        assert calls.authenticate().json()["contact"] == before["contact"]


def test_a_server_whose_database_file_vanishes_makes_no_new_one(
    session_settings: dict[str, str], tmp_path: Path
) -> None:
    """An empty database in its place would be everybody's first visit."""
    file = tmp_path / "v.db"
    with running(f"sqlite:///{file}", session_settings, tmp_path) as (_, calls):
        assert calls.authenticate().status_code == 200
        file.rename(tmp_path / "elsewhere.db")
        assert calls.authenticate().status_code in {200, 503}
        assert not file.exists()
