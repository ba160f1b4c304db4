"""Who sees which conversation, over the OpenCX widget API: every viewer, scope and operation (DESIGN rule 2.4; the pure
function behind it has its own table in tests/unit/test_visibility.py)."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tests.fixtures import sample_files as samples
from tests.fixtures.front_door import Workspace, refused
from tests.fixtures.uploads import upload
from tests.fixtures.widget import Device, bot_token, new_uuid, unverified_token
from vestibule.administration import contacts

EMAIL, OTHER_EMAIL = "ada@example.com", "bob@example.com"
SCOPES = {"none": None, "same": "scope-A", "other": "scope-B"}
CONVERSATIONS = ("verified", "verified, scoped", "unverified")
VIEWERS = (
    "owner",
    "verified, other device",
    "unverified, same e-mail",
    "unverified, anonymous",
    "other contact, verified",
    "other contact, unverified",
    "other workspace, verified",
    "other workspace, unverified",
    "owner with another workspace's bot token",
)
# What comes of a list, and of everything that names the conversation by its id. What is not named here is HIDDEN, and
# for an unverified viewer without a scope REFUSED: the list is not made at all.
SHOWN, HIDDEN, REFUSED, DEAD = "shown", "hidden", "refused", "dead token"
TABLE: dict[tuple[str, str, str], tuple[str, str]] = {
    # A verified contact: on every device; a scope narrows what is listed.
    ("verified", "owner", "none"): (SHOWN, SHOWN),
    ("verified", "owner", "same"): (HIDDEN, SHOWN),
    ("verified", "owner", "other"): (HIDDEN, SHOWN),
    ("verified", "verified, other device", "none"): (SHOWN, SHOWN),
    ("verified", "verified, other device", "same"): (HIDDEN, SHOWN),
    ("verified", "verified, other device", "other"): (HIDDEN, SHOWN),
    ("verified, scoped", "owner", "none"): (SHOWN, SHOWN),
    ("verified, scoped", "owner", "same"): (SHOWN, SHOWN),
    ("verified, scoped", "owner", "other"): (HIDDEN, SHOWN),
    ("verified, scoped", "verified, other device", "none"): (SHOWN, SHOWN),
    ("verified, scoped", "verified, other device", "same"): (SHOWN, SHOWN),
    ("verified, scoped", "verified, other device", "other"): (HIDDEN, SHOWN),
    # An unverified visitor: on this device. The token has shown the scope when the conversation was made.
    ("unverified", "owner", "none"): (REFUSED, SHOWN),
    ("unverified", "owner", "same"): (SHOWN, SHOWN),
    ("unverified", "owner", "other"): (HIDDEN, SHOWN),
    # The same page on the same device after a reload: a new token, and the stored scope. Or somebody who knows both the
    # e-mail and the scope, which is why a page should not set a guessable `externalId` (docs/methods/unverified.md).
    ("unverified", "unverified, same e-mail", "same"): (SHOWN, SHOWN),
}


class Case:
    """A conversation, and somebody who looks at it."""

    def __init__(self, workspace: Workspace, conversation: str, viewer: str, scope: str) -> None:
        self.workspace = workspace
        self.elsewhere = workspace.installation.workspace()
        made_in = None if conversation == "verified" else SCOPES["same"]
        trusted = conversation.startswith("verified")
        self.owner = Device(workspace, self.token(workspace, EMAIL, verified=trusted), made_in)
        self.session = self.owner.start()
        self.greeting = new_uuid()
        self.owner.say(self.session, "secret", initial_messages=[{"uuid": self.greeting, "content": "hello"}])
        self.viewer = self.device(viewer, SCOPES[scope])
        expected = TABLE.get((conversation, viewer, scope))
        if viewer == "owner with another workspace's bot token":
            expected = (DEAD, DEAD)
        elif expected is None:
            unscoped = scope == "none" and "unverified" in viewer
            expected = (REFUSED if unscoped else HIDDEN, HIDDEN)
        self.listing, self.opening = expected

    def token(self, workspace: Workspace, email: str, *, verified: bool) -> str:
        return workspace.sign_in(email)[0] if verified else unverified_token(workspace, email=email)

    def device(self, viewer: str, scope: str | None) -> Device:
        here, elsewhere = self.workspace, self.elsewhere
        if viewer == "owner":
            return Device(here, self.owner.token, scope)
        if viewer == "unverified, anonymous":
            return Device(here, unverified_token(here), scope)
        if viewer == "owner with another workspace's bot token":
            return Device(here, self.owner.token, scope, bot=bot_token(elsewhere))
        workspace = elsewhere if viewer.startswith("other workspace") else here
        email = OTHER_EMAIL if viewer.startswith("other contact") else EMAIL
        return Device(workspace, self.token(workspace, email, verified="unverified" not in viewer), scope)

    def state(self) -> Any:
        return self.owner.poll(self.session).content

    def check_list(self) -> None:
        answer = self.viewer.sessions("" if self.viewer.scope is None else None)
        if self.listing == REFUSED:
            refused(answer, 400, "scope_required")
        elif self.listing == DEAD:
            refused(answer, 401, "invalid_token")
        else:
            assert answer.status_code == 200, answer.text
            listed = [item["id"] for item in answer.json()["items"]]
            assert listed == ([self.session] if self.listing == SHOWN else [])

    def check(self, operation: str, status: int, **members: Any) -> None:
        before = self.state()
        answer = self.viewer.do(operation, self.session, **members)
        if self.opening == SHOWN:
            assert answer.status_code == status, answer.text
            assert answer.json().get("success", True) is True if operation != "history" else answer.json()
        elif self.opening == DEAD:
            refused(answer, 401, "invalid_token")
        else:
            refused(answer, 404, "not_found")
        if self.opening != SHOWN:
            assert self.state() == before
            assert "secret" not in answer.text

    def check_form(self) -> None:
        """Where there is no form, the session's viewer is told so; others what they are told of no session."""
        sent = {"formMessageId": self.greeting, "actionId": new_uuid()}
        before = self.state()
        here, nowhere = (
            self.viewer.call("POST", "/action/execute", {**sent, "sessionId": session})
            for session in (self.session, new_uuid())
        )
        if self.opening == DEAD:
            refused(here, 401, "invalid_token")
        else:
            refused(here, 404, "not_found")
            assert (here.json() == nowhere.json()) is (self.opening != SHOWN)
        assert self.state() == before

    def check_upload(self) -> None:
        """It names no session: it is the viewer's own, and changes none."""
        before = self.state()
        answer = upload(self.viewer, samples.PDF, "invoice.pdf")
        if self.opening == DEAD:
            refused(answer, 401, "invalid_token")
        else:
            assert answer.status_code == 200, answer.text
        assert self.state() == before


