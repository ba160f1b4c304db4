from __future__ import annotations

import re

import pytest

from tests.fixtures.fake_auth_endpoint import FakeAuthEndpoint, configure
from tests.fixtures.fake_provider import FakeProvider
from tests.fixtures.front_door import Installation, Workspace
from tests.fixtures.puzzel import Front
from tests.fixtures.staff import Member, refused, signed_in
from tests.fixtures.widget import unverified_token, verified
from vestibule.model.staff import Role
from vestibule.model.workspace import Scope


@pytest.fixture(scope="module", params=["sqlite"])
def engine(request: pytest.FixtureRequest) -> str:
    """What this page calls is tried on both engines where it belongs."""
    name: str = request.param
    return name


@pytest.fixture
def workspace(installation: Installation) -> Workspace:
    return installation.workspace()


def last_refusal(member: Member, code: str) -> str:
    """The address at which the audit's latest refusal with this code is told again."""
    page = member.get(f"/audit?outcome=refused&code={code}").text
    found = re.search(r'href="/dashboard(/debugger\?entry=\d+)"', page)
    assert found, f"no refusal {code}"
    return found[1]


def checks(page: str, where: str = "recorded") -> dict[str, str]:
    """What became of each check."""
    part = page.partition(f'id="{where}"')[2].partition("</ol>")[0]
    found = re.findall(r'<li class="(\w+)">.*?<strong>([^<]+)</strong>', part)
    return {name: outcome for outcome, name in found}


class TestReplay:
    def test_a_token_that_was_refused(self, front: Front, fake: FakeProvider) -> None:
        member = signed_in(front.workspace, Role.ADMIN)
        assert front.authenticate(idToken=fake.id_token(exp=1)).status_code == 401
        page = member.get(last_refusal(member, "invalid_token")).text
        found = checks(page)
        assert found["expiry (exp)"] == "fail"
        assert list(found.values()).count("fail") == 1
        assert (found["signature"], found["audience (aud)"], found["contact"]) == ("pass", "pass", "later")
        assert "get a fresh one. If it is fresh, compare the clocks." in page
        assert "which is enabled now" in page, "the provider, as it is now"
        assert "Tokens are not kept" in page

    def test_the_same_check_fails_when_it_is_run_again(self, front: Front, fake: FakeProvider) -> None:
        member = signed_in(front.workspace, Role.ADMIN)
        for token in (
            fake.id_token(aud="another"),
            fake.id_token(azp="another"),
            fake.id_token(iss="https://x.example"),
        ):
            assert front.authenticate(idToken=token).status_code in {401, 404}
            page = member.get(last_refusal(member, "invalid_token")).text
            assert 'value="id_token" selected' in page
            again = member.post("/debugger", kind="id_token", token=token).text
            told = [name for name, outcome in checks(page).items() if outcome == "fail"]
            assert told == [name for name, outcome in checks(again, "finding").items() if outcome == "fail"]

    def test_a_backend_that_was_refused(self, workspace: Workspace) -> None:
        member = signed_in(workspace, Role.ADMIN)
        _, workspace.api_key = workspace.new_key([Scope.CONTACTS_READ])
        assert workspace.authenticate(email="a@example.com").status_code == 403
        found = checks(member.get(last_refusal(member, "insufficient_scope")).text)
        assert found == {"known": "pass", "scope": "fail", "limits": "later", "body": "later", "contact": "later"}
        _, workspace.api_key = workspace.new_key()
        assert workspace.authenticate(email="nobody").status_code == 400
        page = member.get(last_refusal(member, "invalid_field")).text
        assert checks(page) == {"known": "pass", "scope": "pass", "limits": "pass", "body": "fail", "contact": "later"}
        assert 'value="api_key" selected' in page

    def test_a_user_token_that_was_refused(self, responding: Installation) -> None:
        workspace = responding.workspace()
        member = signed_in(workspace, Role.ADMIN)
        with FakeAuthEndpoint({}) as endpoint:
            configure(workspace, endpoint)
            [(customer,)] = responding.rows("SELECT customer_id FROM workspaces WHERE id = $1", workspace.id)
            body = {"customer_id": customer, "user_token": "unknown"}
            assert responding.http.post("/v1/visitors/authenticate", json=body).status_code == 401
        page = member.get(last_refusal(member, "auth_rejected")).text
        assert checks(page)["answer"] == "fail"
        assert checks(page)["call"] == "pass"
        assert 'value="user_token" selected' in page

    def test_what_went_well_and_what_is_not_there(self, workspace: Workspace) -> None:
        member = signed_in(workspace, Role.ADMIN)
        workspace.sign_in()
        numbers = [
            seq
            for (seq,) in workspace.installation.rows(
                "SELECT seq FROM audit_entries WHERE workspace_id = $1 AND kind = 'authentication'", workspace.id
            )
        ]
        member.get("/audit")
        numbers = numbers or [
            seq
            for (seq,) in workspace.installation.rows(
                "SELECT seq FROM audit_entries WHERE workspace_id = $1 AND kind = 'authentication'", workspace.id
            )
        ]
        found = checks(member.get(f"/debugger?entry={numbers[0]}").text)
        assert set(found.values()) == {"pass"}
        for seq in (99_999, *range(1, numbers[0])):
            refused(member.get(f"/debugger?entry={seq}"), 404, "not_found")
        refused(member.get("/debugger?entry=x"), 400, "invalid_field")
        stranger = signed_in(workspace.installation.workspace())
        assert stranger.get(f"/debugger?entry={numbers[0]}").status_code == 404
        viewer = signed_in(workspace, Role.VIEWER)
        refused(viewer.get(f"/debugger?entry={numbers[0]}"), 403, "role_required")
        assert "What helps" not in viewer.get("/audit").text


