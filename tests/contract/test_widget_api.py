"""Every path of the OpenCX widget API below /backend/widget/v2 but upload and action/execute, as the unmodified widget
needs it (contracts/opencx.md sections 0 to 4)."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import httpx
import msgspec
import pytest

from tests.fixtures.front_door import Workspace, refused
from tests.fixtures.widget import (
    OPERATIONS,
    PREFIX,
    Device,
    anonymous,
    bot_token,
    claiming,
    claims_of,
    configure,
    new_uuid,
    reply,
    unverified_token,
    verified,
)
from vestibule.administration import workspaces
from vestibule.conversations.messages import Draft, append
from vestibule.model.conversation import Sender, Trust
from vestibule.model.responder import Mode, WidgetSettings
from vestibule.storage import conversations as rows

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
ORIGIN = "https://shop.example"
NONE = type(None)

# Contract 4.2, 4.6: every member is there, and of one of these types.
SESSION: dict[str, tuple[type, ...]] = {
    "id": (str,),
    "ticketNumber": (int,),
    "title": (str, NONE),
    "createdAt": (str,),
    "updatedAt": (str,),
    "isHandedOff": (bool,),
    "isOpened": (bool,),
    "assignee": (dict,),
    "channel": (str,),
    "isVerified": (bool,),
    "lastMessage": (str, NONE),
    "modeId": (str, NONE),
    "latestStateCheckpointPayload": (dict, NONE),
    "sessionAttributes": (dict,),
}
ASSIGNEE: dict[str, tuple[type, ...]] = {"kind": (str,), "name": (str, NONE), "avatarUrl": (str, NONE)}
ROW: dict[str, tuple[type, ...]] = {
    "publicId": (str,),
    "type": (str,),
    "content": (dict,),
    "sender": (dict,),
    "sentAt": (str, NONE),
    "actionCalls": (list, NONE),
    "attachments": (list, NONE),
    "systemMessagePayload": (dict,),
}
SENDER: dict[str, tuple[type, ...]] = {"kind": (str,), "name": (str, NONE), "avatar": (str, NONE)}


def shaped(value: Any, shape: Mapping[str, tuple[type, ...]]) -> None:
    """Exactly these members, each of one of its types; `type()` and not `isinstance`, as a boolean is no number."""
    assert set(value) == set(shape)
    wrong = {name: value[name] for name, types in shape.items() if type(value[name]) not in types}
    assert wrong == {}


def is_session(value: Any) -> None:
    shaped(value, SESSION)
    shaped(value["assignee"], ASSIGNEE)
    assert UUID.fullmatch(value["id"])
    assert value["assignee"]["kind"] in {"human", "ai", "none"}
    assert value["channel"] == "web"
    assert is_instant(value["createdAt"]) <= is_instant(value["updatedAt"])
    assert all(isinstance(member, str | int | float | bool) for member in value["sessionAttributes"].values())


def is_row(value: Any) -> None:
    shaped(value, ROW)
    shaped(value["sender"], SENDER)
    assert set(value["content"]) == {"text"}
    assert value["sender"]["kind"] in {"user", "agent", "ai", "system"}
    assert is_instant(value["sentAt"]).year > 2000
    assert value["systemMessagePayload"]["type"] in {"none", "state_checkpoint", "csat_requested", "csat_submitted"}


def is_instant(text: str) -> datetime:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text), text
    return datetime.fromisoformat(text)


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
            ({"non_verified_name": "x" * 257}, "non_verified_name"),
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


class TestCreateSession:
    def test_answers_201_and_a_session(self, workspace: Workspace) -> None:
        for visitor, trusted in ((anonymous(workspace), False), (verified(workspace), True)):
            answer = visitor.create_session(plan="gold", seats=3, ratio=0.5, vip=True)
            assert answer.status_code == 201
            session = answer.json()
            is_session(session)
            assert session["isVerified"] is trusted
            assert session["isOpened"] is True
            assert session["lastMessage"] is None
            assert session["sessionAttributes"] == {"plan": "gold", "seats": 3, "ratio": 0.5, "vip": True}
            assert visitor.poll(session["id"]).json() == {"session": session, "history": []}
            assert visitor.sessions().json() == {"items": [session], "next": None}

    def test_takes_an_empty_object_from_a_verified_visitor(self, workspace: Workspace) -> None:
        answer = verified(workspace).call("POST", "/create-session", {})
        assert answer.status_code == 201
        assert answer.json()["sessionAttributes"] == {}

    def test_numbers_tickets_by_workspace(self, workspace: Workspace) -> None:
        visitor, elsewhere = anonymous(workspace), anonymous(workspace.installation.workspace())
        numbers = [device.create_session().json()["ticketNumber"] for device in (visitor, elsewhere, visitor)]
        assert numbers == [1, 1, 2]

    def test_is_refused_to_an_unverified_visitor_without_a_scope(self, workspace: Workspace) -> None:
        visitor = anonymous(workspace)
        for custom in ({}, {"external_id": ""}, None):
            refused(visitor.call("POST", "/create-session", {"customData": custom}), 400, "scope_required")
        refused(visitor.call("POST", "/create-session", {}), 400, "scope_required")
        for value in (1, True, "x" * 257, "a\0"):
            answer = visitor.call("POST", "/create-session", {"customData": {"external_id": value}})
            refused(answer, 400, "invalid_field", names="external_id")
        assert workspace.installation.rows("SELECT id FROM conversations WHERE workspace_id = $1", workspace.id) == []


class TestSessions:
    def test_come_newest_activity_first(self, workspace: Workspace) -> None:
        visitor = anonymous(workspace)
        first, second, third = (visitor.start(number=number) for number in range(3))
        visitor.say(second)
        time.sleep(0.002)
        visitor.say(first)
        listed = visitor.sessions().json()
        assert [item["id"] for item in listed["items"]] == [first, second, third]
        for item in listed["items"]:
            is_session(item)
        assert listed["next"] is None

    def test_are_narrowed_by_the_scope_of_the_filter(self, workspace: Workspace) -> None:
        visitor = verified(workspace)
        unscoped = visitor.start()
        scoped = Device(workspace, visitor.token, "A").start()
        assert set(visitor.listed()) == {unscoped, scoped}
        assert visitor.listed("A") == [scoped]
        assert visitor.listed("B") == []
        for filters in ("", "{}", '{"external_id":null}', '{"external_id":""}', '{"something":"else"}'):
            answer = visitor.call("GET", "/sessions", params={"filters": filters})
            assert len(answer.json()["items"]) == 2
        assert len(visitor.call("GET", "/sessions").json()["items"]) == 2

    def test_are_refused_to_an_unverified_visitor_without_a_scope(self, workspace: Workspace) -> None:
        visitor = anonymous(workspace)
        visitor.start()
        for params in ({}, {"filters": "{}"}, {"filters": '{"external_id":""}'}, {"filters": '{"external_id":null}'}):
            refused(visitor.call("GET", "/sessions", params=params), 400, "scope_required")

    @pytest.mark.parametrize(
        "filters",
        [
            *("x", "[]", "1", '"A"', '{"external_id":1}', '{"external_id":["A"]}', '{"external_id":"a\\u0000"}'),
            "[" * 5000,
            json.dumps({"external_id": "x" * 257}),
        ],
    )
    def test_with_a_filter_that_is_none_are_refused(self, workspace: Workspace, filters: str) -> None:
        answer = anonymous(workspace).call("GET", "/sessions", params={"filters": filters})
        refused(answer, 400, "invalid_field", names="filters")

    def test_are_paged_by_one_opaque_value_under_two_names(self, workspace: Workspace) -> None:
        """Contract 0.7."""
        visitor = anonymous(workspace)
        with ThreadPoolExecutor(8) as threads:
            made = set(threads.map(lambda _: visitor.start(), range(120)))
        whole = visitor.sessions().json()
        by_cursor, by_offset = pages(visitor, "cursor"), pages(visitor, "offset")

        assert by_cursor == by_offset
        assert [len(page) for page in by_cursor] == [50, 50, 20]
        assert by_cursor[0] == [item["id"] for item in whole["items"]]
        listed = [session for page in by_cursor for session in page]
        assert len(listed) == 120
        assert set(listed) == made
        times = [visitor.session(session)["updatedAt"] for session in listed[::10]]
        assert times == sorted(times, reverse=True)
        assert len(visitor.sessions(page={"cursor": ""}).json()["items"]) == 50

    def test_of_a_page_after_a_foreign_one_are_still_ones_own(self, workspace: Workspace) -> None:
        many = anonymous(workspace)
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda _: many.start(), range(51)))
        following = many.sessions().json()["next"]
        assert following
        assert anonymous(workspace).sessions(page={"cursor": following}).json() == {"items": [], "next": None}

    @pytest.mark.parametrize(
        "cursor",
        ["x", "====", "MQ", "\u00e9", "Li4u", "LQ", "MS4yLjM", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5LjE", "MS4A", "LTEuMA"],
    )
    def test_with_a_cursor_that_is_none_are_refused(self, workspace: Workspace, cursor: str) -> None:
        """Among them a number beyond 64 bits and a NUL, which a database would choke on."""
        for name in ("cursor", "offset"):
            answer = verified(workspace).sessions(page={name: cursor})
            assert answer.status_code in {200, 400}, answer.text
            if answer.status_code == 400:
                refused(answer, 400, "invalid_field", names="cursor")
            else:
                assert answer.json()["items"] == []


def pages(visitor: Device, name: str) -> list[list[str]]:
    found, following = [], ""
    while True:
        page = visitor.sessions(page={name: following} if following else None).json()
        found.append([item["id"] for item in page["items"]])
        if page["next"] is None:
            return found
        following = page["next"]


class TestTheSessionObject:
    """Contract 0.5: it stays equal while nothing changes, or the widget polls in a tight loop."""

    @pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
    def test_is_the_same_octet_for_octet(self, workspace: Workspace, *, closed: bool) -> None:
        visitor = anonymous(workspace)
        session = visitor.start(b=1, a="x", c=0.1)
        visitor.say(session)
        reply(workspace, session, "**hello**")
        if closed:
            visitor.resolve(session)
        polls, lists = {visitor.poll(session).content}, {visitor.sessions().content}
        for _ in range(5):
            time.sleep(0.005)
            visitor.call("GET", "/config")
            visitor.call("GET", f"/session/history/{session}")
            visitor.do("vote", session)
            refused(visitor.send(session, uuid="x"), 400)
            polls.add(visitor.poll(session).content)
            lists.add(visitor.sessions().content)
        assert len(polls) == len(lists) == 1

    def test_is_the_same_wherever_it_comes_from(self, workspace: Workspace) -> None:
        visitor = anonymous(workspace)
        session = visitor.start(plan="gold")
        sent = visitor.send(session, "hello").json()["session"]
        assert visitor.session(session) == sent
        assert visitor.sessions().json()["items"] == [sent]
        closed = visitor.resolve(session).json()
        assert visitor.session(session) == closed
        assert visitor.sessions().json()["items"] == [closed]

    def test_is_later_after_each_change_and_at_no_other_time(self, workspace: Workspace) -> None:
        visitor = anonymous(workspace)
        session = visitor.start()
        seen = [visitor.session(session)]
        for change in (
            lambda: visitor.say(session),
            lambda: reply(workspace, session, "hello"),
            lambda: visitor.do("checkpoint", session),
            lambda: visitor.resolve(session),
        ):
            time.sleep(0.002)
            change()
            seen.append(visitor.session(session))
        times = [state["updatedAt"] for state in seen]
        assert times == sorted(set(times))
        assert {state["createdAt"] for state in seen} == {times[0]}

    def test_shows_who_answers(self, workspace: Workspace) -> None:
        """Without a responder people do, from the first message on."""
        visitor = anonymous(workspace)
        session = visitor.start()
        before = visitor.session(session)
        assert before["isHandedOff"] is True
        assert before["assignee"] == {"kind": "none", "name": None, "avatarUrl": None}
        reply(workspace, session, "hello", name="Grace")
        assert visitor.session(session)["assignee"] == {"kind": "human", "name": "Grace", "avatarUrl": None}


class TestSend:
    def test_answers_201_and_no_reply_where_people_answer(self, workspace: Workspace) -> None:
        visitor = anonymous(workspace)
        session = visitor.start()
        answer = visitor.send(session, "hello")
        assert answer.status_code == 201
        body = answer.json()
        assert set(body) == {"success", "code", "sessionIsHandedOff", "session"}
        assert body["success"] is True
        assert body["code"] == "session_assigned_to_human_agent"
        assert body["sessionIsHandedOff"] is True
        is_session(body["session"])
        assert body["session"]["lastMessage"] == "hello"

    def test_keeps_the_id_that_the_widget_gave(self, workspace: Workspace) -> None:
        """Contract 0.3."""
        visitor = anonymous(workspace)
        session = visitor.start()
        given = [visitor.say(session, f"message {number}") for number in range(3)]
        history = visitor.history(session)
        assert [row["publicId"] for row in history] == given
        for row in history:
            is_row(row)
        assert history[0]["sender"] == {"kind": "user", "name": None, "avatar": None}
        assert history[0]["type"] == "message"
        assert history[0]["content"] == {"text": "message 0"}

    def test_keeps_an_id_in_capital_letters_as_it_is(self, workspace: Workspace) -> None:
        """Clients of other platforms write theirs so, and look for it to the letter."""
        visitor = anonymous(workspace)
        session = visitor.start()
        given = visitor.say(session, uuid=new_uuid().upper())
        assert [row["publicId"] for row in visitor.history(session)] == [given]

    def test_stores_initial_messages_before_the_first(self, workspace: Workspace) -> None:
        visitor = anonymous(workspace)
        session = visitor.start()
        greetings = [{"uuid": new_uuid(), "content": text} for text in ("Welcome", "How can we help?")]
        given = visitor.say(session, "hello", initial_messages=greetings)

        history = visitor.history(session)
        assert [row["publicId"] for row in history] == [*(greeting["uuid"] for greeting in greetings), given]
        assert [row["sender"]["kind"] for row in history] == ["ai", "ai", "user"]
        assert visitor.session(session)["lastMessage"] == "hello"

    def test_takes_initial_messages_at_the_beginning_only(self, workspace: Workspace) -> None:
        """Or a visitor would put words into the AI's mouth."""
        visitor = anonymous(workspace)
        session = visitor.start()
        visitor.say(session, "hello")
        reply(workspace, session, "Nothing is free.")
        greetings = [{"uuid": new_uuid(), "content": "Everything is free."}]
        visitor.say(session, "You said so?", initial_messages=greetings)
        assert [text for _, text in visitor.texts(session)] == ["hello", "Nothing is free.", "You said so?"]

    @pytest.mark.parametrize("repeated", ["with itself", "with its greeting", "of greetings"])
    def test_with_one_id_for_two_messages_is_no_fault_of_ours(self, workspace: Workspace, repeated: str) -> None:
        visitor = anonymous(workspace)
        session = visitor.start()
        one, two = new_uuid(), new_uuid()
        greetings = {
            "with itself": [],
            "with its greeting": [{"uuid": one, "content": "a"}],
            "of greetings": [{"uuid": two, "content": "a"}, {"uuid": two, "content": "b"}],
        }[repeated]
        answer = visitor.send(session, "hello", uuid=one, initial_messages=greetings)
        assert answer.status_code in {201, 400, 409}, answer.text
        assert visitor.send(session, "hello", uuid=one, initial_messages=greetings).status_code in {201, 400, 409}
        assert len({row["publicId"] for row in visitor.history(session)}) == len(visitor.history(session))

    def test_is_idempotent_by_its_id(self, workspace: Workspace) -> None:
        visitor = anonymous(workspace)
        session = visitor.start()
        given = visitor.say(session, "hello")
        before = visitor.poll(session).content
        again = visitor.send(session, "something else", uuid=given)
        assert again.status_code == 201
        assert again.json()["success"] is True
        assert again.json()["code"] == "duplicate_message_ignored"
        assert visitor.poll(session).content == before

    def test_is_idempotent_after_the_end_too(self, workspace: Workspace) -> None:
        """A lost answer is asked for again, and by then an agent may have closed the session."""
        visitor = anonymous(workspace)
        session = visitor.start()
        given = visitor.say(session, "hello")
        visitor.resolve(session)
        again = visitor.send(session, "hello", uuid=given)
        assert again.status_code == 201
        assert again.json()["code"] == "duplicate_message_ignored"

    def test_many_at_once_with_one_id_make_one_row(self, workspace: Workspace) -> None:
        visitor = anonymous(workspace)
        session, given = visitor.start(), new_uuid()
        with ThreadPoolExecutor(20) as threads:
            answers = list(threads.map(lambda _: visitor.send(session, "hello", uuid=given), range(20)))
        assert {answer.status_code for answer in answers} == {201}
        codes = [answer.json()["code"] for answer in answers]
        assert sorted(codes) == ["duplicate_message_ignored"] * 19 + ["session_assigned_to_human_agent"]
        assert [row["publicId"] for row in visitor.history(session)] == [given]

    def test_many_at_once_are_all_kept_in_one_order(self, workspace: Workspace) -> None:
        visitor = anonymous(workspace)
        session = visitor.start()
        with ThreadPoolExecutor(20) as threads:
            given = set(threads.map(lambda _: visitor.say(session), range(40)))
        history = visitor.history(session)
        assert {row["publicId"] for row in history} == given
        assert history == visitor.history(session)
        assert [row["sentAt"] for row in history] == sorted(row["sentAt"] for row in history)

    def test_the_same_id_may_stand_in_two_sessions(self, workspace: Workspace) -> None:
        visitor = anonymous(workspace)
        given = new_uuid()
        for session in (visitor.start(), visitor.start()):
            visitor.say(session, uuid=given)
            assert [row["publicId"] for row in visitor.history(session)] == [given]

    def test_takes_everything_that_the_composer_may_send(self, workspace: Workspace) -> None:
        visitor = anonymous(workspace)
        session = visitor.start()
        visitor.say(
            session,
            "hello",
            custom_data={"page": "/cart"},
            headers={"X-Tenant": "7"},
            query_params={"tenant": "7"},
            body_properties={"deep": {"list": [1, None, "x"]}},
            clientContext={"cart": [1, 2]},
            language="zh-cn",
            exit_mode_prompt="done",
            initial_messages=[],
            action_form_submitted_prompt="unused",
        )
        [row] = visitor.history(session)
        assert row["content"] == {"text": "hello"}


