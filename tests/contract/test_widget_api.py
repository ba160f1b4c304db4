"""Every path of the OpenCX widget API below /backend/widget/v2 but upload and action/execute, as the unmodified widget
needs it (contracts/opencx.md sections 0 to 4)."""

from __future__ import annotations

import json
from typing import Any

import httpx
import msgspec
import pytest

from tests.fixtures.front_door import Workspace, refused
from tests.fixtures.raw_http import exchange
from tests.fixtures.widget import (
    OPERATIONS,
    PREFIX,
    Device,
    anonymous,
    bot_token,
    claims_of,
    configure,
    new_uuid,
    unverified_token,
)
from tests.fixtures.widget_shapes import UUID
from vestibule.administration import workspaces
from vestibule.model.responder import Mode, WidgetSettings

ORIGIN = "https://shop.example"


def preflight(device: Device, method: str, path: str, headers: str) -> httpx.Response:
    """As Chromium asks, which sorts the names and sends no credentials."""
    asked = {"origin": ORIGIN, "access-control-request-method": method, "access-control-request-headers": headers}
    return device.workspace.installation.http.options(PREFIX + path, headers=asked)


class TestCors:
    """Contract 0.2."""

    @pytest.mark.parametrize("operation", OPERATIONS)
    @pytest.mark.parametrize("headers", ["authorization,content-type,x-bot-token", "content-type,x-bot-token"])
    def test_the_preflight_of_every_call_is_granted(self, workspace: Workspace, operation: str, headers: str) -> None:
        method, path, _ = OPERATIONS[operation]
        answer = preflight(Device(workspace, None), method, path.replace("{id}", new_uuid()), headers)

        assert answer.status_code == 204
        assert answer.content == b""
        assert answer.headers.get_list("access-control-allow-origin") == ["*"]
        [named] = answer.headers.get_list("access-control-allow-headers")
        assert set(headers.split(",")) <= {name.strip().lower() for name in named.split(",")}
        assert "*" not in named, "the standard's * does not cover Authorization"
        [methods] = answer.headers.get_list("access-control-allow-methods")
        assert method in methods
        assert "access-control-allow-credentials" not in answer.headers
        assert int(answer.headers["access-control-max-age"]) > 0

    def test_a_page_that_keeps_etags_may_send_them(self, workspace: Workspace) -> None:
        answer = preflight(Device(workspace, None), "GET", "/sessions", "authorization,if-none-match,x-bot-token")
        assert "if-none-match" in answer.headers["access-control-allow-headers"].lower()

    def test_every_answer_names_one_origin(self, workspace: Workspace) -> None:
        """Refusals, too: without it a page sees a network error."""
        visitor = anonymous(workspace)
        session = visitor.start()
        answers = {
            200: visitor.call("GET", "/config"),
            201: visitor.send(session),
            304: visitor.poll(session, headers={"if-none-match": visitor.poll(session).headers["etag"]}),
            400: visitor.send(session, uuid="x"),
            401: Device(workspace, "x").poll(session),
            404: visitor.poll(new_uuid()),
            405: visitor.call("DELETE", "/config"),
            409: (visitor.resolve(session), visitor.send(session))[1],
            413: visitor.send(session, "x" * 70_000),
            415: visitor.call("POST", "/chat/send", b"x", headers={"content-type": "text/plain"}),
        }
        for status, answer in answers.items():
            assert answer.status_code == status
            assert answer.headers.get_list("access-control-allow-origin") == ["*"], status
            assert "access-control-allow-credentials" not in answer.headers
            assert "etag" in answer.headers["access-control-expose-headers"].lower()
            assert "set-cookie" not in answer.headers


class TestEveryPath:
    def test_may_have_white_space_behind_its_bot_token(self, workspace: Workspace) -> None:
        """RFC 9110 section 5.5: it is no part of a value."""
        base = workspace.installation.base_url
        for padding in (" ", "\t", " \t "):
            header = f"X-Bot-Token:{padding}{bot_token(workspace)}{padding}"
            head = f"GET {PREFIX}/config HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n"
            assert exchange(base, head.encode()).status == 200

    @pytest.mark.parametrize("operation", OPERATIONS)
    def test_needs_a_bot_token(self, workspace: Workspace, operation: str) -> None:
        visitor = anonymous(workspace)
        session = visitor.start()
        for bot in ("vst_widget_0000000000000000000000", "x", "x" * 300):
            answer = Device(workspace, visitor.token, bot=bot).do(operation, session)
            refused(answer, 401, "invalid_widget_token")
        del (headers := visitor.headers())["x-bot-token"]
        method, path, body = OPERATIONS[operation]
        bare = workspace.installation.http.request(
            method, PREFIX + path.replace("{id}", session), headers=headers, json=body
        )
        refused(bare, 401, "invalid_widget_token")

    def test_is_closed_where_the_workspace_is_disabled(self, workspace: Workspace) -> None:
        installation = workspace.installation
        installation.run(workspaces.change(installation.desk, workspace.id, disabled=True))
        refused(Device(workspace, None).call("GET", "/config"), 403, "workspace_disabled")

    def test_that_is_none_says_so_in_this_dialect(self, workspace: Workspace) -> None:
        visitor = anonymous(workspace)
        refused(visitor.call("GET", "/prelude"), 404, "no_such_path")
        refused(visitor.call("GET", "/poll/"), 404, "no_such_path")
        answer = visitor.call("PUT", "/create-session", {})
        refused(answer, 405, "method_not_allowed")
        assert answer.headers["allow"] == "POST"


