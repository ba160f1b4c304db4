"""A customer's server that is hostile, broken, or not the customer's: whatever it answers ends within the deadline in a
documented code, signs nobody in, and leaves the service well."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import pytest

from tests.fixtures.fake_auth_endpoint import FakeAuthEndpoint, configure, refused, show, signed_in
from tests.fixtures.front_door import Installation, Workspace
from tests.fixtures.loopback import json_answer

YES = b'{"status":true,"data":{"id":"u-1","name":"Ada"}}'
DEADLINE = 9.0  # of the whole operation, and one second


@pytest.fixture
def workspace(responding: Installation) -> Workspace:
    return responding.workspace()


class RawServer:
    """Answers every connection with what `answer` sends, and ends with the test."""

    def __init__(self, answer: Callable[[socket.socket], None]) -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = []
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for each in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._open.append(connection)
                thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            connection.recv(65_536)
            self._answer(connection)


def sends(*pieces: bytes, delay: float = 0.0, times: int = 1) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        for _ in range(times):
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(delay)

    return answer


def head(length: int, *lines: bytes) -> bytes:
    return b"\r\n".join([b"HTTP/1.1 200 OK", b"Content-Length: %d" % length, *lines, b"", b""])


def whole(body: bytes, *lines: bytes) -> bytes:
    return head(len(body), *lines) + body


BOMB = gzip.compress(b'{"status":true,"data":{"id":"u-1","name":"' + b"a" * 10_000_000 + b'"}}')
DEEP = b'{"status":true,"data":{"id":"u-1","x":' + b"[" * 5000 + b"]" * 5000 + b"}}"

BAD = (502, "auth_bad_response")
AWAY = (503, "auth_unavailable")
LATE = (504, "auth_timeout")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"status":false,"status":true,"data":{"id":"u-1"}}', BAD),
        (b'{"status":true,"data":{"id":"u-2","id":"u-1"}}', BAD),
        (b'{"status":true,"data":{"id":"u-1"},"st\\u0061tus":false}', BAD),
        (YES.decode().encode("utf-16"), BAD),
        (YES.decode().encode("utf-16-be"), BAD),
        (b"\xef\xbb\xbf" * 2 + YES, BAD),
        (b" \xef\xbb\xbf" + YES, BAD),
        (DEEP, BAD),
        (YES + YES, BAD),
        (YES + b"\0", BAD),
        (YES[:-1], BAD),
        (b'{"status":true,"data":{"id":"u-\xff1"}}', BAD),
        (b'{"status":true,"data":{"id":NaN}}', BAD),
        (b'{"status":true,"data":{"__proto__":{"id":"u-1"}}}', BAD),
        (b"null", BAD),
        (b'"true"', BAD),
        (b"true", BAD),
        (b'{"status":true,"data":"u-1"}', BAD),
        (b'{"status":"true","data":{"id":"u-1"}}', BAD),
        (b'{"status":1,"data":{"id":"u-1"}}', BAD),
        (b'{"status":true,"data":[]}', BAD),
        (b'{"Status":true,"data":{"id":"u-1"}}', BAD),
        (b'{"status":true,"data":{"id":"u-1\\u0000"}}', (502, "auth_identity_missing")),
        (b'{"status":true,"data":{"id":1e400}}', BAD),
        (b'{"status":true,"data":{"id":123456789012345678901234567890}}', (502, "auth_identity_missing")),
        (b'{"status":true,"data":{"id":"' + b"x" * 70_000 + b'"}}', BAD),
    ],
    ids=lambda value: value[:40].decode("latin-1") if isinstance(value, bytes) else None,
)
def test_a_body_that_is_not_plainly_a_yes(workspace: Workspace, body: bytes, expected: tuple[int, str]) -> None:
    with RawServer(sends(whole(body))) as server:
        configure(workspace, url=server.url)
        refused(show(workspace, "token"), *expected)
    assert workspace.contacts() == []


def endless_headers(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    for number in range(20_000):
        connection.sendall(b"X-%d: %s\r\n" % (number, b"a" * 1000))


def continues(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)


def hints(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 100)


def endless_line(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        connection.sendall(b"a" * 65_536)


CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


def endless_chunk_extension(connection: socket.socket) -> None:
    connection.sendall(CHUNKED + b"%x;a=" % len(YES))
    while True:
        connection.sendall(b"b" * 65_536)


def endless_trailers(connection: socket.socket) -> None:
    connection.sendall(CHUNKED + b"%x\r\n" % len(YES) + YES + b"\r\n0\r\n")
    while True:
        connection.sendall(b"X: a\r\n" * 1000)


def empty_chunks(connection: socket.socket) -> None:
    connection.sendall(CHUNKED)
    while True:
        connection.sendall(b"1\r\n \r\n" * 100)


@pytest.mark.parametrize(
    "answer", [continues, hints, endless_line, endless_chunk_extension, endless_trailers, empty_chunks]
)
def test_an_answer_without_an_end(workspace: Workspace, answer: Callable[[socket.socket], None]) -> None:
    began = time.monotonic()
    with RawServer(answer) as server:
        configure(workspace, url=server.url)
        reply = show(workspace, "token")
    assert reply.status_code in {502, 503, 504}, reply.text
    assert reply.json()["code"] in {"auth_bad_response", "auth_unavailable", "auth_timeout"}
    assert time.monotonic() - began < DEADLINE
    assert workspace.contacts() == []


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (sends(whole(BOMB, b"Content-Encoding: gzip")), BAD),
        (sends(whole(gzip.compress(YES), b"Content-Encoding: gzip")), BAD),
        (endless_headers, BAD),
        (sends(b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 500 + b"\r\n" + YES), BAD),
        (sends(head(10_000_000), b"a" * 65_536, times=150), BAD),
        (sends(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10001\r\n" + b"a" * 65_537 + b"\r\n"), BAD),
        (sends(b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n"), BAD),
        (sends(whole(YES, b"Refresh: 0; url=http://169.254.169.254/")), BAD),
        (sends(b""), AWAY),
        (sends(b"garbage\r\n\r\n"), AWAY),
        (sends(head(1000) + YES), AWAY),
        (sends(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 48\r\n\r\n" + YES), AWAY),
    ],
)
def test_an_answer_that_is_not_plainly_http(
    workspace: Workspace, answer: Callable[[socket.socket], None], expected: tuple[int, str]
) -> None:
    began = time.monotonic()
    with RawServer(answer) as server:
        configure(workspace, url=server.url)
        refused(show(workspace, "token"), *expected)
    assert time.monotonic() - began < DEADLINE
    assert workspace.contacts() == []


@pytest.mark.parametrize(
    "answer",
    [
        sends(*[bytes([byte]) for byte in whole(YES)], delay=1),
        sends(*[bytes([byte]) for byte in b"HTTP/1.1 200 OK\r\n"], delay=1),
        sends(b"", delay=30),
    ],
    ids=["body and all", "status line", "silence"],
)
def test_one_byte_a_second(workspace: Workspace, answer: Callable[[socket.socket], None]) -> None:
    began = time.monotonic()
    with RawServer(answer) as server:
        configure(workspace, url=server.url)
        refused(show(workspace, "token"), *LATE)
        took = time.monotonic() - began
        assert 4.5 < took < 6.5
    assert workspace.contacts() == []


def test_a_slow_server_of_one_workspace_is_not_felt_by_another(responding: Installation) -> None:
    slow, quick = responding.workspace(), responding.workspace()
    with FakeAuthEndpoint({"t": {"id": 1}}) as fine, FakeAuthEndpoint() as stuck:
        configure(slow, stuck)
        configure(quick, fine)
        stuck.reply = lambda _request: json_answer({}, wait=8)
        with ThreadPoolExecutor(40) as threads:
            waiting = [threads.submit(show, slow, f"token-{number}") for number in range(30)]
            stuck.wait_for(20)
            began = time.monotonic()
            signed_in(quick, "t")
            assert time.monotonic() - began < 1.0
            assert len(stuck.received) == 20  # at once, of one workspace
            assert {done.result().status_code for done in waiting} <= {503, 504}


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data/",
        "https://169.254.169.254/",
        "https://10.0.0.1/",
        "https://[fd00:ec2::254]/",
        "https://0.0.0.0/",
    ],
)
def test_an_address_that_nobody_may_call(workspace: Workspace, url: str) -> None:
    from vestibule.errors import InvalidDeclaration  # noqa: PLC0415

    with pytest.raises(InvalidDeclaration):
        configure(workspace, url=url)


def test_the_canaries_are_nowhere_to_be_read(workspace: Workspace) -> None:
    with FakeAuthEndpoint({"canary-user-token": {"id": 1, "name": "Ada"}}) as fake:
        configure(workspace, fake, header_token="canary-header")
        signed_in(workspace, "canary-user-token")
        # It says the secrets back, where operators read.
        said = "x" * 190 + "canary-user-token, canary-header \r\n{}"
        fake.reply = lambda _request: json_answer({"status": False, "message": said})
        refused(show(workspace, "canary-user-token"), 401, "auth_rejected")
        fake.always(b"{", 500)
        answer = show(workspace, "canary-user-token")
        assert "canary" not in answer.text
    time.sleep(0.3)
    assert "canary" not in workspace.installation.server.log()
    kept = str(workspace.installation.rows("SELECT * FROM contacts WHERE workspace_id = $1", workspace.id))
    kept += str(workspace.installation.rows("SELECT * FROM workspace_settings WHERE workspace_id = $1", workspace.id))
    assert "canary" not in kept


@pytest.mark.parametrize(
    "data",
    [
        {"name": "a\0b"},
        {"avatar": "javascript:alert(1)"},
        {"avatar": "https://a.example/\r\nX: 1"},
        {"label": [["x"]]},
        {"label": {"a": 1}},
        {"label": ["x"] * 1000 + ["y" * 500]},
        {"phone_number": "1" * 5000},
        {"phone_number": ["0901234567"]},
        {"email": "ada@example.com\nBcc: x@example.com"},
        {"email": {"a": 1}},
        {"country_code": {"a": 1}, "phone_number": "0901234567"},
        {"expires_in": -5},
        {"expires_in": "forever"},
        {"verified": False, "role": "admin", "custom_data": {"a": 1}},
    ],
)
def test_hostile_values_spoil_themselves_only(workspace: Workspace, data: dict[str, Any]) -> None:
    with FakeAuthEndpoint({"t": {"id": 1, "name": "Ada", **data}}) as fake:
        configure(workspace, fake, cache_seconds=60)
        made = signed_in(workspace, "t")
    me = workspace.me(made["token"]).json()
    assert me["custom_data"] == {}
    assert "javascript" not in json.dumps(me)
    assert me["email"] is None


@pytest.fixture(autouse=True)
def nothing_unexpected(responding: Installation) -> Iterator[None]:
    yield
    assert "unexpected error" not in responding.server.log()