class TestPoll:
    def test_has_the_whole_history_oldest_first(self, workspace: Workspace) -> None:
        """Contract 0.4."""
        visitor = anonymous(workspace)
        session = visitor.start()
        visitor.say(session, "one")
        reply(workspace, session, "two", name="Grace")
        visitor.say(session, "three")
        answer = visitor.poll(session)
        assert answer.status_code == 200
        assert set(answer.json()) == {"session", "history"}
        is_session(answer.json()["session"])
        for row in answer.json()["history"]:
            is_row(row)
        assert visitor.texts(session) == [("user", "one"), ("agent", "two"), ("user", "three")]
        assert answer.json()["history"][1]["sender"] == {"kind": "agent", "name": "Grace", "avatar": None}
        assert answer.json()["history"][1]["type"] == "agent_message"

    def test_is_what_session_history_says(self, workspace: Workspace) -> None:
        visitor = anonymous(workspace)
        session = visitor.start()
        visitor.say(session, "one")
        answer = visitor.call("GET", f"/session/history/{session}", params={"lastMessageTimestamp": "2026-01-01"})
        assert answer.status_code == 200
        assert answer.json() == visitor.history(session)

    def test_leaves_out_what_staff_write_for_each_other(self, workspace: Workspace) -> None:
        visitor = anonymous(workspace)
        session = visitor.start()
        visitor.say(session, "hello")

        async def comment() -> None:
            desk = workspace.installation.desk
            conversation = await rows.get(desk.store, workspace.id, session)
            assert conversation is not None
            draft = Draft(Sender.AGENT, Trust.STAFF, text="a difficult one", type="agent_comment")
            await append(desk, conversation, [draft])

        workspace.installation.run(comment())
        assert visitor.texts(session) == [("user", "hello")]
        for answer in (visitor.poll(session), visitor.sessions(), visitor.call("GET", f"/session/history/{session}")):
            assert "difficult" not in answer.text

    def test_neutralises_what_is_shown_as_markup(self, workspace: Workspace) -> None:
        """Contract 0.10. The visitor's own row is shown as text, and comes as it was written."""
        visitor = anonymous(workspace)
        session = visitor.start()
        hostile = "<img src=x onerror=alert(1)> & [x](javascript:alert(1))"
        visitor.say(session, hostile)
        assert visitor.texts(session) == [("user", hostile)]
        harmless = "&lt;img src=x onerror=alert(1)> &amp; [x](javascript\u200b:alert(1))"
        assert visitor.session(session)["lastMessage"] == harmless
        reply(workspace, session, hostile)
        assert visitor.texts(session)[1] == ("agent", harmless)
        assert visitor.session(session)["lastMessage"] == harmless

    def test_is_not_kept_by_a_cache(self, workspace: Workspace) -> None:
        visitor = anonymous(workspace)
        session = visitor.start()
        for answer in (visitor.poll(session), visitor.sessions()):
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["content-type"] == "application/json"
            assert answer.headers["x-content-type-options"] == "nosniff"


