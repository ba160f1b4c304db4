"""What everybody may see: the public keys, and whether the service is up; it needs no credential and tells no more."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vestibule.edge.http import Reply, Request, json_reply
from vestibule.edge.problem import problem
from vestibule.edge.surface import Route, Surface
from vestibule.errors import NoSigningKey
from vestibule.responder.runner import Runner
from vestibule.runtime import Runtime
from vestibule.storage.opening import READ_VERSION

# Long enough to spare us, short enough that a key which is published a day before it signs is seen in time, and that
# a withdrawn one is forgotten soon.
_KEYS_FRESH_SECONDS = 300


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
        # Asks for what a request needs: the database, and a key to sign with. Both raise Unavailable.
        await runtime.store.read(READ_VERSION)
        runtime.signing_keys.current()
        return json_reply(200, b'{"status":"ready"}')

    return [
        Route("GET", "/.well-known/jwks.json", jwks),
        Route("GET", "/healthz", healthz),
        Route("GET", "/readyz", readyz),
    ]
