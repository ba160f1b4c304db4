"""Limits a minute: per key, per workspace, for the whole installation; shared by workers; and wrong keys per address,
where a right key is never refused for its neighbour's guesses."""

from __future__ import annotations

import itertools
import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fixtures.front_door import PATH, Installation, Workspace, beside, refused
from tests.fixtures.raw_http import exchange
from tests.fixtures.server import RunningServer, WorkspaceServer
from vestibule.administration import workspaces
from vestibule.model.workspace import RateLimits

BODY = b'{"email":"ada@example.com"}'
BAD_KEYS = 3  # of the servers below

# Every test comes from addresses of its own: who was wrong before is remembered for two minutes.
_numbers = itertools.count(random.randrange(1 << 20) * 16)


def own_address(network: int = 77) -> str:
    number = next(_numbers) % (1 << 16)
    return f"127.{network}.{number >> 8}.{number & 255}"


def public_address() -> str:
    number = next(_numbers) % (1 << 24)
    return f"11.{number >> 16}.{number >> 8 & 255}.{number & 255}"


def of_key(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


class TestOfAKey:
    def test_hold_exactly_in_one_process(self, workspace: Workspace) -> None:
        _, key = workspace.new_key(standard=10)
        answers = [workspace.post(BODY, of_key(key)) for _ in range(12)]
        assert [answer.status_code for answer in answers] == [200] * 10 + [429] * 2
        assert [answer.headers["ratelimit-remaining"] for answer in answers[:10]] == [
            str(left) for left in range(9, -1, -1)
        ]
        assert {answer.headers["ratelimit-limit"] for answer in answers} == {"10"}

    def test_hold_for_requests_at_once(self, workspace: Workspace) -> None:
        _, key = workspace.new_key(standard=20)
        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(lambda _: workspace.post(BODY, of_key(key)).status_code, range(40)))
        assert sorted(answers) == [200] * 20 + [429] * 20

    def test_count_refused_requests_that_had_a_good_key(self, workspace: Workspace) -> None:
        """Or a mistaken client would try its bad payload for ever."""
        _, key = workspace.new_key(standard=3)
        statuses = [workspace.post(body, of_key(key)).status_code for body in (b"{", BODY, b"[]", BODY)]
        assert statuses == [400, 200, 400, 429]

    def test_are_each_keys_own(self, workspace: Workspace) -> None:
        _, one = workspace.new_key(standard=1)
        _, other = workspace.new_key(standard=1)
        assert [workspace.post(BODY, of_key(key)).status_code for key in (one, one, other, other)] == [
            200,
            429,
            200,
            429,
        ]

    def test_tell_when_to_come_back(self, workspace: Workspace) -> None:
        """RFC 9110 section 10.2.3."""
        _, key = workspace.new_key(standard=1)
        workspace.post(BODY, of_key(key))
        answer = workspace.post(BODY, of_key(key))
        refused(answer, 429, "rate_limited")
        assert 1 <= int(answer.headers["retry-after"]) <= 120
        assert answer.headers["ratelimit-remaining"] == "0"

    def test_store_nothing_beyond_them(self, workspace: Workspace) -> None:
        _, key = workspace.new_key(standard=1)
        workspace.post(BODY, of_key(key))
        before = workspace.contacts()
        refused(workspace.post(b'{"email":"new@example.com"}', of_key(key)), 429)
        assert workspace.contacts() == before

    @pytest.mark.slow
    def test_pass_again_when_they_said(self, workspace: Workspace) -> None:
        _, key = workspace.new_key(standard=60)
        answers = [workspace.post(BODY, of_key(key)) for _ in range(61)]
        refused(answers[-1], 429)
        wait = int(answers[-1].headers["retry-after"])
        if wait > 61:
            pytest.fail(f"told to wait {wait} s")
        time.sleep(wait + 0.05)
        assert workspace.post(BODY, of_key(key)).status_code == 200


