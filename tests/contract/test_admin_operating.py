"""The admin API's queues, staff, webhooks, limits and retention: each with scope, tenant, condition and repetition."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fixtures.admin import ROOT, Admin, refused
from tests.fixtures.front_door import Workspace, beside
from tests.fixtures.native import Client
from tests.fixtures.staff import PASSWORD, signed_in
from vestibule.clock import now_ms
from vestibule.ids import new_id
from vestibule.model.workspace import AdminScope

QUEUE = {"name": "Sales", "identified_only": True, "hours": ["mon-fri 09:00-17:00"], "time_zone": "Europe/Oslo"}
SEEN = '"000000000000000000000000"'

# Nobody has it. Written out, because test workers must agree on the names of tests.
NOBODY = "01900000-0000-7000-8000-000000000000"


def tag(admin: Admin, path: str) -> str:
    return admin.call("GET", path).headers["etag"]


def actions(workspace: Workspace) -> list[str]:
    sql = "SELECT action FROM audit_entries WHERE workspace_id = $1 ORDER BY seq"
    return [row[0] for row in workspace.installation.rows(sql, workspace.id)]


class TestEverything:
    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("PUT", "queues/sales", QUEUE),
            ("DELETE", "queues/sales", None),
            ("POST", "staff", {"email": "ada@example.com"}),
            ("PATCH", f"staff/{NOBODY}", {"role": "owner"}),
            ("POST", f"staff/{NOBODY}/link", None),
            ("POST", f"staff/{NOBODY}/sign-out", None),
            ("POST", "webhooks", {"url": "https://api.example.com/"}),
            ("PATCH", f"webhooks/{NOBODY}", {"rotate_secret": True}),
            ("POST", f"webhooks/{NOBODY}/replay", {}),
            ("PATCH", f"api-keys/{NOBODY}", {"name": "x"}),
        ],
    )
    def test_changing_needs_the_scope_the_workspace_and_something_that_is_there(
        self, workspace: Workspace, admin: Admin, method: str, path: str, body: Any
    ) -> None:
        reads = Admin(workspace.installation, workspace.id, [AdminScope.READ])
        refused(reads.call(method, path, body), 403, "insufficient_scope", names="admin:write")
        foreign = Admin(workspace.installation, workspace.installation.workspace().id)
        refused(foreign.call(method, f"/workspaces/{workspace.id}/{path}", body), 404, "not_found")
        if path not in {"queues/sales", "staff", "webhooks"} or method == "DELETE":
            refused(admin.call(method, path, body), 404, "not_found")

    @pytest.mark.parametrize("path", ["queues", "staff", "webhooks", f"webhooks/{NOBODY}/undelivered", "queues/a"])
    def test_reading_as_well(self, workspace: Workspace, path: str) -> None:
        writes = Admin(workspace.installation, workspace.id, [AdminScope.WRITE])
        refused(writes.call("GET", path), 403, "insufficient_scope", names="admin:read")
        foreign = Admin(workspace.installation, workspace.installation.workspace().id)
        refused(foreign.call("GET", f"/workspaces/{workspace.id}/{path}"), 404, "not_found")


class TestQueues:
    def test_are_made_read_replaced_and_removed(self, workspace: Workspace, admin: Admin) -> None:
        made = admin.do("PUT", "queues/sales", QUEUE)
        assert made == {
            "key": "sales",
            "name": "Sales",
            "identified_only": True,
            "hours": ["mon,tue,wed,thu,fri 09:00-17:00"],
            "time_zone": "Europe/Oslo",
            "open": made["open"],
        }
        assert admin.get("queues") == {"items": [made], "next": None}
        again = admin.do("PUT", "queues/sales", {"name": "Sales"}, **{"If-Match": tag(admin, "queues/sales")})
        assert (again["hours"], again["identified_only"], again["open"]) == ([], False, True)
        # What the API shows, it takes again.
        shown = {name: value for name, value in made.items() if name not in {"key", "open"}}
        assert admin.do("PUT", "queues/sales", shown) == made
        assert admin.call("DELETE", "queues/sales").status_code == 204
        refused(admin.call("GET", "queues/sales"), 404, "not_found")
        assert actions(workspace)[-4:] == ["queue.set", "queue.set", "queue.set", "queue.remove"]

    def test_a_stale_edit_changes_nothing(self, admin: Admin) -> None:
        admin.do("PUT", "queues/sales", QUEUE)
        seen = tag(admin, "queues/sales")
        admin.do("PUT", "queues/sales", {"name": "Other"})
        for method, body in (("PUT", QUEUE), ("DELETE", None)):
            refused(admin.call(method, "queues/sales", body, {"If-Match": seen}), 412, "stale_edit")
        assert admin.get("queues/sales")["name"] == "Other"
        # One that is not there has nothing to match.
        refused(admin.call("PUT", "queues/new", QUEUE, {"If-Match": seen}), 404, "not_found")

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({**QUEUE, "hours": ["sometimes"]}, "hours"),
            ({**QUEUE, "time_zone": "Mars/Olympus"}, "time_zone"),
            ({**QUEUE, "name": "  "}, "name"),
            ({}, "name"),
            ({**QUEUE, "colour": "red"}, "colour"),
        ],
    )
    def test_mistakes_are_named(self, admin: Admin, body: Any, field: str) -> None:
        refused(admin.call("PUT", "queues/sales", body), 400, "invalid_field", names=field)
        refused(admin.call("PUT", "queues/-", QUEUE), 400, "invalid_field", names="key")


class TestStaff:
    def test_somebody_is_let_in_by_a_link_shown_once(self, workspace: Workspace, admin: Admin) -> None:
        body = {"email": f"grace.{workspace.id}@example.com", "role": "admin", "name": "Grace"}
        answer = admin.call("POST", "staff", body, {"Idempotency-Key": "one"})
        assert answer.status_code == 201
        member = answer.json()["member"]
        assert answer.headers["location"].endswith(f"/staff/{member['id']}")
        link = httpx.URL(answer.json()["link"])
        assert workspace.installation.http.get(f"/dashboard/welcome?link={link.params['link']}").status_code == 200
        repeated = admin.call("POST", "staff", body, {"Idempotency-Key": "one"})
        assert (repeated.json(), repeated.headers["idempotency-replayed"]) == (answer.json(), "true")
        refused(admin.call("POST", "staff", body), 409, "already_exists")
        assert admin.get("staff")["items"] == [member]
        assert (member["role"], member["has_password"], member["disabled_at"]) == ("admin", False, None)
        again = admin.do("POST", f"staff/{member['id']}/link")
        assert again["link"] != str(link)
        assert workspace.installation.http.get(f"/dashboard/welcome?link={link.params['link']}").status_code == 401
        assert "vst_link_" not in str(workspace.installation.rows("SELECT * FROM audit_entries"))

    def test_a_role_counts_from_the_next_request_on(self, workspace: Workspace, admin: Admin) -> None:
        grace = signed_in(workspace)
        path = f"staff/{grace.id}"
        assert grace.get("/audit").status_code == 200
        changed = admin.do("PATCH", path, {"role": "viewer"}, **{"If-Match": tag(admin, path)})
        assert changed["role"] == "viewer"
        contact = new_id()
        assert grace.post(f"/contacts/{contact}/sign-out").status_code == 403
        refused(admin.call("PATCH", path, {"role": "king"}), 400, "invalid_field", names="role")
        refused(admin.call("PATCH", path, {"role": "owner"}, {"If-Match": SEEN}), 412, "stale_edit")

    def test_a_sign_in_makes_no_edit_stale(self, workspace: Workspace, admin: Admin) -> None:
        grace = signed_in(workspace)
        path = f"staff/{grace.id}"
        seen, before = tag(admin, path), admin.get(path)["signed_in_at"]
        assert grace.sign_in().status_code == 303
        assert admin.get(path)["signed_in_at"] != before
        changed = admin.call("PATCH", path, {"name": "Ada"}, {"If-Match": seen})
        assert (changed.status_code, changed.headers["etag"]) == (200, tag(admin, path))
        for method, body in (("PATCH", {"name": "Eve"}), ("DELETE", None)):
            refused(admin.call(method, path, body, {"If-Match": seen}), 412, "stale_edit")
        assert admin.get(path)["name"] == "Ada"

    def test_who_is_disabled_is_out_at_once_and_stays_out(self, workspace: Workspace, admin: Admin) -> None:
        grace = signed_in(workspace)
        path = f"staff/{grace.id}"
        link = httpx.URL(admin.do("POST", f"{path}/link")["link"]).params["link"]
        assert admin.do("PATCH", path, {"disabled": True})["disabled_at"] is not None
        assert grace.get("/inbox").status_code == 303
        assert grace.sign_in().status_code == 401
        assert workspace.installation.http.get(f"/dashboard/welcome?link={link}").status_code == 401
        refused(admin.call("POST", f"{path}/link"), 409, "conflict", names="disabled")
        assert admin.do("PATCH", path, {"disabled": False})["disabled_at"] is None
        assert grace.get("/inbox").status_code == 303, "what was ended does not come back"
        assert grace.sign_in(PASSWORD).status_code == 303
        assert grace.get("/inbox").status_code == 200
        assert [each for each in actions(workspace) if "able" in each] == ["staff.disable", "staff.enable"]

    def test_sessions_are_ended_and_somebody_is_removed(self, workspace: Workspace, admin: Admin) -> None:
        grace = signed_in(workspace)
        admin.do("POST", f"staff/{grace.id}/sign-out")
        assert grace.get("/inbox").status_code == 303
        assert grace.sign_in().status_code == 303
        assert admin.call("DELETE", f"staff/{grace.id}", headers={"If-Match": SEEN}).status_code == 412
        assert admin.call("DELETE", f"staff/{grace.id}").status_code == 204
        assert grace.get("/inbox").status_code == 303
        assert admin.get("staff")["items"] == []

    def test_the_command_line_does_the_same(self, workspace: Workspace) -> None:
        grace, cli = signed_in(workspace), workspace.installation.cli
        assert cli("staff", "sign-out", grace.id, "-w", workspace.id)["id"] == grace.id
        assert grace.get("/inbox").status_code == 303
        assert cli("staff", "disable", grace.id, "-w", workspace.id)["disabled_at"] is not None
        assert grace.sign_in().status_code == 401
        assert cli("staff", "enable", grace.id, "-w", workspace.id)["disabled_at"] is None
        assert grace.sign_in().status_code == 303

    def test_who_signs_in_at_a_provider_only_gets_no_link(
        self, workspace: Workspace, admin: Admin, tmp_path: Path
    ) -> None:
        installation = workspace.installation
        only = {"staff_oidc_only": "true", "staff_oidc_issuer": "https://id.example.com", "staff_oidc_client_id": "v"}
        with beside(installation, tmp_path, **only) as server:
            root, headers = (
                f"{server.base_url}{ROOT}/workspaces/{workspace.id}",
                {"authorization": f"Bearer {admin.key}"},
            )
            email = f"ada.{workspace.id}@example.com"
            made = httpx.post(f"{root}/staff", json={"email": email}, headers=headers)
            assert (made.status_code, made.json()["link"]) == (201, None)
            path = f"{root}/staff/{made.json()['member']['id']}/link"
            refused(httpx.post(path, headers=headers), 403, "passwords_off")
        given = {f"VESTIBULE_{name.upper()}": value for name, value in only.items()}
        command = ("staff", "add", f"bob.{workspace.id}@example.com", "-w", workspace.id, "--json")
        bob = installation.command(*command, settings=given).json
        assert "link" not in bob
        installation.command("staff", "password", bob["id"], *command[3:], settings=given).refused("passwords_off")
        file = tmp_path / "workspace.toml"
        file.write_text(f'[[staff]]\nemail = "eve.{workspace.id}@example.com"\nrole = "viewer"\n')
        apply = ("workspace", "apply", str(file), "--workspace", workspace.id, "--json")
        applied = installation.command(*apply, settings=given)
        assert (applied.exit_code, "vst_link_" in applied.stdout) == (0, False), applied
        assert installation.rows("SELECT staff_id FROM staff_links WHERE workspace_id = $1", workspace.id) == []


def test_a_chat_is_given_to_a_member_of_staff(workspace: Workspace, admin: Admin) -> None:
    chat = Client(workspace, workspace.sign_in()[0]).start()
    member = admin.do("POST", "staff", {"email": f"grace.{workspace.id}@example.com", "name": "Grace"})["member"]
    taken = admin.do("POST", f"conversations/{chat}/assign", {"staff_id": member["id"]})
    assert (taken["assignee"], taken["handed_off"]) == ("Grace", True)
    for nobody in (new_id(), "\u0000", workspace.id):
        refused(admin.call("POST", f"conversations/{chat}/assign", {"staff_id": nobody}), 404, "not_found")


class TestWebhooks:
    URL = "https://api.example.com/events?token=canary-hush"

    def test_a_secret_is_shown_when_it_is_made_and_never_again(self, workspace: Workspace, admin: Admin) -> None:
        answer = admin.call("POST", "webhooks", {"url": self.URL}, {"Idempotency-Key": "one"})
        made = answer.json()
        assert answer.headers["location"].endswith(f"/webhooks/{made['id']}")
        assert made.pop("secret").startswith("whsec_")
        assert (made["address"], made["secrets"], len(made["events"])) == ("https://api.example.com/events?…", 1, 8)
        path = f"webhooks/{made['id']}"
        assert admin.get("webhooks") == {"items": [made], "next": None}
        assert admin.get(path) == made
        replayed = admin.call("POST", "webhooks", {"url": self.URL}, {"Idempotency-Key": "one"})
        assert replayed.json()["id"] == made["id"]
        rotation = {"events": ["contact.erased"], "names": "opencx", "rotate_secret": True}
        answer = admin.call("PATCH", path, rotation)
        changed = answer.json()
        assert answer.headers["etag"] == tag(admin, path)
        assert changed.pop("secret").startswith("whsec_")
        assert (changed["events"], changed["names"], changed["secrets"]) == (["contact.erased"], "opencx", 2)
        assert admin.do("PATCH", path, {"forget_old_secret": True})["secrets"] == 1
        audit = workspace.installation.rows("SELECT * FROM audit_entries WHERE workspace_id = $1", workspace.id)
        assert "canary" not in str(audit)
        assert admin.call("DELETE", path).status_code == 204
        refused(admin.call("GET", path), 404, "not_found")

    def test_a_stale_edit_changes_nothing_and_events_that_wait_make_none_stale(
        self, workspace: Workspace, admin: Admin
    ) -> None:
        path = f"webhooks/{admin.do('POST', 'webhooks', {'url': self.URL})['id']}"
        seen = tag(admin, path)
        workspace.sign_in()
        admin.do("PATCH", path, {"names": "opencx"}, **{"If-Match": seen})
        refused(admin.call("PATCH", path, {"names": "vestibule"}, {"If-Match": seen}), 412, "stale_edit")
        seen = tag(admin, path)
        admin.do("PATCH", path, {"rotate_secret": True})
        refused(admin.call("DELETE", path, headers={"If-Match": seen}), 412, "stale_edit")

    @pytest.mark.parametrize(
        ("body", "names"),
        [
            ({"url": "http://api.example.com/"}, "url"),
            ({"url": "https://10.0.0.1/"}, "url"),
            ({"url": "https://api.example.com/", "events": []}, "events"),
            ({"url": "https://api.example.com/", "events": ["contact.born"]}, "events"),
            ({}, "url"),
        ],
    )
    def test_mistakes_are_named(self, admin: Admin, body: Any, names: str) -> None:
        refused(admin.call("POST", "webhooks", body), 400, "invalid_field", names=names)

    def test_what_was_not_delivered_is_listed_in_pages_and_sent_again(self, workspace: Workspace, admin: Admin) -> None:
        endpoint = admin.do("POST", "webhooks", {"url": self.URL})["id"]
        path, ids = f"webhooks/{endpoint}", sorted(new_id() for _ in range(5))
        sql = (
            "INSERT INTO webhook_deliveries (workspace_id, endpoint_id, id, kind, at, contact_id, data, owner,"
            " attempts, due_at, died_at, problem)"
            " VALUES ($1, $2, $3, 'contact.erased', $4, '', '{}', '', 3, $5, $6, $7)"
        )
        later = now_ms() + 3_600_000
        for number, each in enumerate(ids):
            dead = number % 2
            when = (None, now_ms()) if dead else (later, None)
            workspace.installation.rows(sql, workspace.id, endpoint, each, now_ms(), *when, "upstream_failed")
        shown = admin.get(path)
        assert (shown["waiting"], shown["dead"]) == (3, 2)
        first = admin.get(f"{path}/undelivered", limit=3)
        second = admin.get(f"{path}/undelivered", limit=3, cursor=first["next"])
        assert [each["id"] for each in first["items"] + second["items"]] == ids
        assert second["next"] is None
        dead = admin.get(f"{path}/undelivered", state="dead")["items"]
        assert [(each["id"], each["due_at"], each["problem"]) for each in dead] == [
            (each, None, "upstream_failed") for each in (ids[1], ids[3])
        ]
        assert len(admin.get(f"{path}/undelivered", state="waiting")["items"]) == 3
        assert admin.do("POST", f"{path}/replay", {"event_id": ids[1]}) == {"count": 1}
        refused(admin.call("POST", f"{path}/replay", {"event_id": ids[0]}), 404, "not_found")
        assert admin.do("POST", f"{path}/replay", {}, **{"Idempotency-Key": "all"}) == {"count": 1}
        assert admin.do("POST", f"{path}/replay", {}, **{"Idempotency-Key": "all"}) == {"count": 1}
        refused(admin.call("GET", f"{path}/undelivered", cursor="bm90LWFuLWlk"), 400, "invalid_field", names="cursor")
        refused(admin.call("GET", f"{path}/undelivered", state="lost"), 400, "invalid_field", names="state")


class TestLimits:
    def test_of_a_key_change_and_count(self, workspace: Workspace, admin: Admin) -> None:
        path = f"api-keys/{workspace.key_id}"
        changed = admin.do(
            "PATCH", path, {"name": "shop", "rate_limits": {"standard": 7}}, **{"If-Match": tag(admin, path)}
        )
        assert (changed["name"], changed["rate_limits"]) == ("shop", {"standard": 7, "streaming": None})
        assert admin.do("PATCH", path, {"name": ""})["rate_limits"]["standard"] == 7
        refused(admin.call("PATCH", path, {"rate_limits": {"standard": 0}}), 400, "invalid_field", names="standard")
        refused(admin.call("PATCH", path, {"scopes": []}), 400, "invalid_field", names="scopes")
        assert actions(workspace).count("api_key.change") == 2

    def test_a_key_that_is_in_use_makes_no_edit_stale(self, workspace: Workspace, admin: Admin) -> None:
        path = f"api-keys/{workspace.key_id}"
        seen = tag(admin, path)
        sql = "UPDATE api_keys SET last_used_at = $2 WHERE workspace_id = $1"
        workspace.installation.rows(sql, workspace.id, now_ms() + 1)
        admin.do("PATCH", path, {"name": "one"}, **{"If-Match": seen})
        refused(admin.call("PATCH", path, {"name": "two"}, {"If-Match": seen}), 412, "stale_edit")
        assert admin.get(path)["name"] == "one"


class TestRetention:
    def test_is_a_workspace_s_own_where_it_says_so(self, admin: Admin) -> None:
        assert set(admin.get("")["retention"].values()) == {None}
        wanted = {"unverified_contacts": 86_400, "closed_conversations": 0, "audit": 3_600}
        changed = admin.do("PATCH", "", {"retention": wanted}, **{"If-Match": tag(admin, "")})
        assert changed["retention"] == wanted
        assert admin.do("PATCH", "", {"name": "x"})["retention"] == wanted
        assert admin.do("PATCH", "", {"retention": {}})["retention"]["audit"] is None
        refused(
            admin.call("PATCH", "", {"retention": {"unverified_contacts": 1}}), 400, "invalid_field", names="retention"
        )
        refused(admin.call("PATCH", "", {"retention": {"audit": 10**12}}), 400, "invalid_field", names="audit")

    def test_the_command_line_does_the_same(self, workspace: Workspace) -> None:
        cli = workspace.installation.cli
        changed = cli("workspace", "retention", workspace.id, "--unverified-contacts", "30d", "--audit", "36h")
        assert changed["retention"] == {"unverified_contacts": "30d", "closed_conversations": None, "audit": "36h"}
        refusal = workspace.installation.command("workspace", "retention", workspace.id, "--audit", "soon", "--json")
        assert refusal.exit_code == 2