class TestEtags:
    @pytest.mark.parametrize("what", ["poll", "sessions"])
    def test_of_what_the_client_has_cost_no_body(self, workspace: Workspace, what: str) -> None:
        visitor = anonymous(workspace)
        session = visitor.start()

        def ask(tag: str = "") -> httpx.Response:
            headers = {"if-none-match": tag} if tag else None
            return visitor.poll(session, headers=headers) if what == "poll" else visitor.sessions(headers=headers)

        first = ask()
        tag = first.headers["etag"]
        assert re.fullmatch(r'"[0-9a-f]+"', tag)
        for given in (tag, f"W/{tag}", f'"other", {tag}'):
            same = ask(given)
            assert same.status_code == 304
            assert same.content == b""
            assert same.headers["etag"] == tag
            assert "content-type" not in same.headers
        visitor.say(session, "news")
        changed = ask(tag)
        assert changed.status_code == 200
        assert changed.headers["etag"] != tag
        assert ask('"other"').status_code == 200

    def test_open_nothing_to_another_visitor(self, workspace: Workspace) -> None:
        visitor = anonymous(workspace)
        session = visitor.start()
        tag = visitor.poll(session).headers["etag"]
        refused(anonymous(workspace).poll(session, headers={"if-none-match": tag}), 404, "not_found")


