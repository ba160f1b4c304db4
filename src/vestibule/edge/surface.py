"""Routes requests of one surface and renders its refusals in its dialect; it must not hold a surface's knowledge.

Paths without parameters are found in a table, the others by Starlette's matching: for the few hot paths the table
costs a third of a router (STACK section 2).
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from starlette.routing import compile_path

from vestibule.edge.cors import Cors
from vestibule.edge.http import ClientGone, Handler, Reply, Request
from vestibule.edge.operation import Operation
from vestibule.edge.problem import Dialect
from vestibule.edge.socket import FAILED, POLICY, Socket, SocketHandler
from vestibule.errors import MethodNotAllowed, NoSuchPath, OutOfMemory, Stopping, VestibuleError
from vestibule.model.claims import Method

_log = logging.getLogger("vestibule.errors")


@dataclass(frozen=True, slots=True)
class Route:
    """`path` may hold parameters, as in `/v1/conversations/{conversation_id}`. `operation` is its documentation, on a
    surface that publishes one. `proves` is the verification method whose credentials come here: every answer is a
    decision about who somebody is, and goes into the audit."""

    method: str
    path: str
    handler: Handler
    operation: Operation | None = None
    proves: Method | None = None


Pattern = tuple[re.Pattern[str], dict[str, Route]]


@dataclass(frozen=True, slots=True)
class Surface:
    """One way in: what it is called, the paths below which it answers (also with its own 404), its dialect."""

    name: str
    prefixes: tuple[str, ...]
    dialect: Dialect
    routes: Sequence[Route]
    cors: Cors | None = None
    # Who knows a path below it may open what is there, so the log shows no such path.
    secret_paths: bool = False
    # Who holds a WebSocket that is opened at a path (written without a slash at its end).
    sockets: Mapping[str, SocketHandler] = field(default_factory=dict)
    _exact: dict[str, dict[str, Route]] = field(default_factory=dict, init=False)
    _patterns: list[Pattern] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        by_pattern: dict[str, dict[str, Route]] = {}
        for route in self.routes:
            table = by_pattern if "{" in route.path else self._exact
            methods = table.setdefault(route.path, {})
            methods[route.method] = route
            if route.method == "GET":  # RFC 9110 section 9.3.2; the server leaves the content out
                methods.setdefault("HEAD", route)
        for path, methods in by_pattern.items():
            regex, _, _ = compile_path(path)
            self._patterns.append((regex, methods))

    async def answer(self, request: Request) -> Reply:
        """The reply to any request below the prefixes; every error becomes one of the dialect's."""
        if self.secret_paths:
            request.facts["path"] = f"{self.prefixes[0]}/…"
        reply = self.cors.preflight(request) if self.cors is not None else None
        if reply is None:
            try:
                reply = await self._handler(request)(request)
            except VestibuleError as error:
                reply = self.refuse(request, error)
            except ClientGone:
                raise
            except asyncio.CancelledError:
                # By the server alone, when its time to stop is over.
                reply = self.refuse(request, Stopping(step="stop"))
            except MemoryError:
                reply = self.refuse(request, OutOfMemory(step="memory"))
            except Exception:
                # Not by design: the traceback goes to the log, a stable answer to the caller.
                _log.exception("unexpected error", extra={"surface": self.name})
                reply = self.refuse(request, VestibuleError())
        if self.cors is not None:
            reply.headers += self.cors.on_every_reply
        return reply

    async def hold(self, request: Request, socket: Socket, request_id: bytes) -> int:
        """Until the WebSocket is over; the status that it was answered with. Raises ClientGone."""
        try:
            await self._socket_handler(request)(request, socket)
        except VestibuleError as error:
            return await self._turn_away(request, socket, request_id, error, POLICY)
        except ClientGone:
            raise
        except Exception:
            _log.exception("unexpected error", extra={"surface": self.name})
            return await self._turn_away(request, socket, request_id, VestibuleError(), FAILED)
        return 101

    def _socket_handler(self, request: Request) -> SocketHandler:
        handler = self.sockets.get(request.path.rstrip("/"))
        if handler is None:
            raise NoSuchPath(step="route")
        return handler

    async def _turn_away(
        self, request: Request, socket: Socket, request_id: bytes, error: VestibuleError, code: int
    ) -> int:
        reply = self.refuse(request, error)
        if socket.accepted:
            await socket.close(code)
            return 101
        await socket.refuse(reply, request_id)
        return reply.status

    def refuse(self, request: Request, error: VestibuleError) -> Reply:
        note_refusal(request, error)
        return self.dialect(error)

    def _handler(self, request: Request) -> Handler:
        methods = self._exact.get(request.path)
        if methods is None:
            methods = self._match(request)
        route = methods.get(request.method)
        if route is None:
            raise MethodNotAllowed(tuple(sorted(methods)))
        if route.proves is not None:
            request.proves = route.proves.value
        return route.handler

    def _match(self, request: Request) -> dict[str, Route]:
        for regex, methods in self._patterns:
            match = regex.match(request.path)
            if match is not None:
                request.params = match.groupdict()
                return methods
        raise NoSuchPath(step="route")


def note_refusal(request: Request, error: VestibuleError) -> None:
    """What the log tells of a refusal, in whatever dialect the caller is told."""
    # Its frames lead back to the request: both would be kept until the garbage collector came, a flood of them.
    request.refusal = error.with_traceback(None)
    error.__cause__ = error.__context__ = None
    request.facts["code"] = error.code
    if error.step:
        request.facts["step"] = error.step
    if error.detail:
        request.facts["detail"] = error.detail
