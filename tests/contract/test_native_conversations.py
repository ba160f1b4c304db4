"""The native API (`/v1`): conversations, messages, files and events, with the same rules as every other surface."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest

from tests.fixtures import sample_files as samples
from tests.fixtures.front_door import Installation, Workspace, beside
from tests.fixtures.native import CONVERSATIONS, Client, Stream
from tests.fixtures.server import RunningServer
from tests.fixtures.widget import (
    anonymous,
    claiming,
    configure,
    new_uuid,
    reply,
    unverified_token,
    verified,
)
from vestibule.clock import now_ms
from vestibule.conversations.messages import Draft, append
from vestibule.model.conversation import Sender, Trust
from vestibule.model.responder import ResponderKind, ResponderSettings
from vestibule.storage import conversations as rows
from vestibule.storage import token_endings
from vestibule.storage.token_endings import Ending
from vestibule.surfaces.native.events import MOST_STREAMS

RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
SCOPE = "order-1"


def known(workspace: Workspace, email: str = "ada@example.com") -> Client:
    """A contact for whom the customer's backend vouches."""
    return Client(workspace, workspace.sign_in(email)[0])


def unknown(workspace: Workspace, **said: Any) -> Client:
    """An unverified visitor, on a device of their own."""
    return Client(workspace, unverified_token(workspace, **said))


def problem(answer: httpx.Response, status: int, code: str, *, field: str | None = None) -> dict[str, Any]:
    """The body of a problem (RFC 9457), after checking that it is one in every respect."""
    assert answer.status_code == status, f"{answer.status_code} {answer.text}"
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["access-control-allow-origin"] == "*"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["code"] == code, body
    assert body["type"] == f"urn:vestibule:problem:{code}"
    assert body.get("field") == field, body
    assert ("www-authenticate" in answer.headers) == (status == 401)
    return body


def end_tokens(client: Client, contact_id: str) -> None:
    """Ends every token of the contact, as an operator does. Servers see it within two seconds."""
    installation = client.workspace.installation
    ending = Ending(client.workspace.id, contact_id, "", now_ms() + 60_000)
    installation.run(token_endings.insert(installation.desk.store, ending, now_ms()))


def post_beside(workspace: Workspace, conversation_id: str, *drafts: Draft) -> None:
    """Appends messages from this process, beside the server."""

    async def work() -> None:
        desk = workspace.installation.desk
        conversation = await rows.get(desk.store, workspace.id, conversation_id)
        assert conversation is not None
        await append(desk, conversation, drafts)

    workspace.installation.run(work())


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