class TestResolve:
    def test_closes_the_session_and_asks_for_a_rating(self, workspace: Workspace) -> None:
        visitor = anonymous(workspace)
        session = visitor.start()
        visitor.say(session)
        answer = visitor.resolve(session)
        assert answer.status_code == 200
        is_session(answer.json())
        assert answer.json()["isOpened"] is False
        closing, asking = visitor.history(session)[-2:]
        assert closing["type"] == "closed_resolved_by_contact"
        assert closing["sender"]["kind"] == "system"
        assert closing["systemMessagePayload"] == {"type": "none"}
        assert asking["type"] == "csat_requested"
        assert asking["systemMessagePayload"] == {"type": "csat_requested"}

    def test_repeated_or_at_once_asks_once(self, workspace: Workspace) -> None:
        visitor = anonymous(workspace)
        session = visitor.start()
        with ThreadPoolExecutor(10) as threads:
            answers = list(threads.map(lambda _: visitor.resolve(session), range(10)))
        assert {answer.status_code for answer in answers} == {200}
        assert {answer.json()["isOpened"] for answer in answers} == {False}
        assert [row["type"] for row in visitor.history(session)] == ["closed_resolved_by_contact", "csat_requested"]

    def test_ends_writing_and_not_reading(self, workspace: Workspace) -> None:
        visitor = anonymous(workspace)
        session = visitor.start()
        visitor.say(session, "hello")
        visitor.resolve(session)
        before = visitor.poll(session)
        assert before.status_code == 200
        refused(visitor.send(session, "more"), 409, "conversation_closed")
        refused(visitor.do("checkpoint", session), 409, "conversation_closed")
        assert visitor.poll(session).content == before.content
        assert visitor.listed() == [session]
        assert visitor.start() != session


