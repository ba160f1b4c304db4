"""`POST /v1/conversations/{id}/identity`: a visitor becomes a proven person in the middle of a chat (DESIGN rule 2.5),
and nobody else does."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.fixtures import sample_files as samples
from tests.fixtures.admin import Admin
from tests.fixtures.fake_auth_endpoint import configure
from tests.fixtures.front_door import Installation, Workspace
from tests.fixtures.native import CONVERSATIONS, Client
from tests.fixtures.responding import eventually
from tests.fixtures.uploads import stored
from tests.fixtures.widget import claiming, claims_of, new_uuid, unverified_token
from vestibule.administration import contacts, retention

ADA, BOB = "ada@example.com", "bob@example.com"


class Chat:
    """A guest's chat, on a device whose scope nobody can guess."""

    def __init__(self, workspace: Workspace, email: str = ADA) -> None:
        self.workspace = workspace
        self.guest = Client(workspace, unverified_token(workspace, email=email))
        self.scope = new_uuid()
        self.id = self.guest.start(self.scope)
        self.guest.say(self.id, "as a guest")

    def row(self) -> tuple[str, bool]:
        columns = "SELECT contact_id, verified FROM conversations WHERE workspace_id = $1 AND id = $2"
        [(contact, verified)] = self.workspace.installation.rows(columns, self.workspace.id, self.id)
        return contact, bool(verified)


@pytest.fixture
def chat(workspace: Workspace) -> Chat:
    return Chat(workspace)


def known(workspace: Workspace, email: str = ADA) -> Client:
    return Client(workspace, workspace.sign_in(email)[0])


def identify(bearer: Client, conversation_id: str, contact_token: str | None) -> httpx.Response:
    return bearer.call("POST", f"{CONVERSATIONS}/{conversation_id}/identity", {"contact_token": contact_token})


def refused(answer: httpx.Response, status: int, code: str) -> None:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.headers["access-control-allow-origin"] == "*"


def said(person: Client, conversation_id: str) -> list[tuple[str, str | None]]:
    return [(message["trust"], message["text"]) for message in person.messages(conversation_id)]


class TestThePerson:
    def test_goes_on_in_the_same_conversation_on_every_device(self, chat: Chat, workspace: Workspace) -> None:
        token, contact = workspace.sign_in(ADA)
        answer = identify(chat.guest, chat.id, token)
        assert answer.status_code == 200, answer.text
        assert (answer.json()["id"], answer.json()["verified"]) == (chat.id, True)
        assert answer.headers["cache-control"] == "no-store"
        assert chat.row() == (contact, True)
        here, phone = Client(workspace, token), known(workspace)
        here.say(chat.id, "as Ada")
        assert phone.listed() == [chat.id]
        assert said(phone, chat.id) == [("unverified", "as a guest"), ("verified", "as Ada")]

    def test_is_who_opens_it_and_the_guest_s_token_is_not(self, chat: Chat, workspace: Workspace) -> None:
        ada = known(workspace)
        with chat.guest.stream(chat.id) as followed:
            assert followed.next("conversation").data["verified"] is False
            assert identify(chat.guest, chat.id, ada.token).status_code == 200
            assert all(event.data.get("verified") is not True for event in followed.rest())
        for answer in (
            chat.guest.read(chat.id),
            chat.guest.call("GET", f"{CONVERSATIONS}/{chat.id}/messages"),
            chat.guest.send(chat.id),
            chat.guest.resolve(chat.id),
            # Also on the wire where a visitor may act as who they have proven to be: this was the other token's proof.
            chat.guest.call("GET", f"/api/conversation/{chat.id}/messages"),
            chat.guest.call("POST", f"/api/conversation/{chat.id}/message", {"text": "hello"}),
        ):
            refused(answer, 404, "not_found")
        assert chat.guest.listed(scope=chat.scope) == []

    def test_may_ask_again_when_the_answer_was_lost(self, chat: Chat, workspace: Workspace) -> None:
        ada = known(workspace)
        first, second = (identify(chat.guest, chat.id, ada.token) for _ in range(2))
        assert (first.status_code, second.status_code) == (200, 200)
        assert first.json() == second.json()
        assert identify(ada, chat.id, known(workspace).token).status_code == 200, "and as themselves"

    def test_is_the_one_that_was_merged(self, chat: Chat, workspace: Workspace) -> None:
        token, ada = workspace.sign_in(ADA)
        _, bob = workspace.sign_in(BOB)
        desk = workspace.installation.desk
        workspace.installation.run(contacts.merge(desk, workspace.id, ada, bob))
        assert identify(chat.guest, chat.id, token).status_code == 200
        assert chat.row() == (bob, True)

    def test_may_be_a_visitor_of_before_where_login_is_required_now(self, chat: Chat, workspace: Workspace) -> None:
        ada = known(workspace)
        configure(workspace, required_login=True)
        eventually(lambda: chat.guest.send(chat.id).status_code == 401)
        assert identify(chat.guest, chat.id, ada.token).status_code == 200
        assert said(ada, chat.id)[0] == ("unverified", "as a guest")


