"""Bounds what a client can do before its request is complete and while it is answered, and refuses framing that two
readers could understand differently; it must not read a request's meaning.

uvicorn has no limit on the size of headers or on the time they take when httptools parses them, so a client could
hold memory and connections for ever (slow-header attack); nor on the time in which an answer is taken. Bodies are
bounded where they are read (`edge/http.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import functools
import re
import sys
import termios
from collections.abc import Sequence
from typing import Any

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from vestibule.edge.http import LINES, Header

# Below this an answer is taken to hold memory and a connection, not to be read.
_SLOWEST_BYTES_PER_SECOND = 1_024
# As Java's HttpClient sends it over http. Not among others: what else is offered may be wanted.
_H2C_OFFERED = re.compile(rb"(?im)^upgrade(?=:[ \t]*h2c[ \t]*\r?$)")
_PHRASES = {400: "Bad Request", 408: "Request Timeout", 431: "Request Header Fields Too Large"}


class _Trailers(list[Header]):
    """Where fields behind a body go, of which uvicorn makes headers, after the application was called with these: a
    credential or a client address must not come in behind the checks (RFC 9110 section 6.5.1). It keeps none."""

    def append(self, field: Header) -> None:
        """Nothing."""


_TRAILERS = _Trailers()


class BoundedHttp(HttpToolsProtocol):
    """uvicorn's protocol with a limit on the bytes and on the time of the request line and headers, and on the time for
    which an answer may be left unread. What runs for each request names its parent: `super()` is dearer until Python
    3.12."""

    # Set once per process, before the server starts: uvicorn makes one instance per connection, without arguments.
    max_header_bytes = 32_768
    header_timeout = 10.0
    answer_timeout = 30.0
    # Where a connection may become a WebSocket. Everywhere else the wish to upgrade is ignored (RFC 9110 section 7.8).
    socket_path = b""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes = 0
        self._reading_head = True
        self._begun = False
        self._behind = False
        # uvicorn's own `cycle` is that of the last request, which may still wait behind this one.
        self._answering: RequestResponseCycle | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._unread = 0
        self._unread_until: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # Paused means from here on: the client has not taken everything. Of what is left when a connection is closed,
        # nothing else would tell.
        transport.set_write_buffer_limits(0)
        self._arm()

    def shutdown(self) -> None:
        super().shutdown()
        end_streams = self.app_state.get("end_streams")
        if end_streams is not None:
            end_streams()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self._taken()
        # uvicorn tells the last request only. This one would wait for good, or write to where nothing can be written.
        if self._answering is not None and not self._answering.response_complete:
            self._answering.disconnected = True
            self._answering.message_event.set()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        self.flow.pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        self._taken()
        self.flow.resume_writing()

    def handle_websocket_upgrade(self) -> None:
        self.transport.set_write_buffer_limits()
        super().handle_websocket_upgrade()
        self._answering = None  # the connection is another protocol's, and not ours to close

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._reading_head:
            self._head_bytes += len(data)
            if not self._begun and b"h2c" in data:
                data = _without_h2c(data)
        HttpToolsProtocol.data_received(self, data)
        # What came with the headers' last piece may be body; only a head that is still open counts. Most come whole,
        # and need no timer.
        if self._reading_head and self._head_bytes > self.max_header_bytes:
            self._refuse_large_head()
        elif self._begun:
            if self._deadline is None:
                self._behind = self._head_bytes == 0
                self._arm()
        elif self._answering is not None and self._answering.response_complete:
            # An empty line behind an answer is the beginning of nothing, and yet uvicorn waits for the rest of it.
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def on_message_begin(self) -> None:
        HttpToolsProtocol.on_message_begin(self)
        self._reading_head = self._begun = True

    def on_headers_complete(self) -> None:
        self._reading_head = self._begun = False
        at_most, self._head_bytes = self._head_bytes, 0
        self._disarm()
        if self.transport.is_closing():
            return
        # Most come in one small piece. What began in the middle of one, behind another request, was not counted.
        small = 0 < at_most <= self.max_header_bytes and not self._behind
        if not small and self._head_size() > self.max_header_bytes:
            self._refuse_large_head()
            return
        problem = "" if self._is_plainly_framed() else self._framing_problem()
        if problem:
            self._refuse(400, "malformed_request", problem)
            return
        HttpToolsProtocol.on_headers_complete(self)
        if not self.parser.should_upgrade():  # which has no body, and is looked at once more
            self.headers = _TRAILERS
        if self.cycle is not None:
            self.scope["vestibule.write"] = functools.partial(self._write, self.cycle)  # type: ignore[typeddict-unknown-key]

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def _write(
        self,
        cycle: RequestResponseCycle,
        status: int,
        headers: Sequence[Header],
        body: bytes,
        close: bool,  # noqa: FBT001
    ) -> bool:
        """Writes a whole answer at once: uvicorn takes it in two messages, searches every header twice for what may not
        stand in one, and writes twice, which is a tenth of a busy request's time. False where only uvicorn's own way
        will do: the client reads slowly, an answer was begun, or a header would break out of its line."""
        if self.flow.write_paused or cycle.response_started:
            return False
        if cycle.disconnected:
            return True
        cycle.keep_alive = cycle.keep_alive and not close
        lines, fresh = [STATUS_LINE[status]], []
        for header in (*self.server_state.default_headers, *headers):
            line = LINES.get(header)
            if line is None:
                line = header[0] + b": " + header[1] + b"\r\n"
                fresh.append(line)
            lines.append(line)
        doubtful, count = b"".join(fresh), len(fresh)
        if doubtful.count(b"\n") != count or doubtful.count(b"\r") != count or b"\0" in doubtful:
            return False
        lines.append(b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n")
        head = b"".join(lines)
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        self.transport.write(head if cycle.scope["method"] == "HEAD" else head + body)
        cycle.message_event.set()
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()
        return True

    def on_body(self, body: bytes) -> None:
        if not self.transport.is_closing():
            HttpToolsProtocol.on_body(self, body)

    def on_message_complete(self) -> None:
        self._reading_head = True
        if not self.transport.is_closing():
            # Read by edge/http.py: a body that is here already needs no time limit.
            self.scope["vestibule.whole"] = True  # type: ignore[typeddict-unknown-key]
            HttpToolsProtocol.on_message_complete(self)

    def _should_upgrade(self) -> bool:
        if not self.socket_path or self.url.partition(b"?")[0].rstrip(b"/") != self.socket_path:
            return False
        # Behind a request that is still being answered, the answer would be written between the frames.
        cycle: RequestResponseCycle | None = self.cycle
        answered = (cycle is None or cycle.response_complete) and not self.flow.write_paused
        return answered and super()._should_upgrade()

    def _unsupported_upgrade_warning(self) -> None:
        """Nothing: anybody may ask for it, as often as they like, and is answered in HTTP."""

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's signature
        self._refuse(400, "malformed_request", "This is not an HTTP/1.1 request.")

    def _is_plainly_framed(self) -> bool:
        """As nearly every request is: nothing in it could be a framing problem."""
        names = [name for name, _ in self.headers]
        return (
            names.count(b"host") == 1
            and b"transfer-encoding" not in names
            and self.parser.get_http_version() == "1.1"
            and not self.parser.should_upgrade()
        )

    def _framing_problem(self) -> str:
        """What a proxy in front might read differently (RFC 9112 sections 3.2, 6.1, 6.3)."""
        version = self.parser.get_http_version()
        hosts = codings = length = 0
        for name, value in self.headers:
            if name == b"host":
                hosts += 1
            elif name == b"transfer-encoding":
                codings += 1
                if value.strip().lower() != b"chunked":
                    return "Only the transfer coding chunked is understood."
            elif name == b"content-length":
                length = int(value.strip(b" 0") or b"0")
        if version not in {"1.0", "1.1"}:
            return "Only HTTP/1.0 and HTTP/1.1 are understood."
        if hosts > 1 or (hosts == 0 and version == "1.1"):
            return "Send exactly one Host header."
        if codings > 1 or (codings and version == "1.0"):
            return "Send Transfer-Encoding once, and only in HTTP/1.1."
        if self.parser.should_upgrade() and (codings or length):
            # The parser stops at the headers of such a request and would take its body for the next request.
            return "A request with a body cannot ask for an upgrade; use HTTP/1.1 as it is."
        return ""

    def _head_size(self) -> int:
        return sum(len(name) + len(value) + 4 for name, value in self.headers) + len(self.url)

    def _arm(self) -> None:
        self._deadline = self.loop.call_later(self.header_timeout, self._too_slow)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _watch(self) -> None:
        self._unread = self._left_unread()
        self._unread_until = self.loop.call_later(self.answer_timeout, self._look_at_reader)

    def _taken(self) -> None:
        if self._unread_until is not None:
            self._unread_until.cancel()
            self._unread_until = None

    def _look_at_reader(self) -> None:
        """A slow client may go on, however large the answer; one that only holds on may not."""
        if self._unread - self._left_unread() < self.answer_timeout * _SLOWEST_BYTES_PER_SECOND:
            self.transport.abort()  # to close it would wait for the client
        else:
            self._watch()

    def _left_unread(self) -> int:
        """Also what the system holds for the client. It may be megabytes, and for as long as it takes to send a third
        of them the system takes nothing from us."""
        held = bytearray(4)
        with contextlib.suppress(OSError):
            fcntl.ioctl(self.transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, held)
        return self.transport.get_write_buffer_size() + int.from_bytes(held, sys.byteorder)

    def _too_slow(self) -> None:
        self._deadline = None
        self._refuse(408, "headers_too_slow", "The headers did not arrive in time.")

    def _refuse_large_head(self) -> None:
        self._refuse(431, "headers_too_large", "The headers are larger than this service accepts.")

    def _refuse(self, status: int, code: str, sentence: str) -> None:
        """Answers without the application, which has not been asked: no surface, so the general dialect (RFC 9457)."""
        if self.transport.is_closing():
            return
        title = _PHRASES[status]
        members = {"type": f"urn:vestibule:problem:{code}", "title": title, "status": status, "code": code}
        body = msgspec.json.encode(members | {"detail": sentence})
        self.transport.write(
            f"HTTP/1.1 {status} {title}\r\ncontent-type: application/problem+json\r\ncache-control: no-store\r\n"
            f"connection: close\r\ncontent-length: {len(body)}\r\n\r\n".encode()
            + body
        )
        self.transport.close()


def _without_h2c(data: bytes) -> bytes:
    """A piece in which a request begins, read as if its head offered no HTTP/2 (RFC 9110 section 7.8): the parser would
    stop behind such a head, body or not. The name alone is another, as long as before, so that nothing that frames the
    request can become something else; a head that is not whole yet, and all behind the first one, stay as they are."""
    head, end, rest = data.partition(b"\r\n\r\n")
    return _H2C_OFFERED.sub(b"x-grade", head) + end + rest if end else data