class TestConfig:
    def test_has_what_gates_the_widget(self, workspace: Workspace) -> None:
        answer = Device(workspace, None).call("GET", "/config")
        assert answer.status_code == 200
        assert answer.json() == {
            "org": {"id": workspace.id, "name": "test"},
            "sessionsPollingIntervalSeconds": 60,
            "sessionPollingIntervalSeconds": 10,
            "modes": [],
        }

    def test_tells_the_workspaces_own_settings(self, workspace: Workspace) -> None:
        configure(workspace, WidgetSettings(30, 2.5, (Mode("m1", "Form", "form"), Mode("m2", "Map"))))
        answer = Device(workspace, None).call("GET", "/config").json()
        assert answer["sessionsPollingIntervalSeconds"] == 30
        assert answer["sessionPollingIntervalSeconds"] == 2.5
        assert answer["modes"] == [
            {"id": "m1", "name": "Form", "slug": "form"},
            {"id": "m2", "name": "Map", "slug": None},
        ]

    def test_comes_whatever_the_user_token_is_worth(self, workspace: Workspace) -> None:
        """Contract section 1: with `user.token` set the very first call carries it; a stale one must not keep the
        widget from showing itself."""
        foreign = workspace.installation.workspace().sign_in()[0]
        for token in ("stale", foreign, foreign[:-4] + "AAAA", "a.b.c"):
            assert Device(workspace, token).call("GET", "/config").status_code == 200


class TestCreateUnverified:
    @pytest.mark.parametrize(
        "said",
        [
            {},
            {"non_verified_name": "Ada"},
            {"email": "ada@example.com"},
            {
                "email": "ada@example.com",
                "non_verified_name": "Ada",
                "non_verified_custom_data": {"plan": "gold", "n": 1},
            },
            {"email": None, "non_verified_name": None, "non_verified_custom_data": None},
            {"something": "else"},
            {"non_verified_name": "x" * 257, "non_verified_custom_data": {"plan": None}},
        ],
        ids=json.dumps,
    )
    def test_answers_a_token_and_nothing_else(self, workspace: Workspace, said: dict[str, Any]) -> None:
        answer = Device(workspace, None).call("POST", "/contact/create-unverified", said)
        assert answer.status_code == 200
        assert set(answer.json()) == {"token"}

        claims = claims_of(answer.json()["token"])
        assert claims["org_id"] == workspace.id
        assert claims["contact"] == {"id": claims["sub"], "verified": False}
        assert "exp" not in claims
        assert UUID.fullmatch(claims["sub"])

    @pytest.mark.parametrize(
        ("said", "names"),
        [
            ({"email": 1}, "email"),
            ({"non_verified_name": "a\0b"}, "non_verified_name"),
            ({"non_verified_custom_data": {"a": {"b": 1}}}, "non_verified_custom_data"),
            ({"non_verified_custom_data": {"a": [1]}}, "non_verified_custom_data"),
            ({"non_verified_custom_data": {"a\0": 1}}, "non_verified_custom_data"),
            ({"non_verified_custom_data": {"a": "x" * 9000}}, "non_verified_custom_data.a"),
            ({"non_verified_custom_data": {str(number): 1 for number in range(201)}}, "non_verified_custom_data"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_refuses_what_it_cannot_keep(self, workspace: Workspace, said: dict[str, Any], names: str) -> None:
        answer = Device(workspace, None).call("POST", "/contact/create-unverified", said)
        refused(answer, 400, "invalid_field", names=names)
        assert workspace.contacts() == []

    def test_leaves_out_what_is_null_and_cuts_a_long_name(self, workspace: Workspace) -> None:
        """A refusal would leave the visitor without a chat, and the widget shows it to nobody (contract section 3)."""
        said = {"non_verified_name": "x" * 300, "non_verified_custom_data": {"plan": None, "seats": 3}}
        token = Device(workspace, None).call("POST", "/contact/create-unverified", said).json()["token"]
        session = Device(workspace, token, scope="a").create_session(plan=None, seats=3)
        assert session.status_code == 201, session.text
        assert session.json()["sessionAttributes"] == {"seats": 3}
        [person] = workspace.people("name, non_verified_custom_data").values()
        assert (person["name"], json.loads(person["non_verified_custom_data"])) == ("x" * 256, {"seats": 3})


def test_a_path_prefix_and_two_slashes_are_the_uploads_only(workspace: Workspace) -> None:
    """`apiUrl` with a trailing slash: dropped for JSON calls (contract section 1)."""
    answer = workspace.installation.http.get(f"/{PREFIX}/config", headers={"x-bot-token": bot_token(workspace)})
    refused(answer, 404, "no_such_path")


def test_answers_are_json_that_any_reader_reads(workspace: Workspace) -> None:
    visitor = anonymous(workspace)
    session = visitor.start()
    text = 'quotes " backslash \\ slash / \u2028 \U0001f389 \x7f \x01 \u0000'.replace("\u0000", "")
    visitor.say(session, text)
    answer = visitor.poll(session)
    assert json.loads(answer.content) == msgspec.json.decode(answer.content)
    assert visitor.texts(session) == [("user", text)]


def test_unverified_tokens_of_one_device_are_one_contact(workspace: Workspace) -> None:
    one = Device(workspace, unverified_token(workspace, email="ada@example.com"), "A")
    session = one.start()
    two = Device(workspace, unverified_token(workspace, email="ada@example.com"), "A")
    assert two.token != one.token
    assert two.contact_id == one.contact_id
    assert two.listed() == [session]
    assert two.history(session) == []