class TestAMessage:
    def test_is_stored_and_shown(self, workspace: Workspace) -> None:
        client = known(workspace)
        conversation = client.start()
        given = new_uuid()

        answer = client.send(conversation, "Hi <b>there</b> & all", id=given, language="de", context={"page": "/cart"})

        assert answer.status_code == 201
        message = answer.json()
        assert RFC3339.fullmatch(message.pop("sent_at"))
        assert message == {
            "id": given,
            "seq": 1,
            "type": "message",
            "sender": {"kind": "user", "name": None, "avatar_url": None},
            "trust": "verified",
            "text": "Hi <b>there</b> & all",
            "attachments": [],
            "action_calls": [],
            "payload": None,
            "answers": None,
        }
        [shown] = client.messages(conversation)
        assert shown == answer.json()
        after = client.read(conversation).json()
        assert after["last_message"] == "Hi <b>there</b> & all"
        assert after["language"] == "de"
        assert after["version"] > 1

    def test_is_stored_once_however_often_it_is_sent(self, workspace: Workspace) -> None:
        client = known(workspace)
        conversation = client.start()
        given = new_uuid()
        first = client.send(conversation, "once", id=given)
        for again in (given, given.upper()):
            repeated = client.send(conversation, "twice", id=again)
            assert repeated.status_code == 200
            assert repeated.json() == first.json()
        assert len(client.messages(conversation)) == 1
        client.resolve(conversation)
        assert client.send(conversation, "once", id=given).status_code == 200

    def test_tells_what_was_proven_of_who_wrote_it(self, workspace: Workspace) -> None:
        client = known(workspace)
        conversation = client.start()
        client.say(conversation, "mine")
        reply(workspace, conversation, "ours <i>x</i>", name="Grace")
        client.resolve(conversation)
        told = [
            (message["sender"]["kind"], message["sender"]["name"], message["trust"], message["text"])
            for message in client.messages(conversation)
        ]
        assert told == [
            ("user", None, "verified", "mine"),
            ("agent", "Grace", "staff", "ours <i>x</i>"),
            ("system", None, "system", None),
            ("system", None, "system", None),
        ]
        assert client.messages(conversation)[-1]["payload"] == {"type": "csat_requested"}

    def test_is_not_shown_where_staff_wrote_it_for_each_other(self, workspace: Workspace) -> None:
        client = known(workspace)
        conversation = client.start()
        client.say(conversation, "1")
        post_beside(workspace, conversation, Draft(Sender.AGENT, Trust.STAFF, text="secret", type="agent_comment"))
        client.say(conversation, "3")
        assert [(message["seq"], message["text"]) for message in client.messages(conversation)] == [(1, "1"), (3, "3")]

    def test_is_found_after_another(self, workspace: Workspace) -> None:
        client = known(workspace)
        conversation = client.start()
        for number in range(1, 6):
            client.say(conversation, str(number))
        assert [message["text"] for message in client.messages(conversation, after=3)] == ["4", "5"]
        assert client.messages(conversation, after=5) == []
        assert client.messages(conversation, after=2**53) == []
        for bad in ("-1", "x", "", "1.5", 2**53 + 1, "9" * 100):
            answer = client.call("GET", f"{CONVERSATIONS}/{conversation}/messages", after=bad)
            problem(answer, 400, "invalid_field", field="after")

    def test_is_answered_or_handed_to_people_without_being_waited_for(self, workspace: Workspace) -> None:
        configure(workspace, ResponderSettings(kind=ResponderKind.WEBHOOK, url="https://127.0.0.1:1/bot"))
        client = known(workspace)
        conversation = client.start()
        assert client.read(conversation).json()["assignee"]["kind"] == "ai"

        client.say(conversation, "hello?")

        deadline = time.monotonic() + 8
        while not client.read(conversation).json()["handed_off"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        answers = [message for message in client.messages(conversation) if message["sender"]["kind"] == "ai"]
        assert [answer["answers"] for answer in answers] == [1]

    @pytest.mark.parametrize(
        ("members", "field"),
        [
            ({"id": "x"}, "id"),
            ({"id": None}, "id"),
            ({"id": ""}, "id"),
            ({"text": ""}, "text"),
            ({"text": " \n\t"}, "text"),
            ({"text": "a\0b"}, "text"),
            ({"text": "x" * 32_769}, "text"),
            ({"text": 7}, "text"),
            ({"text": None}, "text"),
            ({"language": "x" * 36}, "language"),
            ({"language": "d\0"}, "language"),
            ({"context": []}, "context"),
            ({"context": {"a": "\0"}}, "context"),
            ({"attachments": "x"}, "attachments"),
            ({"attachments": [{}]}, "attachments[0].url"),
            ({"attachments": [{"url": "https://evil.example/x"}]}, "attachments.url"),
            ({"attachments": [{"url": "x"}] * 11}, "attachments"),
        ],
    )
    def test_must_have_its_shape(self, workspace: Workspace, members: dict[str, Any], field: str) -> None:
        client = known(workspace)
        conversation = client.start()
        answer = client.send(conversation, **{"text": "x", **members})
        assert problem_at(answer) == field.replace("[0]", "[...]") or problem_at(answer) == field
        assert client.messages(conversation) == []

    def test_may_carry_files_of_its_author_only(self, workspace: Workspace) -> None:
        client = known(workspace)
        conversation = client.start()
        uploaded = client.upload(samples.PDF, "invoice.pdf")
        assert uploaded.status_code == 201
        file = uploaded.json()
        assert file.keys() == {"id", "name", "size", "type", "url"}
        assert (file["name"], file["size"], file["type"]) == ("invoice.pdf", len(samples.PDF), "application/pdf")

        message = client.say(conversation, "", attachments=[{"url": file["url"]}])

        assert message["attachments"] == [file]
        assert workspace.installation.http.get(file["url"]).content == samples.PDF
        foreign = known(workspace, "eve@example.com").upload(samples.PDF, "x.pdf").json()["url"]
        answer = client.send(conversation, "x", attachments=[{"url": foreign}])
        problem(answer, 400, "invalid_field", field="attachments.url")

    def test_may_carry_files_of_an_unverified_author(self, workspace: Workspace) -> None:
        client = unknown(workspace)
        file = client.upload(samples.png(), "a.png").json()
        message = client.say(client.start(SCOPE), "", attachments=[{"url": file["url"]}])
        assert message["attachments"] == [file]

    def test_carries_no_file_that_is_not_accepted(self, workspace: Workspace) -> None:
        client = known(workspace)
        problem(client.upload(samples.SVG, "a.svg"), 415, "unsupported_file_type")
        problem(client.upload(b"", "a.txt"), 400, "invalid_field", field="file")
        problem(client.upload(samples.png_of(5_242_881), "a.png"), 413, "body_too_large")
        problem(Client(workspace, None).upload(samples.PDF, "a.pdf"), 401, "missing_credentials")
        problem(client.call("POST", "/v1/files", {}), 415, "unsupported_media_type")


def problem_at(answer: httpx.Response) -> str:
    """The field that a 400 complains of."""
    assert answer.status_code == 400, answer.text
    return str(answer.json()["field"])


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


class TestEvents:
    def test_begin_with_the_conversation_as_it_is(self, workspace: Workspace) -> None:
        client = known(workspace)
        conversation = client.start()
        client.say(conversation, "before")
        with client.stream(conversation) as stream:
            assert stream.response.status_code == 200
            assert stream.response.headers["content-type"] == "text/event-stream"
            assert "no-store" in stream.response.headers["cache-control"]
            assert stream.response.headers["x-accel-buffering"] == "no"
            assert stream.response.headers["access-control-allow-origin"] == "*"
            first = stream.next()
        assert first.kind == "conversation"
        assert first.data == client.read(conversation).json()
        assert first.id == f"{first.data['version']}.1"

    def test_tell_of_messages_and_changes_at_once(self, workspace: Workspace) -> None:
        client = known(workspace)
        conversation = client.start()
        with client.stream(conversation) as stream:
            stream.next("conversation")
            began = time.monotonic()
            for number in range(5):
                sent = client.say(conversation, f"line\r\none {number} \u2028 \u2029 \x85 end")
                assert stream.next("message").data == sent
                assert stream.next().data["last_message"] == sent["text"]
            # The database is asked anyway after a second each; these were told of because something changed.
            assert time.monotonic() - began < 3
            client.resolve(conversation)
            kinds = [event.data["type"] for event in stream.messages(2)]
            assert kinds == ["closed_resolved_by_contact", "csat_requested"]
            assert stream.next().data["status"] == "closed_resolved"

    def test_tell_what_other_processes_did(self, workspace: Workspace) -> None:
        client = known(workspace)
        conversation = client.start()
        with client.stream(conversation) as stream:
            stream.next("conversation")
            reply(workspace, conversation, "from beside", name="Grace")
            began = time.monotonic()
            event = stream.next("message")
            assert time.monotonic() - began < 3
            assert (event.data["text"], event.data["trust"]) == ("from beside", "staff")
            assert stream.next().data["assignee"] == {"kind": "human", "name": "Grace", "avatar_url": None}

    def test_tell_what_another_worker_took_in(self, workspace: Workspace, two_workers: RunningServer) -> None:
        token, _ = workspace.sign_in()
        here = Client(workspace, token)
        there = Client(workspace, token, base_url=two_workers.base_url)
        conversation = here.start()
        with here.stream(conversation) as stream:
            stream.next("conversation")
            sent = [there.say(conversation, str(number))["id"] for number in range(5)]
            assert [event.data["id"] for event in stream.messages(5)] == sent

    def test_say_nothing_of_what_staff_write_for_each_other(self, workspace: Workspace) -> None:
        client = known(workspace)
        conversation = client.start()
        with client.stream(conversation) as stream:
            stream.next("conversation")
            post_beside(workspace, conversation, Draft(Sender.AGENT, Trust.STAFF, text="secret", type="agent_comment"))
            client.say(conversation, "shown")
            assert stream.next("message").data["text"] == "shown"

    def test_resume_without_a_gap_and_without_a_repetition(self, workspace: Workspace) -> None:
        client = known(workspace)
        conversation = client.start()
        seen: list[str] = []
        last = ""
        sent = []
        for number in range(4):
            with client.stream(conversation, last=last) as stream:
                if not last:
                    last = stream.next("conversation").id
                sent += [client.say(conversation, f"{number}{letter}")["id"] for letter in "ab"]
                # Breaks off behind the first of two messages, before the conversation is told of.
                event = stream.next("message")
                seen.append(event.data["id"])
                last = event.id
            sent.append(client.say(conversation, f"{number}c")["id"])
        with client.stream(conversation, last=last) as stream:
            missing = stream.messages(len(sent) - len(seen))
            seen += [event.data["id"] for event in missing]
            last = stream.next("conversation").id
        with client.stream(conversation, last=last) as stream:
            sent.append(client.say(conversation, "end")["id"])
            event = stream.next()
            assert event.kind == "message"
            seen.append(event.data["id"])
        # Of each round the first was seen at once, and the others when the next stream resumed.
        assert sorted(seen) == sorted(sent)
        assert len(set(seen)) == len(seen)

    def test_begin_where_they_are_asked_to(self, workspace: Workspace) -> None:
        client = known(workspace)
        conversation = client.start()
        sent = [client.say(conversation, str(number))["id"] for number in range(4)]
        for after, expected in ((0, sent), (2, sent[2:]), (4, []), (1000, [])):
            with client.stream(conversation, after=after) as stream:
                told = _until_conversation(stream)
                assert [event.data["id"] for event in told] == expected
        # The id that was seen goes before the parameter: a browser's retry repeats the address.
        with client.stream(conversation, after=0, last="0.3") as stream:
            assert [event.data["id"] for event in _until_conversation(stream)] == sent[3:]

    @pytest.mark.parametrize("last", ["x", "1", "1.", ".1", "-1.1", "1.1.1", "1. 1", "9" * 40 + ".1", "٣.1"])
    def test_resume_only_behind_an_id_that_was_given_out(self, workspace: Workspace, last: str) -> None:
        client = known(workspace)
        answer = client.call(
            "GET",
            f"{CONVERSATIONS}/{client.start()}/events",
            headers={"last-event-id": last.encode()},  # type: ignore[dict-item]
        )
        problem(answer, 400, "invalid_field", field="Last-Event-ID")

    def test_resume_behind_what_has_not_happened_yet(self, workspace: Workspace) -> None:
        client = known(workspace)
        conversation = client.start()
        with client.stream(conversation, last="999.999") as stream:
            stream.next("conversation")
            sent = client.say(conversation)
            assert stream.next("message").data == sent

    def test_are_an_unverified_visitors_on_their_device(self, workspace: Workspace) -> None:
        client = unknown(workspace)
        conversation = client.start(SCOPE)
        with client.stream(conversation) as stream:
            stream.next("conversation")
            sent = client.say(conversation)
            assert stream.next("message").data == sent

    def test_end_with_the_token(self, workspace: Workspace) -> None:
        token, contact_id = workspace.sign_in()
        client = Client(workspace, token)
        conversation = client.start()
        with client.stream(conversation) as stream:
            stream.next("conversation")
            end_tokens(client, contact_id)
            began = time.monotonic()
            assert stream.rest() == []
            assert time.monotonic() - began < 6

    @pytest.mark.slow
    def test_end_with_the_contact(self, workspace: Workspace) -> None:
        token, contact_id = workspace.sign_in()
        client = Client(workspace, token)
        conversation = client.start()
        with client.stream(conversation) as stream:
            stream.next("conversation")
            workspace.installation.server.cli("contact", "erase", contact_id, "-w", workspace.id, "--yes")
            assert [event for event in stream.rest() if event.kind == "message"] == []
        assert client.read(conversation).status_code in {401, 404}

    def test_are_bounded_for_each_contact(self, workspace: Workspace) -> None:
        client, other = known(workspace), known(workspace, "bea@example.com")
        conversation, others = client.start(), other.start()
        with contextlib.ExitStack() as streams:
            for _ in range(MOST_STREAMS):
                stream = streams.enter_context(client.stream(conversation))
                assert stream.response.status_code == 200
            with client.stream(conversation) as refused:
                body = problem(refused.response, 429, "rate_limited")
                assert int(refused.response.headers["retry-after"]) >= 1
                assert body["status"] == 429
            with other.stream(others) as stream:
                assert stream.response.status_code == 200
        # Who has hung up makes room.
        deadline = time.monotonic() + 3
        while True:
            with client.stream(conversation) as stream:
                if stream.response.status_code == 200:
                    break
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def test_have_a_head(self, workspace: Workspace) -> None:
        client = known(workspace)
        for _ in range(MOST_STREAMS + 1):
            answer = client.call("HEAD", f"{CONVERSATIONS}/{client.start()}/events")
            assert answer.status_code == 200
            assert answer.headers["content-type"] == "text/event-stream"

    @pytest.mark.slow
    def test_keep_an_idle_connection_open(self, sqlite_installation: Installation) -> None:
        client = known(sqlite_installation.workspace())
        with client.stream(client.start(), wait=20) as stream:
            stream.next("conversation")
            began = time.monotonic()
            stream.next(":")
            assert 13 < time.monotonic() - began < 18

    @pytest.mark.slow
    def test_do_not_keep_a_server_from_stopping(
        self, installation: Installation, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        workspace = installation.workspace()
        directory = tmp_path_factory.mktemp("stopping")
        issuer = installation.server.settings["VESTIBULE_PUBLIC_URL"]
        settings = {"public_url": issuer, "shutdown_timeout": "10s"}
        with beside(installation, directory, **settings) as server:
            client = Client(workspace, workspace.sign_in()[0], base_url=server.base_url)
            conversation = client.start()
            with client.stream(conversation) as stream:
                stream.next("conversation")
                began = time.monotonic()
                server.stop()
                assert time.monotonic() - began < 5
                assert stream.rest() == []
            assert [line for line in server.log().splitlines() if '"level":"error"' in line] == []


def _until_conversation(stream: Stream) -> list[Any]:
    told = []
    while (event := stream.next()).kind == "message":
        told.append(event)
    return told


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
