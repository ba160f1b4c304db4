"""What strangers write goes into logs that people and programs read: it can end no line, forge none, colour no
terminal, and grow none without end (OWASP ASVS 16.4.1). It cannot end a header of an answer either."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest

from tests.fixtures.front_door import PATH, Installation, Workspace
from tests.fixtures.raw_http import exchange
from tests.fixtures.widget import Device, unverified_token

FORGED = '{"time":1,"level":"info","message":"FORGED"}'
HOSTILE = (
    f"\r\n{FORGED}\r\n",
    f"%0d%0a{FORGED}",
    f'"}}\n{FORGED}',
    "\x1b[2J\x1b[31mFORGED\x1b]0;FORGED\x07",
    "\u2028FORGED\u2029\x85FORGED",
    "\\r\\nFORGED\\u001b[31m",
    "${jndi:ldap://127.0.0.1/FORGED}",
    "%s%n%x{0}{self.__class__}",
    "\u202eDEGROF\u202c\u200b",
    "x" * 30_000,
)
_LONGEST_LINE = 8_192
_CONTROLS = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029\u202a-\u202e]")


@pytest.fixture
def start(installation: Installation) -> int:
    """Where the log ends, once it holds what was asked before."""
    time.sleep(0.4)  # written by a thread of its own
    return len(installation.server.log())


def lines_of(installation: Installation, start: int) -> list[str]:
    time.sleep(0.4)  # written by a thread of its own
    return installation.server.log()[start:].split("\n")[:-1]


def in_order(lines: list[str]) -> list[dict[str, Any]]:
    """Each line one JSON object of ours."""
    found = []
    for line in lines:
        assert len(line) < _LONGEST_LINE, f"a line of {len(line)} characters"
        assert not _CONTROLS.search(line), line
        entry = json.loads(line)
        assert isinstance(entry, dict)
        assert entry.get("message") != "FORGED"
        assert entry["time"] > 1
        found.append(entry)
    return found


@pytest.mark.parametrize("name", ["User-Agent", "Origin", "Referer", "X-Forwarded-For", "X-Request-Id", "Traceparent"])
def test_in_a_header(workspace: Workspace, installation: Installation, name: str, start: int) -> None:
    with workspace.unharmed():
        for text in HOSTILE:
            line = name.encode() + b": " + text.encode()
            for request in (workspace.raw(line), workspace.raw(workspace.authorization, line, body=b'{"email":"x"}')):
                answer = exchange(installation.base_url, request)
                # Nothing of it came back as a header, where proxies and browsers would believe it.
                assert "FORGED" not in str(answer.headers)
    assert len(in_order(lines_of(installation, start))) >= len(HOSTILE)


def test_in_a_path_or_query(workspace: Workspace, installation: Installation, start: int) -> None:
    with workspace.unharmed():
        for text in HOSTILE:
            for target in (b"/" + text.encode(), b"/v1/me?" + text.encode(), b"/v1/" + text.encode() + b"/x"):
                request = b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
                assert 400 <= exchange(installation.base_url, request).status < 500
    lines = in_order(lines_of(installation, start))
    assert not [entry for entry in lines if "FORGED" in str(entry.get("query", ""))], "queries are not logged"


def test_in_what_people_say_of_themselves(workspace: Workspace, installation: Installation, start: int) -> None:
    for text in HOSTILE:
        workspace.authenticate(email="ada@example.com", name=text[:200], chat_context=text[:2_000])
        workspace.authenticate(email=f"{text[:40]}@example.com")
        workspace.authenticate({text[:50]: text[:50]}, email="ada@example.com", customData={text[:50]: text[:50]})
    device = Device(workspace, unverified_token(workspace, email="a@example.com"), "device-1")
    session_id = device.start()
    for text in HOSTILE:
        device.send(session_id, text)
        device.call("POST", "/chat/send", {"session_id": text, "uuid": text, "content": text})
    entries = in_order(lines_of(installation, start))
    assert "FORGED" not in json.dumps(entries)


def test_in_a_credential(workspace: Workspace, installation: Installation, start: int) -> None:
    with workspace.unharmed():
        for text in HOSTILE:
            for scheme in (b"Bearer ", b"Basic ", b""):
                exchange(installation.base_url, workspace.raw(b"Authorization: " + scheme + text.encode()))
            installation.http.get("/v1/me", params={"token": text})
            installation.http.post(PATH, json={"email": "a@b.de", "api_key": text[:100]})
    assert "FORGED" not in json.dumps(in_order(lines_of(installation, start)))
