from __future__ import annotations

import re

import httpx
import pytest

from tests.fixtures.front_door import Installation, Workspace
from tests.fixtures.staff import PASSWORD, Member, browser, refused, signed_in
from vestibule.model.staff import Role

ANOTHER = "another long password"


@pytest.fixture
def workspace(installation: Installation) -> Workspace:
    return installation.workspace()


@pytest.fixture
def owner(workspace: Workspace) -> Member:
    return signed_in(workspace, Role.OWNER, name="Olga")


def version(member: Member) -> str:
    found = re.search(r'name="version" value="([0-9a-f]+)"', member.get("/staff").text)
    assert found
    return found[1]


def link_in(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    found = re.search(r'id="secret">[^<]*\?link=(vst_link_\w+)<', answer.text)
    assert found, answer.text
    return found[1]


def enter(origin: str, link: str) -> httpx.Client:
    """A browser that has followed a link."""
    http = browser(origin)
    form = {"link": link, "password": PASSWORD, "again": PASSWORD}
    answer = http.post("/dashboard/welcome", data=form, headers={"origin": origin})
    assert answer.status_code == 303, answer.text
    return http


def audited(workspace: Workspace, member: Member) -> list[str]:
    rows = workspace.installation.rows(
        "SELECT action, document FROM audit_entries WHERE workspace_id = $1 ORDER BY seq", workspace.id
    )
    return [action for action, document in rows if f"staff:{member.id}" in document and action != "staff.sign_in"]


class TestStaff:
    def test_owners_only(self, workspace: Workspace, owner: Member) -> None:
        for role in (Role.VIEWER, Role.RESPONDER, Role.ADMIN):
            member = signed_in(workspace, role)
            assert 'href="/dashboard/staff"' not in member.get().text
            refused(member.get("/staff"), 403, "role_required")
            refused(member.post("/staff", email="x@example.com", role="owner"), 403, "role_required")
            for do in ("role", "switch", "end", "link", "forget"):
                refused(member.post(f"/staff/{member.id}/{do}", role="owner"), 403, "role_required")
        stranger = signed_in(workspace.installation.workspace(), Role.OWNER)
        for do in ("role", "switch", "end", "link", "forget"):
            answer = stranger.post(f"/staff/{owner.id}/{do}", version=version(stranger), role="viewer")
            refused(answer, 404, "not_found")
        assert owner.email not in stranger.get("/staff").text
        for do in ("", f"/{owner.id}/switch"):
            refused(owner.post(f"/staff{do}", {"origin": "https://evil.example"}), 403, "foreign_page")

    def test_let_in_changed_and_shut_out(self, workspace: Workspace, owner: Member) -> None:
        email = f"ada.{workspace.id}@example.com"
        link = link_in(owner.post("/staff", email=email, name="Ada", role="responder"))
        assert link not in owner.get("/staff").text, "shown once"
        ada = enter(owner.origin, link)
        assert ada.get("/dashboard/inbox").status_code == 200
        [(staff_id,)] = workspace.installation.rows("SELECT id FROM staff WHERE email = $1", email)
        path = f"/staff/{staff_id}"
        before = version(owner)
        assert owner.post(f"{path}/role", version=before, role="admin").status_code == 303
        assert ada.get("/dashboard/set-up").status_code == 200
        refused(owner.post(f"{path}/role", version=before, role="owner"), 412, "stale_edit")
        refused(owner.post(f"{path}/role", role="owner"), 412, "stale_edit")
        assert owner.post(f"{path}/role", version=version(owner), role="king").status_code == 400
        assert owner.post(f"{path}/end").status_code == 303
        assert ada.get("/dashboard").headers["location"] == "/dashboard/sign-in"
        ada = enter(owner.origin, link_in(owner.post(f"{path}/link")))
        waiting = link_in(owner.post(f"{path}/link"))
        assert owner.post(f"{path}/switch", version=version(owner)).status_code == 303
        assert ada.get("/dashboard").headers["location"] == "/dashboard/sign-in", "at once"
        refused(browser(owner.origin).get(f"/dashboard/welcome?link={waiting}"), 401, "invalid_link")
        door = browser(owner.origin, address="127.0.0.9")
        form = {"email": email, "password": PASSWORD}
        shut = door.post("/dashboard/sign-in", data=form, headers={"origin": owner.origin})
        assert (shut.status_code, "E-mail or password is not right." in shut.text) == (401, True)
        assert "enable them first" in owner.post(f"{path}/link").text
        assert "disabled" in owner.shown("/staff")
        assert owner.post(f"{path}/switch", version=version(owner), enabled="on").status_code == 303
        assert door.post("/dashboard/sign-in", data=form, headers={"origin": owner.origin}).status_code == 303
        done = ["staff.add", "staff.link", "staff.role", "staff.end_sessions", "staff.link", "staff.link"]
        assert audited(workspace, owner) == [*done, "staff.disable", "staff.enable"]

    def test_an_owner_is_left(self, workspace: Workspace, owner: Member) -> None:
        for do, form in (("role", {"role": "viewer"}), ("switch", {})):
            answer = owner.post(f"/staff/{owner.id}/{do}", version=version(owner), **form)
            assert answer.status_code == 409
            assert "another owner first" in answer.text
        second = Member(workspace, Role.ADMIN)
        assert owner.post(f"/staff/{second.id}/role", version=version(owner), role="owner").status_code == 303
        assert owner.post(f"/staff/{owner.id}/role", version=version(owner), role="viewer").status_code == 303
        refused(owner.get("/staff"), 403, "role_required")

    def test_what_is_wrong_stands_beside_its_field(self, owner: Member) -> None:
        answer = owner.post("/staff", email="nobody", name="N\x07", role="viewer")
        assert (answer.status_code, 'id="f-email-problem"' in answer.text) == (400, True)
        assert 'value="nobody"' in answer.text
        answer = owner.post("/staff", email="ok@example.com", role="king")
        assert 'id="f-role-problem"' in answer.text
        taken = owner.post("/staff", email=owner.email, role="viewer")
        assert (taken.status_code, "is staff here already" in taken.text) == (409, True)


class TestAccount:
    def test_another_password_ends_the_other_sessions(self, workspace: Workspace) -> None:
        member = signed_in(workspace, Role.VIEWER)
        other = Member.__new__(Member)
        other.__dict__ |= {**member.__dict__, "http": browser(member.origin)}
        assert other.sign_in().status_code == 303
        assert "2 sessions" in member.shown("/account")
        for form, field in (
            ({"current": "wrong password", "password": ANOTHER, "again": ANOTHER}, "current"),
            ({"current": PASSWORD, "password": ANOTHER, "again": ANOTHER + "?"}, "again"),
            ({"current": PASSWORD, "password": "short", "again": "short"}, "password"),
        ):
            answer = member.post("/account/password", **form)
            assert (answer.status_code, f'id="{field}-problem"' in answer.text) == (400, True), field
            assert PASSWORD not in answer.text
        answer = member.post("/account/password", current=PASSWORD, password=ANOTHER, again=ANOTHER)
        assert answer.headers["location"] == "/dashboard/account?done=password"
        assert "1 session, this one" in member.shown("/account")
        assert other.get().status_code == 303, "signed out"
        assert other.sign_in().status_code == 401
        assert other.sign_in(ANOTHER).status_code == 303
        assert member.post("/account/end").status_code == 303
        assert (member.get().status_code, other.get().headers["location"]) == (200, "/dashboard/sign-in")

    def test_who_sits_at_an_open_browser_guesses_no_faster(self, workspace: Workspace) -> None:
        member = signed_in(workspace, Role.VIEWER)
        form = {"current": "wrong password", "password": ANOTHER, "again": ANOTHER}
        answers = [member.post("/account/password", **form).status_code for _ in range(11)]
        assert answers == [400] * 10 + [429]
        refused(member.post("/account/end", {"origin": "https://evil.example"}), 403, "foreign_page")
