"""Messages of the native API: sent once, in order, within limits."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from tests.fixtures import sample_files as samples
from tests.fixtures.front_door import Workspace
from tests.fixtures.native import CONVERSATIONS, Client
from tests.fixtures.native_clients import RFC3339, SCOPE, known, post_beside, problem, unknown
from tests.fixtures.widget import configure, new_uuid, reply
from vestibule.conversations.messages import Draft
from vestibule.model.conversation import Sender, Trust
from vestibule.model.responder import ResponderKind, ResponderSettings


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
