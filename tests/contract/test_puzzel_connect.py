"""`POST /connect/token`: visitor sessions as Puzzel's clients ask for them, refreshed, stolen and ended."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fixtures.front_door import Installation, Workspace, beside
from tests.fixtures.puzzel import Front
from tests.fixtures.widget import claims_of
from vestibule.clock import HOUR_MS, now_ms
from vestibule.storage.refresh_tokens import RefreshRow, rotate


@pytest.fixture
def front(workspace: Workspace) -> Front:
    return Front(workspace)


def oauth(answer: httpx.Response, status: int, error: str, code: str | None = None) -> None:
    """One of OAuth's errors in every respect (RFC 6749 section 5.2)."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert set(body) == {"error", "error_description", "code"}
    assert (body["error"], body["code"]) == (error, code or error)
    assert body["error_description"].isascii()


def test_a_visitor_gets_a_session(front: Front) -> None:
    answer = front.connect()
    assert answer.status_code == 200
    assert (answer.headers["cache-control"], answer.headers["pragma"]) == ("no-store", "no-cache")
    body = answer.json()
    assert set(body) == {"access_token", "refresh_token", "expires_in", "token_type", "scope", "visitor_id"}
    assert (body["token_type"], body["expires_in"], body["scope"]) == ("Bearer", 3600, "visitor")
    claims = claims_of(body["access_token"])
    assert claims["exp"] - claims["iat"] == 3600
    assert claims["contact"] == {"id": body["visitor_id"], "verified": False}
    assert front.workspace.contacts() == [], "nobody is kept before they write"
    me = front.workspace.me(body["access_token"])
    assert (me.status_code, me.json()["verified"]) == (200, False)


@pytest.mark.parametrize(
    ("fields", "error", "code"),
    [
        ({"client_id": None}, "invalid_request", None),
        ({"client_id": "another"}, "invalid_client", None),
        ({"grant_type": None}, "invalid_request", None),
        ({"grant_type": "password"}, "unsupported_grant_type", None),
        ({"tenant_id": None}, "invalid_request", None),
        ({"tenant_id": ""}, "invalid_request", None),
        ({"tenant_id": "nobody"}, "invalid_client", None),
        ({"tenant_id": "nob\0dy"}, "invalid_client", None),
        ({"tenant_id": ["a", "b"]}, "invalid_request", "invalid_field"),
        ({"grant_type": "refresh_token"}, "invalid_request", None),
        ({"grant_type": "refresh_token", "refresh_token": "x"}, "invalid_grant", None),
        ({"grant_type": "refresh_token", "refresh_token": "vst_ref_" + "z" * 65}, "invalid_grant", None),
        ({"grant_type": "refresh_token", "refresh_token": "vst_ref_" + "0" * 65}, "invalid_grant", None),
    ],
)
def test_refusals_are_of_oauth_s_form(front: Front, fields: dict[str, Any], error: str, code: str | None) -> None:
    oauth(front.connect(**fields), 400, error, code)


def test_only_forms_of_a_size_are_read(front: Front) -> None:
    oauth(front.call("POST", "/connect/token", {}), 415, "unsupported_media_type")
    oauth(front.connect(client_id="x" * 9000), 413, "body_too_large")
    oauth(front.call("GET", "/connect/token"), 405, "method_not_allowed")
    oauth(front.call("GET", "/connect/other"), 404, "no_such_path")


def test_pages_may_ask(front: Front) -> None:
    asking = {"origin": "https://shop.example.com", "access-control-request-method": "POST"}
    assert front.call("OPTIONS", "/connect/token", headers=asking).status_code == 204
    assert front.connect().headers["access-control-allow-origin"] == "*"


def test_a_refresh_goes_on_with_the_same_visitor(front: Front) -> None:
    first = front.session()
    second = front.refresh(first["refresh_token"])
    assert second.status_code == 200
    assert second.json()["visitor_id"] == first["visitor_id"]
    assert second.json()["refresh_token"] != first["refresh_token"]
    assert claims_of(second.json()["access_token"])["jti"] == claims_of(first["access_token"])["jti"]
    assert front.refresh(second.json()["refresh_token"], tenant_id=front.customer_id).status_code == 200


def test_another_tenant_s_refresh_token_is_none(front: Front) -> None:
    other = Front(front.workspace.installation.workspace())
    session = front.session()
    oauth(front.refresh(session["refresh_token"], tenant_id=other.customer_id), 400, "invalid_grant")
    assert front.refresh(session["refresh_token"]).status_code == 200, "and is not spent by trying"


def test_a_refresh_token_that_comes_twice_ends_the_session(front: Front) -> None:
    """RFC 9700 section 4.14.2: thief and visitor both lose it, whichever came first."""
    first = front.session()
    second = front.refresh(first["refresh_token"]).json()
    third = front.refresh(second["refresh_token"]).json()
    oauth(front.refresh(first["refresh_token"]), 400, "invalid_grant")
    oauth(front.refresh(third["refresh_token"]), 400, "invalid_grant")
    refused_by = time.monotonic() + 5
    while front.workspace.me(third["access_token"]).status_code == 200:
        assert time.monotonic() < refused_by, "its access tokens end within 5 s"
        time.sleep(0.2)
    assert front.session()["visitor_id"] != first["visitor_id"]


