"""A page shows its visitor's user token, the customer's server says whose it is, and a contact token comes back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.fixtures.fake_auth_endpoint import (
    ADA,
    KNOWN,
    PATH,
    FakeAuthEndpoint,
    configure,
    customer_id,
    refused,
    show,
    signed_in,
)
from tests.fixtures.fake_bot import why_forged
from tests.fixtures.front_door import Installation, Workspace, beside
from tests.fixtures.loopback import Answer, Received, closed_port, json_answer
from tests.fixtures.widget import bot_token, claims_of


@pytest.fixture
def workspace(responding: Installation) -> Workspace:
    return responding.workspace()


@pytest.fixture
def fake() -> Iterator[FakeAuthEndpoint]:
    with FakeAuthEndpoint(KNOWN) as running:
        yield running


class TestTheCall:
    def test_is_the_published_one_to_the_letter(self, workspace: Workspace, fake: FakeAuthEndpoint) -> None:
        configure(workspace, fake)
        signed_in(workspace, "ada-session", headers={"x-forwarded-for": "203.0.113.9", "cookie": "a=b"})
        [request] = fake.received
        assert (request.method, request.path) == ("POST", "/whoami")
        assert request.headers["authorization"] == "abc Bearer"
        assert request.headers["content-type"] == "application/json"
        assert request.body == b'{"access_token":"ada-session"}'
        # Nothing of the visitor's own request.
        assert request.headers.keys() == {
            "host",
            "accept",
            "accept-encoding",
            "user-agent",
            "content-length",
            "content-type",
            "authorization",
            "webhook-id",
            "webhook-timestamp",
            "webhook-signature",
        }

    @pytest.mark.parametrize(
        ("settings", "name", "value"),
        [
            ({"header_form": "Bearer {token}"}, "authorization", "Bearer abc"),
            ({"header_form": "{token}"}, "authorization", "abc"),
            ({"header_name": "X-Shop-Key", "header_form": "{token}"}, "x-shop-key", "abc"),
            ({"header_token": ""}, "authorization", None),
        ],
    )
    def test_has_the_header_that_the_workspace_chose(
        self, workspace: Workspace, fake: FakeAuthEndpoint, settings: dict[str, Any], name: str, value: str | None
    ) -> None:
        configure(workspace, fake, **settings)
        signed_in(workspace, "ada-session")
        assert fake.received[0].headers.get(name) == value

    def test_is_signed_with_both_secrets_while_they_are_changed(
        self, workspace: Workspace, fake: FakeAuthEndpoint
    ) -> None:
        first = configure(workspace, fake).secret
        desk = workspace.installation
        printed = desk.cli("auth-endpoint", "set", "-w", workspace.id, "--rotate-secret")
        signed_in(workspace, "ada-session")
        [request] = fake.received
        assert first is not None
        assert why_forged(request, first) is None
        assert why_forged(request, printed["secret"]) is None
        assert printed["secrets"] == 2
        assert desk.cli("auth-endpoint", "set", "-w", workspace.id, "--forget-old-secret")["secrets"] == 1

    def test_passes_on_what_is_ticked_and_said_and_nothing_else(
        self, workspace: Workspace, fake: FakeAuthEndpoint
    ) -> None:
        configure(workspace, fake, fields=["user_id", "phone_number"])
        said = {"user_id": "7", "email": "page@example.com", "name": "Page"}
        signed_in(workspace, "ada-session", fields=said)
        assert fake.received[0].json == {"access_token": "ada-session", "user_id": "7"}

    def test_a_page_s_word_never_fills_what_the_answer_left_out(
        self, workspace: Workspace, fake: FakeAuthEndpoint
    ) -> None:
        fake.people["ada-session"] = {"name": "Ada"}
        configure(workspace, fake, fields=["user_id"])
        refused(show(workspace, "ada-session", fields={"user_id": "u-1"}), 502, "auth_identity_missing")
        assert workspace.contacts() == []

    def test_is_made_once_for_all_who_ask_at_the_same_time(self, workspace: Workspace, fake: FakeAuthEndpoint) -> None:
        configure(workspace, fake, cache_seconds=60)
        with ThreadPoolExecutor(8) as threads:
            with fake.held():
                waiting = [threads.submit(signed_in, workspace, "ada-session") for _ in range(8)]
                fake.wait_for(1)
            ids = {done.result()["contact"]["id"] for done in waiting}
        assert len(ids) == 1
        assert len(fake.received) == 1
        signed_in(workspace, "ada-session")
        assert len(fake.received) == 1  # remembered
        signed_in(workspace, "bob-session")
        assert len(fake.received) == 2

    @pytest.mark.parametrize(
        ("headers", "data"), [({"cache-control": "private, no-store"}, {}), ({}, {"expires_in": 0})]
    )
    def test_is_made_again_where_the_customer_wants_nothing_remembered(
        self, workspace: Workspace, fake: FakeAuthEndpoint, headers: dict[str, str], data: dict[str, Any]
    ) -> None:
        configure(workspace, fake, cache_seconds=60)
        fake.always({"status": True, "data": {**ADA, **data}}, headers=headers)
        signed_in(workspace, "ada-session")
        signed_in(workspace, "ada-session")
        assert len(fake.received) == 2

    def test_a_no_is_remembered_for_a_moment_and_not_knowing_never(
        self, workspace: Workspace, fake: FakeAuthEndpoint
    ) -> None:
        configure(workspace, fake, cache_seconds=60)
        for _ in range(2):
            refused(show(workspace, "nobody"), 401, "auth_rejected")
        assert len(fake.received) == 1
        fake.always(b"not json")
        for _ in range(2):
            refused(show(workspace, "ada-session"), 502, "auth_bad_response")
        assert len(fake.received) == 3
        fake.reply = None
        signed_in(workspace, "ada-session")

    @pytest.mark.parametrize("status", [502, 503, 504])
    def test_is_tried_once_more_behind_a_gateway_with_the_same_id(
        self, workspace: Workspace, fake: FakeAuthEndpoint, status: int
    ) -> None:
        configure(workspace, fake)
        answers = [Answer(status), json_answer({"status": True, "data": ADA})]
        fake.reply = lambda _request: answers.pop(0)
        signed_in(workspace, "ada-session")
        first, second = fake.received
        assert first.headers["webhook-id"] == second.headers["webhook-id"]
        assert second.at - first.at < 1

    def test_a_server_that_fails_is_left_alone(self, workspace: Workspace, fake: FakeAuthEndpoint) -> None:
        configure(workspace, fake)
        fake.always(b"", 500)
        for _ in range(5):
            refused(show(workspace, "ada-session"), 503, "auth_unavailable")
        fake.reply = None
        answer = show(workspace, "ada-session")
        refused(answer, 503, "auth_unavailable")
        assert 20 <= int(answer.headers["retry-after"]) <= 30, "as long as it is left alone"
        assert len(fake.received) == 5


class TestThreeOutcomes:
    @pytest.mark.parametrize(
        ("body", "status", "expected"),
        [
            ({"status": False, "message": "expired"}, 200, (401, "auth_rejected")),
            ({"status": False}, 201, (401, "auth_rejected")),
            (b"", 401, (401, "auth_rejected")),
            ({"status": True, "data": ADA}, 403, (401, "auth_rejected")),
            ({"status": "true", "data": ADA}, 200, (502, "auth_bad_response")),
            ({"status": 1, "data": ADA}, 200, (502, "auth_bad_response")),
            ({"data": ADA}, 200, (502, "auth_bad_response")),
            ({"status": True}, 200, (502, "auth_bad_response")),
            ({"status": True, "data": []}, 200, (502, "auth_bad_response")),
            ({"status": True, "data": [ADA]}, 200, (502, "auth_bad_response")),
            ([ADA], 200, (502, "auth_bad_response")),
            (b"<html>Welcome</html>", 200, (502, "auth_bad_response")),
            (b"", 204, (502, "auth_bad_response")),
            (b"", 304, (502, "auth_bad_response")),
            (b"", 404, (502, "auth_bad_response")),
            ({"status": True, "data": {"name": "Ada"}}, 200, (502, "auth_identity_missing")),
            ({"status": True, "data": {"id": True}}, 200, (502, "auth_identity_missing")),
            ({"status": True, "data": {"id": 1.5}}, 200, (502, "auth_identity_missing")),
            ({"status": True, "data": {"id": {"a": 1}}}, 200, (502, "auth_identity_missing")),
            ({"status": True, "data": {"id": "  "}}, 200, (502, "auth_identity_missing")),
            ({"status": True, "data": {"id": "x" * 256}}, 200, (502, "auth_identity_missing")),
            ({"status": True, "data": {"id": None}}, 200, (502, "auth_identity_missing")),
            (b"", 408, (503, "auth_unavailable")),
            (b"", 429, (503, "auth_unavailable")),
            (b"", 500, (503, "auth_unavailable")),
            (b"", 503, (503, "auth_unavailable")),
        ],
    )
    def test_what_each_answer_means(
        self, workspace: Workspace, fake: FakeAuthEndpoint, body: object, status: int, expected: tuple[int, str]
    ) -> None:
        configure(workspace, fake)
        fake.always(body, status)
        problem = refused(show(workspace, "ada-session"), *expected)
        assert "expired" not in json.dumps(problem)  # their words are for the log
        assert workspace.contacts() == []

    def test_nobody_listens(self, workspace: Workspace) -> None:
        configure(workspace, url=closed_port())
        refused(show(workspace, "ada-session"), 503, "auth_unavailable")

    def test_no_endpoint_at_all(self, workspace: Workspace) -> None:
        refused(show(workspace, "ada-session"), 404, "not_found")

    @pytest.mark.parametrize("token", [None, "", "   ", "%USER_TOKEN%", "undefined", "null", "x" * 8193])
    def test_what_is_no_token_is_not_asked_about(
        self, workspace: Workspace, fake: FakeAuthEndpoint, token: str | None
    ) -> None:
        configure(workspace, fake)
        assert refused(show(workspace, token), 400, "invalid_field")["field"] == "user_token"
        configure(other := workspace.installation.workspace(), fake, required_login=True)
        refused(show(other, token), 401, "login_required")
        assert fake.received == []

    def test_a_guest_where_it_could_not_be_told_and_the_workspace_wants_that(
        self, workspace: Workspace, fake: FakeAuthEndpoint
    ) -> None:
        configure(workspace, fake, fallback="guest")
        fake.always(b"", 500)
        answer = show(workspace, "ada-session")
        assert answer.status_code == 200
        assert answer.json()["contact"]["verified"] is False
        assert answer.json()["expires_in"] is None
        assert claims_of(answer.json()["token"])["contact"]["verified"] is False
        assert workspace.me(answer.json()["token"]).json()["verified"] is False
        fake.always({"status": False})
        refused(show(workspace, "mallory"), 401, "auth_rejected")

    def test_no_guest_where_login_is_required(self, workspace: Workspace, fake: FakeAuthEndpoint) -> None:
        configure(workspace, fake, fallback="guest", required_login=True)
        fake.always(b"", 500)
        refused(show(workspace, "ada-session"), 503, "auth_unavailable")


class TestThePage:
    def test_names_the_workspace_once(self, workspace: Workspace, fake: FakeAuthEndpoint) -> None:
        configure(workspace, fake)
        http = workspace.installation.http
        both = {"customer_id": customer_id(workspace), "widget_token": bot_token(workspace), "user_token": "a"}
        refused(http.post(PATH, json=both), 400, "invalid_field")
        refused(http.post(PATH, json={"user_token": "a"}), 400, "invalid_field")
        only = http.post(PATH, json={"widget_token": bot_token(workspace), "user_token": "ada-session"})
        assert only.status_code == 200
        refused(http.post(PATH, json={"widget_token": "nobody's", "user_token": "a"}), 401, "invalid_widget_token")
        refused(http.post(PATH, json={"customer_id": "nobody", "user_token": "a"}), 404, "not_found")
        refused(http.post(PATH, json={"customer_id": "a\0b", "user_token": "a"}), 404, "not_found")

    def test_may_be_of_any_origin_and_is_told_why_it_is_refused(
        self, workspace: Workspace, fake: FakeAuthEndpoint
    ) -> None:
        configure(workspace, fake)
        asked = {"origin": "https://shop.example", "access-control-request-method": "POST"}
        preflight = workspace.installation.http.options(PATH, headers=asked)
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-origin"] == "*"
        answer = show(workspace, "nobody", headers={"origin": "https://shop.example"})
        assert refused(answer, 401, "auth_rejected")
        assert answer.headers["access-control-allow-origin"] == "*"

    def test_asks_only_so_often(
        self, responding: Installation, fake: FakeAuthEndpoint, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        workspace = responding.workspace()
        configure(workspace, fake)
        directory = tmp_path_factory.mktemp("limited")
        with beside(responding, directory, rate_limit_user_tokens="3") as server:
            body = {"customer_id": customer_id(workspace), "user_token": "nobody"}
            asked = [httpx.post(f"{server.base_url}{PATH}", json=body, trust_env=False) for _ in range(4)]
            assert [answer.status_code for answer in asked] == [401, 401, 401, 429]
            refused(asked[-1], 429, "rate_limited")
            start = f"{server.base_url}/api/v1/bot-sessions/guest-auth/start-bot-session"
            app = httpx.post(start, json={"bot_id": workspace.id, "customer_auth_token": "nobody"}, trust_env=False)
            assert (app.status_code, app.json()["error"]["code"]) == (429, "rate_limited")

    def test_a_disabled_workspace_admits_nobody(self, workspace: Workspace, fake: FakeAuthEndpoint) -> None:
        configure(workspace, fake)
        workspace.installation.cli("workspace", "disable", workspace.id)
        refused(show(workspace, "ada-session"), 403, "workspace_disabled")
        assert fake.received == []


def lists(list_: object) -> Any:
    def reply(request: Received) -> Answer:
        return json_answer(list_) if request.method == "GET" else json_answer({"status": True, "data": ADA})

    return reply


class TestDomains:
    @pytest.mark.parametrize(
        ("origin", "allowed"),
        [
            ("https://shop.example.com", True),
            ("https://SHOP.example.com:8443", True),
            ("http://shop.example.com", True),
            ("https://a.b.example.org", True),
            ("https://xn--mnchen-3ya.example", True),
            ("https://example.org", False),  # *.example.org does not name it
            ("https://example.com", False),
            ("https://evil.com", False),
            ("https://shop.example.com.evil.com", False),
            ("https://evilexample.org", False),
            ("null", False),
            ("capacitor://shop.example.com", False),
            ("https://shop.example.com@evil.com", False),
            ("", False),
            (None, False),
        ],
    )
    def test_only_listed_pages(
        self, workspace: Workspace, fake: FakeAuthEndpoint, origin: str | None, *, allowed: bool
    ) -> None:
        domains = ["shop.example.com", "*.example.org", "München.example"]
        configure(workspace, fake, restrict_domains=True, domains=domains)
        answer = show(workspace, "ada-session", headers={"origin": origin} if origin is not None else {})
        if allowed:
            assert answer.status_code == 200, answer.text
        else:
            refused(answer, 403, "domain_not_allowed")
            assert fake.received == []

    def test_apps_send_no_origin_and_have_a_switch(self, workspace: Workspace, fake: FakeAuthEndpoint) -> None:
        configure(workspace, fake, restrict_domains=True, domains=["a.com"], native_apps=True)
        signed_in(workspace, "ada-session")
        refused(show(workspace, "ada-session", headers={"origin": "https://b.com"}), 403, "domain_not_allowed")

    def test_on_and_empty_admits_nobody(self, workspace: Workspace, fake: FakeAuthEndpoint) -> None:
        configure(workspace, fake, restrict_domains=True)
        refused(show(workspace, "ada-session", headers={"origin": "https://a.com"}), 403, "domain_not_allowed")

    @pytest.mark.parametrize("listed", [["a.com", "not a domain"], {"status": True, "data": ["a.com"]}])
    def test_from_an_api_which_is_asked_once(
        self, workspace: Workspace, fake: FakeAuthEndpoint, listed: object
    ) -> None:
        secret = configure(workspace, fake, restrict_domains=True, domains_url=f"{fake.url}/domains").secret
        fake.reply = lists(listed)
        for _ in range(2):
            assert show(workspace, "ada-session", headers={"origin": "https://a.com"}).status_code == 200
        refused(show(workspace, "ada-session", headers={"origin": "https://b.com"}), 403, "domain_not_allowed")
        [request] = [received for received in fake.received if received.method == "GET"]
        assert request.path == "/domains"
        assert request.headers["authorization"] == "abc Bearer"
        assert secret is not None
        assert why_forged(request, secret) is None

    @pytest.mark.parametrize("answer", [Answer(500), Answer(200, b"["), Answer(200, b"{}"), Answer(200, b"[1]")])
    def test_an_api_that_fails_opens_nothing(
        self, workspace: Workspace, fake: FakeAuthEndpoint, answer: Answer
    ) -> None:
        configure(workspace, fake, restrict_domains=True, domains_url=f"{fake.url}/domains", fallback="guest")
        fake.reply = lambda request: answer if request.method == "GET" else json_answer({"status": True, "data": ADA})
        refused(show(workspace, "ada-session", headers={"origin": "https://a.com"}), 503, "auth_unavailable")

    def test_counts_for_visitors_without_proof_as_well(self, workspace: Workspace) -> None:
        configure(workspace, restrict_domains=True, domains=["a.com"])
        http, path = workspace.installation.http, "/backend/widget/v2/contact/create-unverified"
        headers = {"x-bot-token": bot_token(workspace)}
        assert http.post(path, json={}, headers={**headers, "origin": "https://a.com"}).status_code == 200
        answer = http.post(path, json={}, headers={**headers, "origin": "https://b.com"})
        assert (answer.status_code, answer.json()["error"]) == (403, "domain_not_allowed")
