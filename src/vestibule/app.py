"""The composition root: settings in, ASGI application out; it must not handle a request beyond choosing its surface."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path

from vestibule.administration import retention
from vestibule.administration.desk import desk_of
from vestibule.clock import elapsed
from vestibule.edge.access_log import AccessLog
from vestibule.edge.http import ClientGone, Receive, Request, Scope, Send
from vestibule.edge.surface import Surface
from vestibule.errors import VestibuleError
from vestibule.identity.resolution import Resolver
from vestibule.limits import RateLimiter
from vestibule.live import Live
from vestibule.outbound.client import Outbound
from vestibule.registry import SURFACES
from vestibule.responder.runner import Runner
from vestibule.runtime import Runtime
from vestibule.sealing import Sealer
from vestibule.settings import Settings
from vestibule.storage.contacts import Contacts
from vestibule.storage.device_scopes import DeviceScopes
from vestibule.storage.file_store import DiskFileStore
from vestibule.storage.installation import UnverifiedSecret
from vestibule.storage.opening import open_store
from vestibule.storage.provider_identities import ProviderIdentities
from vestibule.tenancy import Tenancy
from vestibule.tokens.api_keys import ApiKeys
from vestibule.tokens.contact_token import ContactTokens
from vestibule.tokens.endings import TokenEndings
from vestibule.tokens.signing_keys import REFRESH_SECONDS, SigningKeys, ensure_first

_log = logging.getLogger(__name__)


async def make_runtime(settings: Settings, sealer: Sealer) -> Runtime:
    """Opens the database and makes everything that requests use. Raises StorageUnavailable."""
    store = await open_store(
        settings.database_url, connections=settings.database_connections, timeout=settings.database_timeout / 1000
    )
    signing_keys = SigningKeys(store, sealer, token_lifetime_ms=settings.contact_token_lifetime)
    contacts = Contacts(store, sealer)
    return Runtime(
        settings=settings,
        store=store,
        tenancy=Tenancy(store, sealer),
        api_keys=ApiKeys(store),
        signing_keys=signing_keys,
        contact_tokens=ContactTokens(
            signing_keys, issuer=settings.public_url, lifetime_ms=settings.contact_token_lifetime
        ),
        contacts=contacts,
        resolver=Resolver(contacts, ProviderIdentities(store, contacts)),
        rate_limiter=RateLimiter(store),
        token_endings=TokenEndings(store),
        device_scopes=DeviceScopes(store),
        sealer=sealer,
        live=Live(),
        outbound=Outbound(allowed_private=settings.private_hosts, ca_file=settings.ca_file or None),
        unverified_secret=UnverifiedSecret(store, sealer),
        files=DiskFileStore(Path(settings.files_directory)),
    )


@contextlib.asynccontextmanager
async def running(settings: Settings, sealer: Sealer) -> AsyncIterator[tuple[Runtime, Runner]]:
    """A runtime with its background tasks, ended in order."""
    runtime = await make_runtime(settings, sealer)
    runner = Runner(runtime)
    with contextlib.suppress(VestibuleError):  # a database that is down does not keep the process from starting
        await runtime.signing_keys.refresh()
        await runtime.token_endings.refresh()
    tasks = [
        asyncio.create_task(_keep_keys(runtime, sealer)),
        asyncio.create_task(runtime.rate_limiter.run()),
        asyncio.create_task(runtime.api_keys.run()),
        asyncio.create_task(runtime.token_endings.run()),
        asyncio.create_task(runner.run()),
        asyncio.create_task(retention.run(desk_of(runtime))),
    ]
    try:
        yield runtime, runner
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(VestibuleError):
            await runtime.rate_limiter.flush()
            await runtime.api_keys.flush()
        await runner.close()
        await runtime.outbound.close()
        await runtime.store.close()


async def _keep_keys(runtime: Runtime, sealer: Sealer) -> None:
    """Keeps the signing keys current; a withdrawal is seen within the interval. A database that is down is asked again,
    and until it answers the keys already known go on verifying."""
    first = True
    while True:
        try:
            if first:
                await ensure_first(runtime.store, sealer, lifetime_ms=runtime.settings.contact_token_lifetime)
            await runtime.signing_keys.refresh()
            first = False
        except VestibuleError as error:
            _log.warning("the signing keys cannot be read: %s %s", error.code, error.detail)
        await asyncio.sleep(REFRESH_SECONDS if not first else 0.25)


class Application:
    """The ASGI application of one process."""

    def __init__(self, settings: Settings, sealer: Sealer, access_log: AccessLog) -> None:
        self._settings = settings
        self._sealer = sealer
        self._access_log = access_log
        self._surfaces: list[tuple[tuple[str, ...], Surface]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._answer(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = elapsed()
        request = Request(scope, receive)
        request_id = self._access_log.next_id()
        status = 499
        try:
            reply = await self._surface(request.path).answer(request)
            status = reply.status
            await reply.send(send, request_id, close=request.leaves_body)
        except ClientGone:
            pass
        finally:
            self._access_log.write(request, request_id, status, elapsed() - began)

    def _surface(self, path: str) -> Surface:
        for prefixes, surface in self._surfaces:
            if f"{path}/".startswith(prefixes):
                return surface
        return self._surfaces[-1][1]

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        async with running(self._settings, self._sealer) as (runtime, runner):
            # The server calls it before it waits for answers under way: a stream of events does not end by itself.
            scope.setdefault("state", {})["end_streams"] = runtime.live.end
            surfaces = [make(runtime, runner) for make in SURFACES]
            self._surfaces = [
                (tuple(prefix.rstrip("/") + "/" for prefix in surface.prefixes), surface) for surface in surfaces
            ]
            with self._access_log:
                await send({"type": "lifespan.startup.complete"})
                await receive()
        await send({"type": "lifespan.shutdown.complete"})
