"""Requests that nobody of good will sends, one at a time, each with the statuses that refuse it; it must not know
whether the server bears them."""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
import socket
import time
from collections.abc import Callable
from typing import Any

from tests.fixtures.front_door import PATH
from tests.fixtures.mixed_visitor import Visitor
from tests.fixtures.puzzel import new_pair
from tests.fixtures.widget import PREFIX

_DEEP = 2_000
_JSON = {"content-type": "application/json"}


def attack(visitor: Visitor) -> None:
    """One of them, by chance."""
    visitor.random.choice(_ATTACKS)(visitor)


def _refused(visitor: Visitor, method: str, path: str, *statuses: int, bearer: str = "", **more: Any) -> None:
    visitor.call("attack", method, path, right=statuses, bearer=bearer, **more)


def _encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def _unsigned(visitor: Visitor) -> str:
    claims = {"iss": visitor.ground.provider.issuer, "sub": "u-1", "aud": "widget-client", "exp": time.time() + 60}
    return f"{_encoded({'alg': 'none'})}.{_encoded(claims)}."


def guess_a_key(visitor: Visitor) -> None:
    _refused(visitor, "POST", PATH, 401, bearer="vst_live_" + secrets.token_hex(20), body={"email": "a@example.com"})


def forge_a_contact(visitor: Visitor) -> None:
    token = visitor.token.split(".")
    if len(token) == 3:
        _refused(visitor, "GET", "/v1/me", 401, bearer=f"{token[0]}.{_encoded({'sub': 'x'})}.{token[2]}")


def show_an_unsigned_token(visitor: Visitor) -> None:
    body = {"idToken": _unsigned(visitor), "codeChallenge": new_pair()[1]}
    _refused(visitor, "POST", f"/api/authenticate/{visitor.ground.front.customer_id}", 401, body=body)


def flood_the_key_set(visitor: Visitor) -> None:
    token = visitor.ground.provider.id_token(header={"kid": secrets.token_hex(8)})
    body = {"idToken": token, "codeChallenge": new_pair()[1]}
    _refused(visitor, "POST", f"/api/authenticate/{visitor.ground.front.customer_id}", 401, body=body)


def make_up_a_proof(visitor: Visitor) -> None:
    params = {"userInfoId": "usr_" + secrets.token_hex(32), "codeVerifier": new_pair()[0]}
    _refused(visitor, "POST", "/api/conversation/c-1/route/support", 400, params=params)


def show_a_strangers_user_token(visitor: Visitor) -> None:
    body = {"customer_id": visitor.ground.front.customer_id, "user_token": secrets.token_hex(200)}
    _refused(visitor, "POST", "/v1/visitors/authenticate", 401, body=body)


def look_into_somebody_elses_chat(visitor: Visitor) -> None:
    others = [other for other in visitor.load.visitors if other is not visitor and other.chats]
    if others and visitor.token:
        chat = next(iter(visitor.random.choice(others).chats.copy()))
        headers = {"x-bot-token": visitor.ground.widget_token}
        _refused(visitor, "GET", f"{PREFIX}/poll/{chat}", 404, bearer=visitor.token, headers=headers)


def send_what_is_no_json(visitor: Visitor) -> None:
    key = visitor.ground.workspace.api_key
    for content in (b"[" * _DEEP, b'{"email": "a\x00"}', b'{"email": 1, "email": 2}', b"\xff\xfe{}"):
        _refused(visitor, "POST", PATH, 400, bearer=key, headers=_JSON, content=content)


def send_too_much(visitor: Visitor) -> None:
    key = visitor.ground.workspace.api_key
    _refused(visitor, "POST", PATH, 413, bearer=key, headers=_JSON, content=b" " * 70_000)


def name_what_is_not_there(visitor: Visitor) -> None:
    for path in ("/v1/../etc/passwd", "/widget/'; DROP TABLE contacts; --", "/api/authenticate/%00", "/v1/nothing"):
        _refused(visitor, "POST", path, 400, 401, 404, 405, body={})


def hang_up_in_the_middle(visitor: Visitor) -> None:
    _raw(visitor, b"POST " + PATH.encode() + b' HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"email"', read=False)


def frame_it_twice(visitor: Visitor) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET"
    _raw(visitor, head, read=True)


def say_nothing_for_a_while(visitor: Visitor) -> None:
    _raw(visitor, b"", read=False, wait=0.5)


def _raw(visitor: Visitor, octets: bytes, *, read: bool, wait: float = 0.0) -> None:
    if octets:
        visitor.count(hostile=True)
    address = ("127.0.0.1", visitor.ground.workspace.installation.server.port)
    with contextlib.suppress(OSError), socket.create_connection(address, timeout=5) as connection:
        connection.sendall(octets)
        time.sleep(wait)
        if read and not connection.recv(1_000).startswith(b"HTTP/1.1 4"):
            visitor.load.ledger.problem("attack: an ambiguous request was not refused")


_ATTACKS: tuple[Callable[[Visitor], None], ...] = (
    guess_a_key,
    forge_a_contact,
    show_an_unsigned_token,
    flood_the_key_set,
    make_up_a_proof,
    show_a_strangers_user_token,
    look_into_somebody_elses_chat,
    send_what_is_no_json,
    send_too_much,
    name_what_is_not_there,
    hang_up_in_the_middle,
    frame_it_twice,
    say_nothing_for_a_while,
)