class TestOfAWorkspace:
    def limit(self, workspace: Workspace, standard: int | None) -> None:
        installation = workspace.installation
        changed = workspaces.change(installation.desk, workspace.id, rate_limits=RateLimits(standard))
        installation.run(changed)

    def test_are_those_of_its_keys_without_one(self, workspace: Workspace) -> None:
        self.limit(workspace, 5)
        _, plain = workspace.new_key()
        _, own = workspace.new_key(standard=9)
        assert workspace.post(BODY, of_key(plain)).headers["ratelimit-limit"] == "5"
        assert workspace.post(BODY, of_key(own)).headers["ratelimit-limit"] == "9"

    @pytest.mark.slow
    def test_are_seen_in_time_when_they_change(self, workspace: Workspace) -> None:
        assert workspace.post(BODY).headers["ratelimit-limit"] == "100000"
        for standard, shown in ((5, "5"), (None, "100000")):
            self.limit(workspace, standard)
            began = time.monotonic()
            while workspace.post(BODY).headers["ratelimit-limit"] != shown:
                assert time.monotonic() - began < 5
                time.sleep(0.1)

    def test_of_the_installation_are_those_of_everybody_else(
        self, workspace: Workspace, limited: RunningServer
    ) -> None:
        """100 a minute as published; here a smaller one."""
        answers = [workspace.post(BODY, url=limited.base_url) for _ in range(8)]
        assert [answer.status_code for answer in answers] == [200] * 7 + [429]
        assert answers[0].headers["ratelimit-limit"] == "7"


class TestSharedByWorkers:
    def test_overshoot_by_a_quarter_at_most(self, workspace: Workspace, two_workers: RunningServer) -> None:
        """limits.py: N processes together overshoot by N eighths of the rest at most."""
        _, key = workspace.new_key(standard=80)
        request = workspace.raw(b"Authorization: Bearer " + key.encode(), body=BODY)
        with ThreadPoolExecutor(8) as pool:
            statuses = list(pool.map(lambda _: exchange(two_workers.base_url, request).status, range(160)))
        assert set(statuses) == {200, 429}
        assert 80 <= statuses.count(200) <= 100

    def test_are_known_to_a_second_server(self, workspace: Workspace, two_workers: RunningServer) -> None:
        _, key = workspace.new_key(standard=16)
        here = [workspace.post(BODY, of_key(key)).status_code for _ in range(14)]
        time.sleep(0.6)  # counts travel four times a second
        there = [workspace.post(BODY, of_key(key), url=two_workers.base_url).status_code for _ in range(8)]
        assert here == [200] * 14
        assert 2 <= there.count(200) <= 4


