"""Once a workspace names its pages, no other page's browser gets through, on any wire; whoever is no page does."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.fixtures.front_door import Workspace, refused
from tests.fixtures.responding import eventually
from vestibule.edge.origins import is_allowed

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
