"""The composition root: settings in, ASGI application out; it must not handle a request beyond choosing its surface."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

from vestibule import measures, metrics
from vestibule.administration import expiry, retention
from vestibule.administration.desk import desk_of
from vestibule.audit.log import AuditLog
from vestibule.auth_endpoint.calls import AuthCalls
from vestibule.auth_endpoint.domains import AllowedDomains
from vestibule.clock import elapsed
from vestibule.conversations.admission import REASON
from vestibule.edge.access_log import AccessLog
from vestibule.edge.decisions import decision_of
from vestibule.edge.http import ClientGone, Receive, Request, Scope, Send
from vestibule.edge.socket import Socket
from vestibule.edge.surface import Surface
from vestibule.edge.unproven import count_unverified
from vestibule.errors import LoginRequired, VestibuleError
from vestibule.identity.resolution import Resolver
from vestibule.limits import RateLimiter
from vestibule.live import Live
from vestibule.model.auth_endpoint import Enforcement
from vestibule.oidc.jwks import ProviderKeys
from vestibule.oidc.token_reader import TokenReader
from vestibule.outbound.client import Outbound
from vestibule.registry import SURFACES
from vestibule.responder.runner import Runner
from vestibule.runtime import Runtime
from vestibule.sealing import Sealer
from vestibule.settings import Settings
from vestibule.sharing import open_totals, open_wire
from vestibule.storage.contacts import Contacts
from vestibule.storage.installation import UnverifiedSecret
from vestibule.storage.opening import open_files, open_store
from vestibule.storage.provider_identities import ProviderIdentities
from vestibule.tenancy import Tenancy
from vestibule.tokens.api_keys import ApiKeys
from vestibule.tokens.contact_token import ContactTokens
from vestibule.tokens.endings import TokenEndings
from vestibule.tokens.pending_identity import PendingIdentities
from vestibule.tokens.signing_keys import REFRESH_SECONDS, SigningKeys, ensure_first
from vestibule.tokens.visitor_session import VisitorSessions
from vestibule.verification.auth_endpoint import AuthEndpoint
from vestibule.verification.provider_sign_out import ProviderSignOut
from vestibule.verification.token_exchange import TokenExchange
from vestibule.webhooks import Deliverer

_GIVE_BACK_SECONDS = 60.0
# Answers under way have 5 s of it, and then each of a few writes `database_timeout`.
LONGEST_CLOSING_SECONDS = 20.0
_THREADS = 8
_log = logging.getLogger(__name__)


async def make_runtime(settings: Settings, sealer: Sealer) -> Runtime:
    """Opens the database and makes everything that requests use. Raises StorageUnavailable."""
    store = await open_store(
        settings.database_url, connections=settings.database_connections, timeout=settings.database_timeout / 1000
    )
    signing_keys = SigningKeys(store, sealer, token_lifetime_ms=settings.contact_token_lifetime)
    contacts = Contacts(store, sealer)
    contact_tokens = ContactTokens(
        signing_keys,
        issuer=settings.public_url,
        former=settings.former_public_urls,
        lifetime_ms=settings.contact_token_lifetime,
    )
    unverified_secret = UnverifiedSecret(store, sealer)
    outbound = Outbound(allowed_private=settings.private_hosts, ca_file=settings.ca_file or None)
    token_reader = TokenReader(outbound, ProviderKeys(outbound))
    return Runtime(
        settings=settings,
        store=store,
        tenancy=Tenancy(store, sealer),
        api_keys=ApiKeys(store),
        signing_keys=signing_keys,
        contact_tokens=contact_tokens,
        contacts=contacts,
        resolver=Resolver(contacts, ProviderIdentities(store, contacts), unverified_secret),
        rate_limiter=RateLimiter(open_totals(settings, store)),
        token_endings=TokenEndings(store),
        sealer=sealer,
        live=Live(open_wire(settings)),
        outbound=outbound,
        unverified_secret=unverified_secret,
        files=open_files(settings),
        token_exchange=TokenExchange(token_reader),
        provider_sign_out=ProviderSignOut(token_reader),
        pending_identities=PendingIdentities(store, lifetime_ms=settings.user_info_id_lifetime),
        visitor_sessions=VisitorSessions(
            store,
            contact_tokens,
            token_lifetime_ms=settings.visitor_token_lifetime,
            lifetime_ms=settings.visitor_session_lifetime,
            longest_ms=settings.visitor_session_longest,
        ),
        audit=AuditLog(store, sealer),
        auth_endpoint=AuthEndpoint(AuthCalls(outbound)),
        allowed_domains=AllowedDomains(outbound),
    )


@contextlib.asynccontextmanager
async def running(settings: Settings, sealer: Sealer) -> AsyncIterator[tuple[Runtime, Runner]]:
    """A runtime with its background tasks, ended in order."""
    asyncio.get_running_loop().set_default_executor(_threads())
    runtime = await make_runtime(settings, sealer)
    runner = Runner(runtime)
    deliverer = Deliverer(
        runtime.store,
        sealer,
        runtime.outbound,
        timeout_ms=settings.webhook_timeout,
        retries=settings.webhook_retries,
    )
    with contextlib.suppress(VestibuleError):  # a database that is down does not keep the process from starting
        await runtime.signing_keys.refresh()
        await runtime.token_endings.refresh()
    tasks = [
        asyncio.create_task(_keep_keys(runtime, sealer)),
        asyncio.create_task(runtime.rate_limiter.run()),
        asyncio.create_task(metrics.run()),
        asyncio.create_task(runtime.live.run()),
        asyncio.create_task(runtime.api_keys.run()),
        asyncio.create_task(runtime.token_endings.run()),
        asyncio.create_task(runtime.audit.run()),
        asyncio.create_task(runner.run()),
        asyncio.create_task(retention.run(desk_of(runtime))),
        asyncio.create_task(expiry.run(runtime)),
        asyncio.create_task(deliverer.run()),
        asyncio.create_task(_give_back()),
    ]
    try:
        yield runtime, runner
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        metrics.fold()
        with contextlib.suppress(VestibuleError):
            await runtime.rate_limiter.flush()
            await runtime.api_keys.flush()
        await runner.close()
        with contextlib.suppress(VestibuleError):
            await runtime.audit.flush()
        await runtime.outbound.close()
        await runtime.store.close()


def _threads() -> ThreadPoolExecutor:
    """What files and passwords run on, all of them now: under a limit there may be no room for one more later, and that
    would be an error which nobody designed."""
    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="beside-the-loop")
    together = threading.Barrier(_THREADS)
    try:
        for _ in range(_THREADS):
            pool.submit(together.wait)
    except BaseException:
        together.abort()  # those that are there would wait for the others for good, and the process for them
        pool.shutdown(wait=False)
        raise
    return pool


async def _give_back() -> None:
    """Returns to the machine what peaks took, such as uploads at once: glibc keeps what is free between what is not,
    more of it with each peak, which looks like a leak. It takes half a millisecond, beside the loop."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # other C libraries have none
    while trim is not None:
        await asyncio.sleep(_GIVE_BACK_SECONDS)
        await asyncio.to_thread(trim, 0)


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
        except Exception:
            _log.exception("reading the signing keys failed unexpectedly")
        await asyncio.sleep(REFRESH_SECONDS if not first else 0.25)


