"""A page shows its visitor's user token, the customer's server says whose it is, and a contact token comes back."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.fixtures.fake_auth_endpoint import PATH, FakeAuthEndpoint, configure, customer_id, refused, show, signed_in
from tests.fixtures.fake_bot import why_forged
from tests.fixtures.front_door import Installation, Workspace, beside
from tests.fixtures.loopback import Answer, Received, closed_port, json_answer
from tests.fixtures.widget import bot_token, claiming, claims_of, verified

ADA = {"id": "u-1", "name": "Ada", "email": "ada@example.com", "phone_number": "0901234567", "country_code": "+84"}


@pytest.fixture
def workspace(responding: Installation) -> Workspace:
    return responding.workspace()


@pytest.fixture
def fake() -> Iterator[FakeAuthEndpoint]:
    with FakeAuthEndpoint({"ada-session": ADA, "bob-session": {"id": "u-2", "name": "Bob"}}) as running:
        yield running


def labels_of(workspace: Workspace, contact_id: str) -> Any:
    sql = "SELECT labels FROM contacts WHERE workspace_id = $1 AND id = $2"
    [(found,)] = workspace.installation.rows(sql, workspace.id, contact_id)
    return json.loads(found) if found is not None else None


def logged(workspace: Workspace, names: str) -> dict[str, Any]:
    """The line of the access log that names this. It is written a moment after the answer."""
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        for line in workspace.installation.server.log().splitlines():
            if names in line and line.startswith("{"):
                found: dict[str, Any] = json.loads(line)
                return found
        time.sleep(0.02)
    raise AssertionError(f"no line of the log names {names}")


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
        refused(show(workspace, "ada-session"), 503, "auth_unavailable")
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


class TestWhoItIs:
    def test_the_answer_makes_and_updates_one_contact(self, workspace: Workspace, fake: FakeAuthEndpoint) -> None:
        configure(workspace, fake)
        made = signed_in(workspace, "ada-session")
        fake.people["new-session"] = {**ADA, "name": "Ada L.", "email": "lovelace@example.com"}
        again = signed_in(workspace, "new-session")
        assert again["contact"]["id"] == made["contact"]["id"]
        assert again["token"] != made["token"]
        me = workspace.me(again["token"]).json()
        assert (me["name"], me["email"], me["phone"]) == ("Ada L.", "lovelace@example.com", "0901234567")
        assert (me["method"], me["verified"]) == ("auth_endpoint", True)
        assert me["provenance"]["name"]["source"] == "auth_endpoint"
        row = workspace.contact(made["contact"]["id"])
        shown = workspace.installation.cli("contact", "show", made["contact"]["id"], "-w", workspace.id)
        assert (shown["phone"], shown["phone_e164"]) == ("0901234567", "+84901234567")
        # Only the configured method makes a key.
        assert (row["email_key"], row["phone_key"]) == (None, None)

    def test_the_token_lives_an_hour_at_the_most(self, workspace: Workspace, fake: FakeAuthEndpoint) -> None:
        configure(workspace, fake)
        made = signed_in(workspace, "ada-session")
        claims = claims_of(made["token"])
        assert claims["method"] == "auth_endpoint"
        assert claims["exp"] - claims["iat"] == made["expires_in"]
        assert 3590 <= made["expires_in"] <= 3600

    @pytest.mark.parametrize("end", ["-1e308", "-1e300", "-1", "0", "1e308", "0.5", "1e-320"])
    def test_a_jwt_s_end_may_be_absurd(self, workspace: Workspace, fake: FakeAuthEndpoint, end: str) -> None:
        payload = base64.urlsafe_b64encode(f'{{"exp":{end}}}'.encode()).rstrip(b"=").decode()
        fake.people[f"e30.{payload}.x"] = {"id": "u-1"}
        configure(workspace, fake, cache_seconds=60)
        for _ in range(2):
            life = signed_in(workspace, f"e30.{payload}.x")["expires_in"]
            assert life in ({3599, 3600} if end == "1e308" else {60})

    def test_the_end_of_a_jwt_shortens_it(self, workspace: Workspace, fake: FakeAuthEndpoint) -> None:
        configure(workspace, fake)
        for ends_in, expected in ((600, 600), (-10, 60), (99_999, 3600)):
            payload = base64.urlsafe_b64encode(json.dumps({"exp": time.time() + ends_in}).encode()).rstrip(b"=")
            token = f"e30.{payload.decode()}.sig"
            fake.people[token] = ADA
            assert abs(signed_in(workspace, token)["expires_in"] - expected) <= 5

    @pytest.mark.parametrize(
        ("method", "first", "second"),
        [
            ("id", {"id": 42}, {"id": "42"}),
            ("id", {"id": " Ab "}, {"id": "Ab"}),
            ("email", {"email": "Ada@Example.com"}, {"email": " ada@example.com "}),
            (
                "phone_number",
                {"phone_number": "0901234567", "country_code": "+84"},
                {"phone_number": "+84 90 123 45 67"},
            ),
        ],
    )
    def test_the_same_person_by_each_method(
        self,
        workspace: Workspace,
        fake: FakeAuthEndpoint,
        method: str,
        first: dict[str, Any],
        second: dict[str, Any],
    ) -> None:
        configure(workspace, fake, identity_method=method)
        fake.people |= {"one": first, "two": second}
        assert signed_in(workspace, "one")["contact"] == signed_in(workspace, "two")["contact"]

    def test_ids_differ_by_letter_case(self, workspace: Workspace, fake: FakeAuthEndpoint) -> None:
        configure(workspace, fake)
        fake.people |= {"one": {"id": "ab"}, "two": {"id": "AB"}}
        assert signed_in(workspace, "one")["contact"] != signed_in(workspace, "two")["contact"]

    @pytest.mark.parametrize(
        ("number", "code", "key"),
        [
            ("0901234567", "+84", "+84901234567"),
            ("0901234567", "84", "+84901234567"),
            ("0901234567", "0084", "+84901234567"),
            ("0901234567", "VN", "+84901234567"),
            ("0901234567", 84, "+84901234567"),
            ("84901234567", "+84", "+84901234567"),
            ("0084901234567", "+84", "+84901234567"),
            ("+84901234567", "+47", "+84901234567"),
            ("0612345678", "+39", "+390612345678"),
            ("8 912 345-67-89", "+7", "+79123456789"),
            ("0901234567", None, "+84901234567"),  # the workspace's own
            ("113", "+84", None),
            ("090XXXXXXX", "+84", None),
            ("0901234567", "+999", None),
            (901234567, "+84", None),
        ],
    )
    def test_phone_numbers_as_identity(
        self, workspace: Workspace, fake: FakeAuthEndpoint, number: object, code: object, key: str | None
    ) -> None:
        configure(workspace, fake, identity_method="phone_number", country_code="+84")
        fake.people["p"] = {"phone_number": number, **({"country_code": code} if code is not None else {})}
        if key is None:
            refused(show(workspace, "p"), 502, "auth_identity_missing")
            return
        row = workspace.contact(signed_in(workspace, "p")["contact"]["id"])
        assert (row["phone_key"], row["phone"]) == (key, number)

    def test_absent_and_empty_keep_and_null_clears(self, workspace: Workspace, fake: FakeAuthEndpoint) -> None:
        configure(workspace, fake)
        fake.people["s"] = {"id": 1, "name": "Ada", "email": "a@example.com", "avatar": "https://a.example/x.png"}
        contact = signed_in(workspace, "s")["contact"]["id"]
        fake.people["s"] = {"id": 1, "name": "", "email": None}
        signed_in(workspace, "s")
        row = workspace.contact(contact)
        assert (row["name"], row["email"], row["avatar_url"]) == ("Ada", None, "https://a.example/x.png")

    def test_what_cannot_be_used_is_left_out_and_noted(self, workspace: Workspace, fake: FakeAuthEndpoint) -> None:
        configure(workspace, fake)
        fake.people["s"] = {"id": 1, "name": 5, "email": "no", "avatar": "http://a.example/x", "phone_number": "113"}
        contact = signed_in(workspace, "s")["contact"]["id"]
        row = workspace.contact(contact)
        assert (row["name"], row["email"], row["avatar_url"], row["phone"]) == (None, None, None, "113")
        noted = logged(workspace, contact)["fields"]
        assert all(f"{name} refused" in noted for name in ("name", "email", "avatar_url"))
        assert "phone kept for display" in noted

    def test_labels_are_authentication_s_own(self, workspace: Workspace, fake: FakeAuthEndpoint) -> None:
        configure(workspace, fake)
        fake.people["s"] = {"id": 1, "label": " Gold "}
        made = signed_in(workspace, "s")
        contact = made["contact"]["id"]
        assert labels_of(workspace, contact) == ["Gold"]
        fake.people["s"] = {"id": 1, "label": ["Silver", "VIP", "Silver"]}
        signed_in(workspace, "s")
        assert labels_of(workspace, contact) == ["Silver", "VIP"]
        fake.people["s"] = {"id": 1}
        signed_in(workspace, "s")
        assert labels_of(workspace, contact) == ["Silver", "VIP"]
        fake.people["s"] = {"id": 1, "label": None}
        signed_in(workspace, "s")
        assert labels_of(workspace, contact) is None
        assert "labels" not in json.dumps(workspace.me(made["token"]).json())


class TestConflicts:
    def test_an_address_that_is_somebody_s_key_is_a_conflict(
        self, workspace: Workspace, fake: FakeAuthEndpoint
    ) -> None:
        workspace.sign_in("ada@example.com", phone="+84901234567")
        configure(workspace, fake)
        before = workspace.contacts()
        refused(show(workspace, "ada-session"), 409, "identity_conflict")
        fake.people["ada-session"] = {"id": "u-1", "phone_number": "+84901234567"}
        refused(show(workspace, "ada-session"), 409, "identity_conflict")
        assert workspace.contacts() == before

    def test_by_e_mail_it_is_the_contact_that_the_backend_vouched_for(
        self, workspace: Workspace, fake: FakeAuthEndpoint
    ) -> None:
        _, known = workspace.sign_in("ada@example.com")
        configure(workspace, fake, identity_method="email")
        assert signed_in(workspace, "ada-session")["contact"]["id"] == known

    def test_an_address_that_another_only_shows_is_none(self, workspace: Workspace, fake: FakeAuthEndpoint) -> None:
        configure(workspace, fake)
        fake.people |= {"one": {"id": 1, "email": "x@example.com"}, "two": {"id": 2, "email": "x@example.com"}}
        assert signed_in(workspace, "one")["contact"] != signed_in(workspace, "two")["contact"]

    def test_old_keys_stay_when_the_method_changes(self, workspace: Workspace, fake: FakeAuthEndpoint) -> None:
        configure(workspace, fake, identity_method="email")
        known = signed_in(workspace, "ada-session")["contact"]["id"]
        shown = workspace.installation.cli("auth-endpoint", "show", "-w", workspace.id)
        assert shown["contacts_without_key"] == {"id": 1, "email": 0, "phone_number": 1}
        configure(workspace, fake, identity_method="id")
        assert workspace.contact(known)["email_key"] == "ada@example.com"

    def test_a_stranger_s_typed_address_is_not_joined(self, workspace: Workspace, fake: FakeAuthEndpoint) -> None:
        configure(workspace, fake, identity_method="email")
        stranger = claiming(workspace, "ada@example.com")
        session = stranger.call("POST", "/create-session", {"customData": {"external_id": stranger.scope}})
        assert session.status_code == 201
        assert signed_in(workspace, "ada-session")["contact"]["id"] != stranger.contact_id

    def test_it_is_where_the_workspace_wants_the_published_reading(
        self, workspace: Workspace, fake: FakeAuthEndpoint
    ) -> None:
        configure(workspace, fake, identity_method="email", claim_unverified_contacts=True)
        stranger = claiming(workspace, "ada@example.com", non_verified_name="Typed")
        session = stranger.call("POST", "/create-session", {"customData": {"external_id": stranger.scope}}).json()
        made = signed_in(workspace, "ada-session")
        assert made["contact"]["id"] == stranger.contact_id
        row = workspace.contact(stranger.contact_id)
        assert (row["email_key"], row["name"]) == ("ada@example.com", "Ada")
        # The record is one; what a stranger wrote is not the person's to see, nor the other way round.
        mine = verified(workspace, "ada@example.com")
        assert mine.contact_id == stranger.contact_id
        assert mine.poll(session["id"]).status_code == 404
        theirs = mine.call("POST", "/create-session", {}).json()
        assert stranger.poll(theirs["id"]).status_code == 404
        assert stranger.poll(session["id"]).status_code == 200

    def test_many_first_sign_ins_at_once_make_one_contact(self, workspace: Workspace, fake: FakeAuthEndpoint) -> None:
        configure(workspace, fake)
        with ThreadPoolExecutor(8) as threads:
            done = list(threads.map(lambda _: signed_in(workspace, "ada-session")["contact"]["id"], range(16)))
        assert len(set(done)) == 1
        assert len(workspace.contacts()) == 1


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
