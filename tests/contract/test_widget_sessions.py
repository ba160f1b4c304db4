"""A visitor's sessions on the widget's wire: made, listed, shown and resolved."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.fixtures.front_door import Workspace, refused
from tests.fixtures.widget import Device, anonymous, reply, verified
from tests.fixtures.widget_shapes import is_row, is_session


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
                refused(answer, 400, "invalid_field", names=name)
            else:
                assert answer.json()["items"] == []

    def test_have_one_cursor_for_one_place(self, workspace: Workspace) -> None:
        """Each that is taken may be remembered with its page: others for the same place would fill that memory."""
        many = anonymous(workspace)
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda _: many.start(), range(51)))
        following = many.sessions().json()["next"]
        assert many.sessions(page={"cursor": following}).status_code == 200
        for other in (following + "!", "!" * 9_000 + following, following + "\n", following[:9] + " " + following[9:]):
            refused(many.sessions(page={"cursor": other}), 400, "invalid_field", names="cursor")


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
