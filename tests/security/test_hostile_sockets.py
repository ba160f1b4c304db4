"""WebSockets by clients that mean no good: who opens a room that is not theirs, and what they can hold or use up."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from tests.fixtures.cxgenie import App
from tests.fixtures.fake_auth_endpoint import FakeAuthEndpoint, configure
from tests.fixtures.front_door import Installation, Workspace, beside
from tests.fixtures.raw_http import RawConnection
from tests.fixtures.raw_socket import BINARY, PING, RawSocket, Refused, handshake
from tests.fixtures.responding import eventually, logged
from tests.fixtures.server import RunningServer
from tests.fixtures.siege import Siege
from tests.fixtures.widget import new_uuid, unverified_token

NORMAL, PROTOCOL_ERROR, UNSUPPORTED, POLICY, TOO_BIG = 1000, 1002, 1003, 1008, 1009
LIMITS = {
    "max_sockets": "8",
    "max_body_bytes": "4096",
    "socket_ping_interval": "1s",
    "rate_limit_socket_events": "300",
    "rate_limit_messages": "20",
}
Besiege = Callable[[Workspace], Siege]


@pytest.fixture
def workspace(responding: Installation) -> Workspace:
    return responding.workspace()


@pytest.fixture
def app(workspace: Workspace) -> App:
    made = App(workspace)
    made.start_as_guest()
    return made


@pytest.fixture(scope="module")
def limited(responding: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Another process on the same database, with limits that a test reaches."""
    with beside(responding, tmp_path_factory.mktemp("limited"), **LIMITS) as server:
        yield server
        assert "unexpected" not in server.log()


@pytest.fixture
def verified(responding: Installation) -> Iterator[App]:
    workspace = responding.workspace()
    with FakeAuthEndpoint({"ada-session": {"id": "u-1"}, "bob-session": {"id": "u-2"}}) as fake:
        configure(workspace, fake)
        made = App(workspace)
        made.start(customer_auth_token="ada-session")
        yield made


@pytest.fixture
def besieged(app: App, besiege: Besiege) -> Iterator[None]:
    """Around all of a test that has nothing to store: a guest who only listens leaves no row."""
    with besiege(app.workspace).laid():
        yield


def joins(url: str, customer_id: object, auth: str = "", **headers: str) -> bool:
    with RawSocket.connected(url, auth, **headers) as wire:
        wire.send("421" + json.dumps(["room.conversation.join", customer_id]))
        texts: list[str] = []
        while not texts or texts[-1][:3] not in {"431", "41"}:
            texts.append(wire.text())
        if texts[-1].startswith("431"):
            return "error" not in texts[-1]
        assert wire.texts() == ([], POLICY)
        return False


