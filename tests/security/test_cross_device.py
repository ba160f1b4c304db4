"""An attacker on a second device says the e-mail that a visitor on the first one has said: what that one wrote, and
what its page told of it, stays on the first device (DESIGN rule 2.4)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.fixtures.cxgenie import App
from tests.fixtures.fake_bot import FakeBot
from tests.fixtures.front_door import Workspace, refused
from tests.fixtures.puzzel import Front, answer_of
from tests.fixtures.responding import answered_by_bot
from tests.fixtures.widget import OF_A_SESSION, Device, claiming, claims_of, new_uuid, unverified_token

EMAIL = "victim@example.com"
SECRET = "my card number is 4111"
PROFILE: dict[str, Any] = {
    "non_verified_name": "Victoria Victim",
    "non_verified_custom_data": {"account": "acct-zq4711"},
}


class Attack:
    """A victim with a chat, on a device whose scope nobody can guess, and an attacker who claims to be the victim."""

    def __init__(self, workspace: Workspace) -> None:
        self.victim = claiming(workspace, EMAIL, **PROFILE)
        self.session = self.victim.start()
        self.message = self.victim.say(self.session, SECRET)
        self.attacker = claiming(workspace, EMAIL)
        assert self.attacker.contact_id == self.victim.contact_id
        self.before = self.victim.poll(self.session).content

    def unharmed(self) -> None:
        assert self.victim.poll(self.session).content == self.before
        assert self.victim.listed() == [self.session]


@pytest.fixture
def attack(workspace: Workspace) -> Attack:
    return Attack(workspace)


def native(device: Device, method: str, path: str, **query: str) -> Any:
    """The native API's answer to the same token."""
    headers = {"authorization": f"Bearer {device.token}", "content-type": "application/json"}
    content = b"{}" if method == "POST" else None
    return device.workspace.installation.http.request(method, path, headers=headers, params=query, content=content)


@pytest.mark.parametrize(
    "scope",
    [
        *("a", "%", "_%", "*", "?", "null", "undefined", "[object Object]", "0", EMAIL),
        *("' OR '1'='1", "' OR scope IS NOT NULL --", "\\", "%25", "$4", "\u200b"),
    ],
    ids=ascii,
)
def test_guessing_the_scope(attack: Attack, scope: str) -> None:
    assert attack.attacker.listed(scope) == []
    refused(attack.attacker.poll(attack.session), 404)
    attack.unharmed()


def test_scopes_that_are_known(attack: Attack) -> None:
    """Ids are no secrets: none of them is a scope."""
    for scope in (attack.session, attack.message, attack.victim.contact_id, attack.victim.workspace.id):
        assert attack.attacker.listed(scope) == []
        refused(attack.attacker.poll(attack.session), 404)


def test_knowing_the_id_that_a_page_has_chosen(workspace: Workspace) -> None:
    """On Puzzel's wire a chat may have an order's number for its id: that is no scope either, in neither form."""
    front = Front(workspace)
    queue = front.queue()
    victim = claiming(workspace, EMAIL)
    assert victim.token is not None
    chat = answer_of(front.route("order-17", queue=queue, bearer=victim.token))["id"]
    assert front.say("order-17", SECRET, bearer=victim.token).status_code == 201
    attacker = claiming(workspace, EMAIL)
    assert attacker.token is not None
    for scope in ("order-17", chat):
        assert attacker.listed(scope) == []
        assert native(attacker, "GET", "/v1/conversations", scope=scope).json()["items"] == []
        Device(workspace, attacker.token, scope).start()
        refused(attacker.poll(chat), 404)
    assert front.route("order-17", queue=queue, bearer=attacker.token).status_code == 404
    assert front.messages("order-17", bearer=victim.token) == [("unverified", SECRET)]