class TestCsat:
    def closed(self, workspace: Workspace) -> tuple[Device, str]:
        visitor = anonymous(workspace)
        session = visitor.start()
        visitor.say(session)
        visitor.resolve(session)
        return visitor, session

    def test_is_kept_under_the_id_that_the_widget_gave(self, workspace: Workspace) -> None:
        visitor, session = self.closed(workspace)
        given = new_uuid()
        answer = visitor.do("csat", session, score=4, feedback="good <b>", system_message_uuid=given)
        assert answer.status_code == 200
        assert answer.json() == {"success": True}
        row = visitor.history(session)[-1]
        is_row(row)
        assert row["publicId"] == given
        assert row["type"] == "csat_submitted"
        assert row["systemMessagePayload"] == {
            "type": "csat_submitted",
            "payload": {"score": 4, "feedback": "good <b>"},
        }

    def test_needs_a_score_only(self, workspace: Workspace) -> None:
        visitor, session = self.closed(workspace)
        assert visitor.do("csat", session, score=1).json() == {"success": True}
        assert visitor.history(session)[-1]["systemMessagePayload"]["payload"] == {"score": 1, "feedback": None}

    def test_is_taken_once(self, workspace: Workspace) -> None:
        visitor, session = self.closed(workspace)
        given = new_uuid()
        assert visitor.do("csat", session, score=5, system_message_uuid=given).status_code == 200
        before = visitor.poll(session).content
        # The same again is a repetition, another one is a second rating.
        assert visitor.do("csat", session, score=5, system_message_uuid=given).status_code == 200
        refused(visitor.do("csat", session, score=1, system_message_uuid=new_uuid()), 409, "already_exists")
        assert visitor.poll(session).content == before

    def test_many_at_once_are_taken_once(self, workspace: Workspace) -> None:
        visitor, session = self.closed(workspace)
        with ThreadPoolExecutor(10) as threads:
            answers = list(threads.map(lambda number: visitor.do("csat", session, score=1 + number % 5), range(10)))
        assert sorted(answer.status_code for answer in answers) == [200] + [409] * 9
        assert [row["type"] for row in visitor.history(session)].count("csat_submitted") == 1

    def test_is_not_lost_behind_the_id_of_another_message(self, workspace: Workspace) -> None:
        visitor, session = self.closed(workspace)
        taken = visitor.history(session)[0]["publicId"]
        refused(visitor.do("csat", session, system_message_uuid=taken), 409)

    @pytest.mark.parametrize(
        ("members", "names"),
        [
            ({"score": 0}, "score"),
            ({"score": 6}, "score"),
            ({"score": 4.5}, "score"),
            ({"score": "5"}, "score"),
            ({"score": True}, "score"),
            ({"score": None}, "score"),
            ({"score": 2**70}, "score"),
            ({"feedback": 1}, "feedback"),
            ({"feedback": "x" * 40_000}, "feedback"),
            ({"feedback": "a\0b"}, "feedback"),
            ({"system_message_uuid": "x"}, "system_message_uuid"),
        ],
        ids=str,
    )
    def test_refuses_what_is_no_rating(self, workspace: Workspace, members: dict[str, Any], names: str) -> None:
        visitor, session = self.closed(workspace)
        refused(visitor.do("csat", session, **members), 400, "invalid_field", names=names)
        assert visitor.history(session)[-1]["type"] == "csat_requested"