class TestARoomOpens:
    def test_to_the_session_s_own_customer_id(self, app: App, verified: App) -> None:
        url = app.workspace.installation.base_url
        assert joins(url, app.customer["id"])
        assert joins(url, verified.customer["id"])

    def test_to_no_id_that_somebody_could_know(self, verified: App, besiege: Besiege) -> None:
        workspace = verified.workspace
        url, mine = workspace.installation.base_url, verified.customer["id"]
        other = "0" if mine[-1] != "0" else "1"
        with besiege(workspace).laid(audited=["invalid_token"]):
            for known in (verified.customer["contact_id"], workspace.id, "", None, "cus_", f"cus_{'z' * 65}", mine[:-1],
                          mine[:-1] + other, mine.lower(), f"{mine} ", f"{mine}\0", "x" * 4000, new_uuid(),
                          verified.token):  # fmt: skip
                assert not joins(url, known), known
            for no_text in (7, True, [mine], {"customer_id": mine}):
                assert not joins(url, no_text), no_text

    def test_to_the_bearer_of_a_token_and_then_for_them_alone(self, app: App, verified: App, besiege: Besiege) -> None:
        url, auth = app.workspace.installation.base_url, json.dumps({"token": verified.token})
        assert joins(url, verified.customer["id"], auth)
        assert joins(url, verified.customer["contact_id"], auth)
        assert joins(url, None, auth)
        assert joins(url, verified.customer["contact_id"], Authorization=f"Bearer {verified.token}")
        with besiege(app.workspace).laid():
            assert not joins(url, app.customer["id"], auth)
            assert not joins(url, app.customer["contact_id"], auth)

    def test_not_to_a_dead_token(self, verified: App, besiege: Besiege) -> None:
        url = verified.workspace.installation.base_url
        with besiege(verified.workspace).laid(audited=["invalid_token"]):
            for dead in (verified.token[:-4] + "AAAA", verified.customer["id"], "", "x" * 5000):
                with RawSocket(url) as wire:
                    wire.text()
                    wire.send("40" + json.dumps({"token": dead}))
                    texts, code = wire.texts()
                    assert (json.loads(texts[0][2:])["data"]["code"], texts[0][:2]) == ("invalid_token", "44")
                    assert (texts[1:], code) == (["41"], POLICY)

    def test_not_to_a_session_whose_token_was_ended(self, verified: App, besiege: Besiege) -> None:
        installation, customer_id = verified.workspace.installation, verified.customer["id"]
        assert joins(installation.base_url, customer_id)
        installation.cli("contact", "sign-out", verified.customer["contact_id"], "-w", verified.workspace.id)
        eventually(lambda: not joins(installation.base_url, customer_id), within=5)

        def comes_back() -> bool:  # a token of the very second of the sign-out is ended with the others
            verified.start(customer_auth_token="ada-session")
            return joins(installation.base_url, verified.customer["id"])

        eventually(comes_back)
        with besiege(verified.workspace).laid(audited=["invalid_token"]):
            assert not joins(installation.base_url, customer_id)

    def test_not_to_a_session_whose_time_is_over(self, verified: App, besiege: Besiege) -> None:
        installation = verified.workspace.installation
        installation.rows("UPDATE socket_rooms SET expires_at = 1 WHERE workspace_id = $1", verified.workspace.id)
        with besiege(verified.workspace).laid(audited=["invalid_token"]):
            assert not joins(installation.base_url, verified.customer["id"])

    def test_not_to_a_page_of_another_site(self, app: App, besiege: Besiege) -> None:
        workspace = app.workspace
        url = workspace.installation.base_url
        assert joins(url, app.customer["id"], Origin="https://anything.example")
        workspace.installation.cli("widget", "set", "-w", workspace.id, "--allowed-origin", "https://shop.example")
        eventually(lambda: not joins(url, app.customer["id"], Origin="https://evil.example"), within=5)
        with besiege(workspace).laid(audited=["origin_not_allowed"]):
            assert not joins(url, app.customer["id"], Origin="null")
        assert joins(url, app.customer["id"], Origin="https://shop.example")
        assert joins(url, app.customer["id"]), "an app is no page"

    def test_once_and_never_to_another_after(self, app: App, verified: App, besiege: Besiege) -> None:
        siege, url = besiege(verified.workspace), app.workspace.installation.base_url
        with siege.laid(), RawSocket.connected(url) as wire:
            wire.emit("room.conversation.join", app.customer["id"])
            wire.emit("room.conversation.join", verified.customer["id"])
            texts, code = wire.texts()
            assert (json.loads(texts[0][2:])[1]["code"], texts[1:], code) == ("not_found", ["41"], POLICY)

    def test_and_a_refusal_is_in_the_audit_and_no_secret_in_the_log(self, verified: App) -> None:
        installation, workspace = verified.workspace.installation, verified.workspace
        assert joins(installation.base_url, verified.customer["id"])
        count = "SELECT COUNT(*) FROM audit_entries WHERE code = 'invalid_token'"
        before = installation.rows(count)
        assert not joins(installation.base_url, f"cus_{'0' * 65}")
        eventually(lambda: installation.rows(count) > before)
        logged(workspace, '"step":"customer_id"')
        log = installation.server.log()
        assert verified.customer["id"] not in log
        assert verified.token not in log
        sealed = installation.rows("SELECT room_hash, sealed_token FROM socket_rooms WHERE workspace_id = $1",
                                   workspace.id)  # fmt: skip
        assert all(verified.customer["id"] not in row and verified.token not in row for row in sealed)


