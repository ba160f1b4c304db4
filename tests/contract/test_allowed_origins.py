"""Once a workspace names its pages, no other page's browser gets through, on any wire; whoever is no page does."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.fixtures.fake_provider import FakeProvider
from tests.fixtures.front_door import Workspace, refused
from tests.fixtures.puzzel import Front
from tests.fixtures.responding import eventually
from tests.fixtures.widget import new_uuid
from vestibule.conversations.admission import is_allowed

SHOP = "https://shop.example"
OTHERS = [
    "https://evil.example",
    "http://shop.example",
    "https://shop.example:8443",
    "https://shop.example.evil.example",
]


def create(workspace: Workspace, *origins: str) -> httpx.Response:
    """What a page's browser gets for a new visitor."""
    token = workspace.installation.cli("workspace", "show", workspace.id)["widget_token"]
    headers = [("x-bot-token", token), *(("origin", origin) for origin in origins)]
    return workspace.installation.http.post("/backend/widget/v2/contact/create-unverified", json={}, headers=headers)


def allow(workspace: Workspace, *origins: str) -> None:
    options = [part for origin in origins for part in ("--allowed-origin", origin)] or ["--any-origin"]
    workspace.installation.cli("widget", "set", "-w", workspace.id, *options)


def in_force(workspace: Workspace, origin: str, status: int) -> None:
    eventually(lambda: create(workspace, origin).status_code == status, within=5)


def test_without_a_list_any_page_may_call(workspace: Workspace) -> None:
    assert create(workspace, "https://anything.example").status_code == 200


@pytest.mark.parametrize("origin", [*OTHERS, "null", "", "https://shop.example/"])
def test_another_page_is_refused(workspace: Workspace, origin: str) -> None:
    allow(workspace, SHOP)
    in_force(workspace, "https://evil.example", 403)
    refused(create(workspace, origin), 403, "origin_not_allowed")
    assert create(workspace, SHOP).status_code == 200
    assert create(workspace).status_code == 200, "no page"


def test_two_origins_are_none(workspace: Workspace) -> None:
    allow(workspace, SHOP)
    in_force(workspace, "https://evil.example", 403)
    refused(create(workspace, SHOP, SHOP), 403, "origin_not_allowed")


def test_the_native_api_asks_as_well_and_a_backend_is_no_page(workspace: Workspace) -> None:
    token, _ = workspace.sign_in()
    allow(workspace, SHOP)
    in_force(workspace, "https://evil.example", 403)

    def me(**headers: str) -> Any:
        return workspace.installation.http.get("/v1/me", headers={"authorization": f"Bearer {token}", **headers})

    assert me(origin="https://evil.example").json()["code"] == "origin_not_allowed"
    assert (me(origin=SHOP).status_code, me().status_code) == (200, 200)
    assert workspace.authenticate(email="ada@example.com").status_code == 200
    allow(workspace)
    in_force(workspace, "https://evil.example", 200)


def test_puzzels_wire_asks_as_well(workspace: Workspace) -> None:
    shown = workspace.installation.cli("workspace", "show", workspace.id)
    allow(workspace, SHOP)
    in_force(workspace, "https://evil.example", 403)
    form = {"client_id": "oneplatform_engage", "grant_type": "visitor", "tenant_id": shown["customer_id"]}
    challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"

    def asked(origin: str) -> tuple[int, int]:
        http, headers = workspace.installation.http, {"origin": origin}
        exchange = {"codeChallenge": challenge, "idToken": "e30.e30.c2ln"}
        exchanged = http.post(f"/api/authenticate/{shown['customer_id']}", json=exchange, headers=headers)
        return http.post("/connect/token", data=form, headers=headers).status_code, exchanged.status_code

    assert asked("https://evil.example") == (403, 403)
    assert asked(SHOP) == (200, 401)


class Beginnings:
    """Every call by which a session begins, each as a page of its wire makes it; none of them proves anything."""

    def __init__(self, workspace: Workspace) -> None:
        shown = workspace.installation.cli("workspace", "show", workspace.id)
        self._http, customer_id, token = workspace.installation.http, shown["customer_id"], shown["widget_token"]
        exchange = {"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "client_id": customer_id,
                    "subject_token": "e30.e30.c2ln",
                    "subject_token_type": "urn:ietf:params:oauth:token-type:id_token"}  # fmt: skip
        guest = {"name": "Ada", "email": "ada@example.com"}
        session = {"client_id": "oneplatform_engage", "grant_type": "visitor", "tenant_id": customer_id}
        self.calls: dict[str, dict[str, Any]] = {
            "/backend/widget/v2/contact/create-unverified": {"json": {}, "headers": {"x-bot-token": token}},
            "/v1/visitors": {"json": {"widget_token": token}},
            "/v1/visitors/authenticate": {"json": {"customer_id": customer_id, "user_token": "session"}},
            "/api/v1/bot-sessions/guest-auth/start-bot-session": {"json": {"bot_id": workspace.id, **guest}},
            "/connect/token": {"data": session},
            f"/api/authenticate/{customer_id}": {
                "json": {"codeChallenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", "idToken": "e30.e30.c2ln"}
            },
            "/v1/token": {"data": exchange},
        }
        self.exchanges = list(self.calls)[-2:]

    def codes(self, *origins: str) -> dict[str, str]:
        """What each is refused with, where it is the page that is wrong; empty where it is not."""
        found = {}
        for path, call in self.calls.items():
            headers = [*call.get("headers", {}).items(), *(("origin", origin) for origin in origins)]
            answer = self._http.post(path, **{**call, "headers": headers})
            error = answer.json().get("error")
            code = error["code"] if isinstance(error, dict) else answer.json().get("code", error)
            found[path] = str(code) if answer.status_code == 403 else ""
            assert answer.status_code < 500, (path, answer.text)
        return found


