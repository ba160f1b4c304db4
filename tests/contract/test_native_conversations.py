"""The native API (`/v1`): conversations, messages, files and events, with the same rules as every other surface."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest

from tests.fixtures.front_door import Workspace
from tests.fixtures.native import CONVERSATIONS, Client
from tests.fixtures.native_clients import RFC3339, SCOPE, end_tokens, known, problem, unknown
from tests.fixtures.widget import anonymous, claiming, verified


class TestAConversation:
    def test_is_started_and_shown(self, workspace: Workspace) -> None:
        client = known(workspace)
        answer = client.create(SCOPE, custom_data={"plan": "gold", "seats": 3, "vip": True})

        assert answer.status_code == 201
        made = answer.json()
        assert answer.headers["location"] == f"{CONVERSATIONS}/{made['id']}"
        assert made.keys() == {
            "id",
            "number",
            "status",
            "verified",
            "handed_off",
            "assignee",
            "scope",
            "channel",
            "title",
            "language",
            "last_message",
            "custom_data",
            "created_at",
            "updated_at",
            "version",
        }
        assert made["verified"] is True
        assert made["status"] == "open"
        assert made["scope"] == SCOPE
        assert made["channel"] == "api"
        assert made["custom_data"] == {"plan": "gold", "seats": 3, "vip": True}
        # Nobody answers by machine in this workspace.
        assert made["handed_off"] is True
        assert made["assignee"] == {"kind": "none", "name": None, "avatar_url": None}
        assert RFC3339.fullmatch(made["created_at"])
        assert RFC3339.fullmatch(made["updated_at"])
        assert client.read(made["id"]).json() == made
        assert client.page().json() == {"items": [made], "next": None}

    def test_may_be_an_unverified_visitors(self, workspace: Workspace) -> None:
        client = unknown(workspace)
        conversation = client.create(SCOPE).json()
        assert conversation["verified"] is False
        assert client.listed(scope=SCOPE) == [conversation["id"]]
        assert client.say(conversation["id"])["trust"] == "unverified"

    @pytest.mark.parametrize("scope", [None, ""])
    def test_needs_a_scope_where_nothing_is_proven(self, workspace: Workspace, scope: str | None) -> None:
        client = unknown(workspace, email="ada@example.com")
        problem(client.call("POST", CONVERSATIONS, {"scope": scope}), 400, "scope_required")
        problem(client.page(**({"scope": scope} if scope is not None else {})), 400, "scope_required")
        assert workspace.contacts() == []

    def test_is_found_by_paging_latest_activity_first(self, workspace: Workspace) -> None:
        client = known(workspace)
        started = [client.start(SCOPE if number % 2 else None) for number in range(7)]
        time.sleep(0.01)
        client.say(started[0])
        expected = [started[0], *reversed(started[1:])]

        found: list[str] = []
        cursor: dict[str, Any] = {}
        for size in (3, 3, 1):
            page = client.page(limit=3, **cursor).json()
            found += [item["id"] for item in page["items"]]
            assert len(page["items"]) == size
            cursor = {"cursor": page["next"]}

        assert found == expected
        assert cursor == {"cursor": None}
        assert set(client.listed(scope=SCOPE)) == set(started[1::2])
        assert client.listed(scope="another") == []

    def test_is_the_same_on_every_surface(self, workspace: Workspace) -> None:
        device = verified(workspace)
        client = Client(workspace, device.token)
        session = device.start()
        device.say(session, "from the widget")
        client.say(session, "from the page")
        assert client.read(session).json()["channel"] == "web"
        assert [message["text"] for message in client.messages(session)] == ["from the widget", "from the page"]
        assert device.texts(session) == [("user", "from the widget"), ("user", "from the page")]
        assert set(device.listed()) == {session}

    def test_is_there_on_every_device_of_a_verified_contact(self, workspace: Workspace) -> None:
        conversation = known(workspace).start()
        assert known(workspace).read(conversation).status_code == 200

    def test_is_closed_once_and_for_all(self, workspace: Workspace) -> None:
        client = known(workspace)
        conversation = client.start()
        client.say(conversation)
        closed = client.resolve(conversation)
        assert closed.status_code == 200
        assert closed.json()["status"] == "closed_resolved"
        assert client.resolve(conversation).json() == closed.json()
        assert client.read(conversation).json() == closed.json()
        problem(client.send(conversation), 409, "conversation_closed")
        assert [message["type"] for message in client.messages(conversation)] == [
            "message",
            "closed_resolved_by_contact",
            "csat_requested",
        ]

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"scope": "x" * 257}, "scope"),
            ({"scope": "a\0b"}, "scope"),
            ({"scope": 1}, "scope"),
            ({"custom_data": {"a": {"b": 1}}}, "custom_data"),
            ({"custom_data": {"a": None}}, "custom_data"),
            ({"custom_data": [1]}, "custom_data"),
            ({"custom_data": {"a": "x\0"}}, "custom_data.a"),
            ({"custom_data": {"a": 2**70}}, "custom_data.a"),
            ({"custom_data": {str(number): 1 for number in range(201)}}, "custom_data"),
        ],
    )
    def test_is_not_started_of_bad_values(self, workspace: Workspace, body: Any, field: str) -> None:
        client = known(workspace)
        problem(client.call("POST", CONVERSATIONS, body), 400, "invalid_field", field=field)
        assert client.listed() == []

    @pytest.mark.parametrize(
        ("params", "field"),
        [
            ({"limit": 0}, "limit"),
            ({"limit": 101}, "limit"),
            ({"limit": -1}, "limit"),
            ({"limit": "ten"}, "limit"),
            ({"limit": "1e1"}, "limit"),
            ({"limit": "٣"}, "limit"),
            ({"limit": "9" * 5000}, "limit"),
            ({"scope": "x" * 257}, "scope"),
            ({"scope": "\0"}, "scope"),
            ({"scope": ["a", "b"]}, "scope"),
            ({"cursor": "x"}, "cursor"),
            ({"cursor": "\0"}, "cursor"),
            ({"cursor": "MS54"}, "cursor"),
            ({"cursor": "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5LmE"}, "cursor"),
        ],
    )
    def test_is_not_listed_by_bad_values(self, workspace: Workspace, params: dict[str, Any], field: str) -> None:
        problem(known(workspace).page(**params), 400, "invalid_field", field=field)

    @pytest.mark.parametrize(
        ("content", "headers", "status", "code"),
        [
            (b"", {"content-type": "application/json"}, 201, ""),
            (b"{", {}, 400, "malformed_body"),
            (b"[]", {}, 400, "malformed_body"),
            (b'{"scope":"a","scope":"b"}', {}, 400, "malformed_body"),
            (b"{}", {"content-type": "text/plain"}, 415, "unsupported_media_type"),
            (b"{}", {"content-encoding": "gzip"}, 415, "unsupported_media_type"),
            (b'{"scope":"' + b"x" * 70_000 + b'"}', {}, 413, "body_too_large"),
        ],
    )
    def test_is_started_by_json_only(
        self, workspace: Workspace, content: bytes, headers: Mapping[str, str], status: int, code: str
    ) -> None:
        answer = known(workspace).call("POST", CONVERSATIONS, content, headers=headers)
        if status == 201:
            assert answer.status_code == 201
        else:
            problem(answer, status, code)


class TestSomebodyElsesConversation:
    def test_does_not_exist(self, workspace: Workspace) -> None:
        """In the same words as one that never did, whatever is tried with it."""
        owner = known(workspace)
        conversation = owner.start(SCOPE)
        owner.say(conversation)
        elsewhere = workspace.installation.workspace()
        strangers = {
            "another contact": known(workspace, "eve@example.com"),
            "another workspace": known(elsewhere),
            "an unverified visitor": unknown(workspace),
            "one who claims the same e-mail": unknown(workspace, email="ada@example.com"),
        }
        for who, stranger in strangers.items():
            assert_closed_to(stranger, conversation, who)
        assert len(owner.messages(conversation)) == 1

    def test_is_another_devices_where_nothing_is_proven(self, workspace: Workspace) -> None:
        """Two devices that claim the same e-mail are one unverified contact, and yet do not see each other's."""
        owner = unknown(workspace, email="ada@example.com")
        conversation = owner.start("secret-scope")
        for other in (unknown(workspace, email="ada@example.com"), unknown(workspace), known(workspace)):
            assert_closed_to(other, conversation, "another device")
            assert other.listed(scope="secret-scope-2") == []
        assert owner.read(conversation).status_code == 200

    @pytest.mark.parametrize(
        "conversation_id",
        [
            "x",
            "%00",
            "..",
            "%2e%2e",
            "0190a0a0-0000-7000-8000-000000000000",
            "0190A0A0-0000-7000-8000-000000000000",
            "x" * 4000,
            "%ED%A0%80",
            "%F0%9F%91%8B",
            "'; DROP TABLE conversations; --",
        ],
    )
    def test_does_not_exist_by_any_name(self, workspace: Workspace, conversation_id: str) -> None:
        client = known(workspace)
        for path in ("messages", "events"):
            answer = client.call("GET", f"{CONVERSATIONS}/{conversation_id}/{path}")
            assert answer.status_code == 404
            assert answer.json()["code"] in {"not_found", "no_such_path"}