@pytest.mark.parametrize(("conversation", "viewer", "scope"), [*itertools.product(CONVERSATIONS, VIEWERS, SCOPES)])
def test_the_table(workspace: Workspace, conversation: str, viewer: str, scope: str) -> None:
    case = Case(workspace, conversation, viewer, scope)
    case.check_list()
    case.check("poll", 200)
    case.check("history", 200)
    case.check("send", 201)
    case.check("vote", 200, messagePublicId=case.greeting)
    case.check("checkpoint", 200)
    case.check_form()
    case.check_upload()
    case.check("resolve", 200)
    # And once more, closed by its owner if the viewer could not.
    case.owner.resolve(case.session)
    case.check("csat", 200)
    case.check("poll", 200)
    case.check_list()


@pytest.mark.parametrize("conversation", CONVERSATIONS)
def test_a_device_that_has_listed_nothing_opens_nothing_by_id_but_its_own(
    workspace: Workspace, conversation: str
) -> None:
    """Before it has asked for its list, and after a list with another scope."""
    case = Case(workspace, conversation, "unverified, same e-mail", "none")
    case.check("poll", 200)
    assert Device(workspace, case.viewer.token, SCOPES["other"]).listed() == []
    case.check("poll", 200)
    case.check("send", 201)


def test_a_scope_shown_by_one_token_is_shown_by_no_other(workspace: Workspace) -> None:
    """A second device claims the same e-mail and knows the scope: until it has shown it, ids open nothing to it."""
    case = Case(workspace, "unverified", "unverified, same e-mail", "same")
    refused(case.viewer.poll(case.session), 404)
    assert case.viewer.listed() == [case.session]
    assert case.viewer.poll(case.session).status_code == 200


def test_lists_of_two_scopes_on_one_device_do_not_mix(workspace: Workspace) -> None:
    one = Device(workspace, unverified_token(workspace), "A")
    two = Device(workspace, one.token, "B")
    first, second = one.start(), two.start()
    assert one.listed() == [first]
    assert two.listed() == [second]
    trusted = Device(workspace, workspace.sign_in(EMAIL)[0])
    third, fourth = (Device(workspace, trusted.token, scope).start() for scope in "AB")
    assert trusted.listed("A") == [third]
    assert trusted.listed("B") == [fourth]
    assert set(trusted.listed("")) == {third, fourth}


@pytest.mark.parametrize(
    "near", ["SCOPE-A", "scope-A ", " scope-A", "scope-\uff21", "scope-A%", "scope-_", "scope-", "%"]
)
def test_scopes_are_compared_to_the_letter(workspace: Workspace, near: str) -> None:
    visitor = Device(workspace, unverified_token(workspace), "scope-A")
    visitor.start()
    assert visitor.listed(near) == []


@pytest.mark.parametrize("conversation", ["verified, scoped", "unverified"])
def test_trust_counts_also_within_one_contact(workspace: Workspace, conversation: str) -> None:
    """However it came about that a contact has conversations of both kinds: neither kind of token sees the other's."""
    case = Case(workspace, conversation, "owner", "same")
    other = Device(workspace, case.token(workspace, EMAIL, verified=conversation == "unverified"), SCOPES["same"])
    other.start()
    sql = "UPDATE conversations SET contact_id = $1 WHERE id = $2"
    workspace.installation.rows(sql, other.contact_id, case.session)
    refused(other.poll(case.session), 404, "not_found")
    assert case.session not in other.listed()
    assert case.session not in other.listed(SCOPES["same"])
    refused(other.send(case.session), 404, "not_found")


def test_merged_contacts_are_one_person(workspace: Workspace) -> None:
    """An operator's merge joins what both made through a verified method, for tokens of either."""
    old, new = (Device(workspace, workspace.sign_in(email)[0]) for email in (EMAIL, OTHER_EMAIL))
    theirs, ours = old.start(), new.start()
    installation = workspace.installation
    installation.run(contacts.merge(installation.desk, workspace.id, old.contact_id, new.contact_id))
    for device in (old, new):
        assert set(device.listed()) == {theirs, ours}
        assert device.poll(theirs).status_code == device.poll(ours).status_code == 200
    installation.run(contacts.unmerge(installation.desk, workspace.id, old.contact_id))
    assert old.listed() == [theirs]
    refused(old.poll(ours), 404)
    again = Device(workspace, workspace.sign_in(OTHER_EMAIL)[0])  # a token from before the parting is ended
    assert again.listed() == [ours]
    refused(again.poll(theirs), 404)