@pytest.mark.parametrize("wire", ["cxgenie", "puzzel"])
def test_knowing_the_id_of_the_first_one_s_token(workspace: Workspace, wire: str) -> None:
    """Two wires have no scope, and the chat's is made of the token's own id. Log, audit and dashboard show that id."""
    if wire == "cxgenie":
        app = App(workspace)
        app.start(name="Victoria Victim", email=EMAIL)
        app.say(SECRET)
        token = app.token
    else:
        token, front = unverified_token(workspace, email=EMAIL), Front(workspace)
        answer_of(front.route("order-17", queue=front.queue(), bearer=token))
        assert front.say("order-17", SECRET, bearer=token).status_code == 201
    scope = f"{wire}:{claims_of(token)['jti']}"
    sql = "SELECT id, scope FROM conversations WHERE workspace_id = $1"
    [(chat, kept)] = workspace.installation.rows(sql, workspace.id)
    assert kept == scope
    attacker = claiming(workspace, EMAIL, scope=scope)
    assert attacker.contact_id == claims_of(token)["contact"]["id"]
    http, bearer = workspace.installation.http, {"authorization": f"Bearer {attacker.token}"}
    for _ in range(2):  # nothing of it brings the next attempt further
        assert attacker.listed() == []
        assert native(attacker, "GET", "/v1/conversations", scope=scope).json()["items"] == []
        refused(attacker.create_session(), 400, "scope_required")
        started = http.post("/v1/conversations", json={"scope": scope}, headers=bearer)
        assert (started.status_code, started.json()["code"]) == (400, "scope_required")
        refused(attacker.poll(chat), 404, "not_found")
        assert native(attacker, "GET", f"/v1/conversations/{chat}/messages").status_code == 404
    own = Device(workspace, token, scope)
    assert own.listed() == [chat]
    assert SECRET in [text for _, text in own.texts(chat)]


@pytest.mark.parametrize(
    "filters",
    [
        "{}",
        "",
        '{"external_id":""}',
        '{"external_id":null}',
        '{"externalId":"x"}',
        '{"contact_id":"x"}',
        '{"EXTERNAL_ID":"x"}',
    ],
)
def test_asking_without_a_scope(attack: Attack, filters: str) -> None:
    """As a page does that has pasted the token into `user.token`."""
    refused(attack.attacker.call("GET", "/sessions", params={"filters": filters}), 400, "scope_required")


@pytest.mark.parametrize("filters", ['{"external_id":[]}', '{"external_id":{"$ne":null}}', '{"external_id":true}'])
def test_asking_with_an_operator_for_a_scope(attack: Attack, filters: str) -> None:
    refused(attack.attacker.call("GET", "/sessions", params={"filters": filters}), 400, "invalid_field")


def test_asking_with_two_filters(attack: Attack) -> None:
    """One that is checked, and one that is used."""
    for first, second in (("{}", '{"external_id":"x"}'), ('{"external_id":"x"}', "{}")):
        path = f"/sessions?filters={first}&filters={second}"
        refused(attack.attacker.call("GET", path), 400, "invalid_field")
    doubled = '{"external_id":"x","external_id":null}'
    answer = attack.attacker.call("GET", "/sessions", params={"filters": doubled})
    assert answer.status_code == 400 or answer.json()["items"] == []


@pytest.mark.parametrize("operation", OF_A_SESSION)
def test_knowing_the_ids(attack: Attack, operation: str) -> None:
    """From a screenshot, a log, a shared link."""
    refused(attack.attacker.do(operation, attack.session), 404, "not_found")
    refused(attack.attacker.do(operation, attack.session, messagePublicId=attack.message, uuid=attack.message), 404)
    attack.unharmed()


def test_having_shown_many_scopes(attack: Attack) -> None:
    """A token is bound to the scopes in which it has something, and to nothing else."""
    for scope in ("a", "b", new_uuid()):
        Device(attack.attacker.workspace, attack.attacker.token, scope).start()
    refused(attack.attacker.poll(attack.session), 404)
    attack.unharmed()


def test_paging_on_from_the_victims_list(attack: Attack) -> None:
    for _ in range(51):
        attack.victim.start()
    following = attack.victim.sessions().json()["next"]
    assert following
    answer = attack.attacker.sessions(page={"cursor": following})
    assert answer.json() == {"items": [], "next": None}


