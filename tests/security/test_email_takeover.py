"""Somebody has the e-mail of a person for whom the customer's backend vouches, and wants to be that person: by an
identity provider that says nothing of it, or less than that it is proven; by one that says so where the workspace has
not asked for it; by the customer's own endpoint, which names people otherwise (DESIGN rules 2.2, 2.3)."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.fixtures.admin import refused
from tests.fixtures.fake_auth_endpoint import FakeAuthEndpoint, configure, show, signed_in
from tests.fixtures.fake_provider import FakeProvider
from tests.fixtures.front_door import Installation, Workspace
from tests.fixtures.native import CONVERSATIONS, Client
from tests.fixtures.puzzel import Front
from tests.fixtures.siege import Siege, form
from tests.fixtures.stored import everything
from tests.fixtures.widget import Device, new_uuid
from vestibule.surfaces.native.token import ACCESS_TOKEN, EXCHANGE, ID_TOKEN

EMAIL = "victim@example.com"
KINDS = ("ID token", "JWT access token", "userinfo")
# What a provider says of the address; None: nothing. True as text or as a number is no boolean (ASVS 15.3.5).
UNPROVEN = (False, None, "true", 1)


class Victim:
    """Somebody with a chat."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        token, self.contact_id = workspace.sign_in(EMAIL, name="Victim", chat_context="private words")
        self.client = Client(workspace, token)
        self.conversation_id = self.client.start()
        self.client.say(self.conversation_id, "private words")
        self._before = self._rows()

    def _rows(self) -> list[str]:
        """All that names them or their chat, in whatever table."""
        rows = everything(self.workspace.installation, self.workspace.id)
        return [row for row in rows if self.contact_id in row or self.conversation_id in row]

    def is_not(self, token: str, contact_id: str) -> None:
        """Whoever was given this is somebody else, to whom nothing of it is shown."""
        assert contact_id != self.contact_id
        assert self.workspace.contact(contact_id)["email_key"] is None, "nor will the address find them one day"
        assert "private" not in self.workspace.me(token).text
        thief, device = Client(self.workspace, token), Device(self.workspace, token)
        assert thief.listed() == device.listed() == []
        assert device.poll(self.conversation_id).status_code == 404
        for method, below, body in (
            ("GET", "", None),
            ("GET", "/messages", None),
            ("GET", "/events", None),
            ("POST", "/messages", {"id": new_uuid(), "text": "planted"}),
            ("POST", "/resolve", {}),
        ):
            refused(thief.call(method, f"{CONVERSATIONS}/{self.conversation_id}{below}", body), 404, "not_found")

    def unharmed(self) -> None:
        assert self._rows() == self._before
        assert self.client.listed() == [self.conversation_id]
        assert self.workspace.sign_in(EMAIL)[1] == self.contact_id


def exchanged(front: Front, fake: FakeProvider, kind: str, **claims: Any) -> tuple[str, str]:
    """Contact token and contact of whom the provider says this; claims that are None it does not make."""
    of_token = ID_TOKEN if kind == "ID token" else ACCESS_TOKEN
    if kind == "userinfo":
        token = fake.opaque_token(secrets.token_urlsafe(20), sub=claims["sub"])
        fake.people[token] = {name: value for name, value in claims.items() if value is not None}
    else:
        token = fake.id_token(**claims) if of_token == ID_TOKEN else fake.access_token(**claims)
    fields = {"client_id": front.customer_id, "grant_type": EXCHANGE}
    fields |= {"subject_token": token, "subject_token_type": of_token}
    answer = form("/v1/token", fields).send(front.workspace.installation.http, "")
    assert answer.status_code == 200, answer.text
    return answer.json()["access_token"], answer.json()["contact"]["id"]


def trusting(installation: Installation, fake: FakeProvider, *, linked: bool) -> tuple[Front, Victim]:
    front = Front(installation.workspace())
    front.add_provider(fake, link_by_email=linked)
    return front, Victim(front.workspace)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("said", UNPROVEN, ids=repr)
@pytest.mark.parametrize("linked", [False, True], ids=["not linked", "linked"])
def test_by_a_provider_that_has_not_proven_it(
    responding: Installation, fake: FakeProvider, *, linked: bool, said: object, kind: str
) -> None:
    front, victim = trusting(responding, fake, linked=linked)
    victim.is_not(*exchanged(front, fake, kind, sub="thief", email=EMAIL, email_verified=said))
    # Nor is who was known here before they wrote it into their profile.
    exchanged(front, fake, kind, sub="sleeper", email=None, email_verified=None)
    victim.is_not(*exchanged(front, fake, kind, sub="sleeper", email=EMAIL, email_verified=said))
    victim.unharmed()


@pytest.mark.parametrize("kind", KINDS)
def test_by_a_provider_that_has_proven_it_where_that_is_not_asked_for(
    responding: Installation, fake: FakeProvider, kind: str
) -> None:
    front, victim = trusting(responding, fake, linked=False)
    victim.is_not(*exchanged(front, fake, kind, sub="thief", email=EMAIL, email_verified=True))
    victim.unharmed()


@pytest.mark.parametrize("kind", KINDS)
def test_who_has_proven_it_where_that_is_asked_for_is_the_person(
    responding: Installation, fake: FakeProvider, kind: str
) -> None:
    """Or the above would hold where nobody is ever found."""
    front, victim = trusting(responding, fake, linked=True)
    token, contact_id = exchanged(front, fake, kind, sub="victim", email=EMAIL, email_verified=True)
    assert contact_id == victim.contact_id
    assert Client(front.workspace, token).listed() == [victim.conversation_id]


@pytest.fixture
def endpoint() -> Iterator[FakeAuthEndpoint]:
    with FakeAuthEndpoint() as running:
        yield running


def test_by_the_customer_s_endpoint_where_it_names_people_by_id(
    responding: Installation, endpoint: FakeAuthEndpoint, besiege: Callable[[Workspace], Siege]
) -> None:
    """Whether who has this id and who has that address are one person, nobody has said: it is neither."""
    siege = besiege(responding.workspace())
    workspace = siege.workspace
    configure(workspace, endpoint, identity_method="id")
    endpoint.people["sleeper"] = {"id": "s-1", "name": "Sleeper"}
    known, victim = signed_in(workspace, "sleeper"), Victim(workspace)
    for number, address in enumerate((EMAIL, EMAIL.upper(), f" {EMAIL} ")):
        endpoint.people[f"thief-{number}"] = {"id": f"t-{number}", "name": "Thief", "email": address}
    endpoint.people["sleeper"] = {"id": "s-1", "name": "Sleeper", "email": EMAIL}
    with siege.laid(audited=["identity_conflict"]):
        for user_token in endpoint.people:
            answer = show(workspace, user_token)
            refused(answer, 409, "identity_conflict")
            assert victim.contact_id not in answer.text
    victim.is_not(known["token"], known["contact"]["id"])
    victim.unharmed()


def test_where_the_endpoint_names_people_by_their_address_it_is_the_person(
    responding: Installation, endpoint: FakeAuthEndpoint
) -> None:
    workspace = responding.workspace()
    configure(workspace, endpoint, identity_method="email")
    victim = Victim(workspace)
    endpoint.people["own"] = {"id": "u-1", "email": EMAIL}
    assert signed_in(workspace, "own")["contact"]["id"] == victim.contact_id
