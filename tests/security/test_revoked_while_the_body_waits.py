"""A request is held open, its headers read and the last octet of its body kept back, until its admin key, session, API
key or contact token is worth nothing any more; then the octet comes (ASVS 15.4.2). It is refused as if it began only
now, and stores nothing. Who is merely slow is served."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

import pytest

from tests.fixtures import admin as admin_api
from tests.fixtures import front_door as opencx
from tests.fixtures import sample_files as samples
from tests.fixtures import staff as dashboard
from tests.fixtures.admin import ROOT, Admin
from tests.fixtures.fake_provider import FakeProvider
from tests.fixtures.front_door import GOOD, PATH, Installation, Workspace, as_httpx, beside
from tests.fixtures.native import Client
from tests.fixtures.puzzel import Front, answer_of, problem
from tests.fixtures.raw_http import RawConnection, RawResponse, exchange
from tests.fixtures.responding import eventually
from tests.fixtures.siege import FORM, code_of
from tests.fixtures.staff import signed_in
from tests.fixtures.stored import everything
from tests.fixtures.widget import PREFIX, bot_token, new_uuid
from vestibule.administration import admin_keys, api_keys, staff
from vestibule.model.staff import Role

pytestmark = pytest.mark.slow

PATIENCE = 60.0  # more than any test needs
TOLD = ("content-type", "cache-control", "www-authenticate", "location")


@dataclass(frozen=True)
class Attempt:
    """A request, what ends its credential, whether that is known by now, and the status if it never is."""

    octets: bytes
    end: Callable[[], object]
    is_over: Callable[[], bool]
    good: int


Make = Callable[[Workspace, str], Attempt]


class Held(RawConnection):
    """Sends a request but for its last octet."""

    def hold(self, octets: bytes) -> None:
        """Returns when its credential was found good: a body that is expected is asked for when somebody wants it, and
        refusals come in its place (RFC 9110 section 10.1.1)."""
        head, end, body = octets.partition(b"\r\n\r\n")
        self.send(head + end)
        status, _, _ = self._read_head()
        assert status == 100
        self.send(body[:-1])
        self._kept_back = body[-1:]

    def let_go(self) -> RawResponse:
        self.send(self._kept_back)
        return self.read_response()


@pytest.fixture(scope="module")
def patient(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that waits for a body for as long as it takes until everybody knows of a revocation."""
    with beside(installation, tmp_path_factory.mktemp("patient"), body_timeout=f"{PATIENCE:.0f}s") as server:
        yield server.base_url
    assert "unexpected error" not in server.log()
    assert "Traceback" not in server.log()


