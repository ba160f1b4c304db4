"""Tells the demo's own page from every other one that a browser has open; it must not answer anything.

The demo holds a key and has no sign-in, so any page could try to use it through the visitor's browser: by posting
across sites, or by giving its own name the address 127.0.0.1 (DNS rebinding). The name in `Host` and the origin that
browsers state, and pages cannot forge, tell these apart.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from vestibule.edge.http import Request
from vestibule.errors import NotAllowed


class OwnPage:
    """The names under which this machine's browsers may call the demo."""

    def __init__(self, public_url: str) -> None:
        port = urlsplit(public_url).port or 80
        names = ("127.0.0.1", "localhost")
        hosts = {f"{name}:{port}" for name in names} | ({*names} if port == 80 else set())
        self._hosts = frozenset(host.encode() for host in hosts)

    def require_host(self, request: Request) -> bytes:
        """The name that the caller knows us by. Raises NotAllowed."""
        hosts = request.headers(b"host")
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            raise NotAllowed("Open the demo by its own address, on the machine it runs on.", step="host")
        return hosts[0].lower()

    def require_origin(self, request: Request) -> None:
        """What makes the key work comes from the demo's page, and says so. Raises NotAllowed."""
        own = b"http://" + self.require_host(request)
        sites = request.headers(b"sec-fetch-site")
        if request.headers(b"origin") != [own] or any(site != b"same-origin" for site in sites):
            raise NotAllowed("Only the demo's own page may ask for this.", step="origin")
