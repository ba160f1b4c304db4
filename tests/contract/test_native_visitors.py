"""`GET /v1/widget-config`, `POST /v1/visitors`, `POST /v1/me/sign-out`: what our widget needs before there is a contact
token, and at its end; and what a page's overrides come to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fixtures.front_door import Installation, Workspace, beside
from tests.fixtures.native import Client
from tests.fixtures.responding import eventually
from tests.fixtures.widget import Device, bot_token, claims_of, unverified_token
from vestibule.administration import workspaces
from vestibule.clock import now_ms
from vestibule.storage import token_endings

EMAIL = "ada@example.com"


def arrive(workspace: Workspace, **members: Any) -> httpx.Response:
    return Client(workspace, None).call("POST", "/v1/visitors", {"widget_token": bot_token(workspace), **members})


def visitor(workspace: Workspace, **members: Any) -> Client:
    answer = arrive(workspace, **members)
    assert answer.status_code == 201, answer.text
    return Client(workspace, answer.json()["token"])


def refused(answer: httpx.Response, status: int, code: str, names: str = "") -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == code
    assert names in answer.json()["detail"]


class TestTheConfig:
    def test_is_what_a_page_may_know(self, workspace: Workspace) -> None:
        asked = Client(workspace, None)
        answer = asked.call("GET", "/v1/widget-config", widget_token=bot_token(workspace))
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "*"
        [(customer_id,)] = workspace.installation.rows("SELECT customer_id FROM workspaces WHERE id = $1", workspace.id)
        assert answer.json() == {
            "workspace_id": workspace.id,
            "name": "test",
            "widget_token": bot_token(workspace),
            "customer_id": customer_id,
            "poll_seconds": 10,
            "login_required": False,
        }
        # By its id as well, as CX Genie's `data-aid` names it.
        assert asked.call("GET", "/v1/widget-config", widget_token=workspace.id).json() == answer.json()

    @pytest.mark.parametrize("token", ["", "vst_widget_nobody", "x" * 300, "\0", "é"])
    def test_is_nobody_s_for_an_unknown_token(self, workspace: Workspace, token: str) -> None:
        answer = Client(workspace, None).call("GET", "/v1/widget-config", widget_token=token)
        refused(answer, 401, "invalid_widget_token")

    def test_is_not_told_of_a_disabled_workspace(self, installation: Installation) -> None:
        closed = installation.workspace()
        token = bot_token(closed)
        installation.run(workspaces.change(installation.desk, closed.id, disabled=True))
        asked = Client(closed, None)
        eventually(lambda: asked.call("GET", "/v1/widget-config", widget_token=token).status_code == 403)
        refused(asked.call("POST", "/v1/visitors", {"widget_token": token}), 403, "workspace_disabled")


class TestAVisitor:
    def test_leaves_nothing_before_they_write(self, workspace: Workspace) -> None:
        answer = arrive(workspace)
        assert answer.status_code == 201
        claims = claims_of(answer.json()["token"])
        assert claims["contact"] == {"id": answer.json()["contact"]["id"], "verified": False}
        assert workspace.contacts() == []
        client = Client(workspace, answer.json()["token"])
        client.say(client.start("a-scope"))
        assert [row[0] for row in workspace.contacts()] == [answer.json()["contact"]["id"]]

    def test_is_who_they_say_and_nothing_is_proven(self, workspace: Workspace) -> None:
        verified = workspace.sign_in(EMAIL)[1]
        client = visitor(
            workspace, name="Ada", email=f" {EMAIL} ", phone="090", external_id="u-7", custom_data={"plan": "gold"}
        )
        me = client.call("GET", "/v1/me").json()
        assert (me["verified"], me["name"], me["email"], me["phone"]) == (False, "Ada", EMAIL, None)
        assert me["non_verified_custom_data"] == {"plan": "gold", "phone": "090", "external_id": "u-7"}
        assert me["custom_data"] == {}
        assert me["id"] != verified

    def test_is_the_contact_that_opencx_s_call_makes_of_the_same_claim(self, workspace: Workspace) -> None:
        theirs = claims_of(unverified_token(workspace, email=EMAIL))["sub"]
        assert arrive(workspace, email=EMAIL).json()["contact"]["id"] == theirs
        assert arrive(workspace).json()["contact"]["id"] != arrive(workspace).json()["contact"]["id"]

    def test_with_more_to_say_than_a_token_holds_is_stored(self, workspace: Workspace) -> None:
        custom = {f"key{number}": "x" * 100 for number in range(20)}
        made = arrive(workspace, email=EMAIL, custom_data=custom).json()
        assert "said" not in claims_of(made["token"])
        assert [row[0] for row in workspace.contacts()] == [made["contact"]["id"]]

    @pytest.mark.parametrize(
        ("members", "names"),
        [
            ({"name": "x" * 257}, "name"),
            ({"email": "x" * 255}, "email"),
            ({"phone": "x" * 257}, "phone"),
            ({"external_id": 7}, "external_id"),
            ({"custom_data": {"a": {"b": 1}}}, "custom_data"),
            ({"name": "a\0b"}, "name"),
            ({"widget_token": None}, "widget_token"),
        ],
    )
    def test_is_refused_what_no_contact_could_hold(
        self, workspace: Workspace, members: dict[str, Any], names: str
    ) -> None:
        refused(arrive(workspace, **members), 400, "invalid_field", names)

    def test_of_nobody_s_widget_is_nobody(self, workspace: Workspace) -> None:
        refused(arrive(workspace, widget_token="vst_widget_nobody"), 401, "invalid_widget_token")

    def test_counts_as_in_opencx_s_call(self, installation: Installation, workspace: Workspace, tmp_path: Path) -> None:
        with beside(installation, tmp_path, rate_limit_new_visitors="3") as server:
            body = {"widget_token": bot_token(workspace)}
            client = Client(workspace, None, base_url=server.base_url)
            device = Device(workspace, None, base_url=server.base_url)
            for _ in range(2):
                assert client.call("POST", "/v1/visitors", body).status_code == 201
            assert device.do("create-unverified").status_code == 200
            answer = client.call("POST", "/v1/visitors", body)
            refused(answer, 429, "rate_limited")
            assert int(answer.headers["retry-after"]) > 0

    def test_sees_nothing_of_who_says_the_same_elsewhere(self, workspace: Workspace) -> None:
        first = visitor(workspace, email=EMAIL)
        conversation = first.start("first-device")
        second = visitor(workspace, email=EMAIL)
        assert second.read(conversation).status_code == 404
        assert second.listed(scope="second-device") == []


class TestSigningOut:
    @pytest.mark.parametrize("verified", [True, False], ids=["verified", "unverified"])
    def test_ends_this_token_and_no_other(self, workspace: Workspace, *, verified: bool) -> None:
        def token() -> str:
            return workspace.sign_in(EMAIL)[0] if verified else visitor(workspace, email=EMAIL).token or ""

        this, other = Client(workspace, token()), Client(workspace, token())
        answer = this.call("POST", "/v1/me/sign-out")
        assert (answer.status_code, answer.content) == (204, b"")
        refused(this.call("GET", "/v1/me"), 401, "invalid_token")
        refused(this.call("POST", "/v1/me/sign-out"), 401, "invalid_token")
        assert other.call("GET", "/v1/me").status_code == 200

    def test_ends_it_in_other_processes_too(self, workspace: Workspace, two_workers: Any) -> None:
        token = workspace.sign_in(EMAIL)[0]
        elsewhere = Client(workspace, token, base_url=two_workers.base_url)
        assert elsewhere.call("GET", "/v1/me").status_code == 200
        Client(workspace, token).call("POST", "/v1/me/sign-out")
        eventually(lambda: all(elsewhere.call("GET", "/v1/me").status_code == 401 for _ in range(8)), within=5)

    def test_ends_an_open_stream(self, workspace: Workspace) -> None:
        client = Client(workspace, workspace.sign_in(EMAIL)[0])
        with client.stream(client.start()) as stream:
            stream.next("conversation")
            client.call("POST", "/v1/me/sign-out")
            assert stream.rest() == []

    def test_of_who_proves_nothing_is_counted(
        self, installation: Installation, workspace: Workspace, tmp_path: Path
    ) -> None:
        """Their tokens are to be had for the asking, and every process remembers each ending."""
        with beside(installation, tmp_path, rate_limit_sign_outs="2") as server:
            tokens = [visitor(workspace).token for _ in range(3)] + [workspace.sign_in(EMAIL)[0]]
            clients = [Client(workspace, token, base_url=server.base_url) for token in tokens]
            answers = [client.call("POST", "/v1/me/sign-out") for client in clients]
            assert [answer.status_code for answer in answers] == [204, 204, 429, 204]
            refused(answers[2], 429, "rate_limited")

    def test_is_for_ever_only_where_something_is_kept(self, workspace: Workspace) -> None:
        wrote, silent = visitor(workspace), visitor(workspace)
        wrote.say(wrote.start("device"))
        for client in (wrote, silent):
            assert client.call("POST", "/v1/me/sign-out").status_code == 204
            refused(client.call("GET", "/v1/me"), 401, "invalid_token")
        sql = "SELECT issued_before FROM token_endings WHERE workspace_id = $1 ORDER BY issued_before"
        soon, for_ever = (found for (found,) in workspace.installation.rows(sql, workspace.id))
        assert soon < now_ms() + 60_000 < for_ever == token_endings.FOR_EVER

    def test_needs_the_token(self, workspace: Workspace) -> None:
        refused(Client(workspace, None).call("POST", "/v1/me/sign-out"), 401, "missing_credentials")


class TestWhatAPageSendsAlong:
    def test_custom_data_is_kept_with_the_message(self, workspace: Workspace) -> None:
        client = Client(workspace, workspace.sign_in(EMAIL)[0])
        client.say(client.start(), custom_data={"button": "help"})
        [(kept,)] = workspace.installation.rows(
            "SELECT custom_data FROM messages WHERE workspace_id = $1", workspace.id
        )
        assert json.loads(kept) == {"button": "help"}

    @pytest.mark.parametrize(
        "members",
        [
            {"headers": {"Host": "evil.example"}},
            {"headers": {"X-A": "a\r\nX-B: b"}},
            {"body_properties": {"a": "\0"}},
            {"custom_data": {"a": "\0"}},
            {"query_params": {"a": 1}},
        ],
        ids=str,
    )
    def test_overrides_are_checked_as_in_opencx_s_call(self, workspace: Workspace, members: dict[str, Any]) -> None:
        client = Client(workspace, workspace.sign_in(EMAIL)[0])
        answer = client.send(client.start(), **members)
        refused(answer, 400, "invalid_field", next(iter(members)))