class TestWhatWasAttachedBefore:
    """A guest's upload, in a chat that is Ada's by now."""

    @pytest.fixture
    def link(self, chat: Chat, workspace: Workspace) -> str:
        made = chat.guest.upload(samples.PDF, "passport.pdf")
        assert made.status_code == 201, made.text
        chat.guest.say(chat.id, "my passport", attachments=[{"url": made.json()["url"]}])
        assert identify(chat.guest, chat.id, known(workspace).token).status_code == 200
        return str(made.json()["url"])

    def test_is_erased_with_the_person(self, chat: Chat, link: str, workspace: Workspace, admin: Admin) -> None:
        assert workspace.installation.http.get(link).status_code == 200
        owners = workspace.installation.rows("SELECT contact_id FROM files WHERE workspace_id = $1", workspace.id)
        assert owners == [(chat.row()[0],)], "or it is not in what is exported of them"
        admin.do("DELETE", f"contacts/{chat.row()[0]}")
        assert workspace.installation.http.get(link).status_code == 404
        assert stored(workspace) == ([], [])

    def test_is_not_purged_with_the_guest(self, link: str, workspace: Workspace) -> None:
        installation = workspace.installation
        sql = "UPDATE contacts SET expires_at = 1 WHERE workspace_id = $1 AND verified = FALSE"
        installation.rows(sql, workspace.id)
        assert installation.run(retention.purge(installation.desk)).contacts == 1
        assert installation.http.get(link).content == samples.PDF
        assert len(stored(workspace)[1]) == 1

    def test_is_not_purged_with_another_chat_of_the_guest(self, chat: Chat, workspace: Workspace) -> None:
        installation, other = workspace.installation, chat.guest.start(new_uuid())
        link = chat.guest.upload(samples.PDF, "passport.pdf").json()["url"]
        for each in (chat.id, other):
            chat.guest.say(each, "my passport", attachments=[{"url": link}])
        assert identify(chat.guest, chat.id, known(workspace).token).status_code == 200
        installation.cli("workspace", "retention", workspace.id, "--closed-conversations", "30d")
        sql = "UPDATE conversations SET status = 'closed', updated_at = 1 WHERE workspace_id = $1 AND id = $2"
        installation.rows(sql, workspace.id, other)
        assert installation.run(retention.purge(installation.desk)).conversations == 1
        assert installation.http.get(link).content == samples.PDF

    def test_is_erased_with_the_person_also_where_it_hangs_in_another_s_chat(
        self, link: str, chat: Chat, workspace: Workspace, admin: Admin
    ) -> None:
        """As rows of before had it, too: it is the guest's, and Ada's chat shows it."""
        guest = claims_of(chat.guest.token or "")["sub"]
        workspace.installation.rows("UPDATE files SET contact_id = $2 WHERE workspace_id = $1", workspace.id, guest)
        admin.do("DELETE", f"contacts/{chat.row()[0]}")
        assert workspace.installation.http.get(link).status_code == 404
        assert stored(workspace) == ([], [])

    def test_stays_the_guest_s_where_it_hangs_in_no_chat_of_the_person(
        self, chat: Chat, workspace: Workspace, admin: Admin
    ) -> None:
        made = chat.guest.upload(samples.PDF, "other.pdf")
        assert identify(chat.guest, chat.id, known(workspace).token).status_code == 200
        admin.do("DELETE", f"contacts/{chat.row()[0]}")
        assert workspace.installation.http.get(made.json()["url"]).status_code == 200


class TestAnotherPerson:
    def test_is_a_conflict_on_a_verified_conversation(self, chat: Chat, workspace: Workspace) -> None:
        ada, bob = known(workspace), known(workspace, BOB)
        assert identify(chat.guest, chat.id, ada.token).status_code == 200
        before = chat.row()
        refused(identify(chat.guest, chat.id, bob.token), 409, "identity_conflict")
        refused(identify(ada, chat.id, bob.token), 409, "identity_conflict")
        assert chat.row() == before
        assert bob.listed() == []

    def test_at_the_same_moment_one_of_them_gets_it(self, chat: Chat, workspace: Workspace) -> None:
        people = [workspace.sign_in(f"person-{number}@example.com") for number in range(6)]
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda person: identify(chat.guest, chat.id, person[0]), people))
        assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409, 409]
        [winner] = [person for person, answer in zip(people, answers, strict=True) if answer.status_code == 200]
        assert chat.row() == (winner[1], True)


