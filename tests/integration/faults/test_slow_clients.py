"""Hundreds of clients that send their headers, or their bodies, byte by byte or not at all, while others are served."""

from __future__ import annotations

import contextlib
import selectors
import socket
import statistics
import threading
import time
from collections.abc import Iterator

import pytest

from tests.fixtures.faults import exposed
from tests.fixtures.front_door import PATH
from tests.fixtures.mixed_ground import Ground
from tests.fixtures.mixed_load import Load
from tests.fixtures.server import RunningServer

SLOW = 300
# VESTIBULE_HEADER_TIMEOUT and VESTIBULE_BODY_TIMEOUT of the tests.
PATIENCE = 2.0
SENT_BEFORE = {
    "silent": b"",
    "headers": b"POST " + PATH.encode() + b" HTTP/1.1\r\nHost: x\r\nX-Slow: ",
    "body": b"POST "
    + PATH.encode()
    + b" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n"
    + b'Content-Length: 1000\r\n\r\n{"email": "',
}


@contextlib.contextmanager
def slow_clients(server: RunningServer, head: bytes) -> Iterator[list[float]]:
    """So many, each of which comes again as soon as it is hung up on. Yields how long each was let hang on."""
    lives: list[float] = []
    stopping = threading.Event()

    def drip() -> None:
        with selectors.DefaultSelector() as waiting:
            for _ in range(SLOW):
                waiting.register(_begin(server, head), selectors.EVENT_READ, time.monotonic())
            while not stopping.is_set():
                for key, _ in waiting.select(0.2):
                    lives.append(time.monotonic() - key.data)
                    waiting.unregister(key.fileobj)
                    key.fileobj.close()  # type: ignore[union-attr]
                    waiting.register(_begin(server, head), selectors.EVENT_READ, time.monotonic())
                for key in list(waiting.get_map().values()):
                    with contextlib.suppress(OSError):
                        key.fileobj.send(b"a")  # type: ignore[union-attr]
            for key in list(waiting.get_map().values()):
                key.fileobj.close()  # type: ignore[union-attr]

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    try:
        yield lives
    finally:
        stopping.set()
        thread.join(10)


def _begin(server: RunningServer, head: bytes) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", server.port), timeout=5)
    made.sendall(head)
    return made


@pytest.fixture(scope="module")
def place(
    session_settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[RunningServer, Ground]]:
    directory = tmp_path_factory.mktemp("slow")
    with exposed(session_settings, f"sqlite:///{directory}/v.db", directory) as made:
        yield made


@pytest.mark.parametrize("kind", SENT_BEFORE)
def test_hinder_nobody(place: tuple[RunningServer, Ground], kind: str) -> None:
    server, ground = place
    head = SENT_BEFORE[kind]
    if kind == "body":
        head %= ground.workspace.api_key.encode()
    with Load(ground) as load:
        load.wait_for_answers(30)
        with slow_clients(server, head) as lives:
            time.sleep(2 * PATIENCE)
            load.wait_for_answers(30)
    load.verify()
    assert len(lives) >= SLOW, "slow clients were let hang on"
    assert statistics.median(lives) < PATIENCE + 2.0
