"""What the OpenCX widget API refuses: foreign sessions, dead tokens, and messages that cannot be kept; each with a
stable code, in the wire's shape, and with nothing stored."""

from __future__ import annotations

import base64
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.fixtures.front_door import Workspace, refused
from tests.fixtures.widget import (
    OF_A_SESSION,
    OPERATIONS,
    PREFIX,
    WITH_A_TOKEN,
    Device,
    anonymous,
    bot_token,
    claiming,
    new_uuid,
    verified,
)
from vestibule.administration import contacts

NOBODYS = "01a1febb-fe36-7af8-9a2a-b4c93d94e583"


def stored(workspace: Workspace) -> list[tuple[Any, ...]]:
    """Every conversation and message of the workspace: equal before and after means that nothing was written."""
    rows = workspace.installation.rows
    conversations = "SELECT id, version, next_seq, updated_at FROM conversations WHERE workspace_id = $1 ORDER BY id"
    messages = "SELECT public_id, seq, text FROM messages WHERE workspace_id = $1 ORDER BY conversation_id, seq"
    return [*rows(conversations, workspace.id), *rows(messages, workspace.id)]


class TestASessionOfSomebodyElse:
    """404 as if it did not exist, octet for octet."""

    @pytest.mark.parametrize("operation", OF_A_SESSION)
    def test_looks_like_none(self, workspace: Workspace, operation: str) -> None:
        owner = claiming(workspace, "ada@example.com")
        theirs = owner.start()
        owner.say(theirs, "hello")
        elsewhere = anonymous(workspace.installation.workspace()).start()
        for visitor in (anonymous(workspace), verified(workspace, "bob@example.com"), verified(workspace)):
            before = stored(workspace)
            answers = [visitor.do(operation, session) for session in (NOBODYS, theirs, elsewhere)]
            for answer in answers:
                refused(answer, 404, "not_found")
            assert len({answer.content for answer in answers}) == 1
            assert len({tuple(sorted(set(answer.headers) - {"x-request-id", "date"})) for answer in answers}) == 1
            assert stored(workspace) == before

    @pytest.mark.parametrize("operation", OF_A_SESSION)
    @pytest.mark.parametrize(
        "session",
        [
            "x",
            "0",
            "%00",
            "a%00b",
            "..%2f..",
            "%ff",
            "\u00e9",
            "' OR 1=1 --",
            NOBODYS.upper(),
            NOBODYS + "%0a",
            "x" * 4000,
        ],
    )
    def test_by_a_name_that_is_no_id_is_none_either(self, workspace: Workspace, operation: str, session: str) -> None:
        """Nothing that a database, a path or a log would choke on gets further."""
        visitor = anonymous(workspace)
        if OPERATIONS[operation][2] is not None:
            session = session.replace("%00", "\\u0000").replace("%0a", "\\n")
        refused(visitor.do(operation, session), 404)

    def test_by_a_name_with_nul_spoils_nobody_elses_poll(self, workspace: Workspace) -> None:
        """Reads of one kind share a round trip to the database."""
        visitor, attacker = anonymous(workspace), anonymous(workspace)
        session = visitor.start()

        def poll(number: int) -> int:
            answer = attacker.poll("%00") if number % 2 else visitor.poll(session)
            return answer.status_code

        with ThreadPoolExecutor(16) as threads:
            statuses = list(threads.map(poll, range(200)))
        assert set(statuses[0::2]) == {200}
        assert set(statuses[1::2]) == {404}


