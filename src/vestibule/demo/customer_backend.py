"""Plays the customer's backend: calls this very service over HTTP with the API key, and never hands the key on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import httpx
import msgspec

from vestibule.clock import elapsed, now_ms
from vestibule.demo.sample_request import PATH, SAMPLE
from vestibule.errors import Unavailable
from vestibule.tokens.api_key import generate, workspace_of

Fault = Literal["wrong_key", "bad_email", "duplicate_member", "altered_token"]

_SECONDS = 10.0
_SHOWN_HEADERS = frozenset(
    {"content-type", "www-authenticate", "retry-after", "ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"}
)
_JSON = {"Content-Type": "application/json"}


class Call(msgspec.Struct, frozen=True):
    """An HTTP request as the page shows it: with a word in place of every secret."""

    method: str
    url: str
    headers: dict[str, str]
    body: str


class Answer(msgspec.Struct, frozen=True):
    status: int
    reason: str
    headers: dict[str, str]
    body: str


class Exchange(msgspec.Struct, frozen=True):
    """A request that was made and what came of it. `began_at` is epoch milliseconds by the service's own clock."""

    call: Call
    answer: Answer
    began_at: int
    milliseconds: float


class SignedIn(msgspec.Struct, frozen=True):
    """What a customer's backend hands to its page; without token where Vestibule refused."""

    token: str | None
    contact_id: str | None
    exchange: Exchange


class _Contact(msgspec.Struct, frozen=True):
    id: str


class _Authenticated(msgspec.Struct, frozen=True):
    token: str
    contact: _Contact


class CustomerBackend:
    """The backend of a customer that has its visitors signed in already."""

    def __init__(self, public_url: str, api_key: str) -> None:
        self._url = public_url
        self._api_key = api_key

    async def sign_in(self, person: Mapping[str, Any]) -> SignedIn:
        """Vouches for a person. Raises Unavailable."""
        exchange = await self._authenticate(
            _document(person), self._api_key, "<the API key, known to the backend only>"
        )
        if exchange.answer.status != httpx.codes.OK:
            return SignedIn(None, None, exchange)
        done = msgspec.json.decode(exchange.answer.body, type=_Authenticated)
        return SignedIn(done.token, done.contact.id, exchange)

    async def try_fault(self, fault: Fault, token: str) -> Exchange:
        """Makes a mistake on purpose. Raises Unavailable."""
        person = {"email": SAMPLE["email"], "name": SAMPLE["name"]}
        good = "<the API key>"
        if fault == "wrong_key":
            # Of the right form, checksum included, so that it has to be looked up; yet nobody was given it.
            made_up = generate(workspace_of(self._api_key)).text
            return await self._authenticate(_document(person), made_up, "<a made-up key, well-formed>")
        if fault == "bad_email":
            return await self._authenticate(_document(person | {"email": "john..doe@example"}), self._api_key, good)
        if fault == "duplicate_member":
            twice = '{\n  "email": "john.doe@example.com",\n  "email": "somebody.else@example.com"\n}'
            return await self._authenticate(twice, self._api_key, good)
        return await self._call("GET", "/v1/me", {"Authorization": f"Bearer {token}"}, "", "<the altered token>")

    async def _authenticate(self, body: str, key: str, shown: str) -> Exchange:
        return await self._call("POST", PATH, {"Authorization": f"Bearer {key}", **_JSON}, body, shown)

    async def _call(self, method: str, path: str, headers: dict[str, str], body: str, shown: str) -> Exchange:
        began_at, began = now_ms(), elapsed()
        try:
            # Not through the environment's proxies: the way from this machine to itself is no business of theirs.
            async with httpx.AsyncClient(timeout=_SECONDS, trust_env=False) as client:
                answer = await client.request(method, self._url + path, headers=headers, content=body.encode())
        except httpx.HTTPError as error:
            raise Unavailable(
                "The demo's backend could not reach Vestibule.", detail=type(error).__name__, step="call"
            ) from None
        return Exchange(
            Call(method, self._url + path, headers | {"Authorization": f"Bearer {shown}"}, body),
            Answer(
                answer.status_code,
                answer.reason_phrase,
                {name: value for name, value in answer.headers.items() if name in _SHOWN_HEADERS},
                answer.text,
            ),
            began_at,
            round((elapsed() - began) * 1000, 1),
        )


def _document(person: Mapping[str, Any]) -> str:
    return msgspec.json.format(msgspec.json.encode(person), indent=2).decode()