class TestAnAttack:
    def test_without_the_chat_s_own_token(self, chat: Chat, workspace: Workspace) -> None:
        """Knowing its id, and being somebody proven, is no right to another device's chat."""
        before = chat.row()
        mallory = known(workspace, "mallory@example.com")
        neighbour = Chat(workspace)  # claims the same e-mail, so it is the same unverified contact
        assert neighbour.row()[0] == before[0]
        device = claiming(workspace, ADA, scope=chat.scope)  # and knows the scope
        for bearer in (mallory, neighbour.guest, Client(workspace, device.token), known(workspace)):
            refused(identify(bearer, chat.id, mallory.token), 404, "not_found")
            refused(identify(bearer, chat.id, known(workspace).token), 404, "not_found")
        assert chat.row() == before
        assert mallory.listed() == []
        assert said(chat.guest, chat.id) == [("unverified", "as a guest")]

    def test_with_a_chat_of_another_workspace(self, chat: Chat, installation: Installation) -> None:
        other = installation.workspace()
        ada = known(other)
        refused(identify(ada, chat.id, ada.token), 404, "not_found")
        refused(identify(Client(other, unverified_token(other)), chat.id, ada.token), 404, "not_found")
        assert chat.row()[1] is False

    def test_with_a_token_of_somebody_that_one_does_not_have(
        self, chat: Chat, workspace: Workspace, installation: Installation
    ) -> None:
        token, contact = workspace.sign_in(ADA)
        head, body, signature = token.split(".")
        foreign = installation.workspace().sign_in(ADA)[0]
        for wrong in (
            *("", "null", contact, ADA, f"Bearer {token}", f"{head}.{body}.", f"{head}.{body}.{signature[::-1]}"),
            *(chat.guest.token, unverified_token(workspace, email=ADA), foreign, workspace.api_key, "x" * 5000),
        ):
            refused(identify(chat.guest, chat.id, wrong), 400, "invalid_grant")
        assert chat.row()[1] is False
        assert workspace.api_key not in installation.server.log()
        assert signature not in installation.server.log()

    def test_with_a_token_that_was_ended(self, chat: Chat, workspace: Workspace) -> None:
        ended, gone = known(workspace), workspace.sign_in(BOB)
        assert ended.call("POST", "/v1/me/sign-out").status_code == 204
        workspace.installation.run(contacts.erase(workspace.installation.desk, workspace.id, gone[1]))
        eventually(lambda: Client(workspace, gone[0]).page().status_code == 401)
        for token in (ended.token, gone[0]):
            refused(identify(chat.guest, chat.id, token), 400, "invalid_grant")
        assert chat.row()[1] is False

    def test_with_a_guest_s_token_that_was_ended(self, chat: Chat, workspace: Workspace) -> None:
        assert chat.guest.call("POST", "/v1/me/sign-out").status_code == 204
        refused(identify(chat.guest, chat.id, known(workspace).token), 401, "invalid_token")
        refused(identify(Client(workspace, None), chat.id, known(workspace).token), 401, "missing_credentials")


def test_a_closed_conversation_stays_as_it_was(chat: Chat, workspace: Workspace) -> None:
    assert chat.guest.resolve(chat.id).status_code == 200
    refused(identify(chat.guest, chat.id, known(workspace).token), 409, "conversation_closed")
    assert chat.row()[1] is False


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"contact_token": 7}', b'{"contact_token": null}', b"{"])
def test_a_body_that_says_nothing(chat: Chat, body: bytes) -> None:
    answer = chat.guest.call("POST", f"{CONVERSATIONS}/{chat.id}/identity", body)
    assert answer.status_code == 400, answer.text
    assert chat.row()[1] is False


def test_what_is_decided_is_in_the_audit(chat: Chat, workspace: Workspace) -> None:
    ada, bob = known(workspace), known(workspace, BOB)
    assert identify(chat.guest, chat.id, ada.token).status_code == 200
    refused(identify(chat.guest, chat.id, "x.y.z"), 400, "invalid_grant")
    assert identify(chat.guest, chat.id, bob.token).status_code == 409
    audit = Admin(workspace.installation, workspace.id)

    def found() -> list[tuple[str, str, str | None]]:
        items = audit.get("audit?method=contact_token")["items"]
        return sorted((each["outcome"], each.get("code", ""), each.get("contact_id")) for each in items)

    people = workspace.people("email_key")
    ids = {person["email_key"]: contact_id for contact_id, person in people.items()}
    decided = eventually(lambda: len(items := found()) == 3 and items)
    assert decided[0] == ("issued", "", ids[ADA])
    assert [(outcome, code) for outcome, code, _ in decided[1:]] == [
        ("refused", "identity_conflict"),
        ("refused", "invalid_grant"),
    ]
    assert decided[1][2] == ids[BOB]