def test_the_session_is_over_in_the_unit_of_work_that_sees_a_reuse(front: Front) -> None:
    """Afterwards nothing tells a repetition from a token that nobody knows: there is no second chance."""
    session, store = front.session(), front.workspace.installation.desk.store
    [(fingerprint,)] = front.workspace.installation.rows(
        "SELECT token_hash FROM refresh_tokens WHERE workspace_id = $1", front.workspace.id
    )

    async def uses() -> list[bool]:
        following = RefreshRow(front.workspace.id, "following", "", now_ms(), now_ms() + HOUR_MS)
        given = (store, front.workspace.id, fingerprint, following)
        found = [await rotate(*given, now=now_ms(), longest=HOUR_MS) for _ in range(2)]
        return [each.again for each in found if each is not None]

    assert front.workspace.installation.run(uses()) == [False, True]
    ended = front.workspace.installation.rows(
        "SELECT contact_id, token_id FROM token_endings WHERE workspace_id = $1", front.workspace.id
    )
    assert ended == [(session["visitor_id"],) * 2]
    oauth(front.refresh(session["refresh_token"]), 400, "invalid_grant")
    gone_by = time.monotonic() + 5
    while front.workspace.me(session["access_token"]).status_code == 200:
        assert time.monotonic() < gone_by
        time.sleep(0.2)


def test_of_twenty_uses_at_once_one_wins_and_the_session_is_over(front: Front) -> None:
    session = front.session()

    async def race() -> list[httpx.Response]:
        return await asyncio.gather(*(asyncio.to_thread(front.refresh, session["refresh_token"]) for _ in range(20)))

    answers = asyncio.run(race())
    won = [answer for answer in answers if answer.status_code == 200]
    assert len(won) == 1
    oauth(front.refresh(won[0].json()["refresh_token"]), 400, "invalid_grant")


def test_a_signed_out_visitor_refreshes_no_more(front: Front) -> None:
    session = front.session()
    path = "/v1/conversations"
    body = {"scope": "device-1"}
    assert front.call("POST", path, body, bearer=session["access_token"]).status_code == 201
    front.workspace.installation.cli("contact", "sign-out", session["visitor_id"], "-w", front.workspace.id)
    oauth(front.refresh(session["refresh_token"]), 400, "invalid_grant")


def test_a_visitor_who_signs_out_refreshes_no_more(front: Front) -> None:
    """The next texts of their token would have its id."""
    session = front.session()
    assert front.call("POST", "/v1/me/sign-out", bearer=session["access_token"]).status_code == 204
    oauth(front.refresh(session["refresh_token"]), 400, "invalid_grant")
    assert front.workspace.me(session["access_token"]).status_code == 401
    assert front.workspace.me(front.session()["access_token"]).status_code == 200


@pytest.mark.parametrize("by", ["operator", "visitor"])
def test_a_refresh_of_the_same_moment_does_not_outlive_a_sign_out(front: Front, by: str) -> None:
    """What deletes a session's tokens cannot see the one that a refresh is about to write."""
    session, installation = front.session(), front.workspace.installation
    sql = """
        SELECT workspace_id, token_hash, visitor_id, uses, created_at, expires_at FROM refresh_tokens
        WHERE workspace_id = $1
        """
    [row] = installation.rows(sql, front.workspace.id)
    if by == "operator":
        body = {"scope": "device-1"}
        started = front.call("POST", "/v1/conversations", body, bearer=session["access_token"])
        assert started.status_code == 201, started.text
        installation.cli("contact", "sign-out", session["visitor_id"], "-w", front.workspace.id)
    else:
        assert front.call("POST", "/v1/me/sign-out", bearer=session["access_token"]).status_code == 204
    sql = """
        INSERT INTO refresh_tokens (workspace_id, token_hash, visitor_id, uses, created_at, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6)
        """
    installation.rows(sql, *row)
    oauth(front.refresh(session["refresh_token"]), 400, "invalid_grant")
    sql = "SELECT token_hash FROM refresh_tokens WHERE workspace_id = $1"
    assert installation.rows(sql, front.workspace.id) == []


def test_only_hashes_of_refresh_tokens_are_kept(front: Front) -> None:
    session = front.session()
    rows = front.workspace.installation.rows(
        "SELECT token_hash, visitor_id FROM refresh_tokens WHERE workspace_id = $1", front.workspace.id
    )
    assert [visitor for _, visitor in rows] == [session["visitor_id"]]
    assert session["refresh_token"][30:] not in str(rows)