class TestCheckpoint:
    def test_is_kept_in_the_session_and_in_the_history(self, workspace: Workspace) -> None:
        visitor = anonymous(workspace)
        session = visitor.start()
        payload = {"step": 2, "form": {"name": "Ada", "tags": ["a", None, 1.5, True]}, "": {}}
        answer = visitor.do("checkpoint", session, payload=payload)
        assert answer.status_code == 200
        assert answer.json() == {"success": True}
        assert visitor.session(session)["latestStateCheckpointPayload"] == payload
        [row] = visitor.history(session)
        is_row(row)
        assert row["systemMessagePayload"] == {"type": "state_checkpoint", "payload": payload}
        assert row["sender"]["kind"] == "system"

        visitor.do("checkpoint", session, payload={})
        assert visitor.session(session)["latestStateCheckpointPayload"] == {}
        assert len(visitor.history(session)) == 2

    @pytest.mark.parametrize("payload", [None, [], "x", 1, {"a": "b\0"}, {"a\0": 1}], ids=repr)
    def test_is_an_object_without_nul(self, workspace: Workspace, payload: Any) -> None:
        visitor = anonymous(workspace)
        session = visitor.start()
        refused(visitor.do("checkpoint", session, payload=payload), 400, "invalid_field", names="payload")
        assert visitor.history(session) == []


