"""Says beforehand why a server could not listen where it is told to, which uvicorn says in a log line only; it must not
take connections itself."""

from __future__ import annotations

import asyncio
import errno
import os


class CannotListen(Exception):
    """The message says why and what to do."""


def require_address(host: str, port: int) -> None:
    """Raises CannotListen."""
    try:
        asyncio.run(_bind(host, port))
    except OSError as error:
        raise CannotListen(_words(host, port, error)) from None


async def _bind(host: str, port: int) -> None:
    loop = asyncio.get_running_loop()
    try:
        await loop.getaddrinfo(host or None, port)
    except OSError:  # numbered by the resolver, on some systems with what are the system's own numbers elsewhere
        raise CannotListen(f"host {host} is not known here; choose another with --host") from None
    # As uvicorn will, but for listening: nobody is let in yet.
    (await loop.create_server(asyncio.Protocol, host, port, start_serving=False)).close()


def _words(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is taken by another program; choose another with --port"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"host {host} is no address of this machine; choose another with --host"
    return f"port {port} cannot be used: {os.strerror(error.errno or 0)}; choose another with --port"
