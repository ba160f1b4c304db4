"""The examples can be tried side by side, with one workspace: none takes another's port or people."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
SERVERS = {
    "auth-endpoint": EXAMPLES / "auth-endpoint" / "server.py",
    "pages": EXAMPLES / "pages" / "serve.py",
    "token-exchange": EXAMPLES / "token-exchange" / "run.py",
}


def test_each_has_ports_of_its_own() -> None:
    found = {name: re.findall(r'(?:default=|"PORT", ")(\d{4})', path.read_text()) for name, path in SERVERS.items()}
    ports = [port for each in found.values() for port in each]
    assert all(found.values())
    assert len(set(ports)) == len(ports), found


def test_each_proves_people_of_its_own() -> None:
    """One address that two methods vouch for, with different ids, is a conflict of identities."""
    found = {name: set(re.findall(r"[a-z]+@example\.com", path.read_text())) for name, path in SERVERS.items()}
    assert found["auth-endpoint"]
    assert found["pages"]
    assert not found["auth-endpoint"] & found["pages"]


@pytest.mark.parametrize("name", ["auth-endpoint", "pages"])
def test_a_taken_port_is_told_in_a_sentence(name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        more = ["http://127.0.0.1:1", "x", "--port", port] if name == "pages" else []
        done = subprocess.run(
            [sys.executable, str(SERVERS[name]), *more],
            env={"HEADER_TOKEN": "x", "PORT": port},
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.startswith(f"Port {port} cannot be used: Address already in use. Choose another")