def test_both_lists_hold_wherever_a_session_begins(workspace: Workspace) -> None:
    beginnings = Beginnings(workspace)
    assert set(beginnings.codes("https://evil.example").values()) == {""}
    allow(workspace, SHOP)
    in_force(workspace, "https://evil.example", 403)
    assert set(beginnings.codes("https://evil.example").values()) == {"origin_not_allowed"}
    assert set(beginnings.codes(SHOP).values()) == set(beginnings.codes().values()) == {""}
    # The other list, by host, beside the auth endpoint: a page must be on both.
    given = ("--restrict-domains", "--domain", "other.example", "--domain", "*.shop.example")
    workspace.installation.cli("auth-endpoint", "set", "-w", workspace.id, *given)
    eventually(lambda: set(beginnings.codes(SHOP).values()) == {"domain_not_allowed"}, within=5)
    assert set(beginnings.codes("https://other.example").values()) == {"origin_not_allowed"}
    # Apps have a switch; a server that shows its visitor's proof is neither page nor app.
    codes = beginnings.codes()
    assert {path for path, code in codes.items() if code == ""} == set(beginnings.exchanges)
    allow(workspace, SHOP, "https://*.shop.example")
    eventually(lambda: set(beginnings.codes("https://a.shop.example").values()) == {""}, within=5)


def test_both_lists_hold_where_a_proof_is_shown(front: Front, fake: FakeProvider) -> None:
    """A proof gives a contact token: with a visitor session's bearer, and without."""
    front.queue()
    bearer, conversation_id, proof = front.visitor(), new_uuid(), front.proof(fake.id_token())
    assert front.route(conversation_id, bearer=bearer).status_code == 200
    whole = {"userInfoId": proof[0], "codeVerifier": proof[1]}

    def shown(*origins: str) -> list[str]:
        headers = {"origin": origins[0]} if origins else {}
        route, identify = f"/api/conversation/{conversation_id}/route/support", "/api/visitor/setIdentity/"
        answers = [
            front.call("POST", f"{route}-not-there", whole, headers=headers),
            front.call("POST", f"{route}-not-there", whole, headers=headers, bearer=bearer),
            front.call("POST", f"{identify}{new_uuid()}", whole, headers=headers, bearer=bearer),
        ]
        return [answer.json()["code"] for answer in answers]

    allow(front.workspace, SHOP)
    in_force(front.workspace, "https://evil.example", 403)
    assert shown("https://evil.example") == ["origin_not_allowed"] * 3
    given = ("--restrict-domains", "--domain", "other.example")
    front.workspace.installation.cli("auth-endpoint", "set", "-w", front.workspace.id, *given)
    eventually(lambda: shown(SHOP) == ["domain_not_allowed"] * 3, within=5)
    assert shown() == ["not_found"] * 3, "a server is no page"
    answer = front.call("POST", f"/api/conversation/{new_uuid()}/route/support", whole)
    assert answer.json()["identified"] is True, "and nothing was spent"


def test_what_is_public_is_for_the_named_pages_as_well(front: Front) -> None:
    front.queue()
    workspace = front.workspace
    paths = [f"/api/queue/info/support?customerId={front.customer_id}", f"/api/v1/bots/public/{workspace.id}"]

    def statuses(**headers: str) -> list[int]:
        return [workspace.installation.http.get(path, headers=headers).status_code for path in paths]

    assert statuses(origin="https://evil.example") == [200, 200]
    allow(workspace, SHOP)
    in_force(workspace, "https://evil.example", 403)
    assert statuses(origin="https://evil.example") == [403, 403]
    assert statuses(origin=SHOP) == statuses() == [200, 200]


def test_the_audit_tells_which_page_was_refused(workspace: Workspace) -> None:
    allow(workspace, SHOP)
    in_force(workspace, "https://evil.example", 403)
    tail = ("audit", "tail", "-w", workspace.id, "--code", "origin_not_allowed")
    [entry, *_] = eventually(lambda: workspace.installation.cli(*tail)["items"] or None)
    assert (entry["origin"], entry["method"]) == ("https://evil.example", "unverified")


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://a.shop.example", True),
        ("https://a.b.shop.example", True),
        ("https://shop.example", False),
        ("https://a.shop.example:444", False),
        ("http://a.shop.example", False),
        ("https://ashop.example", False),
        ("https://a.shop.example.evil.example", False),
        ("null", False),
    ],
)
def test_a_star_stands_for_labels(origin: str, allowed: bool) -> None:  # noqa: FBT001 - a parameter of the test
    assert is_allowed(origin, ("https://*.shop.example",)) is allowed


@pytest.mark.parametrize(
    "origin",
    ["shop.example", "https://shop.example/", "https://SHOP.example", "https://*", "*", "https://*.com", "null"],
)
def test_what_no_browser_sends_is_refused_when_it_is_set(workspace: Workspace, origin: str) -> None:
    command = ("widget", "set", "-w", workspace.id, "--allowed-origin", origin, "--json")
    workspace.installation.command(*command).refused("invalid_field", names="allowed_origins[0]")