class TestNobodyWrites:
    def test_as_somebody_else(self, app: App, verified: App, besiege: Besiege) -> None:
        url, siege = app.workspace.installation.base_url, besiege(verified.workspace)
        with siege.laid(audited=["invalid_token"]):
            for theirs in (verified.customer["contact_id"], "", None, new_uuid()):
                with RawSocket.connected(url) as wire:
                    wire.emit("message.bot.create", {"content": "hello", "customer_id": theirs, "sender_id": theirs})
                    texts, code = wire.texts()
                    assert (texts[-1], code) == ("41", POLICY)
        # Who has joined as themselves is not somebody else in the next event.
        with siege.laid(), RawSocket.connected(url) as wire:
            wire.emit("room.conversation.join", app.customer["id"])
            wire.emit("message.bot.create", {"content": "hello", "customer_id": verified.customer["id"]})
            assert wire.texts()[1] == POLICY
        assert verified.messages() == []

    def test_into_another_workspace_by_naming_its_bot(self, app: App, besiege: Besiege) -> None:
        siege = besiege(app.workspace.installation.workspace())
        other = siege.workspace
        with siege.laid(), RawSocket.connected(app.workspace.installation.base_url) as wire:
            said = {"content": "hello", "customer_id": app.customer["id"], "bot_id": other.id, "workspace_id": other.id}
            wire.emit("message.bot.create", said)
            assert json.loads(wire.text()[2:])[0] == "message.send_success"
        assert app.messages()[0]["workspace_id"] == app.workspace.id

    def test_more_than_over_http(self, app: App, limited: RunningServer) -> None:
        with RawSocket.connected(limited.base_url) as wire:
            for number in range(24):
                wire.emit("message.bot.create", {"content": str(number), "customer_id": app.customer["id"]})
            told = [json.loads(wire.text()[2:]) for _ in range(24)]
        codes = {data["error"]["code"] for event, data in told if event == "message.send_error"}
        assert codes == {"rate_limited"}
        assert len(app.messages()) <= 20

    def test_a_reaction_to_what_is_not_theirs(self, app: App, verified: App, besiege: Besiege) -> None:
        said, siege = verified.say("hello"), besiege(verified.workspace)
        with siege.laid(), RawSocket.connected(app.workspace.installation.base_url) as wire:
            reaction = {"message_id": said["id"], "customer_id": app.customer["id"], "value": "like"}
            wire.send("421" + json.dumps(["message.reaction.create", reaction]))
            assert json.loads(wire.text()[3:])[0]["error"]["code"] == "not_found"