class TestAToken:
    @pytest.mark.parametrize("operation", WITH_A_TOKEN)
    def test_is_needed(self, workspace: Workspace, operation: str) -> None:
        session = anonymous(workspace).start()
        answer = Device(workspace, None).do(operation, session)
        refused(answer, 401, "missing_credentials")

    @pytest.mark.parametrize("operation", WITH_A_TOKEN)
    def test_that_is_not_ours_or_not_whole_opens_nothing(self, workspace: Workspace, operation: str) -> None:
        visitor = anonymous(workspace)
        session = visitor.start()
        token = str(visitor.token)
        head, payload, signature = token.split(".")
        claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
        promoted = {**claims, "contact": {"id": claims["sub"], "verified": True}, "method": "server_to_server"}
        forged = base64.urlsafe_b64encode(json.dumps(promoted).encode()).rstrip(b"=").decode()
        none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"contact+jwt"}').rstrip(b"=").decode()
        before = stored(workspace)
        for text in (
            "garbage",
            "a.b.c",
            token[:-2],
            f"{head}.{forged}.{signature}",
            f"{none}.{forged}.",
            f"{head}.{payload}.{signature}.{signature}",
            workspace.api_key,
            bot_token(workspace),
            "x" * 4000,
        ):
            refused(Device(workspace, text).do(operation, session), 401, "invalid_token")
        assert stored(workspace) == before

    @pytest.mark.parametrize("operation", WITH_A_TOKEN)
    def test_is_good_with_its_own_workspaces_bot_token_only(self, workspace: Workspace, operation: str) -> None:
        other = workspace.installation.workspace()
        for visitor in (anonymous(workspace), verified(workspace)):
            session = visitor.start()
            confused = Device(workspace, visitor.token, bot=bot_token(other))
            refused(confused.do(operation, session), 401, "invalid_token")

    def test_of_an_erased_contact_is_dead_within_five_seconds(self, workspace: Workspace) -> None:
        installation = workspace.installation
        for visitor in (verified(workspace), anonymous(workspace)):
            session = visitor.start()
            installation.run(contacts.erase(installation.desk, workspace.id, visitor.contact_id))
            deadline = time.monotonic() + 5
            while visitor.poll(session).status_code != 401 and time.monotonic() < deadline:
                time.sleep(0.1)
            for operation in WITH_A_TOKEN:
                refused(visitor.do(operation, session), 401, "invalid_token")
        assert stored(workspace) == []

    def test_given_twice_is_refused(self, workspace: Workspace) -> None:
        visitor = anonymous(workspace)
        headers = [*visitor.headers().items(), ("authorization", f"Bearer {anonymous(workspace).token}")]
        answer = workspace.installation.http.get(f"{PREFIX}/poll/{visitor.start()}", headers=headers)
        refused(answer, 400, "ambiguous_credentials")

    def test_in_the_address_is_none(self, workspace: Workspace) -> None:
        visitor = anonymous(workspace)
        bare = Device(workspace, None)
        for name in ("token", "access_token", "authorization"):
            answer = bare.call("GET", f"/poll/{visitor.start()}", params={name: str(visitor.token)})
            refused(answer, 401, "missing_credentials")

    def test_of_a_bot_given_twice_is_none(self, workspace: Workspace) -> None:
        headers = [("x-bot-token", bot_token(workspace))] * 2
        refused(workspace.installation.http.get(f"{PREFIX}/config", headers=headers), 401, "invalid_widget_token")


SOME = "11111111-1111-4111-8111-111111111111"
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"uuid": None}, "uuid"),
    ({"uuid": "x"}, "uuid"),
    ({"uuid": 1}, "uuid"),
    ({"uuid": SOME + "\n"}, "uuid"),
    ({"uuid": SOME.replace("-", "")}, "uuid"),
    ({"session_id": None}, "session_id"),
    ({"session_id": 1}, "session_id"),
    ({"content": ""}, "content"),
    ({"content": " \t\r\n\u3000"}, "content"),
    ({"content": None}, "content"),
    ({"content": 1}, "content"),
    ({"content": ["x"]}, "content"),
    ({"content": {"text": "x"}}, "content"),
    ({"content": "x" * 32_769}, "content"),
    ({"content": "a\0b"}, "content"),
    ({"attachments": "x"}, "attachments"),
    ({"attachments": [1]}, "attachments"),
    ({"attachments": [{}]}, "attachments"),
    (
        {"attachments": [{"id": "1", "name": "a", "size": 1, "type": "a/b", "url": "javascript:alert(1)"}]},
        "attachments",
    ),
    ({"attachments": [{"id": "1", "name": "a", "size": 1, "type": "a/b", "url": "https://x.example"}]}, "attachments"),
    ({"custom_data": []}, "custom_data"),
    ({"custom_data": {"a": "\0"}}, "custom_data"),
    ({"custom_data": {"a": {"\0": 1}}}, "custom_data"),
    ({"headers": {"X-A": 1}}, "headers"),
    ({"headers": {"Host": "evil.example"}}, "headers"),
    ({"headers": {"X-A": "a\r\nX-B: b"}}, "headers"),
    ({"headers": {"X A": "a"}}, "headers"),
    ({"headers": {"x-opencx-session-id": "x"}}, "headers"),
    ({"headers": "x"}, "headers"),
    ({"query_params": {"a": 1}}, "query_params"),
    ({"query_params": {"a": "\0"}}, "query_params"),
    ({"body_properties": "x"}, "body_properties"),
    ({"body_properties": {"a": "\0"}}, "body_properties"),
    ({"clientContext": "x"}, "clientContext"),
    ({"clientContext": {"a": "\0"}}, "clientContext"),
    ({"language": 1}, "language"),
    ({"language": "x" * 36}, "language"),
    ({"language": "\0"}, "language"),
    ({"exit_mode_prompt": 1}, "exit_mode_prompt"),
    ({"initial_messages": "x"}, "initial_messages"),
    ({"initial_messages": [{"uuid": "x", "content": "x"}]}, "initial_messages"),
    ({"initial_messages": [{"uuid": SOME}]}, "initial_messages"),
    ({"initial_messages": [{"uuid": SOME, "content": "\0"}]}, "initial_messages"),
    ({"initial_messages": [{"uuid": SOME, "content": "x" * 32_769}]}, "initial_messages"),
    ({"initial_messages": [{"uuid": SOME, "content": "x"} for _ in range(21)]}, "initial_messages"),
]


