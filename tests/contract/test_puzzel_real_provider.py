"""From a real sign-in to a chat, over every door: a browser's flow at panva's oidc-provider, its tokens, our wire."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.fake_provider import API, CLIENT, CLIENT_SECRET
from tests.fixtures.front_door import Installation
from tests.fixtures.native import Client
from tests.fixtures.puzzel import Front, new_pair, problem
from tests.fixtures.real_providers import NodeOidcProvider
from tests.fixtures.widget import new_uuid

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def node() -> Iterator[NodeOidcProvider]:
    with NodeOidcProvider("real-1") as running:
        yield running


@pytest.fixture
def front(responding: Installation, node: NodeOidcProvider, tmp_path: Path) -> Front:
    """A workspace that was set up as an operator does it."""
    made = Front(responding.workspace())
    secret_file = tmp_path / "client-secret"  # not beside the database, in whose files others look for it
    secret_file.write_text(CLIENT_SECRET)
    responding.cli(
        "provider", "add", "Real", "-w", made.workspace.id, "--issuer", node.issuer, "--client-id", CLIENT,
        "--audience", API, "--introspection-client", CLIENT, "--introspection-secret-file", str(secret_file),
        "--link-by-email",
    )  # fmt: skip
    made.queue()
    return made


def test_from_a_sign_in_to_a_chat(front: Front, node: NodeOidcProvider) -> None:
    tokens = node.sign_in("ada")
    aimed = node.sign_in("ada", resource=API)
    people = set()
    for members in (
        {"idToken": tokens["id_token"]},
        {"accessToken": tokens["access_token"]},
        {"accessToken": aimed["access_token"]},
    ):
        verifier, challenge = new_pair()
        proof = front.exchange(codeChallenge=challenge, **members), verifier
        conversation_id = new_uuid()
        routed = front.route(conversation_id, proof=proof)
        assert routed.status_code == 200, routed.text
        people.add(routed.json()["contactId"])
        token = routed.json()["contactToken"]
        assert front.say(conversation_id, "hello", bearer=token).status_code == 201
        assert conversation_id in Client(front.workspace, token).listed()
    assert len(people) == 1, "one person, whichever token"
    assert front.workspace.me(token).json()["email"] == "ada@example.com"


def test_her_backend_and_her_provider_lead_to_one_contact(front: Front, node: NodeOidcProvider) -> None:
    """`link_by_email`: the address is proven by both."""
    _, vouched = front.workspace.sign_in("bob@example.com")
    routed = front.route(new_uuid(), proof=front.proof(node.sign_in("bob")["id_token"]))
    assert routed.json()["contactId"] == vouched


def test_tokens_for_others_are_refused(front: Front, node: NodeOidcProvider) -> None:
    for_another = node.sign_in("ada", client="another-client")
    problem(front.authenticate(idToken=for_another["id_token"]), 401, "invalid_token")
    problem(front.authenticate(accessToken=for_another["access_token"]), 401, "invalid_token")
    tokens = node.sign_in("ada")
    problem(front.authenticate(accessToken=tokens["id_token"]), 401, "invalid_token")
    problem(front.authenticate(idToken=tokens["access_token"]), 401, "invalid_token")


def test_keys_turn_and_the_provider_rests(front: Front, node: NodeOidcProvider) -> None:
    assert front.exchange(idToken=node.sign_in("ada")["id_token"])
    node.restart("real-2", "real-1")
    later = node.sign_in("ada")["id_token"]
    assert front.exchange(idToken=later), "no restart of ours"
    node.stop()
    try:
        assert front.exchange(idToken=later), "its keys are known"
        problem(front.authenticate(accessToken="opaque-1"), 502, "idp_error", cause="upstream_failed")
    finally:
        node.start()