@pytest.mark.usefixtures("besieged")
class TestAHandshake:
    @pytest.mark.parametrize(
        "query",
        [
            "",
            "EIO=3&transport=websocket",
            "EIO=4",
            "EIO=4&transport=polling",
            "EIO=4&EIO=4&transport=websocket",
            "EIO=4&transport=websocket&sid=abc",
        ],
    )
    def test_of_another_protocol_is_refused(self, workspace: Workspace, query: str) -> None:
        with pytest.raises(Refused) as refused:
            RawSocket(workspace.installation.base_url, query=query)
        assert refused.value.status == 400
        assert '"code":"invalid_field"' in str(refused.value)
        answer = workspace.installation.http.get(f"/socket.io/?{query}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_field")

    @pytest.mark.parametrize(
        "path", ["/", "/api/v1/bots/public/x", "/v1/me", "/socket.io/x", "/socket.iox", "/healthz"]
    )
    def test_opens_nothing_elsewhere(self, workspace: Workspace, path: str) -> None:
        with pytest.raises(Refused) as refused:
            RawSocket(workspace.installation.base_url, path=path, Connection="Upgrade, close")
        assert refused.value.status == workspace.installation.http.get(path).status_code

    @pytest.mark.parametrize(
        "headers", [{"Sec_WebSocket_Version": "12"}, {"Sec_WebSocket_Key": ""}, {"Host": ""},
                    {"Content_Length": "5"}, {"Transfer_Encoding": "chunked"}]
    )  # fmt: skip
    def test_that_is_none_is_refused(self, workspace: Workspace, headers: dict[str, str]) -> None:
        with pytest.raises(Refused) as refused:
            RawSocket(workspace.installation.base_url, deadline=20.0, **headers)
        assert refused.value.status in {400, 426}

    def test_that_does_not_end_is_cut_off(self, workspace: Workspace) -> None:
        url = workspace.installation.base_url
        began = time.monotonic()
        with RawConnection(url, deadline=15) as slow:
            slow.send(handshake("x")[:-2])
            assert slow.read_response().status == 408
        assert time.monotonic() - began < 10
        with RawConnection(url, deadline=15) as large:
            large.send(handshake("x", X_Large="y" * 40_000))
            assert large.read_response().status == 431

    def test_behind_an_unanswered_request_is_none(self, workspace: Workspace) -> None:
        # Its answer would be written between the frames.
        with RawConnection(workspace.installation.base_url) as wire:
            wire.send(b"GET /v1/me HTTP/1.1\r\nHost: x\r\n\r\n" + handshake("x"))
            assert [wire.read_response().status, wire.read_response().status] == [401, 400]

    def test_of_an_engine_alone_is_closed(self, limited: RunningServer) -> None:
        """Who does not go on to connect holds nothing for long."""
        with RawSocket(limited.base_url, deadline=25) as wire:
            wire.text()
            began = time.monotonic()
            assert wire.texts() == ([], POLICY)
            assert time.monotonic() - began < 6


