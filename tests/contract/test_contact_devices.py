"""What leads to a person, which tokens they hold, how one is ended for good, and whom they were merged with."""

from __future__ import annotations

import pytest

from tests.fixtures.admin import Admin, refused
from tests.fixtures.fake_provider import FakeProvider
from tests.fixtures.front_door import Workspace
from tests.fixtures.native import Client
from tests.fixtures.puzzel import Front
from tests.fixtures.responding import eventually
from tests.fixtures.widget import anonymous, claims_of, new_uuid, verified
from vestibule.administration import expiry
from vestibule.clock import DAY_MS, now_ms
from vestibule.storage import token_endings


def held(admin: Admin, contact_id: str) -> list[str]:
    return [each["token_id"] for each in admin.get(f"contacts/{contact_id}/devices")["items"]]


def end(admin: Admin, contact_id: str, token: str) -> None:
    admin.do("POST", f"contacts/{contact_id}/devices/{claims_of(token)['jti']}/end")


class TestDevices:
    def test_each_token_that_was_issued_is_one_and_is_ended_alone(self, workspace: Workspace, admin: Admin) -> None:
        headers = {"origin": "https://shop.example.com"}
        body = b'{"email":"ada@example.com"}'
        tokens = [
            workspace.post(body, {"authorization": f"Bearer {workspace.api_key}", **headers}).json()["token"]
            for _ in range(3)
        ]
        contact_id = claims_of(tokens[0])["sub"]
        shown = admin.get(f"contacts/{contact_id}/devices")["items"]
        assert [each["token_id"] for each in shown] == [claims_of(token)["jti"] for token in reversed(tokens)]
        assert shown[0]["method"] == "server_to_server"
        assert shown[0]["origin"] == "https://shop.example.com"
        assert shown[0]["ends_at"] > shown[0]["issued_at"]
        end(admin, contact_id, tokens[1])
        assert held(admin, contact_id) == [claims_of(tokens[2])["jti"], claims_of(tokens[0])["jti"]]
        eventually(lambda: workspace.me(tokens[1]).status_code == 401)
        assert [workspace.me(tokens[each]).status_code for each in (0, 2)] == [200, 200]
        admin.do("POST", f"contacts/{contact_id}/sign-out")
        assert held(admin, contact_id) == []
        eventually(lambda: workspace.me(tokens[0]).status_code == 401)

    def test_only_the_person_s_own_can_be_ended(self, workspace: Workspace, admin: Admin) -> None:
        (ada, ada_id), (bob, bob_id) = workspace.sign_in(), workspace.sign_in("bob@example.com")
        path = f"devices/{claims_of(bob)['jti']}/end"
        refused(admin.call("POST", f"contacts/{ada_id}/{path}"), 404, "not_found")
        refused(admin.call("POST", f"contacts/{ada_id}/devices/{ada_id}/end"), 404, "not_found")
        other = Admin(workspace.installation, workspace.installation.workspace().id)
        refused(other.call("POST", f"/workspaces/{workspace.id}/contacts/{bob_id}/{path}"), 404, "not_found")
        refused(other.call("POST", f"contacts/{bob_id}/{path}"), 404, "not_found")
        assert [workspace.me(token).status_code for token in (ada, bob)] == [200, 200]
        assert held(admin, bob_id) == [claims_of(bob)["jti"]]

    def test_those_of_whom_was_merged_into_a_person_are_theirs(self, workspace: Workspace, admin: Admin) -> None:
        (ada, ada_id), (bob, bob_id) = workspace.sign_in(), workspace.sign_in("bob@example.com")
        admin.do("POST", f"contacts/{bob_id}/merge", {"into": ada_id})
        assert sorted(held(admin, ada_id)) == sorted(claims_of(token)["jti"] for token in (ada, bob))
        end(admin, ada_id, bob)
        eventually(lambda: workspace.me(bob).status_code == 401)
        assert workspace.me(ada).status_code == 200

    @pytest.mark.parametrize("by", ["operator", "visitor"])
    def test_a_token_without_end_stays_ended_when_endings_are_swept(
        self, workspace: Workspace, admin: Admin, by: str
    ) -> None:
        gone, stays = anonymous(workspace), anonymous(workspace)
        for device in (gone, stays):
            device.start()
        token = gone.token or ""
        assert admin.get(f"contacts/{gone.contact_id}/devices")["items"][0]["ends_at"] is None
        if by == "operator":
            end(admin, gone.contact_id, token)
        else:
            answer = Client(workspace, token).call("POST", "/v1/me/sign-out")
            assert answer.status_code == 204, answer.text
        eventually(lambda: gone.sessions().status_code == 401)
        installation = workspace.installation
        sql = "UPDATE token_endings SET created_at = $2 WHERE workspace_id = $1"
        installation.rows(sql, workspace.id, now_ms() - 2 * expiry.LONGEST_TOKEN_MS)
        installation.run(token_endings.purge(installation.desk.store, now_ms() - 32 * DAY_MS))
        sql = "SELECT token_id FROM token_endings WHERE workspace_id = $1"
        assert installation.rows(sql, workspace.id) == [(claims_of(token)["jti"],)], "or it would be good again"
        assert held(admin, gone.contact_id) == []
        assert stays.sessions().status_code == 200

    def test_what_was_erased_is_no_device(self, workspace: Workspace, admin: Admin) -> None:
        _, contact_id = workspace.sign_in()
        admin.do("DELETE", f"contacts/{contact_id}")
        for path in ("devices", "identities", "merges"):
            refused(admin.call("GET", f"contacts/{contact_id}/{path}"), 404, "not_found")


