"""Each path of every surface with odd parts, queries and headers: refused or answered, by design (OWASP ASVS 2.2.1)."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.fixtures.admin import Admin
from tests.fixtures.front_door import Workspace
from tests.fixtures.raw_http import exchange
from tests.fixtures.staff import signed_in
from tests.fixtures.widget import Device, bot_token, unverified_token
from vestibule.edge.surface import Route
from vestibule.registry import SURFACES
from vestibule.responder.runner import Runner
from vestibule.runtime import Runtime
from vestibule.settings import Settings

_FAKE = cast("Runtime", SimpleNamespace(settings=Settings(), outbound=None))
# What is answered does not end; ends the token; is counted a few times only.
_LEFT_OUT = ("/events", "/sign-out", "upload")
ROUTES: dict[str, list[Route]] = {}
for _make in SURFACES:
    _surface = _make(_FAKE, cast("Runner", SimpleNamespace()))
    ROUTES[_surface.name] = [route for route in _surface.routes if not route.path.endswith(_LEFT_OUT)]

_NUL = "%00"
PARTS = (
    *(
        _NUL,
        "%FF",
        "%ED%A0%80",
        "%E2%80%AE",
        "%2F",
        "%2e%2e",
        "..",
        ".",
        "%0d%0a",
        "%",
        "%zz",
        "'",
        "%22",
        "x" * 5_000,
    ),
    *("-1", "0", "1e400", "9" * 400, "%D9%A1", "null", "{id}", "00000000-0000-0000-0000-000000000000", "%F0%9F%98%80"),
)
NAMES = (
    *("cursor", "offset", "limit", "after", "before", "filters", "scope", "order", "customer_id", "customerId"),
    *("providerId", "userInfoId", "codeVerifier", "widget_token", "link", "done", "q", "status", "since", "until"),
    *("remove_system_message", "hours", "kind", "code", "method", "EIO", "sid", "transport"),
)
HEADERS = (
    *("if-none-match", "if-match", "idempotency-key", "last-event-id", "origin", "referer", "x-forwarded-for"),
    *("accept", "accept-language", "accept-encoding", "cookie", "range", "expect", "content-type", "content-encoding"),
    *("x-bot-token", "authorization", "forwarded", "sec-fetch-site", "x-request-id", "traceparent", "user-agent"),
)
VALUES = (
    *(b"", b"\xff", b"\xed\xa0\x80", b"'", b'"', b'W/"', b"*", b"," * 50, b";" * 50, b"=" * 50, b"a=b; a=c", b"-1"),
    *(b"9" * 400, b"1e400", b"q=NaN", b"bytes=9-1", b"%00", b"x" * 5_000, b"\xe2\x80\xae", b"null", b"://", b"[::"),
)


def filled(pattern: str, ids: dict[str, str]) -> str:
    """The path to what is there, as far as it is known."""
    return "/".join(ids.get(piece.strip("{}"), piece) for piece in pattern.split("/"))


def targets(pattern: str, ids: dict[str, str], chance: random.Random) -> Iterator[str]:
    """A path with odd parts where it has places for them, and with odd queries."""
    path = filled(pattern, ids)
    pieces = path.split("/")
    places = [place for place, piece in enumerate(pattern.split("/")) if piece.startswith("{")]
    # A NUL each time: one engine keeps it, the other refuses it as if it were broken itself.
    for place, part in itertools.product(places, (_NUL, *chance.sample(PARTS, 5))):
        yield "/".join([*pieces[:place], part, *pieces[place + 1 :]])
    for name in chance.sample(NAMES, 5):
        yield f"{path}?{name}={chance.choice(PARTS)}"
        yield f"{path}?{name}={_NUL}"
    yield f"{path}?{'&'.join(f'{name}=1' for name in NAMES)}"
    yield f"{path}?{'&' * 200}"
    yield f"{path}?a=%ff&=&%00&;=1"


@pytest.fixture
def known(workspace: Workspace) -> dict[str, Any]:
    """Who may, on each surface, and what is there."""
    device = Device(workspace, unverified_token(workspace), "device-1")
    session = device.start()
    admin = Admin(workspace.installation, workspace.id)
    cookies = "; ".join(f"{name}={value}" for name, value in signed_in(workspace).http.cookies.items())
    visitors = dict.fromkeys(("opencx_widget", "native", "cxgenie", "puzzel"), str(device.token))
    ids = dict.fromkeys(("session_id", "conversation_id"), session) | dict.fromkeys(
        ("workspace_id", "bot_id"), workspace.id
    )
    return {
        "token": {"admin_api": admin.key, "opencx": workspace.api_key, **visitors},
        "cookies": cookies,
        "bot": bot_token(workspace),
        "ids": ids | {"contact_id": device.contact_id},
    }


@pytest.mark.parametrize("surface", ROUTES)
def test_is_no_error(workspace: Workspace, known: dict[str, Any], surface: str) -> None:
    chance = random.Random(surface)
    base = [b"host: 127.0.0.1", b"connection: close", b"x-bot-token: " + known["bot"].encode()]
    if surface in known["token"]:
        base.append(b"authorization: Bearer " + known["token"][surface].encode())
    if surface == "dashboard":
        base.append(b"cookie: " + known["cookies"].encode())
    for route in ROUTES[surface]:
        path = filled(route.path, known["ids"])
        tried = [(target, base) for target in targets(route.path, known["ids"], chance)]
        tried += [(path, _with(base, name.encode(), chance.choice(VALUES))) for name in chance.sample(HEADERS, 5)]
        for target, lines in tried:
            body = b"" if route.method in {"GET", "DELETE"} else b"{}"
            head = [b"%b %b HTTP/1.1" % (route.method.encode(), target.encode()), *lines]
            if body:
                head += [b"content-length: 2"]
            request = b"\r\n".join([*head, b"", body])
            answer = exchange(workspace.installation.base_url, request + (b"" if body else b"\r\n"))
            assert answer.status < 500, f"{surface}: {request[:700]!r}: {answer}"


def _with(lines: list[bytes], name: bytes, value: bytes) -> list[bytes]:
    return [line for line in lines if not line.startswith(name + b":")] + [name + b": " + value]
