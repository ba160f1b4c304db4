"""Says beforehand why a server could not listen where it is told to, as uvicorn says it in a log line only; it must
not listen itself."""

from __future__ import annotations

import errno
import socket


class CannotListen(Exception):
    """The message says why and what to do."""


def require_address(host: str, port: int) -> None:
    """Raises CannotListen."""
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError:
        raise CannotListen(f"host {host} is not known here; choose another with --host") from None
    for family, kind, protocol, _, address in found:
        try:
            _try(socket.socket(family, kind, protocol), address)
        except OSError as error:
            raise CannotListen(_words(host, port, error)) from None


def _try(probe: socket.socket, address: tuple[str | int, ...] | tuple[int, bytes]) -> None:
    with probe:
        # As the server will: a port whose last connections are just ending is free, and :: is not 0.0.0.0 as well.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if probe.family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        probe.bind(address)


def _words(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is taken by another program; choose another with --port"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"host {host} is no address of this machine; choose another with --host"
    return f"port {port} cannot be used: {error.strerror}; choose another with --port"