class TestVote:
    def test_is_for_the_ais_messages(self, workspace: Workspace) -> None:
        visitor = anonymous(workspace)
        session = visitor.start()
        greeting = {"uuid": new_uuid(), "content": "Welcome"}
        mine = visitor.say(session, initial_messages=[greeting])
        theirs = reply(workspace, session, "hello")
        for action in ("upvote", "downvote", "downvote"):
            answer = visitor.do("vote", session, action=action, messagePublicId=greeting["uuid"])
            assert answer.status_code == 200
            assert answer.json() == {"messagePublicId": greeting["uuid"], "success": True}
        for message in (mine, theirs, new_uuid(), "x"):
            answer = visitor.do("vote", session, messagePublicId=message)
            assert answer.status_code == 200
            assert answer.json() == {"messagePublicId": None, "success": False}
        sql = "SELECT public_id, vote FROM messages WHERE conversation_id = $1 AND vote IS NOT NULL"
        assert workspace.installation.rows(sql, session) == [(greeting["uuid"], "downvote")]

    def test_does_not_reach_into_another_session(self, workspace: Workspace) -> None:
        visitor = anonymous(workspace)
        greeting = {"uuid": new_uuid(), "content": "Welcome"}
        visitor.say(visitor.start(), initial_messages=[greeting])
        answer = visitor.do("vote", visitor.start(), messagePublicId=greeting["uuid"])
        assert answer.json() == {"messagePublicId": None, "success": False}

    @pytest.mark.parametrize("action", ["like", "", None, 1])
    def test_goes_up_or_down(self, workspace: Workspace, action: Any) -> None:
        visitor = anonymous(workspace)
        refused(visitor.do("vote", visitor.start(), action=action), 400, "invalid_field", names="action")


def test_the_first_message_of_a_chat_as_the_widget_sends_it(workspace: Workspace) -> None:
    """Contract 4.4: create-session, then at once the list, the first poll and the message, in parallel."""
    visitor = claiming(workspace, "ada@example.com", non_verified_name="Ada")
    assert visitor.sessions().json() == {"items": [], "next": None}
    session = visitor.start()
    with ThreadPoolExecutor(3) as threads:
        listing = threads.submit(visitor.sessions)
        polling = threads.submit(visitor.poll, session)
        sending = threads.submit(visitor.send, session)
    assert [listing.result().status_code, polling.result().status_code, sending.result().status_code] == [200, 200, 201]
    assert len(visitor.history(session)) == 1


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
