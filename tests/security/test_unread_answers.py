"""Answers that nobody reads: each would hold memory, a connection and perhaps a file for as long as a client likes. Who
takes nothing is hung up on, whoever reads slowly is not."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from typing import Self

import psutil
import pytest

from tests.fixtures import sample_files as samples
from tests.fixtures.front_door import Installation, Workspace, beside
from tests.fixtures.native import Client
from tests.fixtures.raw_socket import RawSocket
from tests.fixtures.responding import eventually
from tests.fixtures.server import RunningServer
from tests.fixtures.uploads import path_of
from tests.fixtures.widget import unverified_token

PATIENCE = 1.0  # of the server below
SIZE = 3_000_000
HELD = 20


@pytest.fixture(scope="module")
def strict(responding: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Beside the others, with little patience."""
    with beside(responding, tmp_path_factory.mktemp("strict"), answer_timeout=f"{PATIENCE:.0f}s") as server:
        yield server
    assert "unexpected error" not in server.log()
    assert "Traceback" not in server.log()


@pytest.fixture
def visitor(workspace: Workspace, strict: RunningServer) -> Client:
    return Client(workspace, unverified_token(workspace, base_url=strict.base_url), base_url=strict.base_url)


@pytest.fixture
def streamed(visitor: Client) -> str:
    """Where a file is, which is sent piece by piece."""
    answer = visitor.upload(samples.png_of(SIZE), "large.png")
    assert answer.status_code == 201, answer.text
    return path_of(answer.json()["url"])


class Reader:
    """A client that has asked, and whose system has room for little of the answer."""

    def __init__(self, server: RunningServer, path: str, *lines: str, times: int = 1) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        # With small packets the server's system has room for little as well.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
        self._socket.settimeout(10)
        self._socket.connect(("127.0.0.1", server.port))
        head = "\r\n".join([f"GET {path} HTTP/1.1", "Host: x", *lines, "", ""])
        self._socket.sendall(head.encode() * times)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def take(self, most: int, *, at_once: int = 65_536) -> int:
        """So many bytes, or what comes until the end."""
        taken = 0
        with contextlib.suppress(ConnectionError):
            while taken < most and (data := self._socket.recv(min(at_once, most - taken))):
                taken += len(data)
        return taken


def held_by(server: RunningServer) -> int:
    return psutil.Process(server.pid).num_fds()


@pytest.mark.slow
class TestWhoReadsNothing:
    def test_holds_no_connection_and_no_file(self, strict: RunningServer, streamed: str) -> None:
        before = held_by(strict)
        with contextlib.ExitStack() as readers:
            held = [readers.enter_context(Reader(strict, streamed)) for _ in range(HELD)]
            eventually(lambda: held_by(strict) >= before + HELD)
            eventually(lambda: held_by(strict) < before + HELD // 2, within=4 * PATIENCE)
            assert held[0].take(SIZE) < SIZE // 2

    @pytest.mark.parametrize("lines", [(), ("Connection: close",)], ids=["kept open", "to be closed"])
    def test_holds_no_answer_that_is_written_whole(
        self, workspace: Workspace, strict: RunningServer, lines: tuple[str, ...]
    ) -> None:
        """Closing alone would wait for the client to take what is left."""
        before = held_by(strict)
        with workspace.unharmed(url=strict.base_url), contextlib.ExitStack() as readers:
            for _ in range(HELD):
                readers.enter_context(Reader(strict, "/v1/admin/openapi.json", *lines))
            eventually(lambda: held_by(strict) >= before + HELD)
            eventually(lambda: held_by(strict) < before + HELD // 2, within=4 * PATIENCE)

    def test_holds_nothing_by_many_small_answers(self, strict: RunningServer) -> None:
        before = held_by(strict)
        with Reader(strict, "/v1/nothing", times=2_000):
            eventually(lambda: held_by(strict) > before)
            eventually(lambda: held_by(strict) <= before, within=4 * PATIENCE)

    def test_holds_no_file_behind_which_another_answer_waits(self, strict: RunningServer, streamed: str) -> None:
        before = held_by(strict)
        with Reader(strict, streamed, times=2):
            eventually(lambda: held_by(strict) > before)
            eventually(lambda: held_by(strict) <= before, within=4 * PATIENCE)


class TestWhoReads:
    @pytest.mark.slow
    def test_slowly_gets_everything(self, strict: RunningServer, streamed: str) -> None:
        """However much the system has taken off our hands meanwhile."""
        with Reader(strict, streamed, "Connection: close") as reader:
            taken, began = 0, time.monotonic()
            while (piece := reader.take(SIZE // 12)) > 0:
                taken += piece
                time.sleep(PATIENCE / 3)
            assert time.monotonic() - began > 3 * PATIENCE
            assert taken > SIZE

    @pytest.mark.slow
    def test_events_that_are_long_in_coming_gets_them(self, visitor: Client) -> None:
        conversation_id = visitor.start("a")
        with visitor.stream(conversation_id) as stream:
            time.sleep(2.5 * PATIENCE)
            visitor.say(conversation_id, "still there?")
            assert stream.next("message").data["text"] == "still there?"

    def test_a_socket_on_which_nothing_comes_keeps_it(self, strict: RunningServer) -> None:
        with RawSocket(strict.base_url) as wire:
            assert wire.text().startswith("0{")
            time.sleep(1.5 * PATIENCE)
            assert wire.send("40")
            assert wire.text()
