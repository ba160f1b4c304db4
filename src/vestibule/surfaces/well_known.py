"""What everybody may see: the public keys, and whether the service is up; it needs no credential and tells no more."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import ipaddress
from collections.abc import Sequence

import msgspec

from vestibule import measures, metrics
from vestibule.clock import now_ms
from vestibule.edge.bearer import bearer
from vestibule.edge.http import Reply, Request, json_reply
from vestibule.edge.problem import problem
from vestibule.edge.surface import Route, Surface
from vestibule.errors import InvalidMetricsToken, NoSigningKey, NotAllowed, StorageUnavailable
from vestibule.responder.runner import Runner
from vestibule.runtime import Runtime
from vestibule.storage.depths import read as read_depths
from vestibule.storage.opening import READ_VERSION

# Long enough to spare us, short enough that a key which is published a day before it signs is seen in time, and that
# a withdrawn one is forgotten soon.
_KEYS_FRESH_SECONDS = 300
_FORWARDED = (b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip", b"via")


def surface(runtime: Runtime, _runner: Runner) -> Surface:
    return Surface("well_known", ("/",), problem, routes(runtime))


def routes(runtime: Runtime) -> Sequence[Route]:
    alive = msgspec.json.encode({"status": "ok", "instance": runtime.settings.instance})

    async def jwks(_request: Request) -> Reply:
        if not runtime.signing_keys.jwks:
            raise NoSigningKey(detail="the keys were not read yet", step="jwks")
        fresh = f"public, max-age={_KEYS_FRESH_SECONDS}".encode()
        # RFC 7517 section 8.5.2. Any page may read public keys.
        headers = ((b"content-type", b"application/jwk-set+json"), (b"cache-control", fresh))
        return Reply(200, runtime.signing_keys.jwks, (*headers, (b"access-control-allow-origin", b"*")))

    async def healthz(_request: Request) -> Reply:
        return json_reply(200, alive)

    async def readyz(_request: Request) -> Reply:
        # Asks for what a request needs: the database, a key to sign with, and which tokens were ended. All raise
        # Unavailable.
        await runtime.store.read(READ_VERSION)
        runtime.signing_keys.current()
        runtime.token_endings.require_known()
        return json_reply(200, b'{"status":"ready"}')

    async def metrics_(request: Request) -> Reply:
        _require_scraper(request, runtime.settings.metrics_token)
        depths: list[measures.Depth] = []
        with contextlib.suppress(StorageUnavailable):  # the other figures are wanted then more than ever
            depths = await read_depths(runtime.store, now_ms())
        metrics.fold()
        # In a thread: several workers' counts are read from files.
        text = await asyncio.to_thread(metrics.render) + measures.render(depths)
        return Reply(200, text, ((b"content-type", metrics.CONTENT_TYPE), (b"cache-control", b"no-store")))

    return [
        Route("GET", "/.well-known/jwks.json", jwks),
        Route("GET", "/healthz", healthz),
        Route("GET", "/readyz", readyz),
        Route("GET", "/metrics", metrics_),
    ]


def _require_scraper(request: Request, token: str) -> None:
    """Figures tell who uses the service how much (ASVS 13.4.2): with a token for its holder, without one for callers on
    this machine, and for none that a proxy on this machine brings. Raises MissingCredentials, NotAllowed."""
    if token:
        if not hmac.compare_digest(bearer(request).encode(), token.encode()):
            raise InvalidMetricsToken(step="metrics")
    elif not ipaddress.ip_address(request.peer or "0.0.0.0").is_loopback or any(  # noqa: S104 - no address
        request.headers(name) for name in _FORWARDED
    ):
        raise NotAllowed("Set metrics_token to read metrics from elsewhere.", step="metrics")
