"""Calls the servers whose URLs somebody configured, within bounds; it must not interpret what they answer.

Every call is checked anew: URL, all addresses of its name, and the address of a connection that is kept. Redirects are
not followed, proxies of the environment not used, certificates always verified, answers bounded in time and size.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from vestibule import metrics
from vestibule.clock import elapsed
from vestibule.errors import Upstream, UpstreamFailed, UpstreamForbidden, UpstreamTimeout
from vestibule.outbound.address_guard import Target, parse_url
from vestibule.outbound.circuit import Circuits
from vestibule.outbound.lookup import Lookup
from vestibule.outbound.messages import Answer, Call
from vestibule.outbound.tls import ClientCertificate, TlsContexts
from vestibule.outbound.turns import Turns
from vestibule.settings import Network

if TYPE_CHECKING:
    from vestibule.outbound.exchange import Exchanges, Resolve

__all__ = ["Answer", "ClientCertificate", "Outbound"]

AT_ONCE = 20
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_REPEATABLE = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})  # RFC 9110 section 9.2.2
_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 section 5.1
_HEADER_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]*")
_MOST_HEADER_BYTES = 16_384
# How a message is delimited and connections are used is ours to say: two opinions are how requests are smuggled.
_OURS = re.compile(
    r"accept-encoding|connection|content-length|expect|host|keep-alive|proxy-.*|te|trailer|transfer-encoding|upgrade"
)
# At these steps it was the server that failed; at the others it was us, or it did answer.
_SERVER_STEPS = frozenset({"resolve", "connect", "tls", "headers", "body"})
_GATEWAY_STATUSES = frozenset({502, 503, 504})


class Outbound:
    """One per process. `allowed_private` are networks that may be called although they are not public, over http as
    well; `ca_file` is trusted beside the public authorities; `resolve` replaces the system's resolver."""

    def __init__(
        self,
        allowed_private: tuple[Network, ...] = (),
        ca_file: str | None = None,
        *,
        resolve: Resolve | None = None,
        circuits: Circuits | None = None,
    ) -> None:
        self._allowed_private = allowed_private
        self._resolve: Resolve = resolve or Lookup()
        self._circuits = circuits or Circuits()
        self._contexts = TlsContexts(ca_file)
        self._turns = Turns(AT_ONCE)
        self._exchanges: Exchanges | None = None

    async def request(
        self,
        method: str,
        url: str,
        *,
        tenant: str,
        purpose: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        connect_timeout: float = 2.0,
        timeout: float = 5.0,
        most_bytes: int = 262_144,
        client_certificate: ClientCertificate | None = None,
        ca_file: str | None = None,
        ca: str | None = None,
        repeatable: bool | None = None,
        circuit: bool = True,
    ) -> Answer:
        """The server's answer, whatever its status, if it is no redirect. Times are in seconds: `connect_timeout` for
        name, connection and TLS together, `timeout` for everything, waiting for a turn included. `ca_file`, or the PEM
        text `ca`, is trusted instead of every other authority. `repeatable` says that the request does no harm when it
        arrives twice, and may use a kept connection therefore; without it the method decides. `purpose` is for logs.
        Raises the Upstream errors."""
        began = elapsed()
        try:
            target = parse_url(url, self._allowed_private)
        except UpstreamForbidden as error:
            error.detail = f"{purpose}: {error.detail}"
            raise
        # By tenant, or one could open the circuit of a server that others use.
        key = (tenant, target.origin)
        try:
            call = Call(
                tenant=tenant,
                method=method,
                target=target,
                headers=_header_lines(method, target, headers or {}, body),
                body=body,
                connect_timeout=connect_timeout,
                most_bytes=most_bytes,
                ca_file=ca_file,
                ca=ca,
                client_certificate=client_certificate,
                repeatable=method in _REPEATABLE if repeatable is None else repeatable,
                began=began,
            )
            if circuit:
                self._circuits.admit(key)
            answer = await self._within(call, timeout)
        except Upstream as error:
            error.detail = f"{purpose}: {target.origin}: {error.detail}"
            if circuit:
                self._note(key, error)
            metrics.upstream_call(purpose.partition(":")[0], error.code, elapsed() - began)
            raise
        metrics.upstream_call(purpose.partition(":")[0], f"{answer.status // 100}xx", elapsed() - began)
        if circuit:
            (self._circuits.failed if answer.status in _GATEWAY_STATUSES else self._circuits.succeeded)(key)
        return answer

    async def close(self) -> None:
        """Closes what is kept open; calls under way are their callers'."""
        if self._exchanges is not None:
            await self._exchanges.close()

    async def _within(self, call: Call, timeout: float) -> Answer:
        in_line = 0.0
        try:
            async with asyncio.timeout(timeout), self._turns.take(call.tenant):
                in_line = elapsed() - call.began
                return await self._exchanger().run(call)
        except TimeoutError:
            # Whose turn came late left the server too little time: it is not the server that failed.
            step = "queue" if in_line > timeout / 2 else call.step
            raise UpstreamTimeout(detail=f"no answer within {timeout:g} s", step=step) from None

    def _exchanger(self) -> Exchanges:
        if self._exchanges is None:
            # Late: a process that never calls out does not load the HTTP client.
            from vestibule.outbound.exchange import Exchanges  # noqa: PLC0415

            self._exchanges = Exchanges(self._resolve, self._allowed_private, self._contexts)
        return self._exchanges

    def _note(self, key: tuple[str, str], error: Upstream) -> None:
        if isinstance(error, UpstreamFailed | UpstreamTimeout) and error.step in _SERVER_STEPS:
            self._circuits.failed(key)
        elif error.step in {"redirect", "encoding", "body", "headers"}:
            self._circuits.succeeded(key)


def _header_lines(
    method: str, target: Target, headers: Mapping[str, str], body: bytes | None
) -> list[tuple[bytes, bytes]]:
    """All headers of the request. Raises UpstreamFailed for what cannot be sent."""
    if method not in _METHODS:
        raise UpstreamFailed(detail="this HTTP method is not used", step="request")
    lines = {"host": target.authority, "accept": "*/*", "accept-encoding": "identity", "user-agent": "Vestibule"}
    if body is not None or method in {"POST", "PUT", "PATCH"}:
        lines["content-length"] = str(len(body or b""))
    given: set[str] = set()
    for name, value in headers.items():
        lowered = name.lower()
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value) or value != value.strip(" \t"):
            raise UpstreamFailed(detail="a header has characters that cannot be sent", step="request")
        if _OURS.fullmatch(lowered) or lowered in given:
            raise UpstreamFailed(detail=f"the header {lowered} may not be set, or is set twice", step="request")
        given.add(lowered)
        lines[lowered] = value
    encoded = [(name.encode("ascii"), value.encode()) for name, value in lines.items()]
    if sum(len(name) + len(value) for name, value in encoded) > _MOST_HEADER_BYTES:
        raise UpstreamFailed(detail=f"more than {_MOST_HEADER_BYTES} bytes of headers", step="request")
    return encoded