def assert_closed_to(stranger: Client, conversation: str, who: str) -> None:
    never = "0190a0a0-0000-7000-8000-000000000000"
    attempts: dict[str, Callable[[str], httpx.Response]] = {
        "read": stranger.read,
        "messages": lambda found: stranger.call("GET", f"{CONVERSATIONS}/{found}/messages"),
        "send": stranger.send,
        "resolve": stranger.resolve,
        "events": lambda found: stranger.call("GET", f"{CONVERSATIONS}/{found}/events"),
    }
    for what, attempt in attempts.items():
        answer = attempt(conversation)
        assert problem(answer, 404, "not_found") == problem(attempt(never), 404, "not_found"), (who, what)


class TestAToken:
    PATHS = (
        ("GET", "/v1/me"),
        ("GET", CONVERSATIONS),
        ("POST", CONVERSATIONS),
        ("GET", f"{CONVERSATIONS}/{{id}}"),
        ("GET", f"{CONVERSATIONS}/{{id}}/messages"),
        ("POST", f"{CONVERSATIONS}/{{id}}/messages"),
        ("GET", f"{CONVERSATIONS}/{{id}}/events"),
        ("POST", f"{CONVERSATIONS}/{{id}}/resolve"),
        ("POST", "/v1/files"),
    )

    @pytest.mark.parametrize(("method", "path"), PATHS)
    def test_is_needed(self, workspace: Workspace, method: str, path: str) -> None:
        client = known(workspace)
        path = path.replace("{id}", client.start())
        problem(Client(workspace, None).call(method, path), 401, "missing_credentials")
        for bad in ("x", "a.b.c", f"{client.token}x"):
            problem(Client(workspace, bad).call(method, path), 401, "invalid_token")
        # A token in an address ends up in logs and histories.
        answer = Client(workspace, None).call(method, path, access_token=client.token, token=client.token)
        problem(answer, 401, "missing_credentials")

    @pytest.mark.slow
    def test_that_was_ended_opens_nothing(self, workspace: Workspace) -> None:
        token, contact_id = workspace.sign_in()
        client = Client(workspace, token)
        conversation = client.start()
        end_tokens(client, contact_id)
        deadline = time.monotonic() + 5
        while client.read(conversation).status_code != 401:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        for method, path in self.PATHS:
            problem(client.call(method, path.replace("{id}", conversation)), 401, "invalid_token")

    def test_of_an_unverified_visitor_shows_what_they_said_of_themselves(self, workspace: Workspace) -> None:
        said = {"email": "ada@example.com", "non_verified_name": "Ada", "non_verified_custom_data": {"plan": "gold"}}
        client = unknown(workspace, **said)
        for _ in range(2):
            me = client.call("GET", "/v1/me").json()
            assert me["verified"] is False
            assert me["method"] == "unverified"
            assert (me["name"], me["email"], me["custom_data"]) == ("Ada", "ada@example.com", {})
            assert me["non_verified_custom_data"] == {"plan": "gold"}
            assert {origin["source"] for origin in me["provenance"].values()} == {"unverified"}
            # Once the contact is stored it is the same, on this device, and on no other that says the same e-mail.
            client.say(client.start(SCOPE))
            other = unknown(workspace, email="ada@example.com").call("GET", "/v1/me").json()
            assert (other["id"], other["name"], other["non_verified_custom_data"]) == (me["id"], None, {})

    def test_may_be_sent_from_any_page(self, workspace: Workspace) -> None:
        http = workspace.installation.http
        answer = http.request(
            "OPTIONS",
            f"{CONVERSATIONS}/x/events",
            headers={
                "origin": "https://shop.example",
                "access-control-request-method": "GET",
                "access-control-request-headers": "authorization,last-event-id",
            },
        )
        assert answer.status_code == 204
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers
        allowed = answer.headers["access-control-allow-headers"].lower().replace(" ", "").split(",")
        assert {"authorization", "content-type", "last-event-id"} <= set(allowed)
        assert "POST" in answer.headers["access-control-allow-methods"]


class TestTheSurface:
    def test_answers_in_problems_below_its_path(self, workspace: Workspace) -> None:
        client = known(workspace)
        problem(client.call("GET", "/v1/nothing"), 404, "no_such_path")
        problem(client.call("GET", f"{CONVERSATIONS}/x/y/z"), 404, "no_such_path")
        answer = client.call("DELETE", CONVERSATIONS)
        problem(answer, 405, "method_not_allowed")
        assert answer.headers["allow"] == "GET, HEAD, POST"

    def test_does_not_keep_anonymous_visitors_who_only_look(self, workspace: Workspace) -> None:
        client = unknown(workspace, email="ada@example.com")
        client.page(scope=SCOPE)
        client.call("GET", "/v1/me")
        assert workspace.contacts() == []

    def test_finds_widget_visitors_by_their_scope(self, workspace: Workspace) -> None:
        device = anonymous(workspace)
        session = device.start()
        assert Client(workspace, device.token).listed(scope=device.scope) == [session]
        other = claiming(workspace, "x@example.com")
        assert Client(workspace, other.token).listed(scope=device.scope) == []