def posted(base_url: str, path: str, body: bytes, **headers: str) -> bytes:
    """The octets of a request. In a header's name `_` stands for `-`."""
    usual = {"Content_Type": "application/json", "Content_Length": str(len(body)), "Expect": "100-continue"}
    given = {"Host": urlsplit(base_url).netloc, **usual, **headers}
    lines = [f"POST {path} HTTP/1.1", *(f"{name.replace('_', '-')}: {value}" for name, value in given.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


def of_an_admin_key(workspace: Workspace, base_url: str) -> Attempt:
    """Who has stolen it makes themselves an owner, who stays."""
    installation = workspace.installation
    admin = Admin(installation, workspace.id)
    body = json.dumps({"email": f"mallory.{workspace.id}@example.com", "role": "owner"}).encode()
    return Attempt(
        posted(base_url, f"{ROOT}/workspaces/{workspace.id}/staff", body, Authorization=f"Bearer {admin.key}"),
        lambda: installation.run(admin_keys.revoke(installation.desk, workspace.id, admin.key_id)),
        lambda: admin.call("GET", "").status_code == 401,
        201,
    )


def of_a_member(workspace: Workspace, base_url: str) -> Attempt:
    """Likewise at the dashboard."""
    installation, member = workspace.installation, signed_in(workspace)
    [cookie] = member.http.cookies.jar
    form = {"email": f"mallory.{workspace.id}@example.com", "name": "Mallory", "role": "owner"}
    headers = {"Content_Type": FORM, "Cookie": f"{cookie.name}={cookie.value}", "Sec_Fetch_Site": "same-origin"}
    return Attempt(
        posted(base_url, "/dashboard/staff", urlencode(form).encode(), **headers),
        lambda: installation.run(staff.set_disabled(installation.desk, workspace.id, member.id, disabled=True)),
        lambda: member.get().status_code == 303,
        200,
    )


def of_an_api_key(workspace: Workspace, base_url: str) -> Attempt:
    """Who has stolen it wants a contact token, which is good for a day, of whomever they name."""
    installation = workspace.installation
    key_id, key = workspace.new_key()
    bearer = f"Bearer {key}"
    probe = json.dumps(GOOD).encode()
    return Attempt(
        posted(base_url, PATH, b'{"email":"victim@example.com"}', Authorization=bearer),
        lambda: installation.run(api_keys.revoke(installation.desk, workspace.id, key_id)),
        lambda: workspace.post(probe, {"authorization": bearer}, url=base_url).status_code == 401,
        200,
    )


def of_a_contact(workspace: Workspace, base_url: str, token: str, octets: bytes, good: int) -> Attempt:
    """Signed out at the server that holds their request, which knows it at once."""
    return Attempt(
        octets,
        lambda: Client(workspace, token, base_url=base_url).call("POST", "/v1/me/sign-out"),
        lambda: workspace.me(token, url=base_url).status_code == 401,
        good,
    )


def message(wire: str) -> Make:
    def make(workspace: Workspace, base_url: str) -> Attempt:
        token, _ = workspace.sign_in()
        chat = Client(workspace, token).start()
        good, path, members = {
            "native": (201, f"/v1/conversations/{chat}/messages", {"id": new_uuid(), "text": "late"}),
            "OpenCX": (201, f"{PREFIX}/chat/send", {"uuid": new_uuid(), "session_id": chat, "content": "late"}),
            "Puzzel": (201, f"/api/conversation/{chat}/message", {"text": "late"}),
            "CX Genie": (200, "/api/v1/messages/guest-auth/bot", {"content": "late"}),
        }[wire]
        headers = {"Authorization": f"Bearer {token}", "X_Bot_Token": bot_token(workspace)}
        octets = posted(base_url, path, json.dumps(members).encode(), **headers)
        return of_a_contact(workspace, base_url, token, octets, good)

    return make


def upload(wire: str) -> Make:
    def make(workspace: Workspace, base_url: str) -> Attempt:
        token, _ = workspace.sign_in()
        good, path, field = {
            "native": (201, "/v1/files", b"file"),
            "OpenCX": (200, f"{PREFIX}/upload", b"file"),
            "CX Genie": (200, "/api/v1/files/guest-auth/multiple-upload", b"files"),
        }[wire]
        disposition = b'Content-Disposition: form-data; name="%b"; filename="late.pdf"' % field
        body = b"--cut\r\n%b\r\n\r\n%b\r\n--cut--\r\n" % (disposition, samples.PDF)
        headers = {"Authorization": f"Bearer {token}", "X_Bot_Token": bot_token(workspace)}
        octets = posted(base_url, path, body, Content_Type="multipart/form-data; boundary=cut", **headers)
        return of_a_contact(workspace, base_url, token, octets, good)

    return make


MESSAGES = ("native", "OpenCX", "Puzzel", "CX Genie")
UPLOADS = ("native", "OpenCX", "CX Genie")
ALL: dict[str, Make] = {
    "an admin key": of_an_admin_key,
    "a member": of_a_member,
    "an API key": of_an_api_key,
    **{f"a message, {wire}": message(wire) for wire in MESSAGES},
    **{f"an upload, {wire}": upload(wire) for wire in UPLOADS},
}


def told(answer: RawResponse) -> tuple[object, ...]:
    return answer.status, answer.body, *(answer.header(name) for name in TOLD)


def ended_while_held(workspace: Workspace, base_url: str, attempt: Attempt) -> RawResponse:
    """The answer, which is to the letter that of a request which begins when its credential has ended."""
    with Held(base_url, deadline=PATIENCE) as connection:
        connection.hold(attempt.octets)
        attempt.end()
        eventually(attempt.is_over)
        before = everything(workspace.installation, workspace.id)
        answer = connection.let_go()
    assert everything(workspace.installation, workspace.id) == before, "something was stored"
    assert told(answer) == told(exchange(base_url, attempt.octets))
    return answer


def audited(workspace: Workspace, code: str) -> None:
    """As this workspace's: the credential was its own until then."""
    sql = "SELECT seq FROM audit_entries WHERE workspace_id = $1 AND outcome = 'refused' AND code = $2"
    eventually(lambda: workspace.installation.rows(sql, workspace.id, code))


def test_a_revoked_admin_key_lets_nobody_in(workspace: Workspace, patient: str) -> None:
    answer = ended_while_held(workspace, patient, of_an_admin_key(workspace, patient))
    admin_api.refused(as_httpx(answer), 401, "invalid_admin_key")
    audited(workspace, "invalid_admin_key")


def test_a_member_who_was_shut_out_lets_nobody_in(workspace: Workspace, patient: str) -> None:
    answer = ended_while_held(workspace, patient, of_a_member(workspace, patient))
    assert (answer.status, answer.header("location")) == (303, "/dashboard/sign-in")


def test_a_member_who_is_no_owner_any_more_lets_nobody_in(workspace: Workspace, patient: str) -> None:
    attempt, installation = of_a_member(workspace, patient), workspace.installation
    [(member_id,)] = installation.rows("SELECT id FROM staff WHERE workspace_id = $1", workspace.id)
    demoted = dataclasses.replace(
        attempt,
        end=lambda: installation.run(staff.set_role(installation.desk, workspace.id, member_id, Role.VIEWER.value)),
        is_over=lambda: True,
    )
    dashboard.refused(as_httpx(ended_while_held(workspace, patient, demoted)), 403, "role_required")
    audited(workspace, "role_required")


def test_a_revoked_api_key_vouches_for_nobody(workspace: Workspace, patient: str) -> None:
    answer = ended_while_held(workspace, patient, of_an_api_key(workspace, patient))
    opencx.refused(as_httpx(answer), 401, "invalid_api_key")
    audited(workspace, "invalid_api_key")


@pytest.mark.parametrize("wire", MESSAGES)
def test_who_signed_out_says_nothing_any_more(workspace: Workspace, patient: str, wire: str) -> None:
    answer = ended_while_held(workspace, patient, message(wire)(workspace, patient))
    assert (answer.status, code_of(as_httpx(answer))) == (401, "invalid_token")
    audited(workspace, "invalid_token")


@pytest.mark.parametrize("wire", UPLOADS)
def test_who_signed_out_uploads_nothing_any_more(workspace: Workspace, patient: str, wire: str) -> None:
    answer = ended_while_held(workspace, patient, upload(wire)(workspace, patient))
    assert (answer.status, code_of(as_httpx(answer))) == (401, "invalid_token")
    audited(workspace, "invalid_token")


def test_who_is_nobody_in_a_chat_any_more_says_nothing_in_it(front: Front, fake: FakeProvider, patient: str) -> None:
    """Their session goes on; as whom it wrote there has ended."""
    front.queue()
    bearer, chat = front.visitor(), new_uuid()
    answer_of(front.route(chat, proof=front.proof(fake.id_token()), bearer=bearer))
    path = f"/api/conversation/{chat}/message"
    held = Attempt(
        posted(patient, path, b'{"text":"late"}', Authorization=f"Bearer {bearer}"),
        lambda: answer_of(front.clear_identity(chat, bearer=bearer)),
        lambda: True,
        201,
    )
    problem(as_httpx(ended_while_held(front.workspace, patient, held)), 404, "not_found")


@pytest.mark.parametrize("make", ALL.values(), ids=ALL.keys())
def test_who_is_only_slow_is_served(workspace: Workspace, patient: str, make: Make) -> None:
    attempt = make(workspace, patient)
    with Held(patient, deadline=PATIENCE) as connection:
        connection.hold(attempt.octets)
        assert connection.let_go().status == attempt.good


def test_who_is_slow_counts_once(workspace: Workspace, patient: str) -> None:
    _, key = workspace.new_key(standard=10)
    octets = posted(patient, PATH, json.dumps(GOOD).encode(), Authorization=f"Bearer {key}")
    left = []
    for _ in range(3):
        with Held(patient, deadline=PATIENCE) as connection:
            connection.hold(octets)
            left.append(connection.let_go().header("ratelimit-remaining"))
    assert left == ["9", "8", "7"]