def test_planting_a_chat_for_the_victim(attack: Attack) -> None:
    """A forged "support" chat must not show up on the victim's device."""
    for scope in (EMAIL, attack.victim.contact_id, attack.session, "a"):
        planted = Device(attack.attacker.workspace, attack.attacker.token, scope).start()
        refused(attack.victim.poll(planted), 404)
    attack.unharmed()


def test_reading_what_the_victims_page_said_of_them(attack: Attack) -> None:
    """Both devices are one contact to the service, and a claim made on one is nobody's to read on the other."""
    answer = native(attack.attacker, "GET", "/v1/me")
    assert "Victoria" not in answer.text
    assert "acct-zq4711" not in answer.text
    own = native(attack.victim, "GET", "/v1/me").json()
    assert own["name"] == "Victoria Victim"
    assert own["non_verified_custom_data"] == {"account": "acct-zq4711"}


def test_asking_the_responder_what_it_knows(shop_front: Workspace, bot: FakeBot) -> None:
    """Which is what the page of the one who asks has said, and not what another device's has."""
    answered_by_bot(shop_front, bot)
    attack = Attack(shop_front)
    assert "Victoria" in str(bot.asked[-1]["contact"])
    attack.attacker.say(attack.attacker.start(), "What do you know about me?")
    assert len(bot.asked) == 2
    assert "Victoria" not in str(bot.asked[-1])
    assert "acct-zq4711" not in str(bot.asked[-1])


def test_reading_what_is_too_large_for_a_token(workspace: Workspace) -> None:
    """Then it is stored at once, under the claimed address."""
    large = {f"member_{number}": "x" * 500 for number in range(20)}
    claiming(
        workspace,
        EMAIL,
        non_verified_name="Victoria Victim",
        non_verified_custom_data=large | {"account": "acct-zq4711"},
    )
    answer = native(claiming(workspace, EMAIL), "GET", "/v1/me")
    assert "Victoria" not in answer.text
    assert "acct-zq4711" not in answer.text


def test_by_way_of_the_native_api(attack: Attack) -> None:
    path = f"/v1/conversations/{attack.session}"
    for answer in (
        native(attack.attacker, "GET", path),
        native(attack.attacker, "GET", f"{path}/messages"),
        native(attack.attacker, "GET", f"{path}/events"),
        native(attack.attacker, "POST", f"{path}/resolve"),
    ):
        assert answer.status_code == 404, answer.text
        assert SECRET not in answer.text
    assert native(attack.attacker, "GET", "/v1/conversations").status_code == 400
    for scope in ("a", EMAIL, attack.victim.contact_id):
        assert native(attack.attacker, "GET", "/v1/conversations", scope=scope).json()["items"] == []
    attack.unharmed()


def test_knowing_the_scope_as_well_is_being_the_device(attack: Attack) -> None:
    """The other side of it: the page gets a new token on every load, so e-mail and scope are all there is to tell a
    device by. A page that sets a guessable `externalId` gives its visitors' chats away (docs/methods/unverified.md)."""
    known = Device(attack.attacker.workspace, attack.attacker.token, attack.victim.scope)
    assert known.listed() == [attack.session]


def test_an_anonymous_visitors_scope_is_not_enough(workspace: Workspace) -> None:
    """They have no address to claim: their contact is of their token alone."""
    victim = Device(workspace, unverified_token(workspace), "guessable")
    session = victim.start()
    for said in ({}, {"non_verified_name": "the same"}, {"email": EMAIL}):
        attacker = Device(workspace, unverified_token(workspace, **said), "guessable")
        assert attacker.listed() == []
        refused(attacker.poll(session), 404)


def test_making_a_second_token_of_the_first_ones_id(attack: Attack) -> None:
    """The device is the token's own id, which `create-unverified` takes from nobody."""
    theirs = json.dumps({"jti": "x", "sub": attack.victim.contact_id, "contact": {"id": attack.victim.contact_id}})
    token = unverified_token(attack.victim.workspace, **json.loads(theirs), contact_id=attack.victim.contact_id)
    device = Device(attack.victim.workspace, token, attack.victim.scope)
    assert device.contact_id != attack.victim.contact_id
    assert device.listed() == []