class TestTrial:
    def test_what_it_would_see_is_what_its_holder_sees(self, workspace: Workspace) -> None:
        device = verified(workspace, "ada@example.com")
        device.say(device.start(), "seen with proof")
        member = signed_in(workspace, Role.ADMIN)
        page = member.post("/debugger", kind="api_key", token=workspace.api_key, email="Ada@example.com").text
        assert "Accepted" in page
        assert set(checks(page, "finding").values()) == {"pass"}
        assert "seen with proof" in page.partition('id="sees"')[2]
        assert f"/dashboard/contacts/{device.contact_id}" in page
        stranger = member.post("/debugger", kind="api_key", token=workspace.api_key, email="new@example.com").text
        assert "A new contact" in stranger
        assert "seen with proof" not in stranger
        assert len(workspace.contacts()) == 1, "nothing is written"

    def test_a_provider_is_asked_no_more_than_for_visitors(self, front: Front, fake: FakeProvider) -> None:
        """Its keys are remembered once for all: who tries tokens makes no calls that a visitor's would not."""
        assert front.authenticate(idToken=fake.id_token()).status_code == 200
        member = signed_in(front.workspace, Role.ADMIN)
        asked = len(fake.requests)
        for _ in range(3):
            page = member.post("/debugger", kind="id_token", token=fake.id_token()).text
            assert set(checks(page, "finding").values()) == {"pass"}
        assert len(fake.requests) == asked

    def test_a_key_each_check(self, workspace: Workspace) -> None:
        member = signed_in(workspace, Role.ADMIN)
        other = workspace.installation.workspace()
        ended, text = workspace.new_key(lifetime_ms=1)
        workspace.installation.cli("api-key", "revoke", workspace.key_id, "-w", workspace.id)
        _, weak = workspace.new_key([Scope.CONTACTS_READ])
        _, good = workspace.new_key()
        for token, email, failed in (
            ("vst_key_guess", "a@example.com", "form"),
            (other.api_key, "a@example.com", "workspace"),
            (text, "a@example.com", "good"),
            (workspace.api_key, "a@example.com", "good"),
            (weak, "a@example.com", "scope"),
            (good, "", "body"),
            (good, "no address", "body"),
        ):
            page = member.post("/debugger", kind="api_key", token=token, email=email).text
            found = checks(page, "finding")
            assert [name for name, outcome in found.items() if outcome == "fail"] == [failed], page
            assert "What helps:" in page
            assert token not in page
        [(used,)] = workspace.installation.rows("SELECT last_used_at FROM api_keys WHERE id = $1", ended)
        assert used is None, "a trial is no use"

    def test_a_contact_token(self, workspace: Workspace) -> None:
        token, contact = workspace.sign_in("ada@example.com", name="Ada")
        member = signed_in(workspace, Role.ADMIN)
        page = member.post("/debugger", kind="contact_token", token=token).text
        assert "Accepted" in page
        assert contact in page
        assert token not in page
        altered = member.post("/debugger", kind="contact_token", token=token[:-6] + "AAAAAA").text
        assert checks(altered, "finding")["signature"] == "fail"
        assert checks(altered, "finding")["header"] == "pass"
        stranger = signed_in(workspace.installation.workspace(), Role.ADMIN)
        page = stranger.post("/debugger", kind="contact_token", token=token).text
        assert checks(page, "finding")["workspace"] == "fail"
        assert contact not in page, "nothing of another workspace's is told"
        workspace.installation.cli("contact", "sign-out", contact, "-w", workspace.id)
        ended = checks(member.post("/debugger", kind="contact_token", token=token).text, "finding")
        steps = ("expiry (exp)", "workspace", "ended", "contact")
        assert [ended[step] for step in steps] == ["pass", "pass", "fail", "later"]
        elsewhere = checks(stranger.post("/debugger", kind="contact_token", token=token).text, "finding")
        assert (elsewhere["workspace"], elsewhere["ended"]) == ("fail", "later")

    def test_a_contact_token_of_a_visitor_who_has_not_written(self, workspace: Workspace) -> None:
        member, token = signed_in(workspace, Role.ADMIN), unverified_token(workspace)
        page = member.post("/debugger", kind="contact_token", token=token)
        assert set(checks(page.text, "finding").values()) == {"pass"}
