"""CX Genie's wire below `/api/v1`, call by call as its public Flutter client makes them (contracts 2.5)."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import pytest

from tests.fixtures import sample_files as samples
from tests.fixtures.cxgenie import BASE, App
from tests.fixtures.fake_auth_endpoint import FakeAuthEndpoint, configure
from tests.fixtures.fake_bot import FakeBot
from tests.fixtures.front_door import Installation, Workspace
from tests.fixtures.native import Client
from tests.fixtures.widget import claims_of, new_uuid, reply
from vestibule.administration import conversations, responders
from vestibule.administration.responders import Change
from vestibule.conversations.messages import Draft, append_work
from vestibule.model.conversation import Sender, Trust
from vestibule.model.responder import ResponderKind
from vestibule.storage import conversations as rows

ADA = {"id": "u-1", "name": "Ada", "email": "ada@example.com", "avatar": "https://a.example/a.png"}


def refused(answer: httpx.Response, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.json().keys() == {"error"}
    error = answer.json()["error"]
    assert error.keys() == {"message", "code"}
    assert error["code"] == code
    assert error["message"]


@pytest.fixture
def workspace(responding: Installation) -> Workspace:
    return responding.workspace()


@pytest.fixture
def app(workspace: Workspace) -> App:
    return App(workspace)


@pytest.fixture
def fake() -> Iterator[FakeAuthEndpoint]:
    with FakeAuthEndpoint({"ada-session": ADA, "bob-session": {"id": "u-2"}}) as running:
        yield running


class TestTheBot:
    def test_has_what_the_client_reads(self, app: App, fake: FakeAuthEndpoint) -> None:
        configure(app.workspace, fake, required_login=True, country_code="+84")
        bot = app.bot()
        assert bot["id"] == bot["workspace_id"] == app.workspace.id
        assert bot["name"] == "test"
        assert (bot["workspace_required_login"], bot["login_required"]) == (True, True)
        assert isinstance(bot["workspace"]["logo"], str)
        assert bot["default_country_code"] == "+84"

    def test_tells_the_client_to_show_its_token_wherever_it_is_asked_about(
        self, app: App, fake: FakeAuthEndpoint
    ) -> None:
        configure(app.workspace, fake)
        assert (app.bot()["workspace_required_login"], app.bot()["login_required"]) == (True, False)

    def test_without_an_endpoint_it_does_not(self, app: App) -> None:
        assert app.bot()["workspace_required_login"] is False

    @pytest.mark.parametrize("bot_id", ["nobody", "11111111-1111-4111-8111-111111111111", "%00", "' OR 1=1"])
    def test_unknown_ones_are_not_found(self, app: App, bot_id: str) -> None:
        refused(app.call("GET", f"/bots/public/{bot_id}"), 404, "not_found")
        refused(app.try_start(bot_id=bot_id, name="a", email="a@b.example"), 404, "not_found")


class TestTheSession:
    def test_of_a_user_token_is_a_verified_contact_s(self, app: App, fake: FakeAuthEndpoint) -> None:
        configure(app.workspace, fake, fields=["user_id"])
        data = app.start(customer_auth_token="ada-session", user_id="7")
        assert data["customer"] == {
            "id": data["customer"]["id"],
            "contact_id": claims_of(data["guest_token"])["sub"],
            "name": "Ada",
            "email": "ada@example.com",
            "avatar": "https://a.example/a.png",
            "auto_reply": True,
        }
        assert data["verified"] is True
        assert 3590 <= data["expires_in"] <= 3600
        assert claims_of(data["guest_token"])["method"] == "auth_endpoint"
        assert fake.received[0].json == {"access_token": "ada-session", "user_id": "7"}
        # It is a contact token like every other.
        assert app.workspace.me(app.token).json()["id"] == data["customer"]["contact_id"]

    def test_a_name_is_always_a_text(self, app: App, fake: FakeAuthEndpoint) -> None:
        configure(app.workspace, fake)
        assert app.start(customer_auth_token="bob-session")["customer"]["name"] == ""

    def test_of_a_guest_proves_nothing(self, app: App) -> None:
        data = app.start(name="Ada", email="ada@example.com")
        assert (data["customer"]["name"], data["customer"]["email"]) == ("Ada", "ada@example.com")
        assert (data["verified"], data["expires_in"]) == (False, None)
        assert app.workspace.me(app.token).json()["verified"] is False
        assert app.workspace.contacts() == []

    @pytest.mark.parametrize("token", ["", "%USER_TOKEN%", "undefined", "null", "x" * 9000])
    def test_what_is_no_token_is_a_guest_s_call(self, app: App, fake: FakeAuthEndpoint, token: str) -> None:
        configure(app.workspace, fake)
        refused(app.try_start(customer_auth_token=token), 400, "invalid_field")
        assert app.start(customer_auth_token=token, name="A", email="a@b.example")["verified"] is False
        assert fake.received == []

    def test_a_refused_token_is_never_a_guest_s(self, app: App, fake: FakeAuthEndpoint) -> None:
        configure(app.workspace, fake, fallback="guest")
        answer = app.try_start(customer_auth_token="mallory", name="Ada", email="ada@example.com")
        refused(answer, 401, "auth_rejected")

    def test_the_client_s_way_round_a_refusal_is_closed_where_login_is_required(
        self, app: App, fake: FakeAuthEndpoint
    ) -> None:
        configure(app.workspace, fake, required_login=True, fallback="guest")
        refused(app.try_start(customer_auth_token="mallory"), 401, "auth_rejected")
        refused(app.try_start(name="Ada", email="ada@example.com"), 401, "login_required")
        refused(app.try_start(customer_auth_token="", name="Ada", email="ada@example.com"), 401, "login_required")
        fake.always(b"", 500)
        refused(app.try_start(customer_auth_token="ada-session"), 503, "auth_unavailable")
        assert app.workspace.contacts() == []

    @pytest.mark.parametrize("members", [{}, {"name": "Ada"}, {"email": "a@b.example"}, {"name": " ", "email": " "}])
    def test_a_guest_says_name_and_e_mail(self, app: App, members: dict[str, str]) -> None:
        refused(app.try_start(**members), 400, "invalid_field")

    def test_only_from_pages_that_may(self, app: App, fake: FakeAuthEndpoint) -> None:
        configure(app.workspace, fake, restrict_domains=True, domains=["a.com"])
        for members in ({"name": "A", "email": "a@b.example"}, {"customer_auth_token": "ada-session"}):
            refused(app.try_start(**members), 403, "domain_not_allowed")
            refused(app.try_start(origin="https://b.com"), 403, "domain_not_allowed")
            refused(app.try_start(origin="https://b.com", **members), 403, "domain_not_allowed")
            assert app.try_start(origin="https://a.com", **members).status_code == 200


class TestTheChat:
    def test_goes_on_over_sessions_of_a_verified_contact(self, app: App, fake: FakeAuthEndpoint) -> None:
        configure(app.workspace, fake)
        app.start(customer_auth_token="ada-session")
        assert app.messages() == []
        first = app.say("hello")
        assert (first["sender_id"], first["bot"], first["trust"]) == (app.customer["id"], None, "verified")
        second = App(app.workspace)
        second.start(customer_auth_token="ada-session")
        second.say("again")
        assert [message["content"] for message in second.messages()] == ["again", "hello"]
        assert [message["content"] for message in app.messages(order="asc")] == ["hello", "again"]
        assert [message["content"] for message in app.messages(order="asc", offset=1, limit=1)] == ["again"]

    def test_a_guest_s_is_this_token_s_alone(self, app: App) -> None:
        app.start(name="Ada", email="ada@example.com")
        app.say("a secret")
        stranger = App(app.workspace)
        stranger.start(name="Mallory", email="ada@example.com")
        assert stranger.customer["contact_id"] == app.customer["contact_id"]
        assert stranger.customer["id"] != app.customer["id"]
        assert stranger.messages() == []
        stranger.say("hello")
        assert [message["content"] for message in app.messages()] == ["a secret"]
        assert [message["content"] for message in stranger.messages()] == ["hello"]

    def test_a_guest_does_not_meet_the_person_whose_e_mail_they_type(self, app: App, fake: FakeAuthEndpoint) -> None:
        configure(app.workspace, fake, identity_method="email")
        app.start(customer_auth_token="ada-session")
        app.say("a secret")
        guest = App(app.workspace)
        guest.start(name="Ada", email="ada@example.com")
        assert guest.customer["contact_id"] != app.customer["contact_id"]
        assert guest.messages() == []
        for theirs in (app.customer["id"], app.customer["contact_id"]):
            refused(guest.call("GET", "/messages/guest-auth/customer", customer_id=theirs), 404, "not_found")

    def test_the_customer_s_id_opens_nothing_here_and_the_contact_s_may_stand_in_its_place(
        self, app: App, fake: FakeAuthEndpoint
    ) -> None:
        configure(app.workspace, fake)
        app.start(customer_auth_token="ada-session")
        said = app.say("hello")
        assert app.messages(customer_id=app.customer["contact_id"].upper()) == app.messages() == [said]
        path, customer_id = "/messages/guest-auth/customer", app.customer["id"]
        app.token = ""
        refused(app.call("GET", path, customer_id=customer_id), 401, "missing_credentials")
        app.token = customer_id
        refused(app.call("GET", path, customer_id=customer_id), 401, "invalid_token")

    def test_a_repeated_message_is_stored_once(self, app: App) -> None:
        app.start(name="A", email="a@b.example")
        app.say("first")
        local_id = new_uuid()
        for repeated in (local_id, local_id, local_id.upper()):
            assert app.say("x", local_id=repeated)["id"] == local_id
        assert [message["content"] for message in app.messages()] == ["x", "first"]

    def test_so_is_one_whose_chat_was_closed_meanwhile(self, app: App, fake: FakeAuthEndpoint) -> None:
        """As the app repeats one of which the answer was lost."""
        configure(app.workspace, fake)
        app.start(customer_auth_token="ada-session")
        local_id = new_uuid()
        said = app.say("x", local_id=local_id)
        native = Client(app.workspace, app.token)
        [chat] = native.listed()
        assert native.resolve(chat).status_code == 200
        assert app.say("x", local_id=local_id.upper()) == said
        assert native.listed() == [chat]
        app.say("y")
        assert app.say("x", local_id=local_id) == said
        shown = [message["content"] for message in app.messages(remove_system_message="true")]
        assert shown == ["y", "x"]
        assert len(native.listed()) == 2

    def test_staff_and_bot_are_told_apart(self, app: App, fake: FakeAuthEndpoint) -> None:
        with FakeBot() as bot:
            desk = app.workspace.installation.desk
            change = Change(kind=ResponderKind.WEBHOOK, url=bot.url)
            app.workspace.installation.run(responders.change(desk, app.workspace.id, change))
            configure(app.workspace, fake)
            app.start(customer_auth_token="ada-session")
            app.say("<b>hi</b>")
            bot.wait_for(1)
            native = Client(app.workspace, app.token)
            [chat] = native.listed()
            with native.stream(chat, after=0) as stream:
                stream.messages(2)
        reply(app.workspace, chat, "Good day.", name="Grace")
        staff, said, mine = app.messages(remove_system_message="true")
        assert (said["bot"]["id"], said["sender"]) == (app.workspace.id, None)
        assert (staff["bot"], staff["sender"]["name"]) == (None, "Grace")
        assert mine["sender"]["id"] == app.customer["id"]
        assert "<b>" not in mine["content"]  # the client renders HTML

    def test_files_are_uploaded_together_and_attached(self, app: App) -> None:
        app.start(name="A", email="a@b.example")
        files = [("files", ("a.gif", samples.GIF)), ("files", ("b.pdf", samples.PDF))]
        headers = {"authorization": f"Bearer {app.token}"}
        http, path = app.workspace.installation.http, f"{BASE}/files/guest-auth/multiple-upload"
        answer = http.post(path, files=files, headers=headers)
        assert answer.status_code == 200, answer.text
        urls = answer.json()["data"]["urls"]
        assert answer.json()["urls"] == urls
        assert [http.get(url).content for url in urls] == [samples.GIF, samples.PDF]
        message = app.say("", media=[{"url": url} for url in urls])
        assert [item["type"] for item in message["media"]] == ["image/gif", "application/pdf"]
        refused(app.call("POST", "/messages/guest-auth/bot", {"media": [{"url": "https://x"}]}), 400, "invalid_field")
        many = [("files", (f"{number}.gif", samples.GIF)) for number in range(11)]
        refused(http.post(path, files=many, headers=headers), 400, "invalid_field")
        mixed = [("files", ("a.gif", samples.GIF)), ("other", ("b.gif", samples.GIF))]
        refused(http.post(path, files=mixed, headers=headers), 400, "invalid_field")
        named = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.gif"\r\n\r\n' + samples.GIF
        nameless = named + b"\r\n--b\r\nContent-Type: image/gif\r\n\r\n" + samples.GIF + b"\r\n--b--\r\n"
        form = {**headers, "content-type": "multipart/form-data; boundary=b"}  # RFC 7578 section 4.2: one for each
        refused(http.post(path, content=nameless, headers=form), 400, "invalid_field")
        refused(http.post(path, files=[("files", ("a.html", samples.HTML))], headers=headers), 415,
                "unsupported_file_type")  # fmt: skip

    def test_is_rated_once_as_the_client_does(self, app: App) -> None:
        app.start(name="A", email="a@b.example")
        feedback = {"bot_id": app.workspace.id, "customer_id": app.customer["id"], "block_id": "x"}
        path = "/messages/guest-auth/flows/feedbacks"
        refused(app.call("POST", path, {**feedback, "rating": "5"}), 404, "not_found")
        app.say()
        refused(app.call("POST", path, {**feedback, "rating": "6"}), 400, "invalid_field")
        assert app.call("POST", path, {**feedback, "rating": "5"}).status_code == 200
        refused(app.call("POST", path, {**feedback, "rating": "1"}), 409, "already_exists")

    def test_the_open_one_goes_on_whatever_still_comes_into_an_older_one(self, app: App) -> None:
        """As what was called for an answer that nobody wanted any more (responder/runner.py)."""
        app.start_as_guest()
        installation, listed = app.workspace.installation, "SELECT id FROM conversations WHERE workspace_id = $1"
        app.say("one")
        [(older,)] = installation.rows(listed, app.workspace.id)
        installation.run(conversations.resolve(installation.desk, app.workspace.id, older))
        app.say("two")

        async def late() -> None:
            chat = await rows.get(installation.desk.store, app.workspace.id, older)
            assert chat is not None
            draft = Draft(Sender.SYSTEM, Trust.SYSTEM, type="action_executed")
            await installation.desk.store.transact(lambda: append_work(chat, [draft], closed_too=True))

        time.sleep(0.002)
        installation.run(late())
        app.say("three")
        assert len(installation.rows(listed, app.workspace.id)) == 2
        shown = [message["content"] for message in app.messages(remove_system_message="true")]
        assert shown == ["three", "two", "one"]

    def test_a_closed_one_is_followed_by_another(self, app: App, fake: FakeAuthEndpoint) -> None:
        configure(app.workspace, fake)
        app.start(customer_auth_token="ada-session")
        app.say("first")
        native = Client(app.workspace, app.token)
        native.resolve(native.listed()[0])
        app.say("second")
        # To the app all of it is one thread.
        shown = [message["content"] for message in app.messages(remove_system_message="true")]
        assert shown == ["second", "first"]
        assert len(native.listed()) == 2

    def test_ends_for_guests_when_login_becomes_required(self, app: App) -> None:
        app.start(name="A", email="a@b.example")
        app.say("before")
        configure(app.workspace, required_login=True)
        time.sleep(2.1)  # until the server looks at the settings anew
        refused(app.call("POST", "/messages/guest-auth/bot", {"content": "after"}), 401, "login_required")
        refused(app.call("POST", "/messages/guest-auth/flows/feedbacks", {"rating": "5"}), 401, "login_required")
        refused(app.call("POST", "/files/guest-auth/multiple-upload"), 401, "login_required")
        refused(app.try_start(name="A", email="a@b.example"), 401, "login_required")
        refused(app.call("GET", "/messages/guest-auth/customer", customer_id=app.customer["id"]), 401, "login_required")

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/messages/guest-auth/customer"),
            ("POST", "/messages/guest-auth/bot"),
            ("POST", "/messages/guest-auth/flows/feedbacks"),
            ("POST", "/files/guest-auth/multiple-upload"),
        ],
    )
    def test_needs_the_guest_token(self, app: App, method: str, path: str) -> None:
        refused(app.call(method, path, {} if method == "POST" else None), 401, "missing_credentials")
        app.token = "x.y.z"
        refused(app.call(method, path, {} if method == "POST" else None), 401, "invalid_token")


class TestTheEnvelope:
    def test_is_there_for_every_refusal(self, app: App) -> None:
        http = app.workspace.installation.http
        start = f"{BASE}/bot-sessions/guest-auth/start-bot-session"
        refused(http.get(f"{BASE}/customers/1/public"), 404, "no_such_path")
        refused(http.get(f"{BASE}/bot-sessions/start-bot-session"), 404, "no_such_path")
        refused(http.get(start), 405, "method_not_allowed")
        refused(http.post(start, content=b"a" * 70_000, headers={"content-type": "application/json"}), 413,
                "body_too_large")  # fmt: skip
        refused(http.post(start, content=b"{}", headers={"content-type": "text/plain"}), 415, "unsupported_media_type")
        refused(http.post(start, content=b"{", headers={"content-type": "application/json"}), 400, "malformed_body")
        refused(http.post(start, json={}), 400, "invalid_field")
        utf8 = {"content-type": "application/json; charset=UTF-8"}
        refused(http.post(start, content=b'{"bot_id":"x"}', headers=utf8), 404, "not_found")

    def test_pages_are_told_as_well(self, app: App) -> None:
        answer = app.workspace.installation.http.get(f"{BASE}/nothing", headers={"origin": "https://a.example"})
        assert answer.headers["access-control-allow-origin"] == "*"