@pytest.fixture(scope="module")
def limited(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with small limits that believes no proxy."""
    settings = {"rate_limit_bad_keys": str(BAD_KEYS), "rate_limit_standard": "7"}
    with beside(installation, tmp_path_factory.mktemp("limited"), **settings) as server:
        yield server


@pytest.fixture(scope="module")
def proxied(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """The same, behind proxies at 127.88.0.0/16 and 10.0.0.0/8."""
    settings = {"rate_limit_bad_keys": str(BAD_KEYS), "trusted_proxies": "127.88.0.0/16, 10.0.0.0/8, fd00::/8"}
    with beside(installation, tmp_path_factory.mktemp("proxied"), **settings) as server:
        yield server


Call = Callable[..., httpx.Response]


def caller(server: RunningServer, address: str) -> httpx.Client:
    """Calls from this local address: all of 127.0.0.0/8 is this machine."""
    transport = httpx.HTTPTransport(local_address=address, verify=False)
    return httpx.Client(base_url=server.base_url, transport=transport, trust_env=False)


def guess(client: httpx.Client, headers: Mapping[str, str] | list[tuple[str, str]] | None = None) -> int:
    given: Any = headers or {}
    pairs = list(given.items()) if isinstance(given, dict) else list(given)
    answer = client.post(PATH, json={}, headers=[*pairs, ("authorization", "Bearer wrong")])
    assert answer.status_code in {401, 429}
    return answer.status_code


class TestWrongKeys:
    def test_are_counted_per_address(self, limited: RunningServer) -> None:
        with caller(limited, own_address()) as one, caller(limited, own_address()) as other:
            assert [guess(one) for _ in range(5)] == [401] * BAD_KEYS + [429] * 2
            assert [guess(other) for _ in range(4)] == [401] * BAD_KEYS + [429]
            answer = one.post(PATH, json={}, headers={"authorization": "Bearer wrong"})
            refused(answer, 429, "rate_limited")
            assert 1 <= int(answer.headers["retry-after"]) <= 120
            assert answer.headers["ratelimit-limit"] == str(BAD_KEYS)

    def test_lock_out_no_right_key_from_the_same_address(self, workspace: Workspace, limited: RunningServer) -> None:
        """OWASP ASVS 6.1.1: no lockout of others."""
        with caller(limited, own_address()) as client:
            assert [guess(client) for _ in range(5)][-1] == 429
            answer = client.post(PATH, json={"email": "ada@example.com"}, headers=of_key(workspace.api_key))
            assert answer.status_code == 200
            assert guess(client) == 429

    def test_of_every_kind_are_counted(self, workspace: Workspace, limited: RunningServer) -> None:
        _, expired = workspace.new_key(lifetime_ms=1)
        with caller(limited, own_address()) as client:
            for key in ("x", workspace.api_key[:-1], expired):
                refused(client.post(PATH, json={}, headers=of_key(key)), 401, "invalid_api_key")
            refused(client.post(PATH, json={}, headers=of_key("y")), 429)

    def test_missing_ones_are_no_guesses(self, limited: RunningServer) -> None:
        with caller(limited, own_address()) as client:
            for _ in range(6):
                refused(client.post(PATH, json={}), 401, "missing_credentials")

    def test_are_no_secret_to_other_processes(self, installation: Installation, limited: RunningServer) -> None:
        """The shared count names addresses by hash: they are personal data."""
        address = own_address()
        with caller(limited, address) as client:
            guess(client)
        time.sleep(0.4)
        buckets = [row[0] for row in installation.rows("SELECT bucket FROM rate_totals")]
        assert any(bucket.startswith("bad_keys:") for bucket in buckets)
        assert not any(address in bucket for bucket in buckets)


class TestForwardedAddresses:
    """X-Forwarded-For is read from its end, and only as far as the proxies are ours (OWASP ASVS 4.1.3)."""

    def test_are_not_believed_from_strangers(self, limited: RunningServer, proxied: RunningServer) -> None:
        for server in (limited, proxied):
            with caller(server, own_address()) as client:
                statuses = [guess(client, {"x-forwarded-for": public_address()}) for _ in range(4)]
                assert statuses == [401] * BAD_KEYS + [429]

    def test_are_believed_from_a_trusted_proxy(self, proxied: RunningServer) -> None:
        one, other = public_address(), public_address()
        with caller(proxied, own_address(88)) as client, caller(proxied, own_address(88)) as another_proxy:
            assert [guess(client, {"x-forwarded-for": one}) for _ in range(4)] == [401] * BAD_KEYS + [429]
            assert guess(another_proxy, {"x-forwarded-for": one}) == 429
            assert guess(client, {"x-forwarded-for": other}) == 401

    def test_what_a_stranger_wrote_in_front_counts_for_nothing(self, proxied: RunningServer) -> None:
        real = public_address()
        with caller(proxied, own_address(88)) as client:
            statuses = [guess(client, {"x-forwarded-for": f"{public_address()}, 1.2.3.4, {real}"}) for _ in range(4)]
            assert statuses == [401] * BAD_KEYS + [429]
            assert guess(client, {"x-forwarded-for": f"x, {real}"}) == 429

    def test_trusted_proxies_in_the_chain_are_passed_over(self, proxied: RunningServer) -> None:
        real = public_address()
        chains: list[Any] = [
            {"x-forwarded-for": f"{real}, 10.1.2.3, 10.9.9.9"},
            {"x-forwarded-for": f"{real},10.1.2.3"},
            [("x-forwarded-for", real), ("x-forwarded-for", "10.1.2.3")],
            {"x-forwarded-for": f"::ffff:{real}"},
        ]
        with caller(proxied, own_address(88)) as client:
            assert [guess(client, chain) for chain in chains] == [401] * BAD_KEYS + [429]

    def test_nonsense_falls_back_to_the_last_that_is_known(self, proxied: RunningServer) -> None:
        with caller(proxied, own_address(88)) as client:
            texts = ("nonsense", "1.2.3.4.5", "", "unknown", "' OR 1=1", "1.2.3.4:80", "[::1]:80")
            statuses = [guess(client, {"x-forwarded-for": text}) for text in texts]
            assert statuses == [401] * BAD_KEYS + [429] * (len(statuses) - BAD_KEYS)

    def test_an_ipv6_subscriber_is_one_whatever_address_it_takes(self, proxied: RunningServer) -> None:
        """A /64 is what one subscriber has."""
        network = f"2001:db8:{next(_numbers) & 0xFFFF:x}:{random.randrange(1 << 16):x}"
        with caller(proxied, own_address(88)) as client:
            statuses = [
                guess(client, {"x-forwarded-for": f"{network}::{number:x}"}) for number in (1, 2, 0xFFFF, 0xABCD)
            ]
            assert statuses == [401] * BAD_KEYS + [429]
            assert guess(client, {"x-forwarded-for": f"2001:db9:{random.randrange(1 << 16):x}::1"}) == 401


def test_what_a_contact_sends_is_counted_by_contact_and_by_address(
    session_settings: dict[str, str], database_url: str, tmp_path: Path
) -> None:
    """Each message may cost an answer of a language model: one visitor, or one address with many, must not spend it."""
    limits = {"VESTIBULE_RATE_LIMIT_MESSAGES": "3", "VESTIBULE_RATE_LIMIT_ADDRESS_MESSAGES": "5"}
    settings = {**session_settings, **limits, "VESTIBULE_DATABASE_URL": database_url}
    with WorkspaceServer(settings, tmp_path) as server:
        server.make_workspace("chatty")
        bot = {"x-bot-token": server.widget_token}
        widget = f"{server.base_url}/backend/widget/v2"
        statuses = []
        for name in ("ada", "bob"):
            with httpx.Client(trust_env=False) as http:
                made = http.post(
                    f"{server.base_url}{PATH}",
                    json={"email": f"{name}@example.com"},
                    headers={"authorization": f"Bearer {server.api_key}"},
                )
                auth = {"authorization": f"Bearer {made.json()['token']}"}
                chat = http.post(f"{widget}/create-session", json={}, headers=bot | auth).json()["id"]
                native = f"{server.base_url}/v1/conversations/{chat}/messages"
                for number in range(4):
                    body = {"uuid": str(uuid.uuid4()), "session_id": chat, "content": "hello"}
                    answer = (
                        http.post(native, json={"id": str(uuid.uuid4()), "text": "hello"}, headers=auth)
                        if number == 1
                        else http.post(f"{widget}/chat/send", json=body, headers=bot | auth)
                    )
                    statuses.append(answer.status_code)
                    if answer.status_code == 429:
                        assert int(answer.headers["retry-after"]) > 0
                assert http.get(f"{widget}/poll/{chat}", headers=bot | auth).status_code == 200
        # Four of Ada's, of which one is too many for her; of Bob's four two fit beside hers.
        assert [status < 300 for status in statuses] == [True, True, True, False, True, True, False, False]
        assert {status for status in statuses if status >= 300} == {429}
