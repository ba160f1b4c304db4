"""Mixed load through the balancer, and the checker that remembers every acknowledged write; it starts no server."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.fixtures import sample_files as samples
from tests.fixtures.fake_provider import FakeProvider
from tests.fixtures.native import Client
from tests.fixtures.puzzel import Front
from tests.fixtures.widget import new_uuid

# What a node that dies or a database that changes over may cost: a request, told so.
_MAY_FAIL = {502, 503, 504}
_PAUSE_SECONDS = 0.08


@dataclass
class Talk:
    """A person's conversation: the ids of messages, in the order in which they were acknowledged."""

    client: Client
    conversation: str
    acknowledged: list[str] = field(default_factory=list)


class Load:
    """Loops that vouch, talk, prove, refresh and upload until they are stopped."""

    def __init__(self, front: Front, provider: FakeProvider, url: str) -> None:
        self.front = front
        self.workspace = front.workspace
        self.url = url
        self.acks: dict[str, list[float]] = defaultdict(list)
        self.failed: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._provider = provider
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        # What was acknowledged.
        self.talks: list[Talk] = []
        self.names: dict[str, tuple[str, set[str]]] = {}  # token: the name that it may be by now
        self.proofs: list[tuple[str, str]] = []  # token and conversation
        self.files: list[tuple[str, bytes]] = []

    def start(self) -> None:
        for loop in (self._vouch, self._talk, self._talk, self._prove, self._refresh):
            self._begin(loop)

    def start_files(self) -> None:
        self._begin(self._upload)

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(60)

    def wait_for(self, *kinds: str, within: float) -> float:
        """Returns when each kind was acknowledged again; how many seconds that took."""
        began = time.monotonic()
        while True:
            if all(self.acks[kind] and self.acks[kind][-1] > began for kind in kinds):
                return time.monotonic() - began
            late = time.monotonic() - began > within
            assert not late, f"nothing acknowledged for {within:g} s of {kinds}: {self.failed}"
            time.sleep(0.02)

    def _begin(self, loop: Callable[[], None]) -> None:
        def run() -> None:
            try:
                loop()
            except Exception as error:  # told by the last test
                self.wrong.append(f"{loop.__name__}: {error!r}")

        self._threads.append(threading.Thread(target=run, daemon=True))
        self._threads[-1].start()

    def _rounds(self) -> itertools.takewhile[int]:
        def goes_on(_: int) -> bool:
            return not self._stopping.wait(random.uniform(0.5, 1.5) * _PAUSE_SECONDS)

        return itertools.takewhile(goes_on, itertools.count())

    def _ask(self, kind: str, call: Callable[[], httpx.Response], *good: int) -> httpx.Response | None:
        """The answer if it is an acknowledgement. None where it failed as it may; anything else is noted as wrong."""
        try:
            answer = call()
        except httpx.TransportError as error:
            self.failed[f"{kind} {type(error).__name__}"] += 1
            return None
        if answer.status_code in good:
            self.acks[kind].append(time.monotonic())
            return answer
        self.failed[f"{kind} {answer.status_code}"] += 1
        if answer.status_code not in _MAY_FAIL:
            self.wrong.append(f"{kind}: {answer.status_code} {answer.text[:200]}")
        return None

    def _until(self, kind: str, call: Callable[[], httpx.Response], *good: int) -> httpx.Response | None:
        """As a client that repeats what it was not answered."""
        for _ in self._rounds():
            answer = self._ask(kind, call, *good)
            if answer is not None:
                return answer
        return None

    def _vouch(self) -> None:
        for number in self._rounds():
            person, name = f"person{number % 5}@example.com", f"name {number}"

            def call(person: str = person, name: str = name) -> httpx.Response:
                return self.workspace.authenticate(email=person, name=name, url=self.url)

            _, possible = self.names.get(person, ("", set()))
            possible.add(name)  # from now on it may be; once it is acknowledged, it must be
            answer = self._ask("vouch", call, 200)
            if answer is not None:
                self.names[person] = (answer.json()["token"], {name})
            else:
                self.names[person] = (self.names.get(person, ("", set()))[0], possible)

    def _talk(self) -> None:
        who = f"talker-{new_uuid()}@example.com"
        signed_in = self._until("vouch", lambda: self.workspace.authenticate(email=who, url=self.url), 200)
        if signed_in is None:
            return
        client = Client(self.workspace, signed_in.json()["token"], base_url=self.url)
        started = self._until("start", client.create, 201)
        if started is None:
            return
        talk = Talk(client, str(started.json()["id"]))
        self.talks.append(talk)
        for number in self._rounds():
            message = new_uuid()

            def call(message: str = message, number: int = number) -> httpx.Response:
                return client.send(talk.conversation, f"message {number}", id=message)

            # The same id again: a message that was stored and not acknowledged is not stored twice.
            if self._until("message", call, 200, 201) is not None:
                talk.acknowledged.append(message)

    def _prove(self) -> None:
        with ThreadPoolExecutor(3) as pool:
            for number in self._rounds():
                token = self._provider.id_token(sub=f"u-{number}")
                try:
                    proof = self.front.proof(token)
                except (httpx.TransportError, AssertionError):
                    continue  # none was given
                tries = [(new_uuid(), proof) for _ in range(3)]
                answers = list(pool.map(lambda one: self._route(*one), tries))
                started = [answer for answer in answers if answer is not None and answer.status_code == 200]
                if len(started) > 1:
                    self.wrong.append("a userInfoId was taken twice")
                for answer in started:
                    self.acks["proof"].append(time.monotonic())
                    body: dict[str, Any] = answer.json()
                    self.proofs.append((body["contactToken"], body["conversationId"]))

    def _route(self, conversation: str, proof: tuple[str, str]) -> httpx.Response | None:
        try:
            answer = self.front.route(conversation, proof=proof)
        except httpx.TransportError as error:
            self.failed[f"proof {type(error).__name__}"] += 1
            return None
        spent = answer.status_code == 400 and answer.json()["code"] == "invalid_grant"
        if answer.status_code not in {200, *_MAY_FAIL} and not spent:
            self.wrong.append(f"proof: {answer.status_code} {answer.text[:200]}")
        return answer

    def _refresh(self) -> None:
        """Of two who refresh a session with the same token, one may get the next."""
        with ThreadPoolExecutor(2) as pool:
            for _ in self._rounds():
                session = self._ask("session", self.front.connect, 200)
                if session is None:
                    continue
                token = session.json()["refresh_token"]
                answers = list(pool.map(self._refreshed, (token, token)))
                if answers.count(200) > 1:
                    self.wrong.append("a refresh token was taken twice")

    def _refreshed(self, token: str) -> int:
        try:
            return self.front.refresh(token).status_code
        except httpx.TransportError:
            return 0

    def _upload(self) -> None:
        client = self.talks[0].client
        for number in self._rounds():
            content = samples.PDF + b"\n%% " + str(number).encode()

            def call(content: bytes = content) -> httpx.Response:
                return client.upload(content, "a.pdf")

            answer = self._ask("file", call, 201)
            if answer is not None:
                self.files.append((answer.json()["url"], content))
