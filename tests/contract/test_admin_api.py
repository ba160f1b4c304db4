"""The admin API from outside: keys and scopes, tenants apart, each resource, stale edits, repeated creates, paging."""

from __future__ import annotations

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.fixtures.admin import NOBODY, PROVIDER, ROOT, Admin, refused
from tests.fixtures.front_door import Installation, Workspace
from tests.fixtures.widget import anonymous
from vestibule.administration import admin_keys
from vestibule.clock import DAY_MS, SECOND_MS, now_ms
from vestibule.model.workspace import AdminScope, Scope
from vestibule.storage.purging import BATCH


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

    def test_their_own_keys_do_not_undo_what_the_operator_has_set(self, whole: Admin, admin: Admin) -> None:
        path = f"/workspaces/{admin.workspace_id}"
        shown = whole.do("PATCH", path, {"rate_limits": {"standard": 7}, "disabled": True})
        changes: list[dict[str, Any]] = [{"disabled": False}, {"rate_limits": {"standard": 8}}, {"rate_limits": {}}]
        for change in changes:
            refused(admin.call("PATCH", "", change), 403, "not_allowed", names="whole installation")
        assert whole.get(path) == shown
        said_again = {"name": "Acme", "disabled": True, "rate_limits": {"standard": 7}}
        assert admin.do("PATCH", "", said_again)["name"] == "Acme", "what is so already"
        whole.do("PATCH", path, {"disabled": False})
        assert admin.do("PATCH", "", {"disabled": True})["disabled_at"] is not None, "it may close itself"

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

    @pytest.mark.parametrize("wanted", ["outcome=refuse", "method=oidc", "kind=all", "outcome="])
    def test_a_filter_that_nothing_can_match_is_refused(self, admin: Admin, wanted: str) -> None:
        refused(admin.call("GET", f"audit?{wanted}"), 400, "invalid_field")

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

    def test_a_purge_is_in_the_audit_with_whose_it_was(self, workspace: Workspace, whole: Admin) -> None:
        device = anonymous(workspace)
        device.say(device.start())
        for sql in ("UPDATE conversations SET updated_at = 1", "UPDATE contacts SET expires_at = 2"):
            workspace.installation.rows(f"{sql} WHERE workspace_id = $1", workspace.id)
        program = Admin(workspace.installation)
        program.do("POST", "/retention/purge", {"dry_run": True})
        assert program.do("POST", "/retention/purge", {})["contacts"] >= 1
        program.do("POST", "/retention/purge", {})
        purges = whole.get("/audit", action="retention.purge")["items"]
        [purge] = [each for each in purges if each["actor"] == f"admin_key:{program.key_id}"]
        assert re.fullmatch(r"\d+ contacts, \d+ conversations", purge["detail"])


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

    def test_after_a_day_it_is_another_however_many_older_ones_there_are(
        self, workspace: Workspace, admin: Admin
    ) -> None:
        headers, rows = {"idempotency-key": "f-1"}, workspace.installation.rows
        first = admin.do("POST", "api-keys", {"name": "x"}, **headers)["id"]
        then = now_ms() - 2 * DAY_MS
        rows("UPDATE idempotency_keys SET created_at = $2 WHERE workspace_id = $1", workspace.id, then)
        many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $3)"
        columns = "workspace_id, admin_key_id, name_hash, request_hash, created_at"
        older = (
            f"{many} INSERT INTO idempotency_keys ({columns}) SELECT $1, 'k', 'n' || i, '', CAST($2 AS BIGINT) FROM n"  # noqa: S608
        )
        rows(older, workspace.id, then - DAY_MS, 2 * BATCH)
        assert admin.do("POST", "api-keys", {"name": "x"}, **headers)["id"] != first

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
