"""The admin API from outside: keys and scopes, tenants apart, each resource, stale edits, repeated creates, paging."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.fixtures.admin import ROOT, Admin, refused
from tests.fixtures.fake_auth_endpoint import FakeAuthEndpoint
from tests.fixtures.front_door import Installation, Workspace
from tests.fixtures.native import Client
from vestibule.administration import admin_keys
from vestibule.clock import SECOND_MS
from vestibule.model.workspace import AdminScope, Scope

NOBODY = "01a1fe9a-bfae-7803-87f1-bfd5aefe77fb"
PROVIDER = {"name": "Login", "issuer": "https://login.example.com", "client_ids": ["widget"]}


@pytest.fixture
def admin(workspace: Workspace) -> Admin:
    return Admin(workspace.installation, workspace.id)


@pytest.fixture(scope="module")
def whole(installation: Installation) -> Admin:
    """With a key of the installation."""
    return Admin(installation)


class TestKeys:
    @pytest.mark.parametrize("key", ["", "nonsense", "vst_admin_" + "0" * 71])
    def test_what_is_none_opens_nothing(self, installation: Installation, key: str) -> None:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        answer = installation.http.get(f"{ROOT}/workspaces", headers=headers)
        refused(answer, 401, "invalid_admin_key" if key else "missing_credentials")
        assert answer.headers["www-authenticate"].startswith("Bearer")

    def test_an_api_key_is_no_admin_key_and_the_other_way_round(self, workspace: Workspace, admin: Admin) -> None:
        api_key_id, api_key = workspace.new_key(list(Scope))
        assert api_key_id
        answer = workspace.installation.http.get(f"{ROOT}/workspaces", headers={"authorization": f"Bearer {api_key}"})
        refused(answer, 401, "invalid_admin_key")
        assert workspace.post(b'{"email":"a@b.example"}', {"authorization": f"Bearer {admin.key}"}).status_code == 401

    def test_a_contact_token_is_none(self, workspace: Workspace) -> None:
        token, _ = workspace.sign_in()
        answer = workspace.installation.http.get(f"{ROOT}/workspaces", headers={"authorization": f"Bearer {token}"})
        refused(answer, 401, "invalid_admin_key")

    def test_a_revoked_or_expired_one_opens_nothing_from_that_moment(self, workspace: Workspace) -> None:
        installation = workspace.installation
        revoked, expired = (Admin(installation, workspace.id) for _ in range(2))
        revoked.get("")
        installation.cli("admin-key", "revoke", revoked.key_id, "-w", workspace.id)
        refused(revoked.call("GET", ""), 401, "invalid_admin_key")
        sql = "UPDATE admin_keys SET expires_at = 1 WHERE workspace_id = $1 AND id = $2"
        installation.rows(sql, workspace.id, expired.key_id)
        refused(expired.call("GET", ""), 401, "invalid_admin_key")

    def test_only_a_hash_is_stored_and_it_is_shown_once(self, workspace: Workspace) -> None:
        made = workspace.installation.cli("admin-key", "create", "-w", workspace.id, "--name", "deploy")
        secret = made.pop("admin_key")
        assert secret.startswith("vst_admin_")
        [listed] = workspace.installation.cli("admin-key", "list", "-w", workspace.id)["items"]
        assert listed == made
        stored = workspace.installation.rows("SELECT * FROM admin_keys WHERE workspace_id = $1", workspace.id)
        assert secret[20:40] not in str(stored)

    def test_reading_and_writing_are_two_scopes(self, workspace: Workspace) -> None:
        reads = Admin(workspace.installation, workspace.id, [AdminScope.READ])
        writes = Admin(workspace.installation, workspace.id, [AdminScope.WRITE])
        reads.get("")
        refused(reads.call("PATCH", "", {"name": "x"}), 403, "insufficient_scope", names="admin:write")
        refused(writes.call("GET", ""), 403, "insufficient_scope", names="admin:read")
        writes.do("PATCH", "", {"name": "renamed"})
        assert reads.get("")["name"] == "renamed"

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("POST", "/workspaces"),
            ("GET", "/signing-keys"),
            ("POST", "/signing-keys/rotate"),
            ("GET", "/audit"),
            ("GET", "/audit/proof"),
            ("GET", "/settings"),
            ("POST", "/retention/purge"),
        ],
    )
    def test_what_is_the_installation_s_needs_a_key_of_it(self, admin: Admin, method: str, path: str) -> None:
        refused(admin.call(method, path, {} if method == "POST" else None), 403, "not_allowed", names="installation")

    def test_too_many_calls_are_refused(self, workspace: Workspace, admin: Admin) -> None:
        assert admin.call("GET", "").status_code == 200
        sql = "INSERT INTO rate_totals (workspace_id, bucket, minute, used) VALUES ('', $1, $2, 100000)"
        other = Admin(workspace.installation, workspace.id)
        minute = int(time.time() // 60)
        for each in (minute, minute + 1):
            workspace.installation.rows(sql, f"admin:{other.key_id}", each)
        refused(other.call("GET", ""), 429, "rate_limited")

    def test_a_key_cannot_live_for_ever(self, workspace: Workspace) -> None:
        installation = workspace.installation
        key, _ = installation.run(
            admin_keys.create(installation.desk, None, scopes=(AdminScope.READ,), lifetime_ms=SECOND_MS)
        )
        assert key.expires_at is not None


class TestTenants:
    def test_another_workspace_does_not_exist(self, workspace: Workspace, admin: Admin) -> None:
        other = workspace.installation.workspace()
        _, contact_id = other.sign_in()
        for workspace_id in (other.id, NOBODY, "nonsense", "%00"):
            base = f"/workspaces/{workspace_id}"
            for method, path, body in (
                ("GET", base, None),
                ("PATCH", base, {"name": "x"}),
                ("GET", f"{base}/contacts/{contact_id}", None),
                ("DELETE", f"{base}/contacts/{contact_id}", None),
                ("GET", f"{base}/audit", None),
                ("POST", f"{base}/api-keys", {}),
            ):
                problem = refused(admin.call(method, path, body), 404, "not_found")
                assert problem["detail"] == "There is no such workspace."
        assert other.contacts()

    def test_nor_does_what_is_in_it(self, workspace: Workspace, admin: Admin) -> None:
        other = workspace.installation.workspace()
        _, contact_id = other.sign_in()
        _, own = workspace.sign_in()
        refused(admin.call("GET", f"contacts/{contact_id}"), 404, "not_found")
        refused(admin.call("POST", f"contacts/{own}/merge", {"into": contact_id}), 404, "not_found")
        refused(admin.call("GET", f"api-keys/{other.key_id}"), 404, "not_found")
        refused(admin.call("POST", f"api-keys/{other.key_id}/revoke"), 404, "not_found")
        assert other.authenticate(email="still@works.example").status_code == 200

    def test_a_list_shows_only_what_the_key_is_good_for(self, admin: Admin, whole: Admin) -> None:
        assert [each["id"] for each in admin.get("/workspaces")["items"]] == [admin.workspace_id]
        assert admin.workspace_id in {each["id"] for each in whole.get("/workspaces")["items"]}


class TestWorkspaces:
    def test_are_made_changed_and_disabled(self, whole: Admin) -> None:
        made = whole.call("POST", "/workspaces", {"name": "Acme"})
        assert made.status_code == 201
        path = made.headers["location"].removeprefix(ROOT)
        assert whole.get(path) == made.json()
        changed = whole.do("PATCH", path, {"name": "Acme 2", "rate_limits": {"standard": 7}, "disabled": True})
        assert (changed["name"], changed["rate_limits"]["standard"]) == ("Acme 2", 7)
        assert changed["disabled_at"] is not None
        assert whole.do("PATCH", path, {"disabled": False})["disabled_at"] is None

    def test_a_customer_id_is_taken_once(self, whole: Admin, admin: Admin) -> None:
        taken = admin.get("")["customer_id"]
        refused(whole.call("POST", "/workspaces", {"name": "x", "customer_id": taken}), 409, "already_exists")

    @pytest.mark.parametrize("body", [{}, {"name": ""}, {"name": "a\u0007"}, {"name": 3}, {"name": "x", "plan": 1}])
    def test_bad_ones_are_refused(self, whole: Admin, body: Any) -> None:
        refused(whole.call("POST", "/workspaces", body), 400, "invalid_field")

    def test_a_widget_token_is_replaced(self, admin: Admin) -> None:
        before = admin.get("")["widget_token"]
        after = admin.do("POST", "widget-token/rotate")["widget_token"]
        assert after != before
        assert admin.get("")["widget_token"] == after


class TestApiKeys:
    def test_from_making_to_end(self, workspace: Workspace, admin: Admin) -> None:
        made = admin.do("POST", "api-keys", {"name": "shop", "lifetime": 3600, "rate_limits": {"standard": 9}})
        works = {"authorization": f"Bearer {made['api_key']}"}
        assert workspace.post(b'{"email":"a@b.example"}', works).status_code == 200
        shown = admin.get(f"api-keys/{made['id']}")
        assert (shown["state"], shown["name"], shown["rate_limits"]["standard"]) == ("active", "shop", 9)
        rotated = admin.do("POST", f"api-keys/{made['id']}/rotate", {"overlap": 0})
        assert rotated["replaces"] == made["id"]
        assert admin.do("POST", f"api-keys/{rotated['id']}/revoke")["state"] == "revoked"
        assert made["api_key"] not in json.dumps(admin.get("api-keys"))

    def test_an_unknown_scope_is_refused(self, admin: Admin) -> None:
        refused(admin.call("POST", "api-keys", {"scopes": ["everything"]}), 400, "invalid_field")
        refused(admin.call("POST", "api-keys", {"scopes": ["admin:write"]}), 400, "invalid_field")


class TestIdentityProviders:
    def test_are_added_replaced_and_removed_without_showing_secrets(self, admin: Admin) -> None:
        client = {"client_id": "us", "client_secret": "canary-of-introspection"}
        body = {**PROVIDER, "accepts": ["id_token", "opaque_access_token"], "introspection_client": client}
        made = admin.do("POST", "identity-providers", body)
        path = f"identity-providers/{made['id']}"
        assert made["introspection_client"] == {
            "client_id": "us",
            "has_secret": True,
            "method": "client_secret_basic",
        }
        without = {**body, "name": "Log in", "introspection_client": {"client_id": "us"}}
        replaced = admin.do("PUT", path, without)
        assert (replaced["name"], replaced["introspection_client"]["has_secret"]) == ("Log in", True)
        elsewhere = {**without, "issuer": "https://evil.example.com"}
        refused(admin.call("PUT", path, elsewhere), 400, "invalid_request", names="must be given again")
        everything = json.dumps([made, replaced, admin.get("identity-providers"), admin.get("audit")])
        assert "canary" not in everything
        admin.do("DELETE", path)
        refused(admin.call("GET", path), 404, "not_found")

    def test_bad_settings_are_told_all_at_once(self, admin: Admin) -> None:
        problem = refused(
            admin.call("POST", "identity-providers", {"name": "", "issuer": "ftp://x"}), 400, "invalid_request"
        )
        for name in ("name:", "issuer:", "client_ids:"):
            assert name in problem["detail"]
        refused(admin.call("POST", "identity-providers", {**PROVIDER, "isuer": "x"}), 400, "invalid_field")
        for number in ("0", "99", "x", "-1", "9" * 30):
            refused(admin.call("GET", f"identity-providers/{number}"), 404, "not_found")

    def test_a_dry_run_explains_and_keeps_nothing(self, workspace: Workspace, admin: Admin) -> None:
        admin.do("POST", "identity-providers", PROVIDER)
        token = "e30.e30.c2lnbmF0dXJl"
        trial = admin.do("POST", "identity-providers/dry-run", {"id_token": token})
        assert not trial["passed"]
        assert trial["steps"][0]["passed"] is not None
        assert token not in json.dumps(admin.get("audit")) + workspace.installation.server.log()
        refused(admin.call("POST", "identity-providers/dry-run", {}), 400, "invalid_field")


class TestAuthEndpoint:
    def test_is_set_up_shown_without_secrets_tried_and_removed(self, shop_front: Workspace) -> None:
        admin = Admin(shop_front.installation, shop_front.id)
        with FakeAuthEndpoint({"session": {"id": 4711, "name": "Ada"}}) as fake:
            change = {"url": f"{fake.url}/whoami?key=canary", "header_token": "canary-token", "fields": ["email"]}
            made = admin.do("PATCH", "auth-endpoint", change)
            assert made["new_secret"].startswith("whsec_")
            assert (made["header_token"], made["secrets"], made["fields"]) == (True, 1, ["email"])
            shown = admin.get("auth-endpoint")
            assert shown == {**made, "new_secret": None}
            trial = admin.do(
                "POST",
                "auth-endpoint/dry-run",
                {"user_token": "session", "fields": {"email": "said@example.com", "name": "not asked for"}},
            )
            assert (trial["verdict"], trial["keys"]["id"], trial["contact_id"]) == ("accepted", "4711", None)
            assert fake.received[-1].json == {"access_token": "session", "email": "said@example.com"}
            refused_one = admin.do("POST", "auth-endpoint/dry-run", {"user_token": "nobody"})
            assert (refused_one["verdict"], refused_one["error"]) == ("rejected", "auth_rejected")
        everything = json.dumps([shown, trial, refused_one, admin.get("audit")]) + shop_front.installation.server.log()
        assert "canary" not in everything
        [(contacts,)] = shop_front.installation.rows(
            "SELECT COUNT(*) FROM contacts WHERE workspace_id = $1", shop_front.id
        )
        assert contacts == 0
        rotated = admin.do("PATCH", "auth-endpoint", {"rotate_secret": True, "required_login": True})
        assert (rotated["secrets"], rotated["required_login"]) == (2, True)
        admin.do("DELETE", "auth-endpoint")
        assert admin.get("auth-endpoint")["url"] == ""
        refused(admin.call("POST", "auth-endpoint/dry-run", {"user_token": "session"}), 404, "not_found")

    def test_says_what_is_wrong_and_keeps_stale_edits_out(self, admin: Admin) -> None:
        refused(admin.call("PATCH", "auth-endpoint", {"url": "ftp://x"}), 400, "invalid_declaration")
        refused(admin.call("PATCH", "auth-endpoint", {"uri": "x"}), 400, "invalid_field")
        seen = admin.call("GET", "auth-endpoint").headers["etag"]
        admin.do("PATCH", "auth-endpoint", {"required_login": True})
        stale = admin.call("PATCH", "auth-endpoint", {"required_login": False}, {"if-match": seen})
        refused(stale, 412, "stale_edit")


class TestResponderAndActions:
    def test_a_webhook_s_secret_is_shown_once(self, admin: Admin) -> None:
        made = admin.do("PATCH", "responder", {"kind": "webhook", "url": "https://bot.example.com/hook?k=canary"})
        assert made["new_secret"].startswith("whsec_")
        shown = admin.get("responder")
        assert "new_secret" not in shown
        assert (shown["address"], shown["secrets"]) == ("https://bot.example.com/hook?…", 1)
        problem = refused(
            admin.call("PATCH", "responder", {"url": "http://127.0.0.1", "timeout_ms": 1}), 400, "invalid_declaration"
        )
        assert "url" in problem["detail"]
        assert "timeout" in problem["detail"]

    def test_the_widget_s_settings(self, admin: Admin) -> None:
        changed = admin.do("PATCH", "widget", {"poll_seconds": 5, "modes": [{"id": "m", "name": "Mode"}]})
        modes = [{"id": "m", "name": "Mode", "slug": None}]
        assert changed == {"list_seconds": 60, "poll_seconds": 5, "modes": modes, "allowed_origins": []}
        refused(admin.call("PATCH", "widget", {"allowed_origins": ["https://x.example/"]}), 400, "invalid_field")
        assert admin.do("PATCH", "widget", {"list_seconds": 9})["poll_seconds"] == 5

    def test_an_action_from_declaring_to_end(self, admin: Admin) -> None:
        action = {"name": "look", "method": "GET", "url_template": "https://api.example.com/orders", "form": True}
        assert admin.do("PUT", "actions/look", action) == action
        assert admin.get("actions")["items"] == [action]
        plain = {**action, "form": False}
        del plain["form"]
        assert admin.do("PUT", "actions/look", plain) == plain
        refused(admin.call("PUT", "actions/other", action), 400, "invalid_field", names="path")
        refused(admin.call("PUT", "actions/look", {**action, "url_template": "http://10.0.0.1"}), 400, "invalid_field")
        refused(admin.call("PUT", "actions/look", {**action, "requird_trust": "x"}), 400, "invalid_field")
        admin.do("DELETE", "actions/look")
        refused(admin.call("DELETE", "actions/look"), 404, "not_found")

    def test_policy_and_variables(self, admin: Admin) -> None:
        assert admin.do("PUT", "action-policy", {"send_assertion": True}) == {"send_assertion": True}
        names = admin.do("PUT", "action-variables", {"headers": {"authorization": "Bearer canary"}})
        assert names == {"names": {"headers": ["authorization"]}}
        assert "canary" not in json.dumps([admin.get("action-variables"), admin.get("audit")])
        refused(admin.call("PUT", "action-variables", {"headers": {"host": "x"}}), 400, "invalid_field")


class TestContacts:
    def test_are_found_by_how_name_and_e_mail_begin_by_phone_and_by_id(
        self, workspace: Workspace, admin: Admin
    ) -> None:
        _, ada = workspace.sign_in("ada@example.com", name="Ada Lovelace", phone="+49 30 1234567")
        _, adam = workspace.sign_in("adam@example.com", name="adam smith")
        _, zoe = workspace.sign_in("zoe@example.com", name="Zoë 100%")

        def found(**query: str) -> list[str]:
            return [contact["id"] for contact in admin.get("contacts", **query)["items"]]

        assert found(name="ADA") == [ada, adam]
        assert found(name="adam") == [adam]
        assert found(email="Ada") == [ada, adam]
        assert found(email="ada@") == [ada]
        assert found(phone="+49 (30) 1234567") == [ada]
        assert found(phone="+49301") == []
        assert found(name="%") == found(name="_") == found(name="' OR 1=1") == []
        assert found(name="Zoë 100%") == [zoe]
        assert found() == [zoe, adam, ada]
        assert found(trust="unverified") == []
        assert admin.get(f"contacts/{ada}")["identities"] == {"email": "ada@example.com", "phone": "+49301234567"}
        refused(admin.call("GET", "contacts", name="a", email="b"), 400, "invalid_field")

    def test_come_page_by_page_without_gap_or_repetition(self, workspace: Workspace, admin: Admin) -> None:
        ids = {workspace.sign_in(f"p{number}@example.com", name="Same Name")[1] for number in range(7)}
        for query in ({}, {"name": "same"}, {"email": "p"}):
            seen: list[str] = []
            cursor: str | None = None
            for _ in range(10):
                page = admin.get("contacts", limit=2, **query, **({"cursor": cursor} if cursor else {}))
                seen += [contact["id"] for contact in page["items"]]
                cursor = page["next"]
                if cursor is None:
                    break
            assert len(seen) == len(ids)
            assert set(seen) == ids
        for bad in ("nonsense", "AAAA", "eyJpZCI6MX0", "é"):
            refused(admin.call("GET", "contacts", cursor=bad), 400, "invalid_field")

    def test_are_corrected_and_say_who_said_so(self, workspace: Workspace, admin: Admin) -> None:
        _, contact_id = workspace.sign_in(name="Ada", language="en")
        path = f"contacts/{contact_id}"
        changed = admin.do("PATCH", path, {"name": "Ada L.", "language": None, "custom_data": {"plan": "gold"}})
        assert (changed["name"], changed["language"], changed["custom_data"]) == ("Ada L.", None, {"plan": "gold"})
        assert changed["provenance"]["name"]["source"] == "operator"
        assert changed["provenance"]["email"]["source"] == "server_to_server"
        assert workspace.sign_in()[1] == contact_id
        for body in ({"email": "x@example.com"}, {"avatar_url": "javascript:alert(1)"}, {"name": "x" * 300}):
            refused(admin.call("PATCH", path, body), 400, "invalid_field")

    def test_are_merged_parted_signed_out_exported_and_erased(self, workspace: Workspace, admin: Admin) -> None:
        token, first = workspace.sign_in()
        _, second = workspace.sign_in("bob@example.com")
        Client(workspace, token).start()
        assert admin.do("POST", f"contacts/{first}/merge", {"into": second})["merged_into"] == second
        refused(admin.call("POST", f"contacts/{first}/merge", {"into": second}), 409, "conflict")
        exported = admin.get(f"contacts/{second}/export")
        assert [each["contact"]["id"] for each in exported["merged"]] == [first]
        assert len(exported["merged"][0]["conversations"]) == 1
        assert admin.do("POST", f"contacts/{first}/unmerge")["merged_into"] is None
        assert admin.do("POST", f"contacts/{second}/sign-out") == {"contact_ids": [second]}
        assert admin.do("DELETE", f"contacts/{first}") == {"contact_ids": [first]}
        refused(admin.call("GET", f"contacts/{first}"), 404, "not_found")
        actions = [entry["action"] for entry in admin.get("audit", kind="administration")["items"]]
        assert actions[:7] == [
            "contact.erase",
            "contact.sign_out",
            "contact.parted",
            "contact.unmerge",
            "contact.export",
            "contact.joined",
            "contact.merge",
        ]


class TestConversations:
    def test_are_listed_read_answered_assigned_and_resolved(self, workspace: Workspace, admin: Admin) -> None:
        client = Client(workspace, workspace.sign_in()[0])
        first, second = client.start(), client.start()
        client.say(first, "hello")
        assert [each["id"] for each in admin.get("conversations")["items"]] == [first, second]
        page = admin.get("conversations", limit=1)
        assert [each["id"] for each in admin.get("conversations", cursor=page["next"])["items"]] == [second]
        sent = admin.do("POST", f"conversations/{first}/reply", {"text": "Hi!", "name": "Grace"})
        assert (sent["sender"], sent["trust"], sent["name"]) == ("agent", "staff", "Grace")
        texts = [message["text"] for message in admin.get(f"conversations/{first}/messages")["items"]]
        assert texts[-1] == "Hi!"
        assert admin.do("POST", f"conversations/{second}/assign", {"name": "Grace"})["assignee"] == "Grace"
        assert admin.do("POST", f"conversations/{first}/resolve")["status"] == "closed_resolved"
        refused(admin.call("POST", f"conversations/{first}/reply", {"text": "x"}), 409, "conversation_closed")
        assert [each["id"] for each in admin.get("conversations", status="open")["items"]] == [second]
        refused(admin.call("GET", "conversations", status="lost"), 400, "invalid_field")
        refused(admin.call("GET", f"conversations/{NOBODY}"), 404, "not_found")


class TestOversight:
    def test_the_audit_says_who_did_it_over_the_api(self, workspace: Workspace, admin: Admin) -> None:
        answer = admin.call("PATCH", "", {"name": "Renamed"})
        [entry] = admin.get("audit", request_id=answer.headers["x-request-id"])["items"]
        assert (entry["actor"], entry["action"], entry["detail"]) == (
            f"admin_key:{admin.key_id}",
            "workspace.change",
            "name",
        )
        workspace.authenticate(email="x")
        [refusal] = admin.get("audit", outcome="refused")["items"]
        assert refusal["code"] == "invalid_field", "at once, on the process that answered"

    def test_a_refused_scope_is_in_the_audit(self, workspace: Workspace, admin: Admin) -> None:
        reads = Admin(workspace.installation, workspace.id, [AdminScope.READ])
        reads.call("PATCH", "", {"name": "x"})
        [entry] = admin.get("audit", code="insufficient_scope")["items"]
        assert entry["key_id"] == reads.key_id

    def test_pages_times_and_proof(self, workspace: Workspace, admin: Admin) -> None:
        for number in range(5):
            workspace.sign_in(f"{number}@example.com")
        everything = admin.get("audit", limit=200)["items"]
        page = admin.get("audit", limit=3)
        seen = page["items"]
        while page["next"] is not None:
            page = admin.get("audit", limit=3, cursor=page["next"])
            seen += page["items"]
        assert seen == everything
        assert admin.get("audit", until="2020-01-01T00:00:00+01:00")["items"] == []
        refused(admin.call("GET", "audit", since="yesterday"), 400, "invalid_field")
        proof = admin.get("audit/proof")
        assert proof["whole"]
        assert admin.get("audit/proof", noted_head=proof["head"])["whole"]
        refused(admin.call("GET", "audit/proof", noted_head="x"), 400, "invalid_field")

    def test_counts_and_coverage(self, workspace: Workspace, admin: Admin) -> None:
        workspace.sign_in()
        [count] = admin.get("counts")["items"]
        assert (count["method"], count["outcome"], count["key_id"], count["count"]) == (
            "server_to_server",
            "created",
            workspace.key_id,
            1,
        )
        found = admin.get("coverage")
        assert (found["issued"], found["verified"], found["keys"][0]["succeeded"]) == (1, 1, 1)
        refused(admin.call("GET", "counts", since="2020-01-01T00:00:00Z"), 400, "invalid_field")

    def test_the_installation_s_own(self, whole: Admin) -> None:
        assert whole.get("/settings")["audit_retention"] == 400 * 86_400
        assert whole.get("/audit/proof")["whole"]
        assert whole.do("POST", "/retention/purge", {"dry_run": True}).keys() == {
            "contacts",
            "conversations",
            "files",
            "kept",
        }
        before = {key["kid"] for key in whole.get("/signing-keys")["items"]}
        assert before
        refused(whole.call("POST", "/signing-keys/nobody/retire"), 404, "not_found")


class TestConditions:
    def test_a_stale_edit_is_412_and_changes_nothing(self, admin: Admin) -> None:
        tag = admin.call("GET", "").headers["etag"]
        changed = admin.call("PATCH", "", {"name": "first"}, {"if-match": tag})
        assert changed.status_code == 200
        assert changed.headers["etag"] != tag
        refused(admin.call("PATCH", "", {"name": "second"}, {"if-match": tag}), 412, "stale_edit")
        assert admin.get("")["name"] == "first"
        assert admin.call("PATCH", "", {"name": "third"}, {"if-match": changed.headers["etag"]}).status_code == 200
        assert admin.call("PATCH", "", {"name": "4th"}, {"if-match": "*"}).status_code == 200
        refused(admin.call("PATCH", "", {"name": "5"}, {"if-match": f"W/{tag}"}), 412, "stale_edit")

    @pytest.mark.parametrize(
        ("path", "method", "body"),
        [
            ("", "PATCH", {"name": "n{}"}),
            ("responder", "PATCH", {"instructions": "n{}"}),
            ("widget", "PATCH", {"modes": [{"id": "n{}", "name": "m"}]}),
            ("contacts/CONTACT", "PATCH", {"name": "n{}"}),
            ("identity-providers/1", "PUT", {**PROVIDER, "name": "n{}"}),
            ("actions/look", "PUT", {"name": "look", "method": "GET", "url_template": "https://a.example/n{}"}),
            ("action-policy", "PUT", {"locked": {"model": ["n{}"]}}),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_of_many_who_edit_the_same_thing_at_once_one_gets_through(
        self, workspace: Workspace, admin: Admin, path: str, method: str, body: Any
    ) -> None:
        if "CONTACT" in path:
            path = path.replace("CONTACT", workspace.sign_in()[1])
        if path.startswith("identity"):
            admin.do("POST", "identity-providers", PROVIDER)
        if path.startswith("actions/"):
            admin.do("PUT", path, {**body, "url_template": "https://a.example"})
        tag = admin.call("GET", path).headers["etag"]

        def edit(number: int) -> int:
            mine = json.loads(json.dumps(body).replace("{}", str(number)))
            return admin.call(method, path, mine, {"if-match": tag}).status_code

        with ThreadPoolExecutor(8) as pool:
            statuses = sorted(pool.map(edit, range(8)))
        assert statuses == [200] + [412] * 7

    def test_a_condition_holds_for_removing_and_erasing_too(self, workspace: Workspace, admin: Admin) -> None:
        _, contact_id = workspace.sign_in()
        tag = admin.call("GET", f"contacts/{contact_id}").headers["etag"]
        workspace.sign_in(name="Ada")
        refused(admin.call("DELETE", f"contacts/{contact_id}", None, {"if-match": tag}), 412, "stale_edit")
        assert admin.get(f"contacts/{contact_id}")["name"] == "Ada"


class TestRepetition:
    def test_a_repeated_create_is_answered_as_the_first_time(self, workspace: Workspace, admin: Admin) -> None:
        headers = {"idempotency-key": "a-1"}
        first = admin.call("POST", "api-keys", {"name": "once"}, headers)
        again = admin.call("POST", "api-keys", {"name": "once"}, headers)
        assert first.status_code == again.status_code == 201
        assert first.json() == again.json()
        assert again.headers["location"] == first.headers["location"]
        assert again.headers["idempotency-replayed"] == "true"
        assert [key["name"] for key in admin.get("api-keys")["items"]].count("once") == 1
        kept = workspace.installation.rows("SELECT * FROM idempotency_keys WHERE workspace_id = $1", workspace.id)
        assert first.json()["api_key"][20:] not in str(kept), "the answer shows a key, and is kept sealed"

    def test_another_request_with_it_is_refused(self, admin: Admin) -> None:
        headers = {"idempotency-key": "b-1"}
        admin.do("POST", "api-keys", {"name": "one"}, **headers)
        refused(admin.call("POST", "api-keys", {"name": "two"}, headers), 422, "idempotency_key_reused")
        refused(admin.call("POST", "widget-token/rotate", None, headers), 422, "idempotency_key_reused")

    def test_another_key_s_is_another(self, workspace: Workspace, admin: Admin) -> None:
        other = Admin(workspace.installation, workspace.id)
        headers = {"idempotency-key": "c-1"}
        made = [each.do("POST", "api-keys", {"name": "x"}, **headers)["id"] for each in (admin, other)]
        assert len(set(made)) == 2

    def test_a_refused_one_may_be_mended(self, admin: Admin) -> None:
        headers = {"idempotency-key": "d-1"}
        refused(admin.call("POST", "api-keys", {"name": "\u0007"}, headers), 400, "invalid_field")
        assert admin.call("POST", "api-keys", {"name": "good"}, headers).status_code == 201

    def test_at_the_same_time_it_is_done_once(self, admin: Admin) -> None:
        def create(_: int) -> int:
            return admin.call("POST", "api-keys", {"name": "race"}, {"idempotency-key": "e-1"}).status_code

        with ThreadPoolExecutor(8) as pool:
            statuses = set(pool.map(create, range(8)))
        assert 201 in statuses
        assert statuses <= {201, 409}
        assert [key["name"] for key in admin.get("api-keys")["items"]].count("race") == 1

    @pytest.mark.parametrize("name", ["", "a b", "x" * 256, "é"])
    def test_a_bad_key_is_refused(self, admin: Admin, name: str) -> None:
        raw = [(b"authorization", f"Bearer {admin.key}".encode()), (b"idempotency-key", name.encode())]
        url = f"{ROOT}/workspaces/{admin.workspace_id}/api-keys"
        refused(admin.installation.http.post(url, json={}, headers=raw), 400, "invalid_field", names="Idempotency-Key")
