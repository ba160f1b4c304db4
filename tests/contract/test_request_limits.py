"""What visitors may ask for in a minute: a contact by whatever wire, an address of those who prove nothing; refused in
each wire's own words, without a neighbour being touched, and good again when it said."""

from __future__ import annotations

import itertools
import json
import random
import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.fixtures.front_door import Installation, Workspace, beside, refused
from tests.fixtures.puzzel import Front, problem
from tests.fixtures.raw_socket import RawSocket
from tests.fixtures.server import RunningServer
from tests.fixtures.widget import Device, bot_token, new_uuid, unverified_token

LIMIT = 6
_numbers = itertools.count(random.randrange(1 << 20) * 16)


@pytest.fixture(scope="module")
def by_contact(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that a contact may ask six times a minute, and an address as often as it likes."""
    settings = {"rate_limit_requests": str(LIMIT), "rate_limit_address_requests": "0"}
    with beside(installation, tmp_path_factory.mktemp("by_contact"), **settings) as server:
        yield server
        assert "unexpected" not in server.log()


@pytest.fixture(scope="module")
def by_address(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """The other way round, behind a proxy."""
    settings = {"rate_limit_requests": "0", "rate_limit_address_requests": str(LIMIT)}
    settings["trusted_proxies"] = "127.0.0.0/8"
    with beside(installation, tmp_path_factory.mktemp("by_address"), **settings) as server:
        yield server


@pytest.fixture
def address() -> str:
    """Of this test alone, which counts in every process for two minutes."""
    number = next(_numbers) % (1 << 24)
    return f"11.{number >> 16}.{number >> 8 & 255}.{number & 255}"


class Reader:
    """Reads with one token by every wire. `address`: what a proxy in front says."""

    def __init__(self, workspace: Workspace, url: str, token: str, address: str = "") -> None:
        self._http = workspace.installation.http
        self._url = url
        self._headers = {"authorization": f"Bearer {token}", "x-bot-token": bot_token(workspace)}
        if address:
            self._headers["x-forwarded-for"] = address

    def get(self, path: str, **params: str) -> httpx.Response:
        return self._http.get(self._url + path, params=params or None, headers=self._headers)

    def widget(self) -> httpx.Response:
        return self.get("/backend/widget/v2/sessions", filters='{"external_id":"a"}')

    def poll(self) -> httpx.Response:
        """Of a session that is none of theirs."""
        return self.get(f"/backend/widget/v2/poll/{new_uuid()}")

    def native(self) -> httpx.Response:
        return self.get("/v1/conversations", scope="a")

    def me(self) -> httpx.Response:
        return self.get("/v1/me")

    def puzzel(self) -> httpx.Response:
        return self.get("/api/conversation/c1/messages")

    def cxgenie(self) -> httpx.Response:
        return self.get("/api/v1/messages/guest-auth/customer")


def told(answer: httpx.Response) -> None:
    """RFC 9110 section 10.2.3."""
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 120
    assert answer.headers["ratelimit-limit"] == str(LIMIT)
    assert answer.headers["ratelimit-remaining"] == "0"


def in_opencx_s_words(answer: httpx.Response) -> None:
    refused(answer, 429, "rate_limited")


def in_ours(answer: httpx.Response) -> None:
    problem(answer, 429, "rate_limited")


def in_cxgenie_s(answer: httpx.Response) -> None:
    assert set(answer.json()) == {"error"}
    assert answer.json()["error"]["code"] == "rate_limited"


WIRES: dict[str, tuple[Callable[[Reader], httpx.Response], Callable[[httpx.Response], None]]] = {
    "widget": (Reader.widget, in_opencx_s_words),
    "poll": (Reader.poll, in_opencx_s_words),
    "native": (Reader.native, in_ours),
    "me": (Reader.me, in_ours),
    "puzzel": (Reader.puzzel, in_ours),
    "cxgenie": (Reader.cxgenie, in_cxgenie_s),
}


class TestOfAContact:
    @pytest.mark.parametrize("wire", WIRES)
    def test_holds_exactly_and_touches_nobody_else(
        self, workspace: Workspace, by_contact: RunningServer, wire: str
    ) -> None:
        read, words = WIRES[wire]
        url = by_contact.base_url
        ada, bob = (Reader(workspace, url, workspace.sign_in(f"{name}@example.com")[0]) for name in ("ada", "bob"))
        answers = [read(ada) for _ in range(LIMIT + 2)]
        assert [answer.status_code == 429 for answer in answers] == [False] * LIMIT + [True] * 2
        told(answers[-1])
        words(answers[-1])
        assert read(bob).status_code == answers[0].status_code

    def test_is_one_for_all_wires_and_all_of_their_tokens(
        self, workspace: Workspace, by_contact: RunningServer
    ) -> None:
        readers = [Reader(workspace, by_contact.base_url, workspace.sign_in()[0]) for _ in range(2)]
        answers = [read(readers[number % 2]) for number, (read, _) in enumerate(WIRES.values())]
        assert 429 not in [answer.status_code for answer in answers]
        assert len(answers) == LIMIT
        assert {read(readers[0]).status_code for read, _ in WIRES.values()} == {429}

    def test_holds_for_writing_too(self, workspace: Workspace, by_contact: RunningServer) -> None:
        """Closing a chat, or ending a token, is not counted elsewhere."""
        token = workspace.sign_in()[0]
        device = Device(workspace, token, base_url=by_contact.base_url)
        statuses = [device.do("resolve", new_uuid()).status_code for _ in range(LIMIT + 1)]
        assert statuses == [404] * LIMIT + [429]
        before = workspace.installation.rows("SELECT id FROM conversations WHERE workspace_id = $1", workspace.id)
        refused(device.create_session(), 429, "rate_limited")
        after = workspace.installation.rows("SELECT id FROM conversations WHERE workspace_id = $1", workspace.id)
        assert after == before

    def test_is_a_device_s_where_nothing_is_proven(self, workspace: Workspace, by_contact: RunningServer) -> None:
        """Whoever says the same e-mail has the same contact, and must not use up their requests."""
        url = by_contact.base_url
        one, other = (
            Reader(workspace, url, unverified_token(workspace, email="ada@example.com"), "11.1.1.1") for _ in range(2)
        )
        assert [one.widget().status_code for _ in range(LIMIT + 1)] == [200] * LIMIT + [429]
        assert other.widget().status_code == 200

    def test_leaves_what_needs_no_token_alone(self, workspace: Workspace, by_contact: RunningServer) -> None:
        device = Device(workspace, workspace.sign_in()[0], base_url=by_contact.base_url)
        assert {device.do("config").status_code for _ in range(2 * LIMIT)} == {200}

    def test_holds_on_a_socket(self, workspace: Workspace, by_contact: RunningServer) -> None:
        """Which is told, and not closed, but where it is to join (test_cxgenie_sockets.py): the app would try for
        ever."""
        token = unverified_token(workspace)
        with RawSocket.connected(by_contact.base_url, json.dumps({"token": token})) as wire:
            answers = []
            for number in range(LIMIT + 1):
                wire.send(f"42{number}" + json.dumps(["room.conversation.leave", None]))
                text = wire.text()
                while not text.startswith(f"43{number}"):
                    text = wire.text()
                answers.append("error" in text)
        # To connect was the first.
        assert answers == [False] * (LIMIT - 1) + [True] * 2

    @pytest.mark.slow
    @pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # a minute; it is counted in the process
    def test_is_over_when_it_says(self, workspace: Workspace, by_contact: RunningServer) -> None:
        """A widget that goes on asking, as OpenCX's does whatever it is answered, sees its chat again."""
        device = Device(workspace, workspace.sign_in()[0], base_url=by_contact.base_url)
        session = device.start()
        answers = [device.poll(session) for _ in range(LIMIT)]
        assert [answer.status_code for answer in answers] == [200] * (LIMIT - 1) + [429]
        wait = int(answers[-1].headers["retry-after"])
        assert wait <= 75
        time.sleep(wait + 0.05)
        assert device.poll(session).json()["session"]["id"] == session


class TestOfAnAddress:
    def test_counts_guests_together(self, workspace: Workspace, by_address: RunningServer, address: str) -> None:
        """Whoever is nobody can be somebody new each time."""
        guests = [Reader(workspace, by_address.base_url, unverified_token(workspace), address) for _ in range(3)]
        answers = [guests[number % 3].widget() for number in range(LIMIT + 3)]
        assert [answer.status_code for answer in answers] == [200] * LIMIT + [429] * 3
        told(answers[-1])
        in_opencx_s_words(answers[-1])
        in_ours(guests[0].native())
        elsewhere = Reader(workspace, by_address.base_url, unverified_token(workspace), f"12{address[2:]}")
        assert elsewhere.widget().status_code == 200

    def test_refuses_nobody_who_has_proven_who_they_are(
        self, workspace: Workspace, by_address: RunningServer, address: str
    ) -> None:
        """OWASP ASVS 6.1.1; and 0 is any number."""
        ada = Reader(workspace, by_address.base_url, workspace.sign_in()[0], address)
        assert {ada.me().status_code for _ in range(4 * LIMIT)} == {200}
        guest = Reader(workspace, by_address.base_url, unverified_token(workspace), address)
        assert [guest.me().status_code for _ in range(LIMIT + 1)] == [200] * LIMIT + [429], "Ada's did not count"
        assert ada.me().status_code == 200

    @pytest.mark.parametrize("wire", WIRES)
    def test_counts_tokens_that_are_none(
        self, workspace: Workspace, by_address: RunningServer, address: str, wire: str
    ) -> None:
        read, words = WIRES[wire]
        good = workspace.sign_in()[0]
        wrong = Reader(workspace, by_address.base_url, good[:-6] + "AAAAAA", address)
        answers = [read(wrong) for _ in range(LIMIT + 1)]
        assert [answer.status_code for answer in answers] == [401] * LIMIT + [429]
        words(answers[-1])

    def test_counts_tokens_of_another_workspace(
        self, workspace: Workspace, by_address: RunningServer, address: str
    ) -> None:
        foreign = workspace.installation.workspace().sign_in()[0]
        reader = Reader(workspace, by_address.base_url, foreign, address)
        assert [reader.widget().status_code for _ in range(LIMIT + 1)] == [401] * LIMIT + [429]

    @pytest.mark.parametrize(
        ("path", "statuses"),
        [
            ("/v1/widget-config?widget_token={bot}", (200, 401)),
            ("/api/queue/info/none?customerId={customer}", (404, 404)),
            ("/api/v1/bots/public/{workspace}", (200, 404)),
            ("/files/{workspace}/" + "0" * 32 + "/x/a.txt", (404, 404)),
        ],
    )
    def test_counts_what_needs_no_token(
        self, workspace: Workspace, by_address: RunningServer, address: str, path: str, statuses: tuple[int, int]
    ) -> None:
        """Of whatever workspace, and of none."""
        http, headers = workspace.installation.http, {"x-forwarded-for": address}
        known = {
            "bot": bot_token(workspace),
            "customer": Front(workspace).customer_id,
            "workspace": workspace.id,
        }
        none = {"bot": "none", "customer": "none", "workspace": new_uuid()}
        answers = [
            http.get(by_address.base_url + path.format(**names), headers=headers)
            for names in (known, none) * (LIMIT // 2) + (known, none)
        ]
        assert [answer.status_code for answer in answers] == [*statuses] * (LIMIT // 2) + [429] * 2
        told(answers[-1])

    @pytest.mark.parametrize(
        ("path", "body"),
        [
            ("/v1/visitors", {"widget_token": "none"}),
            ("/v1/visitors/authenticate", {"customer_id": "none", "user_token": "x"}),
            ("/api/v1/bot-sessions/guest-auth/start-bot-session", {"bot_id": new_uuid()}),
        ],
    )
    def test_counts_who_asks_for_a_workspace_that_is_none(
        self, workspace: Workspace, by_address: RunningServer, address: str, path: str, body: dict[str, str]
    ) -> None:
        """Each is looked for in the database."""
        http, headers = workspace.installation.http, {"x-forwarded-for": address}
        statuses = [
            http.post(by_address.base_url + path, json=body, headers=headers).status_code for _ in range(LIMIT + 1)
        ]
        assert set(statuses[:-1]) <= {401, 404}
        assert statuses[-1] == 429

    def test_counts_the_widget_s_own_settings(
        self, workspace: Workspace, by_address: RunningServer, address: str
    ) -> None:
        device = Device(workspace, None, base_url=by_address.base_url)
        headers = {"x-forwarded-for": address}
        answers = [device.call("GET", "/config", headers=headers) for _ in range(LIMIT + 1)]
        assert [answer.status_code for answer in answers] == [200] * LIMIT + [429]
        in_opencx_s_words(answers[-1])
        guess = {"x-forwarded-for": f"12{address[2:]}", "x-bot-token": "none"}
        statuses = [device.call("GET", "/sessions", headers=guess).status_code for _ in range(LIMIT + 1)]
        assert statuses == [401] * LIMIT + [429]