def _end_in_time() -> None:
    """Ends the process if closing takes longer than it may, whatever hangs: nothing that was answered is lost by it."""
    closing = threading.Timer(LONGEST_CLOSING_SECONDS, os._exit, (1,))
    closing.daemon = True
    closing.start()


class Application:
    """The ASGI application of one process."""

    def __init__(self, settings: Settings, sealer: Sealer, access_log: AccessLog) -> None:
        self._settings = settings
        self._sealer = sealer
        self._access_log = access_log
        self._surfaces: list[tuple[tuple[str, ...], Surface]] = []
        self._audit: AuditLog | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._hold(scope, receive, send)
            return
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
            return
        began = elapsed()
        write = scope.pop("vestibule.write", None)  # it refers to the scope: both would wait for the garbage collector
        request = Request(scope, receive)
        request_id = self._access_log.next_id()
        surface, status = self._surface(request.path), 499
        request.scope["vestibule.request_id"] = request_id.decode()
        try:
            reply = await surface.answer(request)
            status = reply.status
            self._note_decision(request)
            if REASON in request.facts:
                step = count_unverified(self._audit, request, surface.name)
                if step == Enforcement.WARN:  # announced: so it is told
                    reply.headers += ((b"vestibule-warning", LoginRequired.code.encode()),)
            await reply.send(send, request_id, close=request.leaves_body, write=write)
        except ClientGone:
            pass
        finally:
            seconds = elapsed() - began
            metrics.request(surface.name, status, seconds, request.facts.get("code"))
            self._access_log.write(request, request_id, status, seconds)

    async def _hold(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A WebSocket, from its request to its end; one line of the log, and one decision at the most."""
        began = elapsed()
        scope["method"] = "GET"  # RFC 6455 section 4.1; ASGI leaves it out
        request = Request(scope, receive)
        request_id = self._access_log.next_id()
        scope["vestibule.request_id"] = request_id.decode()
        surface, status = self._surface(request.path), 101
        socket = Socket(receive, send)
        try:
            status = await surface.hold(request, socket, request_id)
        except ClientGone:
            pass
        finally:
            self._note_decision(request)
            seconds = elapsed() - began
            metrics.request(surface.name, status, seconds, request.facts.get("code"))
            self._access_log.write(request, request_id, status, seconds)

    def _note_decision(self, request: Request) -> None:
        """Before the answer is sent: nobody is told of a decision that the audit does not know of."""
        if (request.proves or request.refusal is not None) and self._audit is not None:
            entry = decision_of(request, self._settings.trusted_proxies)
            if entry is not None:
                self._audit.note(entry)
                if request.proves and entry.code:
                    measures.proof_refused(request.proves, entry.code)

    def _surface(self, path: str) -> Surface:
        path += "/"  # what a prefix names by itself is the surface's as well
        for prefixes, surface in self._surfaces:
            if path.startswith(prefixes):
                return surface
        return self._surfaces[-1][1]

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        # All of it: what keeps the process from starting is to be read as well.
        with self._access_log:
            await self._run(scope, receive, send)
        await send({"type": "lifespan.shutdown.complete"})

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with running(self._settings, self._sealer) as (runtime, runner):
            # The server calls it before it waits for answers under way: a stream of events does not end by itself.
            scope.setdefault("state", {})["end_streams"] = runtime.live.end
            surfaces = [make(runtime, runner) for make in SURFACES]
            self._audit = runtime.audit
            self._surfaces = [
                (tuple(prefix.rstrip("/") + "/" for prefix in surface.prefixes), surface) for surface in surfaces
            ]
            await send({"type": "lifespan.startup.complete"})
            await receive()
            _end_in_time()
