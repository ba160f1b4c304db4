"""Why a server cannot listen where it is told to, in words that say what to change."""

from __future__ import annotations

import socket

import pytest

from vestibule.server.listening import CannotListen, require_address


@pytest.mark.parametrize("number", [-2, 8], ids=["Linux", "macOS"])
def test_a_host_that_is_not_known_is_named(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The resolver has numbers of its own, which on macOS are some of the system's: 8 is ENOEXEC's as well."""

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(number, "nodename nor servname provided, or not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(CannotListen, match=r"host here\.example is not known here"):
        require_address("here.example", 8080)


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotListen, match=f"port {port} is taken"):
            require_address("127.0.0.1", port)


@pytest.mark.parametrize("host", ["127.0.0.1", ""])
def test_where_nobody_listens_nothing_is_said(host: str) -> None:
    require_address(host, 0)