class TestIdentities:
    def test_are_the_keys_and_the_providers_subjects(self, workspace: Workspace, admin: Admin) -> None:
        _, ada = workspace.sign_in(phoneNumber="+4722225555")
        device = verified(workspace, "bob@example.com")
        admin.do("POST", f"contacts/{device.contact_id}/merge", {"into": ada})
        found = admin.get(f"contacts/{ada}/identities")["items"]
        assert {(each["kind"], each["value"], each["contact_id"]) for each in found} == {
            ("email", "ada@example.com", ada),
            ("email", "bob@example.com", device.contact_id),
        } | {(each["kind"], each["value"], ada) for each in found if each["kind"] == "phone"}
        assert {each["issuer"] for each in found} == {None}

    def test_of_a_provider_and_the_token_of_a_conversation(self, front: Front, fake: FakeProvider) -> None:
        front.queue()
        admin = Admin(front.workspace.installation, front.workspace.id)
        done = front.route(new_uuid(), proof=front.proof(fake.id_token(sub="ada-1"))).json()
        [identity] = admin.get(f"contacts/{done['contactId']}/identities")["items"]
        assert (identity["kind"], identity["value"], identity["issuer"]) == ("provider", "ada-1", fake.issuer)
        [device] = admin.get(f"contacts/{done['contactId']}/devices")["items"]
        assert (device["conversation_id"], device["method"]) == (done["id"], "token_exchange")
        end(admin, done["contactId"], done["contactToken"])
        eventually(lambda: front.workspace.me(done["contactToken"]).status_code == 401)
        assert held(admin, done["contactId"]) == []

    def test_a_visitor_s_session_is_not_refreshed_any_more(self, front: Front) -> None:
        admin, session = Admin(front.workspace.installation, front.workspace.id), front.session()
        visitor = session["visitorId"] if "visitorId" in session else session["visitor_id"]
        Client(front.workspace, session["access_token"]).start(scope="mine")
        assert held(admin, visitor) == [visitor]
        end(admin, visitor, session["access_token"])
        assert front.refresh(session["refresh_token"]).status_code == 400
        eventually(lambda: Client(front.workspace, session["access_token"]).page(scope="mine").status_code == 401)


class TestMerges:
    def test_are_told_on_both_sides_also_when_they_were_undone(self, workspace: Workspace, admin: Admin) -> None:
        (_, ada), (_, bob) = workspace.sign_in(), workspace.sign_in("bob@example.com")
        admin.do("POST", f"contacts/{bob}/merge", {"into": ada})
        admin.do("POST", f"contacts/{bob}/unmerge")
        told = admin.get(f"contacts/{ada}/merges")["items"]
        others = admin.get(f"contacts/{bob}/merges")["items"]
        assert [{**each, "at": ""} for each in others] == [{**each, "at": ""} for each in told]
        assert [(each["contact_id"], each["into"], each["undone"]) for each in told] == [
            (bob, ada, True),
            (bob, ada, False),
        ]
        assert {each["actor"] for each in told} == {f"admin_key:{admin.key_id}"}
        assert admin.get("audit/proof")["whole"]
