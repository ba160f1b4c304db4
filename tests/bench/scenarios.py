"""The list of what is measured over HTTP, and the requests it is made of; it must not send or measure anything.

A new surface adds a function that yields requests, and its lines in `SCENARIOS`.
"""

from __future__ import annotations

import enum
import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.bench import exchanges
from tests.bench.chats import get, open_chat
from tests.bench.provider import Provider

HELLO, SQLITE, POSTGRESQL = "hello", "sqlite", "postgresql"
# On PostgreSQL and pinned to no core, to be compared with each other.
ONE_WORKER, TWO_WORKERS = "one worker", "two workers"
# On PostgreSQL, and no two statements share a round trip.
ALONE = "each alone"
ONE, FEW, MANY, CROWD = 1, 4, 16, 64
PEOPLE = 20_000
# Four of five returning people come as they were. They are others than those who changed, so that a request is known
# to change something, or nothing, without knowing which ones went before it.
STEADY = PEOPLE * 4 // 5
CHATS = 200
PHONES = 10_000  # more than any cache of parsed numbers holds
# Fewer than there are people: each token that comes again is signed before, which takes longer than to read it.
PROVEN = 2_000
REDEEMED = 200
_SHARE_NEW = 0.2
_SHARE_CHANGED = 0.2

# The example of the seed (opencx-authenticate-user), with people of our own.
_BODY = """{
"email": "%s",
"name": "%s",
"avatar_url": "https://example.com/avatar.png",
"phone": "%s",
"language": "en",
"customData": {
"customKey": "customValue"
},
"chat_context": "<string>",
"http_action_overrides": {
"query_params": {},
"path_params": {},
"body_params": {},
"headers": {}
}
}"""
_NAME = "John Doe"
_PHONE = "+1234567890"


class Effect(enum.StrEnum):
    """What a request leaves in the database, to be compared with what is there in the end."""

    NONE = "none"
    CHANGED = "changed"
    NEW = "new"


@dataclass(slots=True)
class Target:
    """An installation as its requests need it. `numbers` make new people and names, each once."""

    port: int
    api_key: str
    widget_token: str = ""
    customer_id: str = ""
    provider: Provider | None = None
    chats: list[tuple[str, str]] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    random: random.Random = field(default_factory=lambda: random.Random(20_000))


