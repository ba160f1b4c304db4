"""Somebody has a contact's telephone number, or one that looks like it, and wants to be that contact: by the customer's
backend, by an auth endpoint, by a provider's claim. A number describes; it never chooses whose chat is shown, unless
the workspace's own endpoint is set up to name people by it (vectors/phone, vectors/identity)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.fake_auth_endpoint import FakeAuthEndpoint, configure, show
from tests.fixtures.fake_provider import FakeProvider
from tests.fixtures.front_door import Workspace
from tests.fixtures.puzzel import Front
from tests.fixtures.siege import Siege

VICTIM = "+84901234567"
SPELLINGS = (
    "+84 90 123 45 67",
    "+84-90-123-45-67",
    "0084901234567",
    "tel:+84901234567",
    "\uff0b\uff18\uff14\uff19\uff10\uff11\uff12\uff13\uff14\uff15\uff16\uff17",
    "+\u0668\u0664901234567",
    "+84(0)901234567",
    "+84901234567;ext=1",
    "+84901234567 x1",
    "+84\u200b901234567",
    "\u202a+84901234567\u202c",
    "+84901234567\0",
    "+8490123456\uff17",
)
NEARLY: tuple[dict[str, Any], ...] = (
    {"phone_number": "090123456X", "country_code": "+84"},
    {"phone_number": "901234567O", "country_code": "+84"},
    {"phone_number": "0901234567", "country_code": "84 OR 1=1"},
    {"phone_number": ["0901234567"], "country_code": "+84"},
    {"phone_number": {"$ne": ""}, "country_code": "+84"},
    {"phone_number": "", "country_code": "+84"},
    {"phone_number": "0", "country_code": "+84"},
    {"phone_number": "*", "country_code": "+84"},
    {"phone_number": "+" * 30, "country_code": "+84"},
)
VECTORS = json.loads((Path(__file__).parents[1] / "vectors/phone/libphonenumber_examples.json").read_text("utf-8"))


@pytest.fixture
def owner(front: Front) -> str:
    """The contact that has the number, and a secret of their own."""
    _, contact_id = front.workspace.sign_in("owner@example.com", phone=VICTIM, name="Owner", chat_context="private")
    return contact_id


def test_by_the_backend_of_another_address(front: Front, owner: str) -> None:
    """The customer vouches for the e-mail; whatever the number looks like, the contact is the e-mail's."""
    before = front.workspace.contact(owner)
    for number, spelling in enumerate((VICTIM, *SPELLINGS)):
        answer = front.workspace.authenticate(email=f"thief-{number}@example.com", phone=spelling)
        if answer.status_code == 200:
            assert answer.json()["contact"]["id"] != owner
            assert "private" not in front.workspace.me(answer.json()["token"]).text
        else:
            assert answer.status_code == 400, answer.text
    assert front.workspace.contact(owner) == before


def test_by_a_provider_s_claim(front: Front, fake: FakeProvider, owner: str) -> None:
    before = front.workspace.contact(owner)
    for number, spelling in enumerate((VICTIM, *SPELLINGS[:5])):
        for verified in (True, False, "true"):
            token = fake.id_token(sub=f"t-{number}", phone_number=spelling, phone_number_verified=verified, email=None)
            front.exchange(idToken=token)
    assert front.workspace.contact(owner) == before
    assert owner not in [row[0] for row in linked(front.workspace)]


def linked(workspace: Workspace) -> list[tuple[Any, ...]]:
    return workspace.installation.rows(
        "SELECT contact_id FROM provider_identities WHERE workspace_id = $1", workspace.id
    )


@pytest.fixture
def endpoint(front: Front) -> Iterator[FakeAuthEndpoint]:
    """Names people by their number, as CX Genie's do."""
    with FakeAuthEndpoint() as running:
        configure(front.workspace, running, identity_method="phone_number", country_code="+84")
        yield running


def test_by_the_customer_s_endpoint_with_a_number_that_is_nearly_theirs(
    front: Front, endpoint: FakeAuthEndpoint, siege: Siege
) -> None:
    """Where the endpoint's number is the name, a look-alike must be that number by libphonenumber's rules, or none."""
    workspace = front.workspace
    endpoint.people["owner"] = {"id": "o-1", "name": "Owner", "phone_number": "0901234567", "country_code": "+84"}
    owner = show(workspace, "owner").json()["contact"]["id"]
    with siege.laid():
        for number, given in enumerate(NEARLY):
            endpoint.people[f"thief-{number}"] = {"id": f"t-{number}", **given}
            answer = show(workspace, f"thief-{number}")
            assert answer.status_code == 502, answer.text
            assert owner not in answer.text


def test_no_two_regions_examples_are_one_person() -> None:
    """Over 426 numbers of every region: equal keys only where libphonenumber says that it is one number."""
    from vestibule.identity.phone import phone_key  # noqa: PLC0415 - beneath the surface, for the number of cases

    keys: dict[str, str] = {}
    for item in VECTORS["items"]:
        if "e164" not in item:
            assert phone_key(item["input"]) is None
            continue
        key = phone_key(item["e164"])
        assert key is not None
        assert keys.setdefault(key, item["e164"]) == item["e164"]
