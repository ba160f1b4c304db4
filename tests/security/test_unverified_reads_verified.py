"""An attacker without any proof says that they are somebody whom the customer's backend vouches for: neither that
person's chats, nor their data, nor their token come within reach, whatever is typed (DESIGN rules 2.1, 2.2, 2.4)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fixtures.front_door import Workspace, refused
from tests.fixtures.widget import (
    OF_A_SESSION,
    PREFIX,
    Device,
    bot_token,
    claiming,
    claims_of,
    new_uuid,
    unverified_token,
    verified,
)

EMAIL = "victim@example.com"
PHONE = "+4930901820"
SECRET = "my card number is 4111"
PROFILE: dict[str, Any] = {
    "name": "Victoria Victim",
    "phone": PHONE,
    "customData": {"account": "acct-zq4711"},
    "chat_context": "Owes us money.",
    "http_action_overrides": {"headers": {"Authorization": "Bearer secret"}},
}
# Later examples of the vendor's use the contact's id as `externalId`: a scope that others may know.
SCOPE = "known to everybody"
SECRETS = ("Victoria", "acct-zq4711", PHONE, "Owes", "Bearer secret", SECRET)


class Victim:
    """A verified contact with a chat in a scope that is no secret, and one without a scope."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.device = verified(workspace, EMAIL, scope=SCOPE, **PROFILE)
        self.session = self.device.start()
        self.message = self.device.say(self.session, SECRET)
        self.unscoped = Device(workspace, self.device.token).start()
        self.profile = workspace.me(str(self.device.token)).json()
        self.before = self.state()

    def state(self) -> Any:
        contact = self.workspace.contact(self.device.contact_id)
        return contact, self.device.poll(self.session).content, self.device.listed("")

    def out_of_reach_of(self, attacker: Device, *, said: Any = None) -> None:
        """Everything that a contact token opens, tried with this one. `said`: what the attacker knew already."""
        told = []
        for operation in OF_A_SESSION:
            for session in (self.session, self.unscoped):
                answer = attacker.do(operation, session, messagePublicId=self.message)
                refused(answer, 404, "not_found")
                told.append(answer)
        for scope in (SCOPE, self.device.contact_id, EMAIL, self.session):
            answer = attacker.sessions(scope)
            assert answer.status_code == 200
            assert {item["id"] for item in answer.json()["items"]}.isdisjoint({self.session, self.unscoped})
            told.append(answer)
        refused(attacker.sessions(""), 400, "scope_required")
        me = self.workspace.me(str(attacker.token))
        assert me.json()["verified"] is False
        assert me.json()["id"] != self.device.contact_id
        told.append(me)
        unknown = [secret for secret in SECRETS if secret not in str(said)]
        assert [secret for answer in told for secret in unknown if secret in answer.text] == []
        assert self.state() == self.before


@pytest.fixture
def victim(workspace: Workspace) -> Victim:
    return Victim(workspace)


@pytest.mark.parametrize(
    "email",
    [
        *(
            EMAIL,
            EMAIL.upper(),
            "Victim@Example.Com",
            f" {EMAIL}",
            f"{EMAIL} ",
            f"<{EMAIL}>",
            f"{EMAIL}\n",
            f"{EMAIL}\x00",
        ),
        *("victim@example.com.", "victim@ex\u200bample.com", "v\u0131ctim@example.com", "victim@example\uff0ecom"),
        *(
            "victim+x@example.com",
            "v.ictim@example.com",
            '"victim"@example.com',
            f"x@y.example,{EMAIL}",
            "%",
            "' OR 1=1 --",
        ),
    ],
    ids=ascii,
)
def test_by_claiming_the_address(victim: Victim, email: str) -> None:
    answer = Device(victim.workspace, None).call("POST", "/contact/create-unverified", {"email": email})
    if answer.status_code != 200:
        refused(answer, 400, "invalid_field", names="email")
        return
    attacker = Device(victim.workspace, answer.json()["token"], SCOPE)
    victim.out_of_reach_of(attacker)
    attacker.say(attacker.start())
    victim.out_of_reach_of(Device(victim.workspace, unverified_token(victim.workspace, email=email), "another"))


@pytest.mark.parametrize(
    "claimed",
    [
        {"verified": True},
        {"contact": {"verified": True}},
        {"phone": PHONE},
        {"external_id": SCOPE},
        {"name": "Victoria Victim"},
        {"custom_data": {"account": "acct-zq4711"}},
        {"customData": {"account": "acct-zq4711"}},
        {"method": "server_to_server"},
        {"non_verified_name": "Victoria Victim"},
        {"non_verified_custom_data": {"email": EMAIL, "phone": PHONE, "verified": True, "contact_id": "x"}},
    ],
    ids=str,
)
def test_by_claiming_more(victim: Victim, claimed: dict[str, Any]) -> None:
    """Trust is read from the method, never from where a client put a value."""
    token = unverified_token(victim.workspace, email=EMAIL, **claimed)
    claims = claims_of(token)
    assert claims["contact"]["verified"] is False
    assert claims["method"] == "unverified"
    attacker = Device(victim.workspace, token, SCOPE)
    attacker.say(attacker.start())
    theirs = victim.workspace.me(token).json()
    assert (theirs["phone"], theirs["custom_data"], theirs["verified"]) == (None, {}, False)
    victim.out_of_reach_of(attacker, said=claimed)


