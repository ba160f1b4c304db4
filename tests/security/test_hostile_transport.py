"""What arrives before a request is understood: packed, endless, slow, and framed so that two readers could disagree
about where a request ends (RFC 9112). Each is refused or read in the one right way; the next is answered at once."""

from __future__ import annotations

import gzip
import os
import time
import zlib
from collections.abc import Iterator

import pytest

from tests.fixtures.front_door import PATH, Installation, Workspace, as_httpx, beside, refused
from tests.fixtures.raw_http import RawConnection, RawResponse, exchange
from tests.fixtures.server import RunningServer

TIMEOUT = 0.4  # of the server below, for headers and for the body
BODY = b'{"email":"raw@example.com"}'
CHUNKED = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)


@pytest.fixture(scope="module")
def strict(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with short time-outs."""
    limit = f"{TIMEOUT * 1000:.0f}ms"
    with beside(installation, tmp_path_factory.mktemp("strict"), header_timeout=limit, body_timeout=limit) as server:
        yield server
    assert "unexpected error" not in server.log()
    assert "Traceback" not in server.log()


def answers(url: str, *pieces: bytes, delay: float = 0.0) -> list[RawResponse]:
    """Every answer on one connection, which a last request closes unless the server has done so before. The answer to
    this one is left out; where it does not come, the server took it for something else."""
    found: list[RawResponse] = []
    with RawConnection(url, deadline=5) as connection:
        if connection.send(*pieces, delay=delay):
            connection.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        while not found or found[-1].header("connection") != "close":
            found.append(connection.read_response())
        assert connection.read_to_end() == b""
    return found[:-1] if b'"instance"' in found[-1].body else found


class TestPackedBodies:
    """They are not unpacked: a few octets could become gigabytes (RFC 9110 section 15.5.16)."""

    @pytest.mark.parametrize(
        "coding", ["gzip", "x-gzip", "deflate", "br", "zstd", "compress", "GZIP", "gzip, identity", "*"]
    )
    def test_are_refused(self, workspace: Workspace, coding: str) -> None:
        with workspace.unharmed():
            for body in (gzip.compress(BODY), zlib.compress(BODY), BODY):
                refused(workspace.post(body, {"content-encoding": coding}), 415, "unsupported_media_type")

    def test_bombs_are_refused_unopened(self, workspace: Workspace) -> None:
        bomb = gzip.compress(b" " * 50_000_000 + BODY)
        assert len(bomb) < 65_536
        with workspace.unharmed():
            for body in (bomb, gzip.compress(bomb)):
                began = time.monotonic()
                refused(workspace.post(body, {"content-encoding": "gzip"}), 415)
                refused(workspace.post(body), 400, "malformed_body")
                assert time.monotonic() - began < 1

    def test_identity_is_no_packing(self, workspace: Workspace) -> None:
        assert workspace.post(BODY, {"content-encoding": "identity"}).status_code == 200


class TestOversizeBodies:
    def test_announced_ones_are_refused_unread(self, workspace: Workspace, strict: RunningServer) -> None:
        for length in (65_537, 10**9, 10**18):
            head = workspace.raw(workspace.authorization, b"Content-Length: %d" % length, body=b"", length=False)
            began = time.monotonic()
            answer = exchange(strict.base_url, head)
            refused(as_httpx(answer), 413, "body_too_large")
            assert answer.header("connection") == "close"
            assert time.monotonic() - began < TIMEOUT

    def test_nobody_is_told_to_go_on_with_one(self, workspace: Workspace, strict: RunningServer) -> None:
        """RFC 9110 section 10.1.1: a final status may take the place of 100 (Continue)."""
        lines = (workspace.authorization, b"Content-Length: 70000", b"Expect: 100-continue")
        with RawConnection(strict.base_url) as connection:
            connection.send(workspace.raw(*lines, body=b"", length=False))
            assert connection.read_to_end().startswith(b"HTTP/1.1 413 ")

    @pytest.mark.parametrize("size", [1, 4_096, 70_000])
    def test_chunked_ones_are_refused_when_they_pass_the_limit(
        self, workspace: Workspace, strict: RunningServer, size: int
    ) -> None:
        head = workspace.raw(workspace.authorization, b"Transfer-Encoding: chunked", body=b"", length=False)
        chunk = b"%x\r\n%b\r\n" % (size, b" " * size)
        with workspace.unharmed(url=strict.base_url):
            answer = exchange(strict.base_url, head, *[chunk * (70_000 // size + 1)] * 2)
            refused(as_httpx(answer), 413, "body_too_large")

    def test_nothing_of_what_follows_is_taken_for_a_request(self, workspace: Workspace, strict: RunningServer) -> None:
        smuggled = workspace.raw(workspace.authorization, body=b'{"email":"smuggled@example.com"}')
        head = workspace.raw(workspace.authorization, b"Content-Length: 70000", body=b"", length=False)
        with workspace.unharmed(url=strict.base_url):
            assert [answer.status for answer in answers(strict.base_url, head, smuggled, delay=0.05)] == [413]


class TestSlowSenders:
    def test_a_body_that_stops_is_408(self, workspace: Workspace, strict: RunningServer) -> None:
        """RFC 9110 section 15.5.9."""
        request = workspace.raw(workspace.authorization)
        with workspace.unharmed(url=strict.base_url):
            for part in (request[: -len(BODY)], request[:-1]):
                began = time.monotonic()
                answer = exchange(strict.base_url, part)
                refused(as_httpx(answer), 408, "body_too_slow")
                assert TIMEOUT - 0.05 < time.monotonic() - began < TIMEOUT + 1
                assert answer.header("connection") == "close"

    def test_a_body_that_trickles_is_408(self, workspace: Workspace, strict: RunningServer) -> None:
        request = workspace.raw(workspace.authorization)
        pieces = [request[: -len(BODY)], *(bytes([octet]) for octet in BODY)]
        with workspace.unharmed(url=strict.base_url):
            refused(as_httpx(exchange(strict.base_url, *pieces, delay=0.05)), 408, "body_too_slow")

    def test_headers_that_stop_or_trickle_are_408(self, workspace: Workspace, strict: RunningServer) -> None:
        head = workspace.raw(workspace.authorization)[:60]
        with workspace.unharmed(url=strict.base_url):
            for pieces in ([], [b"P"], [head], [head, *[b"a"] * 20]):
                began = time.monotonic()
                with RawConnection(strict.base_url) as connection:
                    connection.send(*pieces, delay=0.05)
                    assert connection.read_response().status == 408
                    assert connection.read_to_end() == b""
                assert time.monotonic() - began < TIMEOUT + 1.5

    def test_a_second_request_that_stops_is_408(self, workspace: Workspace, strict: RunningServer) -> None:
        with RawConnection(strict.base_url) as connection:
            connection.send(workspace.raw(workspace.authorization), b"POST ", delay=0.1)
            assert connection.read_response().status == 200
            assert connection.read_response().status == 408

    def test_many_silent_connections_hinder_nobody(self, workspace: Workspace, strict: RunningServer) -> None:
        with workspace.unharmed(url=strict.base_url):
            connections = [RawConnection(strict.base_url) for _ in range(200)]
            for connection in connections:
                connection.send(b"POST /widget")
            assert workspace.authenticate(email="good@example.com", name="Good", url=strict.base_url).status_code == 200
            for connection in connections:
                with connection:
                    assert connection.read_response().status == 408

    def test_one_who_hangs_up_in_the_middle_harms_nobody(self, workspace: Workspace, strict: RunningServer) -> None:
        request = workspace.raw(workspace.authorization)
        with workspace.unharmed(url=strict.base_url):
            for length in range(0, len(request), 17):
                with RawConnection(strict.base_url) as connection:
                    connection.send(request[:length])


class TestEndlessHeaders:
    @pytest.mark.parametrize("delay", [0.0, 0.005], ids=["at once", "in pieces"])
    @pytest.mark.parametrize(
        "endless",
        [b"X: " + b"a" * 40_000, b"X-%d: a\r\n" * 5_000, b": \r\n" * 5_000, b"a" * 40_000, b"X: " + b"a" * 400_000],
        ids=["a value", "lines", "empty lines", "a name", "a very long value"],
    )
    def test_are_refused(self, workspace: Workspace, strict: RunningServer, endless: bytes, delay: float) -> None:
        """RFC 6585 section 5."""
        request = workspace.raw(workspace.authorization, endless)
        size = 8_000 if delay else len(request)
        pieces = [request[at : at + size] for at in range(0, len(request), size)]
        with workspace.unharmed(url=strict.base_url):
            [answer] = answers(strict.base_url, *pieces, delay=delay)
            assert answer.status in {400, 431}
            assert answer.header("connection") == "close"

    def test_a_long_target_is_refused(self, workspace: Workspace, strict: RunningServer) -> None:
        """RFC 9112 section 3."""
        for target in (b"?" + b"a" * 40_000, b"/" * 40_000, b"%41" * 15_000):
            request = workspace.raw(workspace.authorization).replace(b" HTTP", target + b" HTTP", 1)
            with workspace.unharmed(url=strict.base_url):
                [answer] = answers(strict.base_url, request)
                assert answer.status in {414, 431}

    @pytest.mark.parametrize("cut", [None, 60_000], ids=["whole", "in two pieces"])
    def test_behind_another_request_are_refused_as_well(
        self, workspace: Workspace, strict: RunningServer, cut: int | None
    ) -> None:
        """They may begin in the middle of what is read at once, and end there."""
        first = workspace.raw(workspace.authorization, body=b'{"email":"good@example.com","name":"Good"}')
        both = first + workspace.raw(workspace.authorization, b"X: " + b"a" * 70_000)
        pieces = [both] if cut is None else [both[:cut], both[cut:]]
        with workspace.unharmed(url=strict.base_url):
            statuses = [answer.status for answer in answers(strict.base_url, *pieces, delay=0.1)]
            assert statuses in ([200, 431], [431]), statuses

    def test_nobody_pays_for_what_came_before(self, workspace: Workspace, strict: RunningServer) -> None:
        """Neither a body nor other requests count for the headers behind them."""
        first = workspace.raw(workspace.authorization, body=b'{"email":"good@example.com","name":"Good"}')
        padded = workspace.raw(workspace.authorization, body=b'{"email":"good@example.com"}' + b" " * 40_000)
        for front in (first * 100, padded, first * 100 + padded):
            end = len(front) + len(first) // 2
            whole = front + first + first
            count = whole.count(b"POST ")
            for pieces in ([whole], [whole[:end], whole[end:]]):
                statuses = [answer.status for answer in answers(strict.base_url, *pieces, delay=0.1)]
                assert statuses == [200] * count

    def test_headers_up_to_the_limit_are_read(self, workspace: Workspace, strict: RunningServer) -> None:
        request = workspace.raw(workspace.authorization, b"X: " + b"a" * 32_000)
        assert exchange(strict.base_url, request).status == 200


FRAMINGS = {
    "length and chunked": (b"Content-Length: 27\r\nTransfer-Encoding: chunked", CHUNKED),
    "chunked and length": (b"Transfer-Encoding: chunked\r\nContent-Length: 27", CHUNKED),
    "chunked and length 0": (b"Transfer-Encoding: chunked\r\nContent-Length: 0", CHUNKED),
    "two equal lengths": (b"Content-Length: 27\r\nContent-Length: 27", BODY),
    "two lengths": (b"Content-Length: 27\r\nContent-Length: 0", BODY),
    "two lengths the other way": (b"Content-Length: 0\r\nContent-Length: 27", BODY),
    "a list of lengths": (b"Content-Length: 27, 27", BODY),
    "a plus": (b"Content-Length: +27", BODY),
    "a minus": (b"Content-Length: -27", BODY),
    "hexadecimal": (b"Content-Length: 0x1b", BODY),
    "an underscore": (b"Content-Length: 2_7", BODY),
    "a letter": (b"Content-Length: 27a", BODY),
    "no length": (b"Content-Length:", BODY),
    "a length beyond 64 bits": (b"Content-Length: 99999999999999999999", BODY),
    "other digits": ("Content-Length: \uff12\uff17".encode(), BODY),
    "an unknown coding": (b"Transfer-Encoding: xchunked", CHUNKED),
    "chunked is not last": (b"Transfer-Encoding: chunked, identity", CHUNKED),
    "chunked twice": (b"Transfer-Encoding: chunked, chunked", CHUNKED),
    "chunked in two lines": (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", CHUNKED),
    "chunked, then identity": (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", CHUNKED),
    "identity, then chunked": (b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked", CHUNKED),
    "identity": (b"Transfer-Encoding: identity", BODY),
    "gzip before chunked": (b"Transfer-Encoding: gzip, chunked", CHUNKED),
    "a parameter": (b"Transfer-Encoding: chunked;q=1", CHUNKED),
    "quotation marks": (b'Transfer-Encoding: "chunked"', CHUNKED),
    "a vertical tab": (b"Transfer-Encoding: \x0bchunked", CHUNKED),
    "no coding": (b"Transfer-Encoding:", CHUNKED),
    "a space before the colon": (b"Transfer-Encoding : chunked", CHUNKED),
    "a space before the length's colon": (b"Content-Length : 27", BODY),
    "a folded line": (b"Content-Length: 27\r\nX: a\r\n b", BODY),
    "a folded coding": (b"Transfer-Encoding:\r\n chunked", CHUNKED),
    "a tab that folds": (b"Content-Length: 27\r\nX: a\r\n\tTransfer-Encoding: chunked", BODY),
    "a line feed alone": (b"Content-Length: 27\r\nX: a\nTransfer-Encoding: chunked", BODY),
    "a carriage return alone": (b"Content-Length: 27\r\nX: a\rTransfer-Encoding: chunked", BODY),
    "a line without colon": (b"Content-Length: 27\r\nNonsense", BODY),
    "a header without name": (b"Content-Length: 27\r\n: a", BODY),
    "NUL in a name": (b"Content-Length: 27\r\nX\0: a", BODY),
    "NUL in a value": (b"Content-Length: 27\r\nX: \0", BODY),
    "a space in a name": (b"Content-Length: 27\r\nX Y: a", BODY),
    "a chunk with a minus": (b"Transfer-Encoding: chunked", b"-1b" + CHUNKED[2:]),
    "a chunk with 0x": (b"Transfer-Encoding: chunked", b"0x" + CHUNKED),
    "a chunk beyond 64 bits": (b"Transfer-Encoding: chunked", b"10000000000000000" + CHUNKED),
    "a chunk ended by a line feed": (b"Transfer-Encoding: chunked", CHUNKED.replace(b"\r\n", b"\n")),
    "a chunk longer than it says": (b"Transfer-Encoding: chunked", CHUNKED.replace(b"1b", b"1a", 1)),
    "a second Host": (b"Content-Length: 27\r\nHost: other.example", BODY),
}


class TestSmuggling:
    """Where two readers could disagree about the end of a request (RFC 9112 sections 2.2, 3.2, 5, 6 and 11.2), it is
    refused and the connection is closed: what follows is never taken for a request."""

    @pytest.mark.parametrize(("framing", "body"), FRAMINGS.values(), ids=FRAMINGS.keys())
    def test_ambiguous_framing_is_refused(
        self, workspace: Workspace, strict: RunningServer, framing: bytes, body: bytes
    ) -> None:
        smuggled = workspace.raw(workspace.authorization, body=b'{"email":"smuggled@example.com"}')
        request = workspace.raw(workspace.authorization, framing, body=body, length=False)
        with workspace.unharmed(url=strict.base_url):
            [answer] = answers(strict.base_url, request + smuggled)
            assert answer.status in {400, 501}
            assert answer.header("connection") == "close"

    def test_lines_ended_by_line_feeds_are_refused(self, workspace: Workspace, strict: RunningServer) -> None:
        request = workspace.raw(workspace.authorization).replace(b"\r\n", b"\n")
        with workspace.unharmed(url=strict.base_url):
            assert [answer.status for answer in answers(strict.base_url, request)] == [400]

    def test_chunks_in_http_1_0_are_refused(self, workspace: Workspace, strict: RunningServer) -> None:
        """RFC 9112 section 6.1: its framing is faulty."""
        request = workspace.raw(workspace.authorization, b"Transfer-Encoding: chunked", body=CHUNKED, length=False)
        with workspace.unharmed(url=strict.base_url):
            [answer] = answers(strict.base_url, request.replace(b"HTTP/1.1", b"HTTP/1.0", 1))
            assert answer.status in {400, 501}

    def test_a_request_without_host_is_refused(self, workspace: Workspace, strict: RunningServer) -> None:
        """RFC 9112 section 3.2."""
        request = workspace.raw(workspace.authorization)
        start = request.index(b"Host:")
        request = request[:start] + request[request.index(b"\r\n", start) + 2 :]
        with workspace.unharmed(url=strict.base_url):
            assert [answer.status for answer in answers(strict.base_url, request)] == [400]

    @pytest.mark.parametrize("protocol", [b"h2c", b"websocket", b"TLS/1.0", b"anything"])
    @pytest.mark.parametrize("delay", [0.0, 0.05], ids=["in one piece", "in two"])
    def test_the_body_of_an_upgrade_is_no_request(
        self, workspace: Workspace, strict: RunningServer, protocol: bytes, delay: float
    ) -> None:
        """RFC 9110 section 7.8: a server that does not upgrade reads the request as if the header were not there."""
        smuggled = workspace.raw(workspace.authorization, body=b'{"email":"smuggled@example.com"}')
        upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: " + protocol + b"\r\nHTTP2-Settings: AAMAAABk"
        request = workspace.raw(workspace.authorization, upgrade, body=smuggled)
        with workspace.unharmed(url=strict.base_url):
            pieces = [request[: -len(smuggled)], smuggled] if delay else [request]
            [answer] = answers(strict.base_url, *pieces, delay=delay)
            assert answer.status in {400, 501}
            # Of h2c it was read as what it is; or refused in so many words, and closed.
            assert answer.header("connection") == (None if protocol == b"h2c" else "close")

    def test_an_upgrade_that_is_offered_does_no_harm(self, workspace: Workspace, strict: RunningServer) -> None:
        """Java's HttpClient offers h2c with its requests over http, body and all."""
        upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk"
        request = workspace.raw(workspace.authorization, upgrade)
        with RawConnection(strict.base_url) as connection:
            for _ in range(2):
                connection.send(request)
                assert connection.read_response().status == 200

    def test_trailers_are_no_headers(self, workspace: Workspace, strict: RunningServer) -> None:
        """RFC 9110 section 6.5.1: what a proxy did not see in front must not count behind."""
        for field in (workspace.authorization, b"X: y\r\n" + workspace.authorization):
            body = CHUNKED[:-2] + field + b"\r\n\r\n"
            request = workspace.raw(b"Transfer-Encoding: chunked", body=body, length=False)
            with workspace.unharmed(url=strict.base_url):
                refused(as_httpx(exchange(strict.base_url, request)), 401, "missing_credentials")

    def test_trailers_cannot_make_a_credential_ambiguous(self, workspace: Workspace, strict: RunningServer) -> None:
        body = CHUNKED[:-2] + b"Authorization: Bearer x\r\nContent-Encoding: gzip\r\nContent-Type: text/plain\r\n\r\n"
        request = workspace.raw(workspace.authorization, b"Transfer-Encoding: chunked", body=body, length=False)
        assert exchange(strict.base_url, request).status in {200, 400}
        assert b"ambiguous" not in exchange(strict.base_url, request).body

    def test_an_unread_body_is_no_request(self, workspace: Workspace, strict: RunningServer) -> None:
        """A refusal that comes before the body is read leaves the body where it was."""
        smuggled = workspace.raw(workspace.authorization, body=b'{"email":"smuggled@example.com"}')
        good = workspace.raw(workspace.authorization, body=b'{"email":"good@example.com","name":"Good"}')
        refused_ones = {
            401: workspace.raw(body=smuggled),
            404: workspace.raw(workspace.authorization, body=smuggled).replace(b"user ", b"nobody ", 1),
            405: workspace.raw(workspace.authorization, body=smuggled).replace(b"POST", b"GET", 1),
            415: workspace.raw(workspace.authorization, body=smuggled).replace(b"application/json", b"text/plain", 1),
        }
        for status, request in refused_ones.items():
            head, body = request[: -len(smuggled)], smuggled
            with workspace.unharmed(url=strict.base_url):
                statuses = [answer.status for answer in answers(strict.base_url, head, body, good, delay=0.03)]
                assert statuses in ([status, 200], [status]), statuses


class TestOddRequests:
    def test_pipelined_ones_are_answered_in_order(self, workspace: Workspace, strict: RunningServer) -> None:
        """RFC 9112 section 9.3.2."""
        requests = [workspace.raw(workspace.authorization, body=b'{"email":"p%d@example.com"}' % n) for n in range(5)]
        found = answers(strict.base_url, b"".join(requests))
        assert [answer.status for answer in found] == [200] * 5
        ids = [as_httpx(answer).json()["contact"]["id"] for answer in found]
        assert [workspace.contact(contact_id)["email"] for contact_id in ids] == [f"p{n}@example.com" for n in range(5)]

    @pytest.mark.parametrize(
        "octets",
        [
            b"GET /widget/\xff HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET  HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET http:// HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET http://[::1 HTTP/1.1\r\nHost: x\r\n\r\n",
            b"get /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
            b"FOO /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
            b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /healthz HTTP/1.2\r\nHost: x\r\n\r\n",
            b"GET /healthz HTTP/9.9\r\nHost: x\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500,
            b"\0" * 1_000,
            b"GET\t/healthz\tHTTP/1.1\r\nHost: x\r\n\r\n",
            b" GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /health\0z HTTP/1.1\r\nHost: x\r\n\r\n",
        ],
        ids=range(15),
    )
    def test_what_is_no_request_is_400(self, workspace: Workspace, strict: RunningServer, octets: bytes) -> None:
        with workspace.unharmed(url=strict.base_url):
            [answer] = answers(strict.base_url, octets)
            assert 400 <= answer.status < 500
            assert answer.header("connection") == "close"

    def test_noise_is_answered_with_400_or_silence(self, workspace: Workspace, strict: RunningServer) -> None:
        with workspace.unharmed(url=strict.base_url):
            for length in (1, 10, 1_000, 40_000):
                for answer in answers(strict.base_url, os.urandom(length)):
                    assert answer.status in {400, 408, 431}

    @pytest.mark.parametrize(
        "target", ["/widget/%00", "/widget/%zz", "/widget/%ff", "/widget/../v1/me", "/widget//", "/widget/%2e%2e/"]
    )
    def test_odd_paths_are_404(self, strict: RunningServer, workspace: Workspace, target: str) -> None:
        request = workspace.raw(workspace.authorization).replace(PATH.encode(), target.encode(), 1)
        [answer] = answers(strict.base_url, request)
        assert answer.status == 404