Request = tuple[Effect, bytes]
Requests = Callable[[Target], Iterator[Request]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """`requests` never ends; `population`, sent once per server and before anything is measured, does. `prepared`: each
    request needs a call of its own beforehand, so that few are taken at a time."""

    name: str
    server: str
    callers: int
    requests: Requests
    population: Requests | None = None
    prepared: bool = False

    @property
    def key(self) -> str:
        return f"{self.server}/{self.name}/{self.callers}"


def hello(target: Target) -> Iterator[Request]:
    head = f"GET / HTTP/1.1\r\nhost: 127.0.0.1:{target.port}\r\nuser-agent: bench\r\naccept: */*\r\n\r\n"
    return itertools.repeat((Effect.NONE, head.encode()))


def people(target: Target) -> Iterator[Request]:
    return ((Effect.NEW, _post(target, _person(number))) for number in range(PEOPLE))


def people_with_phones(target: Target) -> Iterator[Request]:
    return ((Effect.NEW, _phoned(target, number)) for number in range(PHONES))


def unchanged(target: Target) -> Iterator[Request]:
    while True:
        yield Effect.NONE, _post(target, _person(target.random.randrange(STEADY)))


def changed(target: Target) -> Iterator[Request]:
    while True:
        person = _person(target.random.randrange(STEADY, PEOPLE))
        yield Effect.CHANGED, _post(target, person, f"{_NAME} {next(target.numbers)}")


def new(target: Target) -> Iterator[Request]:
    while True:
        yield Effect.NEW, _post(target, f"new.{next(target.numbers)}@example.com")


def mixed(target: Target) -> Iterator[Request]:
    """80 % returning people, of whom 80 % come as they were."""
    of_unchanged, of_changed, of_new = unchanged(target), changed(target), new(target)
    while True:
        if target.random.random() < _SHARE_NEW:
            yield next(of_new)
        elif target.random.random() < _SHARE_CHANGED:
            yield next(of_changed)
        else:
            yield next(of_unchanged)


def unchanged_with_phones(target: Target) -> Iterator[Request]:
    """Like `unchanged`, but the seed's one phone number, which is none, is replaced by a good one for each person."""
    while True:
        yield Effect.NONE, _phoned(target, target.random.randrange(PHONES))


def poll(target: Target) -> Iterator[Request]:
    """Open chats ask whether there is anything new, and there is not."""
    return _of_chats(target, lambda session: f"/poll/{session}")


def sessions(target: Target) -> Iterator[Request]:
    """The list of a verified person's chats."""
    return _of_chats(target, lambda _: "/sessions?filters=%7B%7D")


def people_at_provider(target: Target) -> Iterator[Request]:
    return ((Effect.NEW, _exchange(target, _provider(target).token_of(person))) for person in range(PROVEN))


def exchange_again(target: Target) -> Iterator[Request]:
    """People who come as they were: a provider's claims seldom change."""
    while True:
        yield Effect.NONE, _exchange(target, _provider(target).token_of(target.random.randrange(PROVEN)))


def exchange(target: Target) -> Iterator[Request]:
    """80 % returning people."""
    again = exchange_again(target)
    while True:
        if target.random.random() < _SHARE_NEW:
            yield Effect.NEW, _exchange(target, _provider(target).new_token(f"new.{next(target.numbers)}"))
        else:
            yield next(again)


def redeem(target: Target) -> Iterator[Request]:
    """The same call again binds nothing new, and is the same statement."""
    made = exchanges.user_info_ids(target.port, target.customer_id, _provider(target), range(REDEEMED))
    rendered = [exchanges.redeem(target.port, target.customer_id, user_info_id) for user_info_id in made]
    return ((Effect.NONE, request) for request in itertools.cycle(rendered))


def route(target: Target) -> Iterator[Request]:
    """A new chat each, with a proof that was exchanged for it; the exchange is before what is measured."""
    people_ = (target.random.randrange(PROVEN) for _ in itertools.count())
    made = exchanges.user_info_ids(target.port, target.customer_id, _provider(target), people_)
    return ((Effect.NONE, exchanges.route(target.port, user_info_id)) for user_info_id in made)


def _provider(target: Target) -> Provider:
    if target.provider is None:
        raise ValueError("this server has no identity provider")
    return target.provider


def _exchange(target: Target, token: str) -> bytes:
    return exchanges.exchange(target.port, target.customer_id, token)


def _of_chats(target: Target, path: Callable[[str], str]) -> Iterator[Request]:
    if not target.chats:
        people_ = (_person(number) for number in range(STEADY - CHATS, STEADY))
        target.chats = [open_chat(target.port, target.api_key, target.widget_token, person) for person in people_]
    rendered = [get(target.port, token, target.widget_token, path(session)) for token, session in target.chats]
    return ((Effect.NONE, request) for request in itertools.cycle(rendered))


def _phoned(target: Target, number: int) -> bytes:
    return _post(target, f"phoned.{number}@example.com", phone=f"+1201{2_000_000 + number}")


def _person(number: int) -> str:
    return f"person.{number}@example.com"


def _post(target: Target, email: str, name: str = _NAME, phone: str = _PHONE) -> bytes:
    body = _BODY % (email, name, phone)
    return (
        f"POST /widget/authenticate-user HTTP/1.1\r\nhost: 127.0.0.1:{target.port}\r\nuser-agent: bench\r\n"
        f"accept: */*\r\nauthorization: Bearer {target.api_key}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n{body}"
    ).encode()


MIXED = "authenticate-user, mixed"
EXCHANGE = "token exchange, RS256, mixed"
POLL, LIST = "poll, nothing new", "list of chats"


def _on_engine(server: str) -> tuple[Scenario, ...]:
    return (
        Scenario(MIXED, server, MANY, mixed, people),
        Scenario(MIXED, server, ONE, mixed, people),
        Scenario("authenticate-user, unchanged", server, MANY, unchanged, people),
        Scenario("authenticate-user, changed", server, MANY, changed, people),
        Scenario("authenticate-user, new", server, MANY, new, people),
        Scenario(POLL, server, MANY, poll, people),
        Scenario(LIST, server, MANY, sessions, people),
        Scenario(EXCHANGE, server, MANY, exchange, people_at_provider),
        Scenario("token exchange, RS256, unchanged", server, MANY, exchange_again, people_at_provider),
        Scenario("userInfoId redeemed", server, MANY, redeem, people_at_provider),
        Scenario("route, new chat, fresh userInfoId", server, MANY, route, people_at_provider, prepared=True),
    )


SCENARIOS = (
    *(Scenario("hello world", HELLO, callers, hello) for callers in (MANY, ONE, FEW, CROWD)),
    *_on_engine(SQLITE),
    *_on_engine(POSTGRESQL),
    Scenario("authenticate-user, unchanged, own phones", POSTGRESQL, MANY, unchanged_with_phones, people_with_phones),
    Scenario(MIXED, POSTGRESQL, FEW, mixed, people),
    Scenario(MIXED, POSTGRESQL, CROWD, mixed, people),
    Scenario(MIXED, ONE_WORKER, CROWD, mixed, people),
    Scenario(MIXED, TWO_WORKERS, CROWD, mixed, people),
)
# What sharing round trips is good for (docs/decisions/0003-same-sql-shared-round-trips.md).
COALESCING = (
    *(Scenario("hello world", HELLO, callers, hello) for callers in (ONE, MANY)),
    *(Scenario(MIXED, server, callers, mixed, people) for server in (POSTGRESQL, ALONE) for callers in (ONE, MANY)),
)
