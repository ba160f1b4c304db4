"""Pages of the dashboard by axe-core in Chromium, in both themes, on a desk and on a phone."""

from __future__ import annotations

import uuid
from typing import Any, Literal

import httpx
import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.test_dashboard import Staff, Visitor, workspace_server
from tests.fixtures.real_providers import node_packages
from tests.fixtures.server import WorkspaceServer

pytestmark = pytest.mark.slow

__all__ = ["workspace_server"]


def people_of(server: WorkspaceServer) -> tuple[Visitor, str]:
    """Somebody proven who writes, somebody who claims to be Bob, and a refusal."""
    visitor = Visitor(server)
    visitor.say("Where is my order?")
    with httpx.Client(
        base_url=server.base_url, headers={"origin": "https://shop.example.com"}, trust_env=False
    ) as http:
        made = http.post("/v1/visitors", json={"widget_token": server.widget_token, "name": "Bob"}).json()
        http.headers["authorization"] = f"Bearer {made['token']}"
        chat = http.post("/v1/conversations", json={"scope": str(uuid.uuid4())}).json()["id"]
        http.post(f"/v1/conversations/{chat}/messages", json={"id": str(uuid.uuid4()), "text": "It is me."})
        http.post("/widget/authenticate-user", json={}, headers={"authorization": "Bearer no"})
    return visitor, str(made["contact"]["id"])


def faults(staff: Staff) -> list[Any]:
    staff.page.evaluate((node_packages() / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8"))
    found = staff.page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [(each["id"], [node["html"][:200] for node in each["nodes"]]) for each in found["violations"]]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_is_wrong(
    chromium: Browser, workspace_server: WorkspaceServer, theme: Literal["light", "dark"]
) -> None:
    staff = Staff(chromium, workspace_server)
    page = staff.page
    page.emulate_media(color_scheme=theme, reduced_motion="reduce")
    staff.come_in()
    visitor, bob = people_of(workspace_server)
    paths = (
        "/coverage",
        "/coverage?range=30d",
        "/inbox",
        f"/inbox/{visitor.chat}",
        "/contacts",
        f"/contacts/{bob}",
        "/audit",
    )
    for width in (1280, 360):
        page.set_viewport_size({"width": width, "height": 800})
        for path in (*paths, "/audit"):
            page.goto(f"/dashboard{path}")
            assert faults(staff) == [], (path, width)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
    page.set_viewport_size({"width": 1280, "height": 800})
    page.goto("/dashboard/inbox")
    page.get_by_role("button", name="Keyboard").click()
    expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
    assert faults(staff) == []
    page.close()
    assert staff.complaints == []


def test_the_way_to_enforcement(chromium: Browser, workspace_server: WorkspaceServer) -> None:
    staff = Staff(chromium, workspace_server)
    page = staff.page
    staff.come_in()
    people_of(workspace_server)
    page.get_by_role("link", name="Coverage").click()
    expect(page.get_by_role("img", name="Method")).to_be_visible()
    table = page.get_by_role("group", name="What enforcing would refuse")
    expect(table).to_contain_text("https://shop.example.com")
    page.get_by_role("button", name="Warn").click()
    expect(page.get_by_role("status")).to_contain_text("within five seconds")
    expect(page.locator("#enforcement li[aria-current=step]")).to_contain_text("Warn")
    page.close()
    assert staff.complaints == []