def test_by_naming_the_victim_in_a_conversation(victim: Victim) -> None:
    attacker = claiming(victim.workspace, EMAIL, scope="own")
    body = {"external_id": "own", "contact_id": victim.device.contact_id, "verified": True, "isVerified": True}
    for payload in (
        {"customData": body},
        {"customData": {"external_id": "own"}, **body},
        {"customData": {"external_id": "own"}, "contact": {"id": victim.device.contact_id, "verified": True}},
    ):
        answer = attacker.call("POST", "/create-session", payload)
        assert answer.status_code == 201
        assert answer.json()["isVerified"] is False
        sent = attacker.send(answer.json()["id"], contact_id=victim.device.contact_id, verified=True)
        assert sent.json()["session"]["isVerified"] is False
    sql = "SELECT DISTINCT contact_id FROM conversations WHERE workspace_id = $1 AND verified = FALSE"
    assert victim.workspace.installation.rows(sql, victim.workspace.id) == [(attacker.contact_id,)]
    assert victim.state() == victim.before


def test_by_headers_that_a_proxy_might_set(victim: Victim) -> None:
    attacker = claiming(victim.workspace, EMAIL)
    for headers in (
        {"x-verified": "true"},
        {"x-contact-id": victim.device.contact_id},
        {"x-opencx-external-user-id": victim.device.contact_id},
        {"x-forwarded-user": EMAIL},
        {"cookie": f"token={victim.device.token}"},
    ):
        refused(attacker.call("GET", f"/poll/{victim.session}", headers=headers), 404, "not_found")


def test_by_waiting_until_the_victim_signs_in(workspace: Workspace) -> None:
    """What was planted under the address before it was proven stays what it was, and is shown to the attacker only."""
    attacker = claiming(workspace, EMAIL, scope=SCOPE, non_verified_name="Mallory")
    planted = attacker.start()
    attacker.say(planted, "Please confirm your password here")
    victim = Victim(workspace)
    refused(victim.device.poll(planted), 404, "not_found")
    assert planted not in victim.device.listed("")
    assert planted not in victim.device.listed(SCOPE)
    assert victim.profile["name"] == "Victoria Victim"
    assert "Mallory" not in str(victim.profile)
    assert attacker.listed() == [planted]
    for operation in OF_A_SESSION:
        refused(attacker.do(operation, victim.session), 404, "not_found")


def test_by_writing_first_with_the_victims_message_id(victim: Victim) -> None:
    attacker = claiming(victim.workspace, EMAIL, scope="own")
    own = attacker.start()
    attacker.say(own, "mine", uuid=victim.message)
    assert attacker.texts(own) == [("user", "mine")]
    assert victim.state() == victim.before


def test_by_two_tokens_at_once(victim: Victim) -> None:
    attacker = claiming(victim.workspace, EMAIL)
    both = [*attacker.headers().items(), ("authorization", f"Bearer {attacker.token}x")]
    url = f"{PREFIX}/poll/{victim.session}"
    refused(victim.workspace.installation.http.get(url, headers=both), 400, "ambiguous_credentials")


def test_by_another_workspaces_word(victim: Victim) -> None:
    """The attacker owns a workspace, and their backend vouches for the address there."""
    theirs = victim.workspace.installation.workspace()
    token, _ = theirs.sign_in(EMAIL)
    refused(Device(victim.workspace, token).poll(victim.session), 401, "invalid_token")
    refused(Device(theirs, token).poll(victim.session), 404, "not_found")
    refused(Device(theirs, token, bot=bot_token(victim.workspace)).sessions(""), 401, "invalid_token")
    assert Device(theirs, token).listed("") == []


def test_the_other_way_round_nothing_is_seen_either(workspace: Workspace) -> None:
    """A vouched-for person does not get what others typed under their address: it may be anybody's."""
    stranger = claiming(workspace, EMAIL, scope=SCOPE)
    session = stranger.start()
    stranger.say(session, SECRET)
    person = verified(workspace, EMAIL, scope=SCOPE)
    for operation in OF_A_SESSION:
        refused(person.do(operation, session, uuid=new_uuid()), 404, "not_found")
    assert person.listed() == person.listed("") == []
    assert stranger.texts(session) == [("user", SECRET)]
