"""Exchanges of an identity provider's tokens, and their redemption, as requests; it must not send them under load."""

from __future__ import annotations

import contextlib
import http.client
import json
import uuid
from collections.abc import Iterable, Iterator
from urllib.parse import urlencode

from tests.bench.provider import Provider

# RFC 7636 appendix B.
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
_GRANT = "urn:vestibule:params:oauth:grant-type:user-info-id"
QUEUE = "support"


def exchange(port: int, customer_id: str, token: str) -> bytes:
    """Puzzel's exchange, rendered."""
    body = json.dumps({"codeChallenge": CHALLENGE, "idToken": token})
    return (
        f"POST /api/authenticate/{customer_id} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nuser-agent: bench\r\n"
        f"accept: */*\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n{body}"
    ).encode()


def redeem(port: int, customer_id: str, user_info_id: str) -> bytes:
    """The native API's second grant, rendered."""
    form = {"grant_type": _GRANT, "client_id": customer_id, "user_info_id": user_info_id, "code_verifier": VERIFIER}
    body = urlencode(form)
    return (
        f"POST /v1/token HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nuser-agent: bench\r\naccept: */*\r\n"
        f"content-type: application/x-www-form-urlencoded\r\ncontent-length: {len(body)}\r\n\r\n{body}"
    ).encode()


def route(port: int, user_info_id: str) -> bytes:
    """Puzzel's redemption as its seed has it, rendered: who has a proof and nothing else starts a chat, whose id is
    chosen by the client."""
    path = f"/api/conversation/{uuid.uuid4()}/route/{QUEUE}?userInfoId={user_info_id}&codeVerifier={VERIFIER}"
    return f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nuser-agent: bench\r\naccept: */*\r\n\r\n".encode()


def user_info_ids(port: int, customer_id: str, provider: Provider, people: Iterable[int]) -> Iterator[str]:
    """Of people who are known, one each."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        for person in people:
            body = json.dumps({"codeChallenge": CHALLENGE, "idToken": provider.token_of(person)})
            path = f"/api/authenticate/{customer_id}"
            connection.request("POST", path, body, {"content-type": "application/json"})
            answer = connection.getresponse()
            content = answer.read()
            if answer.status != http.client.OK:
                raise RuntimeError(f"{path} answered {answer.status}: {content[:200]!r}")
            yield json.loads(content)["userInfoId"]
