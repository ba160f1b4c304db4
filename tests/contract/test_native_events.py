"""The native API's events: what is told, to whom, and from where on."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import pytest

from tests.fixtures.front_door import Installation, Workspace, beside
from tests.fixtures.native import CONVERSATIONS, Client, Stream
from tests.fixtures.native_clients import SCOPE, end_tokens, known, post_beside, problem, unknown
from tests.fixtures.server import RunningServer
from tests.fixtures.widget import reply
from vestibule.conversations.messages import Draft
from vestibule.model.conversation import Sender, Trust
from vestibule.surfaces.native.events import MOST_STREAMS


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