def test_sessions_run_out_and_are_swept(installation: Installation, tmp_path: Path) -> None:
    with beside(installation, tmp_path, purge_interval="1s", visitor_session_lifetime="1m") as server:
        front = Front(installation.workspace(), base_url=server.base_url)
        session = front.session()
        where = "FROM refresh_tokens WHERE workspace_id = $1"
        installation.rows(
            "UPDATE refresh_tokens SET expires_at = 1 WHERE workspace_id = $1 RETURNING token_hash", front.workspace.id
        )
        oauth(front.refresh(session["refresh_token"]), 400, "invalid_grant")
        gone_by = time.monotonic() + 10
        while installation.rows(f"SELECT token_hash {where}", front.workspace.id):
            assert time.monotonic() < gone_by
            time.sleep(0.1)


def test_a_session_ends_however_often_it_was_refreshed(installation: Installation, tmp_path: Path) -> None:
    """OWASP ASVS 7.3.2: whoever goes on refreshing alone, with a token that was taken, would have it for ever."""
    day = 86_400_000
    sql = (
        "UPDATE refresh_tokens SET created_at = created_at - $2, expires_at = expires_at - $2"
        " WHERE workspace_id = $1 RETURNING created_at, expires_at"
    )
    with beside(installation, tmp_path, visitor_session_lifetime="365d", visitor_session_longest="7d") as server:
        front = Front(installation.workspace(), base_url=server.base_url)
        session = front.session()
        for _ in range(3):  # two days later, each time
            times = set(installation.rows(sql, front.workspace.id, 2 * day))
            assert len(times) == 1, "all of a session's rows say when it began and ends"
            [(began, ends)] = times
            assert ends == began + 7 * day
            answer = front.refresh(session["refresh_token"])
            assert (answer.status_code, answer.json()["expires_in"]) == (200, 3600)
            assert answer.json()["visitor_id"] == session["visitor_id"]
            session = answer.json()
        installation.rows(sql, front.workspace.id, day - 600_000)  # ten minutes before the end
        last = front.refresh(session["refresh_token"]).json()
        assert 500 < last["expires_in"] <= 600, "the access token does not outlive the session"
        claims = claims_of(last["access_token"])
        assert claims["exp"] - claims["iat"] == last["expires_in"]

        installation.rows(sql, front.workspace.id, 600_000)
        oauth(front.refresh(last["refresh_token"]), 400, "invalid_grant")
        assert front.session()["visitor_id"] != session["visitor_id"]


def test_addresses_can_be_listed(installation: Installation, tmp_path: Path) -> None:
    with beside(installation, tmp_path, trusted_proxies="127.0.0.0/8") as server:
        workspace = installation.workspace()
        front = Front(workspace, base_url=server.base_url, address="203.0.113.7")

        def command(*more: str) -> dict[str, Any]:
            return installation.cli("workspace", "addresses", workspace.id, *more)

        assert command() == {"allowed_addresses": []}
        assert command("--allow", "203.0.113.0/24", "--allow", "2001:db8::/32") == {
            "allowed_addresses": ["203.0.113.0/24", "2001:db8::/32"]
        }
        session = front.session()
        for address in ("203.0.114.7", "127.0.0.1", "2001:db9::1"):
            stranger = Front(workspace, base_url=server.base_url, address=address)
            oauth(stranger.connect(), 403, "ip_not_allowed")
            oauth(stranger.refresh(session["refresh_token"]), 403, "ip_not_allowed")
        for address in ("2001:db8::1", "::ffff:203.0.113.8"):
            assert Front(workspace, base_url=server.base_url, address=address).connect().status_code == 200
        assert front.refresh(session["refresh_token"]).status_code == 200
        assert command("--any") == {"allowed_addresses": []}
    for wrong in ("203.0.113.7/24", "x", ""):
        printed = installation.command("workspace", "addresses", workspace.id, "--allow", wrong, "--json")
        printed.refused("invalid_field")
    installation.command("workspace", "addresses", workspace.id, "--any", "--allow", "::1", "--json").refused(
        "invalid_option", exit_code=2
    )


def test_a_disabled_workspace_gives_no_session(front: Front) -> None:
    session = front.session()
    front.workspace.installation.cli("workspace", "disable", front.workspace.id)
    time.sleep(2.1)
    oauth(front.connect(), 403, "workspace_disabled")
    oauth(front.refresh(session["refresh_token"]), 403, "workspace_disabled")


def test_a_limit_per_address(installation: Installation, tmp_path: Path) -> None:
    settings = {"rate_limit_new_visitors": "2", "trusted_proxies": "127.0.0.0/8"}
    with beside(installation, tmp_path, **settings) as server:
        front = Front(installation.workspace(), base_url=server.base_url, address="203.0.113.17")
        assert [front.connect().status_code for _ in range(3)] == [200, 200, 429]
        oauth(front.connect(), 429, "rate_limited")


def test_an_erased_visitor_s_session_is_gone(front: Front) -> None:
    session = front.session()
    front.call("POST", "/v1/conversations", {"scope": "device-1"}, bearer=session["access_token"])
    front.workspace.installation.cli("contact", "erase", session["visitor_id"], "-w", front.workspace.id, "--yes")
    oauth(front.refresh(session["refresh_token"]), 400, "invalid_grant")
    assert (
        front.workspace.installation.rows(
            "SELECT token_hash FROM refresh_tokens WHERE workspace_id = $1", front.workspace.id
        )
        == []
    )