@pytest.mark.usefixtures("besieged")
class TestAClient:
    @pytest.mark.parametrize(
        ("frame", "code"),
        [
            ("", PROTOCOL_ERROR), ("4", PROTOCOL_ERROR), ("9", PROTOCOL_ERROR), ("2probe", PROTOCOL_ERROR),
            ("5", PROTOCOL_ERROR), ("47", PROTOCOL_ERROR), ("42", PROTOCOL_ERROR), ("42{}", PROTOCOL_ERROR),
            ("42[]", PROTOCOL_ERROR), ("42[7]", PROTOCOL_ERROR), ('42["a"', PROTOCOL_ERROR),
            ('42/admin,["a"]', PROTOCOL_ERROR), ('451-["a",{"_placeholder":true,"num":0}]', PROTOCOL_ERROR),
            ('42["a",{"b":1,"b":2}]', PROTOCOL_ERROR), ('42["a",{"__proto__":1}]', PROTOCOL_ERROR),
            ('42["a",NaN]', PROTOCOL_ERROR), ('42["a",' + "[" * 2000 + "]" * 2000 + "]", PROTOCOL_ERROR),
            ("40", PROTOCOL_ERROR), ("42" + "9" * 400 + '["a"]', PROTOCOL_ERROR), ("41", NORMAL),
        ],
    )  # fmt: skip
    def test_that_breaks_the_protocol_is_closed(self, workspace: Workspace, frame: str, code: int) -> None:
        with RawSocket.connected(workspace.installation.base_url) as wire:
            wire.send(frame)
            assert wire.texts() == ([], code)

    def test_may_ask_for_what_is_not_known(self, app: App) -> None:
        with RawSocket.connected(app.workspace.installation.base_url) as wire:
            wire.emit("constructor", {"customer_id": app.customer["id"]})
            wire.send('427["room.conversation.list",{}]')
            assert wire.text() == "437[null]"
            wire.send("6")
            wire.send("43[]")
            wire.send('428["nothing"]')
            assert wire.text() == "438[null]"

    def test_gets_no_other_namespace(self, workspace: Workspace) -> None:
        with RawSocket(workspace.installation.base_url) as wire:
            wire.text()
            wire.send("40/admin,")
            assert wire.texts() == (['44/admin,{"message":"Invalid namespace"}', "41"], POLICY)

    def test_that_sends_too_much_at_once_is_closed(self, limited: RunningServer) -> None:
        with RawSocket.connected(limited.base_url) as wire:
            wire.send("42" + json.dumps(["a", "x" * 5000]))
            assert wire.texts()[1] == TOO_BIG
        with RawSocket.connected(limited.base_url) as wire:
            wire.frame(b'42["a","' + b"x" * 3000, final=False)
            wire.frame(b"x" * 3000, 0, final=False)
            assert wire.texts()[1] == TOO_BIG
        with RawSocket.connected(limited.base_url) as wire:
            # A petabyte is announced; what has come by then is what counts.
            wire.frame(b"x" * 8000, announced=1 << 50)
            assert wire.texts()[1] == TOO_BIG
        with RawSocket.connected(limited.base_url) as wire:
            wire.frame(b"\0\1", BINARY)
            assert wire.texts()[1] == UNSUPPORTED
        with RawSocket.connected(limited.base_url) as wire:
            wire.frame(b"\xff\xfe")
            assert wire.texts()[1] in {1007, 0}

    def test_that_sends_too_often_is_closed(self, limited: RunningServer) -> None:
        with RawSocket.connected(limited.base_url) as wire:
            began, sent = time.monotonic(), 0
            while sent < 500 and wire.send("3"):
                sent += 1
            assert wire.texts()[1] in {POLICY, 0}
            assert time.monotonic() - began < 10

    def test_that_does_not_answer_is_closed(self, limited: RunningServer) -> None:
        with RawSocket.connected(limited.base_url) as wire:
            began = time.monotonic()
            texts, code = wire.texts()
            assert (set(texts), code) == ({"2"}, POLICY)
            assert 1.5 < time.monotonic() - began < 8

    def test_that_answers_is_not(self, limited: RunningServer) -> None:
        with RawSocket.connected(limited.base_url) as wire:
            for _ in range(3):
                assert wire.text() == "2"
                wire.send("3")

    def test_that_reads_nothing_cannot_fill_the_memory(self, app: App, limited: RunningServer) -> None:
        with RawSocket.connected(limited.base_url) as wire:
            before = psutil.Process(limited.pid).memory_info().rss
            with contextlib.suppress(TimeoutError, OSError):
                for _ in range(60):
                    wire.raw((bytes([0x80 | PING, 0x80 | 125]) + b"\0\0\0\0" + b"x" * 125) * 5000)
            assert psutil.Process(limited.pid).memory_info().rss - before < 16 << 20
        eventually(lambda: joins(limited.base_url, app.customer["id"]))

    def test_opens_so_many_and_no_more(self, app: App, limited: RunningServer) -> None:
        with contextlib.ExitStack() as held:
            refused = 0
            for _ in range(12):
                try:
                    held.enter_context(RawSocket(limited.base_url))
                except Refused as error:
                    refused += error.status == 429
            assert refused >= 4
        eventually(lambda: joins(limited.base_url, app.customer["id"]))

    def test_joins_sixteen_rooms_of_one_visitor_at_the_most(self, app: App) -> None:
        url = app.workspace.installation.base_url
        with contextlib.ExitStack() as held:
            for _ in range(16):
                wire = held.enter_context(RawSocket.connected(url))
                wire.send("421" + json.dumps(["room.conversation.join", app.customer["id"]]))
                assert wire.text() == '431[{"success":true}]'
            assert not joins(url, app.customer["id"])
        eventually(lambda: joins(url, app.customer["id"]))


def test_a_token_of_another_surface_is_as_good(workspace: Workspace) -> None:
    token = unverified_token(workspace)
    assert joins(workspace.installation.base_url, None, json.dumps({"token": token}))