class TestAMessage:
    @pytest.mark.parametrize(("members", "names"), WRONG, ids=[f"{name} {str(m[name])[:24]!a}" for m, name in WRONG])
    def test_that_cannot_be_kept_names_its_fault(
        self, workspace: Workspace, members: dict[str, Any], names: str
    ) -> None:
        visitor = anonymous(workspace)
        session = visitor.start()
        before = stored(workspace)
        answer = visitor.call("POST", "/chat/send", {"uuid": SOME, "session_id": session, "content": "x", **members})
        refused(answer, 400, "invalid_field", names=names)
        assert stored(workspace) == before

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"x",
            b"[]",
            b"null",
            b'"x"',
            b"1",
            b"{",
            b'{"uuid":"a","uuid":"b"}',
            b'{"__proto__":{}}',
            b'{"custom_data":' + b'{"a":' * 40 + b"1" + b"}" * 40 + b"}",
            b'{"content":"\xff"}',
            b'{"content":"\\ud800"}',
            b'\xef\xbb\xbf{"content":"x"}',
            b'{"custom_data":{"a":NaN}}',
        ],
        ids=ascii,
    )
    def test_that_is_no_json_object_is_refused(self, workspace: Workspace, body: bytes) -> None:
        visitor = anonymous(workspace)
        visitor.start()
        before = stored(workspace)
        answer = visitor.call("POST", "/chat/send", body)
        refused(answer, 400)
        assert answer.json()["error"] in {"malformed_body", "invalid_field"}
        assert stored(workspace) == before

    def test_that_is_too_large_is_refused(self, workspace: Workspace) -> None:
        visitor = anonymous(workspace)
        session = visitor.start()
        before = stored(workspace)
        refused(visitor.send(session, custom_data={"a": "x" * 70_000}), 413, "body_too_large")
        assert stored(workspace) == before

    @pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
    def test_that_does_not_call_itself_json_is_refused(self, workspace: Workspace, kind: str) -> None:
        """What a page of another origin could send without a preflight."""
        visitor = anonymous(workspace)
        body = json.dumps({"uuid": new_uuid(), "session_id": visitor.start(), "content": "x"}).encode()
        before = stored(workspace)
        answer = visitor.call("POST", "/chat/send", body, headers={"content-type": kind})
        refused(answer, 415, "unsupported_media_type")
        assert stored(workspace) == before

    @pytest.mark.parametrize(
        "text",
        [
            "'; DROP TABLE messages; --",
            "\u202e\u2066\u200b\ufeff",
            "\U0001f468\u200d\U0001f469\u200d\U0001f467",
            "a\x01\x1f\x7f\x85\u2028\u2029",
            "Z\u0351\u036b\u0343\u036a" * 200,
            "\ufdfa" * 1000,
            "x" * 32_768,
            "{{7*7}} ${7*7} <%= 7*7 %> %s %n {0}",
        ],
        ids=lambda text: ascii(text[:16]),
    )
    def test_that_is_only_strange_comes_back_as_it_was(self, workspace: Workspace, text: str) -> None:
        visitor = anonymous(workspace)
        session = visitor.start()
        visitor.say(session, text)
        assert visitor.texts(session) == [("user", text)]
        assert visitor.listed() == [session]

    def test_to_a_closed_session_says_so(self, workspace: Workspace) -> None:
        visitor = anonymous(workspace)
        session = visitor.start()
        visitor.resolve(session)
        before = stored(workspace)
        body = refused(visitor.send(session), 409, "conversation_closed")
        assert body["message"] == "This conversation is closed."
        assert stored(workspace) == before


class TestNumbersThatNoReaderHolds:
    """A JSON number may be of any size; what cannot be kept as it is must be refused, not changed."""

    @pytest.mark.parametrize("number", [b"1e999", b"-1e999", b"123456789012345678901234567890"])
    @pytest.mark.parametrize(
        ("path", "body"),
        [
            ("/create-session", b'{"customData":{"external_id":"a","n":%b}}'),
            ("/contact/create-unverified", b'{"non_verified_custom_data":{"n":%b}}'),
            ("/checkpoint", b'{"session_id":"%%s","payload":{"n":%b}}'),
        ],
    )
    def test_are_refused_or_kept_to_the_digit(
        self, workspace: Workspace, path: str, body: bytes, number: bytes
    ) -> None:
        visitor = anonymous(workspace, scope="a")
        session = visitor.start()
        answer = visitor.call("POST", path, (body % number).replace(b"%s", session.encode()))
        if answer.status_code == 400:
            refused(answer, 400)
            return
        kept = visitor.poll(session).text if path == "/checkpoint" else answer.text
        assert number.decode() in kept
